#include "config_internal.h"

#include "array.h"
#include "mem.h"
#include "text.h"

static bool refuse(const struct config_key *key, struct str text, const char *why, struct fail **fail)
{
	return fail_set(fail, FAIL_INVALID, "%s: \"%.*s\" is %s", key->name, STR_ARG(str_first(text, 100)), why);
}

/* Texts: host, address, path, folder */

static bool set_text(struct str text, void *field)
{
	*(char **)field = str_copy(text);
	return true;
}

static void text_clear(void *field)
{
	free(*(char **)field);
}

static bool text_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	return i == 0 && buf_add_str(out, str_of(*(char *const *)field));
}

static bool host_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	bool good = text.length <= LIMIT_DOMAIN_MAX;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool inside = i > 0 && i + 1 < text.length;
		good = good && (char_is_alpha(c) || char_is_digit(c) || (inside && (c == '-' || c == '.')));
	}
	if (!good)
		return refuse(key, text, "no host name (letters, digits, hyphens and dots)", fail);
	return set_text(text, field);
}

static bool address_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	size_t at = str_find_last_char(text, '@');
	bool local_part = at > 0 && at <= LIMIT_LOCAL_PART_MAX;
	bool domain = at + 1 < text.length && text.length - at - 1 <= LIMIT_DOMAIN_MAX;
	bool blank = str_find_char(text, ' ') < text.length;
	if (text.length && (!local_part || !domain || blank))
		return refuse(key, text, "no mail address (name@domain)", fail);
	return set_text(text, field);
}

bool config_path_check(const char *name, struct str text, struct fail **fail)
{
	if (text.length < 2 || text.data[0] != '/' || text.length > LIMIT_CONFIG_VALUE_MAX)
		return fail_set(fail, FAIL_INVALID, "%s: \"%.*s\" is no absolute path (it begins with /)", name,
		                STR_ARG(str_first(text, 100)));
	return true;
}

static bool path_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	return config_path_check(key->name, text, fail) && set_text(text, field);
}

/* What the store takes as a name; that INBOX is no folder of its own is said here. */
static bool folder_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct str rest = text, level;
	bool good = text.length <= LIMIT_MAILBOX_NAME_MAX && !str_equal_nocase(text, STR("INBOX"));
	while (str_take_until(&rest, '/', &level))
		good = good && level.length > 0;
	if (!good || (text.length && text.data[text.length - 1] == '/'))
		return refuse(key, text, "no name of a mailbox (levels are separated by /)", fail);
	return set_text(text, field);
}

/* Numbers: number, size, days */

static bool read_number(const struct config_key *key, struct str text, uint64_t *number, struct fail **fail)
{
	if (!str_to_u64(text, UINT64_MAX, number)) {
		const char *unit = key->unit ? key->unit : "no unit";
		return fail_set(fail, FAIL_INVALID, "%s: \"%.*s\" is no whole number (%s)", key->name,
		                STR_ARG(str_first(text, 100)), unit);
	}
	if (*number < key->min || *number > key->max)
		return fail_set(fail, FAIL_INVALID, "%s: %ju is out of range, %ju to %ju %s are possible", key->name,
		                (uintmax_t)*number, (uintmax_t)key->min, (uintmax_t)key->max, key->unit ? key->unit : "");
	return true;
}

static bool number_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	uint64_t number;
	if (!read_number(key, text, &number, fail))
		return false;
	*(unsigned *)field = (unsigned)number;
	return true;
}

static bool number_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	return i == 0 && buf_add_u64(out, *(const unsigned *)field);
}

static bool size_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	return read_number(key, text, field, fail);
}

static bool size_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	return i == 0 && buf_add_u64(out, *(const uint64_t *)field);
}

static bool days_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	if (!str_equal(text, STR("never")))
		return number_add(key, text, field, fail) ||
		       fail_set(fail, FAIL_INVALID, "%s: \"%.*s\" is neither never nor a number of days up to %ju", key->name,
		                STR_ARG(str_first(text, 100)), (uintmax_t)key->max);
	*(unsigned *)field = CONFIG_NEVER;
	return true;
}

static bool days_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	if (*(const unsigned *)field == CONFIG_NEVER)
		return i == 0 && buf_add_str(out, STR("never"));
	return number_text(key, field, i, out);
}

