#include "config_internal.h"

#include "mem.h"

#include <stddef.h>

#include <unistd.h>

static const struct {
	const char *name;
	size_t offset;
	bool tls;
} services[] = {
	{ "listen_smtp", offsetof(struct config, listen_smtp), false },
	{ "listen_submission", offsetof(struct config, listen_submission), false },
	{ "listen_submissions", offsetof(struct config, listen_submissions), true },
	{ "listen_lmtp", offsetof(struct config, listen_lmtp), false },
	{ "listen_pop3", offsetof(struct config, listen_pop3), false },
	{ "listen_pop3s", offsetof(struct config, listen_pop3s), true },
	{ "listen_imap", offsetof(struct config, listen_imap), false },
	{ "listen_imaps", offsetof(struct config, listen_imaps), true },
};

static const struct config_listeners *listeners_of(const struct config *config, size_t service)
{
	return (const struct config_listeners *)((const char *)config + services[service].offset);
}

/* "*" takes the port of every address; port 0 is another one each time. */
static bool collide(const struct endpoint *a, const struct endpoint *b)
{
	if (endpoint_is_ip(a) != endpoint_is_ip(b))
		return false;
	if (!endpoint_is_ip(a))
		return endpoint_equal(a, b);
	if (endpoint_port(a) == 0 || endpoint_port(a) != endpoint_port(b))
		return false;
	return a->every_family || b->every_family || endpoint_equal(a, b);
}

struct place {
	struct endpoint address;
	const char *text;
	const char *service;
};

static bool add_places(const struct config *config, size_t service, struct place *places, size_t *count,
                       struct fail **fail)
{
	const struct config_listeners *listeners = listeners_of(config, service);
	for (size_t i = 0; i < listeners->count; i++) {
		struct place place = { .text = listeners->items[i], .service = services[service].name };
		if (!config_listener_address(config, place.text, &place.address, fail))
			return fail_prefix(fail, "%s", place.service);
		for (size_t j = 0; j < *count; j++)
			if (collide(&place.address, &places[j].address))
				return fail_set(fail, FAIL_INVALID, "%s \"%s\" and %s \"%s\" are the same place", places[j].service,
				                places[j].text, place.service, place.text);
		places[(*count)++] = place;
	}
	return true;
}

static bool check_listeners(const struct config *config, struct fail **fail)
{
	size_t count = 0, total = 0;
	for (size_t i = 0; i < COUNT_OF(services); i++)
		total += listeners_of(config, i)->count;
	if (total > LIMIT_CONFIG_LIST_MAX)
		return fail_set(fail, FAIL_LIMIT, "more than %d places to listen on", LIMIT_CONFIG_LIST_MAX);
	CLEANUP(mem_free) struct place *places = mem_alloc(total * sizeof *places);
	for (size_t i = 0; i < COUNT_OF(services); i++)
		if (!add_places(config, i, places, &count, fail))
			return false;
	return true;
}

static bool check_readable(const struct config_certificate *certificate, const char *path, const char *what,
                           struct fail **fail)
{
	if (access(path, R_OK) == 0)
		return true;
	return fail_set_errno(fail, FAIL_NOT_FOUND, "certificate \"%s\": %s %s", certificate->title, what, path);
}

static bool check_certificates(const struct config *config, struct fail **fail)
{
	for (size_t i = 0; i < config->certificates.count; i++) {
		const struct config_certificate *certificate = &config->certificates.items[i];
		if (!check_readable(certificate, certificate->chain, "chain", fail) ||
		    !check_readable(certificate, certificate->key, "key", fail))
			return false;
	}
	for (size_t i = 0; i < COUNT_OF(services) && config->certificates.count == 0; i++)
		if (services[i].tls && listeners_of(config, i)->count)
			return fail_set(fail, FAIL_INVALID,
			                "%s needs a certificate: add certificate \"name\" { chain = \"…\" key = \"…\" }, "
			                "or set %s = {} to do without", services[i].name, services[i].name);
	return true;
}

/* A network of prefix 0 is the whole world. */
static bool check_not_everybody(const struct config_networks *networks, const char *name, struct fail **fail)
{
	for (size_t i = 0; i < networks->count; i++)
		if (networks->items[i].bits == 0)
			return fail_set(fail, FAIL_INVALID, "%s contains everybody (prefix length 0)", name);
	return true;
}

static bool check_smarthost(const struct config *config, struct fail **fail)
{
	const char *path = config->smarthost_password_file;
	if (!config->smarthost_user[0])
		return true;
	if (!config->smarthost.host[0] || !path[0])
		return fail_set(fail, FAIL_INVALID, "smarthost_user needs smarthost and smarthost_password_file");
	return access(path, R_OK) == 0 || fail_set_errno(fail, FAIL_NOT_FOUND, "smarthost_password_file %s", path);
}

bool config_check(const struct config *config, struct fail **fail)
{
	if (!config->hostname[0])
		return fail_set(fail, FAIL_INVALID, "hostname is not set, and the system has no usable name");
	if (config->failure_delay_max_ms < config->failure_delay_ms)
		return fail_set(fail, FAIL_INVALID, "failure_delay_max_ms (%u) is less than failure_delay_ms (%u)",
		                config->failure_delay_max_ms, config->failure_delay_ms);
	if (config->connections_max < config->connections_per_address_max)
		return fail_set(fail, FAIL_INVALID, "connections_per_address_max (%u) is more than connections_max (%u)",
		                config->connections_per_address_max, config->connections_max);
	return check_not_everybody(&config->trusted_networks, "trusted_networks", fail) &&
	       check_not_everybody(&config->lmtp_networks, "lmtp_networks", fail) && check_listeners(config, fail) &&
	       check_certificates(config, fail) && check_smarthost(config, fail);
}
