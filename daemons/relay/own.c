#include "own.h"

#include "array.h"
#include "mem.h"

#include <ifaddrs.h>
#include <string.h>

struct own {
	const struct config *config;
	ARRAY(struct endpoint) listeners;
	ARRAY(struct endpoint) interfaces; /* port 0 */
};

static void add_interfaces(struct own *own)
{
	struct ifaddrs *list = NULL;
	if (getifaddrs(&list) != 0)
		return;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct endpoint address;
		if (!i->ifa_addr)
			continue;
		if (i->ifa_addr->sa_family == AF_INET)
			endpoint_from_socket(&address, i->ifa_addr, sizeof(struct sockaddr_in));
		else if (i->ifa_addr->sa_family == AF_INET6)
			endpoint_from_socket(&address, i->ifa_addr, sizeof(struct sockaddr_in6));
		else
			continue;
		if (address.any.sa_family == AF_INET6)
			address.v6.sin6_scope_id = 0;
		*array_add(&own->interfaces) = address;
	}
	freeifaddrs(list);
}

struct own *own_new(const struct config *config)
{
	struct own *own = mem_alloc(sizeof *own);
	own->config = config;
	for (size_t i = 0; i < config->listen_smtp.count; i++) {
		struct endpoint address;
		if (config_listener_address(config, config->listen_smtp.items[i], &address, NULL) && endpoint_is_ip(&address))
			*array_add(&own->listeners) = address;
	}
	add_interfaces(own);
	return own;
}

/* One of this host, or one that leads nowhere else. */
static bool is_of_an_interface(const struct own *own, const struct endpoint *address)
{
	struct endpoint bare = *address;
	endpoint_set_port(&bare, 0);
	if (endpoint_is_unspecified(address) || endpoint_is_loopback(address))
		return true;
	for (size_t i = 0; i < own->interfaces.count; i++)
		if (endpoint_equal(&own->interfaces.items[i], &bare))
			return true;
	return false;
}

static bool is_listener(const struct own *own, const struct endpoint *listener, const struct endpoint *address)
{
	if (endpoint_port(listener) != endpoint_port(address))
		return false;
	bool every = listener->every_family ||
	             (endpoint_is_unspecified(listener) && listener->any.sa_family == address->any.sa_family);
	return every ? is_of_an_interface(own, address) : endpoint_equal(listener, address);
}

bool own_has(const struct own *own, const struct endpoint *address)
{
	if (!endpoint_is_ip(address))
		return false;
	if (network_any_contains(own->config->own_addresses.items, own->config->own_addresses.count, address))
		return true;
	for (size_t i = 0; i < own->listeners.count; i++)
		if (is_listener(own, &own->listeners.items[i], address))
			return true;
	return false;
}