/* Yes or no; one separator; nothing to free for them and for numbers */

static void nothing_clear(void *field)
{
	(void)field;
}

static bool flag_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	bool yes = str_equal(text, STR("yes")) || str_equal(text, STR("on"));
	if (!yes && !str_equal(text, STR("no")) && !str_equal(text, STR("off")))
		return refuse(key, text, "neither yes nor no", fail);
	*(bool *)field = yes;
	return true;
}

static bool flag_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	return i == 0 && buf_add_str(out, *(const bool *)field ? STR("yes") : STR("no"));
}

/* RFC 5233 §4 leaves the separator to the site; only what stands in an address unquoted is of use. */
static bool separator_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	static const char possible[] = "+-_=.#!$%&*~^";
	if (text.length > 1 || (text.length == 1 && (!text.data[0] || !strchr(possible, text.data[0]))))
		return fail_set(fail, FAIL_INVALID, "%s: give one of %s, or \"\" for none", key->name, possible);
	*(char *)field = text.length ? text.data[0] : '\0';
	return true;
}

static bool separator_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	char c = *(const char *)field;
	return i == 0 && (c == '\0' || buf_add_char(out, c));
}

/* Words: one choice, or a set of bits */

static bool find_word(const struct config_key *key, struct str text, unsigned *index, struct fail **fail)
{
	struct str words = str_of(key->words), word;
	for (*index = 0; str_take_until(&words, ' ', &word); ++*index)
		if (str_equal(word, text))
			return true;
	return fail_set(fail, FAIL_INVALID, "%s: \"%.*s\" is none of: %s", key->name, STR_ARG(str_first(text, 100)),
	                key->words);
}

static bool word_at(const struct config_key *key, unsigned index, struct buf *out)
{
	struct str words = str_of(key->words), word;
	while (str_take_until(&words, ' ', &word))
		if (index-- == 0)
			return buf_add_str(out, word);
	return false;
}

static bool choice_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	unsigned index;
	if (!find_word(key, text, &index, fail))
		return false;
	memcpy(field, &index, sizeof index);
	return true;
}

static bool choice_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	unsigned index;
	memcpy(&index, field, sizeof index);
	return i == 0 && word_at(key, index, out);
}

static bool set_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	unsigned index;
	if (!find_word(key, text, &index, fail))
		return false;
	*(unsigned *)field |= 1u << index;
	return true;
}

static bool set_text_at(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	unsigned bits = *(const unsigned *)field;
	for (unsigned index = 0; index < 32; index++)
		if (bits >> index & 1 && i-- == 0)
			return word_at(key, index, out);
	return false;
}

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
		return refuse(key, text, "no place to listen on (*:25, 127.0.0.1:25, [::1]:25 or the path of a socket)", fail);
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
	    (!endpoint_parse(text, &address, NULL) || !endpoint_is_ip(&address) || address.every_family || endpoint_port(&address) == 0))
		return refuse(key, text, "no address of a server (192.0.2.1, 192.0.2.1:53, [2001:db8::1]:53)", fail);
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

/* Lists of hosts in the DNS: "zone.example", "zone.example=127.0.0.2-11" */

static bool is_dns_zone(struct str text)
{
	struct str label;
	size_t labels = 0;
	if (text.length == 0 || text.length > LIMIT_DOMAIN_MAX || text.data[text.length - 1] == '.')
		return false;
	for (; str_take_until(&text, '.', &label); labels++) {
		if (label.length == 0 || label.length > 63)
			return false;
		for (size_t i = 0; i < label.length; i++)
			if (!char_is_alpha(label.data[i]) && !char_is_digit(label.data[i]) && !strchr("-_", label.data[i]))
				return false;
	}
	return labels > 1;
}

/* One address of 127.0.0.0/8 (RFC 5782 §2.3), or its last octet up to another. */
static bool read_answers(struct str text, struct config_dns_list *list)
{
	struct endpoint address;
	size_t hyphen = str_find_char(text, '-');
	if (!endpoint_parse_ip(str_first(text, hyphen), 0, &address, NULL) || address.any.sa_family != AF_INET)
		return false;
	list->first = list->last = ntohl(address.v4.sin_addr.s_addr);
	uint64_t octet = list->first & 255;
	if (hyphen < text.length && (!str_to_u64(str_from_index(text, hyphen + 1), 255, &octet) || octet < (list->first & 255)))
		return false;
	list->last = (list->first & ~255u) | (uint32_t)octet;
	return list->first >> 24 == 127;
}

