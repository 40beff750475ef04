#include "dns.h"

#include <idn2.h>
#include <stdlib.h>

enum { LABEL_MAX = 63, NAME_MAX_LENGTH = 253 };

static const struct {
	enum dns_type type;
	const char *name;
} types[] = {
	{ DNS_A, "A" },     { DNS_NS, "NS" },   { DNS_CNAME, "CNAME" }, { DNS_SOA, "SOA" }, { DNS_PTR, "PTR" },
	{ DNS_MX, "MX" },   { DNS_TXT, "TXT" }, { DNS_AAAA, "AAAA" },   { DNS_SRV, "SRV" }, { DNS_TLSA, "TLSA" },
};

const char *dns_type_name(enum dns_type type)
{
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (types[i].type == type)
			return types[i].name;
	return NULL;
}

const char *dns_status_name(enum dns_status status)
{
	static const char *const names[DNS_STATUS_COUNT] = { "found", "no-data", "no-name", "failed", "bogus" };
	return names[status];
}

/* ---- names ---- */

static bool is_label(struct str label)
{
	if (label.length < 1 || label.length > LABEL_MAX)
		return false;
	for (size_t i = 0; i < label.length; i++)
		if (label.data[i] <= ' ' || label.data[i] > '~')
			return false;
	return true;
}

bool dns_name_is_valid(struct str name)
{
	if (name.length == 0 || name.length > NAME_MAX_LENGTH || name.data[name.length - 1] == '.')
		return false;
	struct str rest = name;
	struct str label;
	while (str_take_until(&rest, '.', &label))
		if (!is_label(label))
			return false;
	return true;
}

static bool is_host_label(struct str label)
{
	for (size_t i = 0; i < label.length; i++)
		if (!char_is_alpha(label.data[i]) && !char_is_digit(label.data[i]) && label.data[i] != '-')
			return false;
	return label.length && label.data[0] != '-' && label.data[label.length - 1] != '-';
}

bool dns_name_is_host(struct str name)
{
	if (!dns_name_is_valid(name) || str_find_char(name, '.') == name.length)
		return false;
	struct str rest = name;
	struct str label;
	while (str_take_until(&rest, '.', &label))
		if (!is_host_label(label))
			return false;
	return true;
}

static struct str lower_copy(struct arena *a, struct str name)
{
	char *copy = arena_alloc(a, name.length + 1);
	for (size_t i = 0; i < name.length; i++)
		copy[i] = char_lower(name.data[i]);
	return str_from(copy, name.length);
}

static bool is_ascii(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (s.data[i] & 0x80)
			return false;
	return true;
}

