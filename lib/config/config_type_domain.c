/* Types of values about domains: lists in the DNS, policies, hosts that mail is brought to, referrals. */
#include "config_type.h"

#include "array.h"

/* Lists of hosts in the DNS: "zone.example", "zone.example=127.0.0.2-11". By 127.255.255.x large lists say that they
 * do not answer whoever asks (a public resolver, too many questions): taken for a listing it would shut everybody
 * out. */
enum { ANSWERS_FIRST = 127 << 24, ANSWERS_LAST = 127 << 24 | 0xfffeff };

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
	if (hyphen < text.length &&
	    (!str_to_u64(str_from_index(text, hyphen + 1), 255, &octet) || octet < (list->first & 255)))
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
	struct config_dns_list list = { .first = ANSWERS_FIRST, .last = ANSWERS_LAST };
	size_t star = str_find_char(text, '*');
	struct str place = str_first(text, star);
	size_t sign = str_find_char(place, '=');
	if (!is_dns_zone(str_first(place, sign)) ||
	    (sign < place.length && !read_answers(str_from_index(place, sign + 1), &list)) ||
	    (star < text.length && !read_weight(str_from_index(text, star + 1), &list)))
		return config_type_refuse(key, text, "no list in the DNS (list.example.org, "
		                          "list.example.org=127.0.0.2-11, list.example.org*2)", fail);
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
	bool is_whole = first == ANSWERS_FIRST && list->last == ANSWERS_LAST;
	if (!is_whole)
		buf_printf(out, "=%u.%u.%u.%u", first >> 24, first >> 16 & 255, first >> 8 & 255, first & 255);
	if (list->last != first && !is_whole)
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
		return config_type_refuse(key, text, "no domain and policy (example.org=reject, =junk or =mark)", fail);
	struct config_domain_policy *policy = array_add(policies);
	*policy = (struct config_domain_policy){ config_type_lower_copy(str_first(text, sign)), (enum config_domain_action)i };
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
	return i < policies->count &&
	       buf_printf(out, "%s=%s", policies->items[i].domain, domain_actions[policies->items[i].action]);
}

/* Hosts that mail is brought to: "mail.example.net", "mail.example.net:587", "192.0.2.1:25", "[2001:db8::1]:25" */

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
	if (!endpoint_parse_ip(host, 0, &address, NULL) && !config_type_is_host(host, "-._"))
		return false;
	*to = (struct config_relay_host){ .host = config_type_lower_copy(host), .port = (unsigned)port };
	return true;
}

static bool relay_host_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_relay_host *to = field;
	if (text.length == 0)
		return config_type_set_text(text, &to->host);
	return read_relay_host(text, to) ||
	       config_type_refuse(key, text, "no host (mail.example.net, mail.example.net:587, [2001:db8::1]:25)", fail);
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
	if (!config_type_is_host(name, "-._") || !(lmtp || str_starts(rest, STR("smtp:"))) ||
	    !read_transport_host(str_from_index(rest, 5), &to))
		return config_type_refuse(key, text, "no domain and transport (example.org=smtp:host:25, "
		                          "example.org=lmtp:host:24 or example.org=lmtp:unix:/path)", fail);
	*array_add(transports) = (struct config_transport){ .domain = config_type_lower_copy(domain), .lmtp = lmtp, .to = to };
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
		good = good && (char_is_alpha(text.data[i]) || char_is_digit(text.data[i]) || text.data[i] == '-' ||
		                text.data[i] == '.');
	return good;
}

static bool referral_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct config_referrals *referrals = field;
	size_t sign = str_find_last_char(text, '=');
	struct str account = str_first(text, sign), host = str_from_index(text, sign + 1);
	size_t at = str_find_char(account, '@');
	if (at == 0 || at + 1 >= account.length || account.length > LIMIT_ADDRESS_MAX || !is_place(host))
		return config_type_refuse(key, text, "no account and place (alice@example.org=imap.example.net)", fail);
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

const struct config_type config_type_dns_list = {
	true, CONFIG_SHOW_QUOTED, dns_list_add, dns_list_clear, dns_list_text,
};
const struct config_type config_type_domain_policy = {
	true, CONFIG_SHOW_QUOTED, domain_policy_add, domain_policy_clear, domain_policy_text,
};
const struct config_type config_type_relay_host = {
	false, CONFIG_SHOW_QUOTED, relay_host_add, relay_host_clear, relay_host_text,
};
const struct config_type config_type_transport = {
	true, CONFIG_SHOW_QUOTED, transport_add, transport_clear, transport_text,
};
const struct config_type config_type_referral = {
	true, CONFIG_SHOW_QUOTED, referral_add, referral_clear, referral_text,
};