static bool read_weight(struct str text, struct config_dns_list *list)
{
	uint64_t weight;
	if (!str_to_u64(text, 1000, &weight) || weight == 0)
		return false;
	list->weight = (unsigned)weight;
	return true;
}

static bool dns_list_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_dns_lists *lists = field;
	struct config_dns_list list = { .first = 127u << 24, .last = (127u << 24) | 0xffffff };
	size_t star = str_find_char(text, '*');
	struct str place = str_first(text, star);
	size_t sign = str_find_char(place, '=');
	if (!is_dns_zone(str_first(place, sign)) || (sign < place.length && !read_answers(str_from_index(place, sign + 1), &list)) ||
	    (star < text.length && !read_weight(str_from_index(text, star + 1), &list)))
		return refuse(key, text, "no list in the DNS (list.example.org, list.example.org=127.0.0.2-11, list.example.org*2)", fail);
	list.zone = str_copy(str_first(place, sign));
	*array_add(lists) = list;
	return true;
}

static void dns_list_clear(void *field)
{
	struct config_dns_lists *lists = field;
	for (size_t i = 0; i < lists->count; i++)
		free(lists->items[i].zone);
	array_release(lists);
}

static bool dns_list_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_dns_lists *lists = field;
	if (i >= lists->count)
		return false;
	const struct config_dns_list *list = &lists->items[i];
	buf_add_str(out, str_of(list->zone));
	uint32_t first = list->first;
	if (list->last - first < 0xffffff)
		buf_printf(out, "=%u.%u.%u.%u", first >> 24, first >> 16 & 255, first >> 8 & 255, first & 255);
	if (list->last != first && list->last - first < 0xffffff)
		buf_printf(out, "-%u", list->last & 255);
	return list->weight == 0 || buf_printf(out, "*%u", list->weight);
}

/* Policies by domain: "example.org=reject" */

static const char *const domain_actions[CONFIG_DOMAIN_ACTION_COUNT] = { "reject", "junk", "mark" };

static bool domain_policy_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_domain_policies *policies = field;
	size_t sign = str_find_char(text, '=');
	struct str action = str_from_index(text, sign + 1);
	size_t i = 0;
	while (i < CONFIG_DOMAIN_ACTION_COUNT && !str_equal(action, str_of(domain_actions[i])))
		i++;
	if (i == CONFIG_DOMAIN_ACTION_COUNT || !is_dns_zone(str_first(text, sign)))
		return refuse(key, text, "no domain and policy (example.org=reject, =junk or =mark)", fail);
	struct config_domain_policy *policy = array_add(policies);
	*policy = (struct config_domain_policy){ str_copy(str_first(text, sign)), (enum config_domain_action)i };
	for (char *c = policy->domain; *c; c++)
		*c = char_lower(*c);
	return true;
}

static void domain_policy_clear(void *field)
{
	struct config_domain_policies *policies = field;
	for (size_t i = 0; i < policies->count; i++)
		free(policies->items[i].domain);
	array_release(policies);
}

static bool domain_policy_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_domain_policies *policies = field;
	return i < policies->count && buf_printf(out, "%s=%s", policies->items[i].domain, domain_actions[policies->items[i].action]);
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
		return refuse(key, text, "no milter (inet:127.0.0.1:11332 or unix:/path, default=tempfail, accept or reject, for=smtp or submission)", fail);
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

static bool file_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	return text.length == 0 ? set_text(text, field) : path_add(key, text, field, fail);
}

/* Own addresses, without a port */

static bool source_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct endpoint address;
	struct config_servers *sources = field;
	if (!endpoint_parse_ip(text, 0, &address, NULL))
		return refuse(key, text, "no IP address", fail);
	for (size_t i = 0; i < sources->count; i++)
		if (sources->items[i].any.sa_family == address.any.sa_family)
			return refuse(key, text, "a second address of its family", fail);
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

/* Hosts that mail is brought to: "mail.example.net", "mail.example.net:587", "192.0.2.1:25", "[2001:db8::1]:25" */