/* RFC 5891 §5: what a user writes becomes what is looked up. */
static bool to_a_labels(struct arena *a, struct str name, struct str *out)
{
	char *ascii = NULL;
	struct str copy = arena_copy(a, name);
	if (memchr(name.data, 0, name.length) ||
	    idn2_to_ascii_8z(copy.data, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	*out = lower_copy(a, str_of(ascii));
	free(ascii);
	return true;
}

bool dns_name_normalise(struct arena *a, struct str name, struct str *out)
{
	if (name.length && name.data[name.length - 1] == '.')
		name.length--;
	/* four octets of UTF-8 a character at most */
	if (name.length == 0 || name.length > 4 * NAME_MAX_LENGTH)
		return false;
	if (is_ascii(name))
		*out = lower_copy(a, name);
	else if (!to_a_labels(a, name, out))
		return false;
	return dns_name_is_valid(*out);
}

bool dns_name_is_within(struct str name, struct str domain)
{
	if (!str_ends_nocase(name, domain))
		return false;
	return name.length == domain.length || name.data[name.length - domain.length - 1] == '.';
}

static void reverse_v6(struct buf *out, const struct in6_addr *address)
{
	for (size_t i = sizeof address->s6_addr; i-- > 0;)
		buf_printf(out, "%x.%x.", address->s6_addr[i] & 15, address->s6_addr[i] >> 4);
	buf_add_str(out, STR("ip6.arpa"));
}

void dns_reverse_name(struct buf *out, const struct endpoint *address)
{
	if (address->any.sa_family == AF_INET6) {
		reverse_v6(out, &address->v6.sin6_addr);
		return;
	}
	const uint8_t *octets = (const uint8_t *)&address->v4.sin_addr;
	buf_printf(out, "%u.%u.%u.%u.in-addr.arpa", octets[3], octets[2], octets[1], octets[0]);
}

void dns_ask(const struct dns_source *source, struct arena *a, struct str name, enum dns_type type,
             struct dns_answer *answer)
{
	struct str normal;
	*answer = (struct dns_answer){ .status = DNS_NO_NAME };
	if (!dns_name_normalise(a, name, &normal))
		return;
	source->ask(source->context, a, normal, type, answer);
	must(answer->status != DNS_FOUND || answer->count > 0);
}

void dns_ask_ahead(const struct dns_source *source, struct arena *a, struct str name, enum dns_type type)
{
	struct str normal;
	if (source->ahead && dns_name_normalise(a, name, &normal))
		source->ahead(source->context, normal, type);
}

/* ---- RDATA ---- */

static uint16_t read_u16(struct str s)
{
	return (uint16_t)((uint8_t)s.data[0] << 8 | (uint8_t)s.data[1]);
}

bool dns_read_address(struct str record, enum dns_type type, struct endpoint *address)
{
	*address = (struct endpoint){};
	if (type == DNS_A && record.length == 4) {
		address->v4.sin_family = AF_INET;
		memcpy(&address->v4.sin_addr, record.data, 4);
		address->length = sizeof address->v4;
		return true;
	}
	if (type != DNS_AAAA || record.length != 16)
		return false;
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	memcpy(&v6.sin6_addr, record.data, 16);
	/* one form for an IPv4 address that is mapped into IPv6 */
	endpoint_from_socket(address, (const struct sockaddr *)&v6, sizeof v6);
	return true;
}

/* RFC 1035 §3.1, without compression. A dot inside a label would make another name of it. */
static bool take_name(struct arena *a, struct str *record, struct str *name)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(NAME_MAX_LENGTH + 1);
	while (record->length) {
		size_t length = (uint8_t)record->data[0];
		struct str label = str_first(str_from_index(*record, 1), length);
		if (length > LABEL_MAX || label.length != length)
			return false;
		*record = str_from_index(*record, 1 + length);
		if (length == 0) {
			*name = arena_copy(a, buf_str(&text));
			return !text.overflowed && (name->length == 0 || dns_name_is_valid(*name));
		}
		if (str_find_char(label, '.') < length)
			return false;
		if (text.length)
			buf_add_char(&text, '.');
		buf_add_str(&text, label);
	}
	return false;
}

bool dns_read_name(struct arena *a, struct str record, struct str *name)
{
	return take_name(a, &record, name) && record.length == 0 && name->length;
}

bool dns_read_mx(struct arena *a, struct str record, struct dns_mx *mx)
{
	if (record.length < 3)
		return false;
	mx->preference = read_u16(record);
	record = str_from_index(record, 2);
	return take_name(a, &record, &mx->host) && record.length == 0;
}

bool dns_read_txt(struct arena *a, struct str record, struct str *text)
{
	char *joined = arena_alloc(a, record.length + 1);
	size_t length = 0;
	for (struct str rest = record; rest.length;) {
		struct str piece = str_first(str_from_index(rest, 1), (uint8_t)rest.data[0]);
		if (piece.length != (uint8_t)rest.data[0])
			return false;
		memcpy(joined + length, piece.data, piece.length);
		length += piece.length;
		rest = str_from_index(rest, 1 + piece.length);
	}
	*text = str_from(joined, length);
	return true;
}

bool dns_read_srv(struct arena *a, struct str record, struct dns_srv *srv)
{
	if (record.length < 7)
		return false;
	srv->priority = read_u16(record);
	srv->weight = read_u16(str_from_index(record, 2));
	srv->port = read_u16(str_from_index(record, 4));
	record = str_from_index(record, 6);
	return take_name(a, &record, &srv->host) && record.length == 0;
}

bool dns_read_tlsa(struct str record, struct dns_tlsa *tlsa)
{
	if (record.length < 4)
		return false;
	*tlsa = (struct dns_tlsa){ .usage = (uint8_t)record.data[0], .selector = (uint8_t)record.data[1],
		                       .matching = (uint8_t)record.data[2], .data = str_from_index(record, 3) };
	return true;
}
