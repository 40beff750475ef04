/* Types of values: places to listen on, networks, servers, our own addresses, milters. */
#include "config_type.h"

#include "array.h"

/* Listeners and networks */

/* A name below runtime_directory: no colon and not only digits, which would be a forgotten "*:". */
static bool is_socket_name(struct str text)
{
	bool alpha = false;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (!char_is_alpha(c) && !char_is_digit(c) && !strchr("._-/", c))
			return false;
		alpha = alpha || char_is_alpha(c);
	}
	return alpha && str_find(text, STR("..")) == text.length;
}

static bool listen_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct endpoint address;
	struct config_listeners *listeners = field;
	if (!endpoint_parse(text, &address, NULL) && !is_socket_name(text))
		return config_type_refuse(key, text,
		                          "no place to listen on (*:25, 127.0.0.1:25, [::1]:25 or the path of a socket)", fail);
	*array_add(listeners) = str_copy(text);
	return true;
}

static void listen_clear(void *field)
{
	struct config_listeners *listeners = field;
	for (size_t i = 0; i < listeners->count; i++)
		free(listeners->items[i]);
	array_release(listeners);
}

static bool listen_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_listeners *listeners = field;
	return i < listeners->count && buf_add_str(out, str_of(listeners->items[i]));
}

static bool networks_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct network network;
	struct config_networks *networks = field;
	if (!network_parse(text, &network, fail))
		return fail_prefix(fail, "%s: \"%.*s\"", key->name, STR_ARG(str_first(text, 100)));
	*array_add(networks) = network;
	return true;
}

static void networks_clear(void *field)
{
	array_release((struct config_networks *)field);
}

static bool networks_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_networks *networks = field;
	if (i >= networks->count)
		return false;
	network_print(out, &networks->items[i]);
	return true;
}

/* An address with a port, or one without: then the port is min of the key. */
static bool servers_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct endpoint address;
	struct config_servers *servers = field;
	if (!endpoint_parse_ip(text, (uint16_t)key->min, &address, NULL) &&
	    (!endpoint_parse(text, &address, NULL) || !endpoint_is_ip(&address) || address.every_family ||
	     endpoint_port(&address) == 0))
		return config_type_refuse(key, text, "no address of a server (192.0.2.1, 192.0.2.1:53, [2001:db8::1]:53)",
		                          fail);
	*array_add(servers) = address;
	return true;
}

static void servers_clear(void *field)
{
	array_release((struct config_servers *)field);
}

static bool servers_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_servers *servers = field;
	if (i >= servers->count)
		return false;
	endpoint_print(out, &servers->items[i]);
	return true;
}

/* Own addresses, without a port */

static bool source_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct endpoint address;
	struct config_servers *sources = field;
	if (!endpoint_parse_ip(text, 0, &address, NULL))
		return config_type_refuse(key, text, "no IP address", fail);
	for (size_t i = 0; i < sources->count; i++)
		if (sources->items[i].any.sa_family == address.any.sa_family)
			return config_type_refuse(key, text, "a second address of its family", fail);
	*array_add(sources) = address;
	return true;
}

static bool source_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_servers *sources = field;
	if (i >= sources->count)
		return false;
	endpoint_print_ip(out, &sources->items[i]);
	return true;
}

/* Milters: "unix:/path default=accept for=smtp" */

static const char *const milter_defaults[CONFIG_MILTER_DEFAULT_COUNT] = { "tempfail", "accept", "reject" };

static bool read_milter_place(struct str text, struct endpoint *address)
{
	struct str kind;
	if (!str_take_until(&text, ':', &kind) || !endpoint_parse(text, address, NULL))
		return false;
	if (str_equal(kind, STR("unix")))
		return !endpoint_is_ip(address);
	return str_equal(kind, STR("inet")) && endpoint_is_ip(address) && !address->every_family && endpoint_port(address);
}

static bool read_milter_option(struct str word, struct config_milter *milter)
{
	struct str name = {};
	str_take_until(&word, '=', &name);
	if (str_equal(name, STR("for"))) {
		milter->for_smtp = str_equal(word, STR("smtp"));
		milter->for_submission = str_equal(word, STR("submission"));
		return milter->for_smtp || milter->for_submission;
	}
	for (size_t i = 0; i < CONFIG_MILTER_DEFAULT_COUNT; i++) {
		milter->otherwise = (enum config_milter_default)i;
		if (str_equal(name, STR("default")) && str_equal(word, str_of(milter_defaults[i])))
			return true;
	}
	return false;
}

static bool milter_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_milters *milters = field;
	struct config_milter milter = { .for_smtp = true, .for_submission = true };
	struct str rest = text, word = {};
	bool good = str_take_until(&rest, ' ', &word) && read_milter_place(word, &milter.address);
	while (good && str_take_until(&rest, ' ', &word))
		good = word.length == 0 || read_milter_option(word, &milter);
	if (!good)
		return config_type_refuse(key, text, "no milter (inet:127.0.0.1:11332 or unix:/path, "
		                          "default=tempfail, accept or reject, for=smtp or submission)", fail);
	*array_add(milters) = milter;
	return true;
}

static void milter_clear(void *field)
{
	array_release((struct config_milters *)field);
}

static bool milter_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_milters *milters = field;
	if (i >= milters->count)
		return false;
	const struct config_milter *milter = &milters->items[i];
	buf_add_str(out, endpoint_is_ip(&milter->address) ? STR("inet:") : STR("unix:"));
	endpoint_print(out, &milter->address);
	if (milter->otherwise != CONFIG_MILTER_TEMPFAIL)
		buf_printf(out, " default=%s", milter_defaults[milter->otherwise]);
	if (milter->for_smtp != milter->for_submission)
		buf_printf(out, " for=%s", milter->for_smtp ? "smtp" : "submission");
	return true;
}

const struct config_type config_type_listen = { true, CONFIG_SHOW_QUOTED, listen_add, listen_clear, listen_text };
const struct config_type config_type_networks = {
	true, CONFIG_SHOW_QUOTED, networks_add, networks_clear, networks_text,
};
const struct config_type config_type_servers = { true, CONFIG_SHOW_QUOTED, servers_add, servers_clear, servers_text };
const struct config_type config_type_source = { true, CONFIG_SHOW_QUOTED, source_add, servers_clear, source_text };
const struct config_type config_type_milter = { true, CONFIG_SHOW_QUOTED, milter_add, milter_clear, milter_text };