static bool is_host_name(struct str text)
{
	bool good = text.length > 0 && text.length <= LIMIT_DOMAIN_MAX;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool inside = i > 0 && i + 1 < text.length;
		good = good && (char_is_alpha(c) || char_is_digit(c) || (inside && strchr("-._", c)));
	}
	return good;
}

static char *lower_copy(struct str text)
{
	char *copy = str_copy(text);
	for (size_t i = 0; i < text.length; i++)
		copy[i] = char_lower(copy[i]);
	return copy;
}

static bool read_relay_host(struct str text, struct config_relay_host *to)
{
	struct endpoint address;
	struct str host = text;
	uint64_t port = 0;
	size_t colon = str_find_last_char(text, ':');
	if (!endpoint_parse_ip(text, 0, &address, NULL) && colon < text.length) {
		host = str_first(text, colon);
		if (!str_to_u64(str_from_index(text, colon + 1), UINT16_MAX, &port) || port == 0)
			return false;
	}
	if (host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']')
		host = str_from(host.data + 1, host.length - 2);
	if (!endpoint_parse_ip(host, 0, &address, NULL) && !is_host_name(host))
		return false;
	*to = (struct config_relay_host){ .host = lower_copy(host), .port = (unsigned)port };
	return true;
}

static bool relay_host_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_relay_host *to = field;
	if (text.length == 0)
		return set_text(text, &to->host);
	return read_relay_host(text, to) || refuse(key, text, "no host (mail.example.net, mail.example.net:587, [2001:db8::1]:25)", fail);
}

static void relay_host_clear(void *field)
{
	free(((struct config_relay_host *)field)->host);
}

static void print_relay_host(const struct config_relay_host *to, struct buf *out)
{
	bool bare = !to->port || !strchr(to->host, ':');
	if (to->host[0] == '/')
		buf_add_str(out, STR("unix:"));
	buf_printf(out, bare ? "%s" : "[%s]", to->host);
	if (to->port)
		buf_printf(out, ":%u", to->port);
}

static bool relay_host_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	if (i > 0)
		return false;
	print_relay_host(field, out);
	return true;
}

static bool text_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	(void)key;
	(void)fail;
	return set_text(text, field);
}

/* "example.org=smtp:host:25", ".example.org=lmtp:host:24", "example.org=lmtp:unix:/path" */

static bool read_transport_host(struct str text, struct config_relay_host *to)
{
	struct endpoint address;
	if (!str_starts(text, STR("unix:")))
		return read_relay_host(text, to);
	struct str path = str_from_index(text, 5);
	if (!endpoint_parse(path, &address, NULL) || endpoint_is_ip(&address))
		return false;
	*to = (struct config_relay_host){ .host = str_copy(path) };
	return true;
}

static bool transport_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_transports *transports = field;
	struct config_relay_host to;
	size_t sign = str_find_char(text, '=');
	struct str domain = str_first(text, sign), rest = str_from_index(text, sign + 1);
	struct str name = domain.length && domain.data[0] == '.' ? str_from_index(domain, 1) : domain;
	bool lmtp = str_starts(rest, STR("lmtp:"));
	if (!is_host_name(name) || !(lmtp || str_starts(rest, STR("smtp:"))) || !read_transport_host(str_from_index(rest, 5), &to))
		return refuse(key, text, "no domain and transport (example.org=smtp:host:25, example.org=lmtp:host:24 or example.org=lmtp:unix:/path)", fail);
	*array_add(transports) = (struct config_transport){ .domain = lower_copy(domain), .lmtp = lmtp, .to = to };
	return true;
}

static void transport_clear(void *field)
{
	struct config_transports *transports = field;
	for (size_t i = 0; i < transports->count; i++) {
		free(transports->items[i].domain);
		free(transports->items[i].to.host);
	}
	array_release(transports);
}

static bool transport_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_transports *transports = field;
	if (i >= transports->count)
		return false;
	buf_printf(out, "%s=%s:", transports->items[i].domain, transports->items[i].lmtp ? "lmtp" : "smtp");
	print_relay_host(&transports->items[i].to, out);
	return true;
}

/* IMAP referrals: "alice@example.org=imap.example.net:143" */

static bool is_place(struct str text)
{
	size_t colon = str_find_char(text, ':');
	uint64_t port;
	bool good = colon > 0 && (colon == text.length || str_to_u64(str_from_index(text, colon + 1), UINT16_MAX, &port));
	for (size_t i = 0; i < colon; i++)
		good = good && (char_is_alpha(text.data[i]) || char_is_digit(text.data[i]) || text.data[i] == '-' || text.data[i] == '.');
	return good;
}

static bool referral_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_referrals *referrals = field;
	size_t sign = str_find_last_char(text, '=');
	struct str account = str_first(text, sign), host = str_from_index(text, sign + 1);
	size_t at = str_find_char(account, '@');
	if (at == 0 || at + 1 >= account.length || account.length > LIMIT_ADDRESS_MAX || !is_place(host))
		return refuse(key, text, "no account and place (alice@example.org=imap.example.net)", fail);
	*array_add(referrals) = (struct config_referral){ str_copy(account), str_copy(host) };
	return true;
}

static void referral_clear(void *field)
{
	struct config_referrals *referrals = field;
	for (size_t i = 0; i < referrals->count; i++) {
		free(referrals->items[i].account);
		free(referrals->items[i].host);
	}
	array_release(referrals);
}

static bool referral_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	const struct config_referrals *referrals = field;
	return i < referrals->count && buf_printf(out, "%s=%s", referrals->items[i].account, referrals->items[i].host);
}

static const struct config_type type_host = { false, CONFIG_SHOW_QUOTED, host_add, text_clear, text_text };
static const struct config_type type_address = { false, CONFIG_SHOW_QUOTED, address_add, text_clear, text_text };
static const struct config_type type_path = { false, CONFIG_SHOW_QUOTED, path_add, text_clear, text_text };
static const struct config_type type_folder = { false, CONFIG_SHOW_QUOTED, folder_add, text_clear, text_text };
static const struct config_type type_number = { false, CONFIG_SHOW_NUMBER, number_add, nothing_clear, number_text };
static const struct config_type type_size = { false, CONFIG_SHOW_NUMBER, size_add, nothing_clear, size_text };
static const struct config_type type_days = { false, CONFIG_SHOW_QUOTED, days_add, nothing_clear, days_text };
static const struct config_type type_flag = { false, CONFIG_SHOW_FLAG, flag_add, nothing_clear, flag_text };
static const struct config_type type_separator = { false, CONFIG_SHOW_QUOTED, separator_add, nothing_clear,
	                                               separator_text };
static const struct config_type type_choice = { false, CONFIG_SHOW_QUOTED, choice_add, nothing_clear, choice_text };
static const struct config_type type_set = { true, CONFIG_SHOW_QUOTED, set_add, nothing_clear, set_text_at };
static const struct config_type type_listen = { true, CONFIG_SHOW_QUOTED, listen_add, listen_clear, listen_text };
static const struct config_type type_servers = { true, CONFIG_SHOW_QUOTED, servers_add, servers_clear, servers_text };
static const struct config_type type_dns_list = { true, CONFIG_SHOW_QUOTED, dns_list_add, dns_list_clear, dns_list_text };
static const struct config_type type_domain_policy = { true, CONFIG_SHOW_QUOTED, domain_policy_add, domain_policy_clear, domain_policy_text };
static const struct config_type type_milter = { true, CONFIG_SHOW_QUOTED, milter_add, milter_clear, milter_text };
static const struct config_type type_source = { true, CONFIG_SHOW_QUOTED, source_add, servers_clear, source_text };
static const struct config_type type_text = { false, CONFIG_SHOW_QUOTED, text_add, text_clear, text_text };
static const struct config_type type_relay_host = { false, CONFIG_SHOW_QUOTED, relay_host_add, relay_host_clear, relay_host_text };
static const struct config_type type_transport = { true, CONFIG_SHOW_QUOTED, transport_add, transport_clear, transport_text };
static const struct config_type type_file = { false, CONFIG_SHOW_QUOTED, file_add, text_clear, text_text };
static const struct config_type type_networks = { true, CONFIG_SHOW_QUOTED, networks_add, networks_clear,
	                                              networks_text };

static const struct config_type type_referral = { true, CONFIG_SHOW_QUOTED, referral_add, referral_clear,
	                                              referral_text };

#define FIELD(name) offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define CONFIG_GROUP(heading_) { .heading = heading_ },
#define CONFIG_KEY(type, name, standard, min, max, unit, sentence) \
	{ #name, &type_##type, FIELD(name), standard, min, max, unit, NULL, sentence, NULL },
#define CONFIG_CHOICE(type, name, standard, words, sentence) \
	{ #name, &type_choice, FIELD(name), standard, 0, 0, NULL, words, sentence, NULL },
#define CONFIG_SET(name, standard, words, sentence) \
	{ #name, &type_set, FIELD(name), standard, 0, 0, NULL, words, sentence, NULL },
const struct config_key config_keys[] = {
#include "config.def"
};
const size_t config_key_count = COUNT_OF(config_keys);

/* Levenshtein distance; both at most as long as the row. */
enum { NAME_MAX_COMPARED = 48 };

static size_t distance(struct str a, struct str b)
{
	size_t row[NAME_MAX_COMPARED + 1];
	for (size_t j = 0; j <= b.length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.length; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.length; j++) {
			size_t changed = diagonal + (char_lower(a.data[i - 1]) != char_lower(b.data[j - 1]));
			size_t shorter = row[j - 1] < row[j] ? row[j - 1] : row[j];
			diagonal = row[j];
			row[j] = changed < shorter + 1 ? changed : shorter + 1;
		}
	}
	return row[b.length];
}

/* What distance sees in two words in another order, as smtp_listen for listen_smtp: nothing. */
static bool same_words(struct str a, struct str b)
{
	struct str word;
	if (a.length != b.length)
		return false;
	while (str_take_until(&a, '_', &word))
		if (str_find(b, word) == b.length)
			return false;
	return true;
}

static const char *nearest(struct str name)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;
	name = str_first(name, NAME_MAX_COMPARED);
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++) {
		if (!key->name)
			continue;
		size_t d = same_words(name, str_of(key->name)) ? 0 : distance(name, str_of(key->name));
		if (d < best_distance) {
			best_distance = d;
			best = key->name;
		}
	}
	return best;
}

const struct config_key *config_key_find(struct str name, struct fail **fail)
{
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++)
		if (key->name && str_equal(name, str_of(key->name)))
			return key;
	fail_set(fail, FAIL_INVALID, "there is no key \"%.*s\"; the nearest is %s", STR_ARG(str_first(name, 100)),
	         nearest(name));
	return NULL;
}

/* What the file can hold, so that config_print can be read back. */
static bool is_text(struct str value)
{
	for (size_t i = 0; i < value.length; i++)
		if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
			return false;
	return value.length <= LIMIT_CONFIG_VALUE_MAX && text_is_utf8(value);
}

/* A value of any type, while it is not known to be good. */
union field {
	char *text;
	unsigned number;
	uint64_t size;
	bool flag;
	char separator;
	struct config_listeners listeners;
	struct config_networks networks;
};

bool config_key_set(const struct config_key *key, struct config *config, const struct config_values *values,
                    struct fail **fail)
{
	if (!key->type->list && (values->braced || values->count != 1))
		return fail_set(fail, FAIL_INVALID, "%s takes one value, not a list", key->name);
	union field fresh = {};
	must(key->size <= sizeof fresh);
	for (size_t i = 0; i < values->count; i++) {
		if (!is_text(values->items[i])) {
			key->type->clear(&fresh);
			return fail_set(fail, FAIL_INVALID, "%s: a value is too long or no UTF-8 text", key->name);
		}
		if (!key->type->add(key, values->items[i], &fresh, fail)) {
			key->type->clear(&fresh);
			return false;
		}
	}
	void *field = (char *)config + key->offset;
	key->type->clear(field);
	memcpy(field, &fresh, key->size);
	return true;
}

void config_values_split(struct config_values *values, const struct config_key *key, struct str text)
{
	struct str part;
	*values = (struct config_values){};
	if (!key->type->list) {
		*array_add(values) = text;
		return;
	}
	while (values->count <= LIMIT_CONFIG_LIST_MAX && str_take_until(&text, ',', &part))
		*array_add(values) = str_trim(part);
}

void config_values_release(struct config_values *values)
{
	array_release(values);
}
