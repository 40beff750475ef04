#include "dns_zone.h"

#include "array.h"
#include "mem.h"
#include "text.h"

#include <arpa/inet.h>
#include <stdlib.h>

enum { CHAIN_MAX = 10, RECORD_MAX = 65535, ZONE_ARENA_MAX = 64 << 20 };

enum kind { KIND_RECORD, KIND_FAIL, KIND_BOGUS };

struct entry {
	struct str name;
	enum dns_type type; /* 0: any */
	enum kind kind;
	struct str data;
};

struct dns_zone {
	struct arena *arena;
	ARRAY(struct entry) entries;
	unsigned asked;
};

static struct str take_word(struct str *rest)
{
	size_t start = 0;
	while (start < rest->length && (rest->data[start] == ' ' || rest->data[start] == '\t'))
		start++;
	size_t end = start;
	while (end < rest->length && rest->data[end] != ' ' && rest->data[end] != '\t')
		end++;
	struct str word = str_from(rest->data + start, end - start);
	*rest = str_from_index(*rest, end);
	return word;
}

static bool find_type(struct str word, enum dns_type *type)
{
	static const enum dns_type known[] = { DNS_A, DNS_NS, DNS_CNAME, DNS_PTR, DNS_MX, DNS_TXT, DNS_AAAA, DNS_TLSA };
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		*type = known[i];
		if (str_equal_nocase(word, str_of(dns_type_name(known[i]))))
			return true;
	}
	return false;
}

static bool add_name(struct buf *out, struct str name)
{
	struct str label;
	if (str_equal(name, STR(".")))
		name.length = 0;
	else if (!dns_name_is_valid(name))
		return false;
	while (str_take_until(&name, '.', &label)) {
		buf_add_char(out, (char)label.length);
		buf_add_str(out, label);
	}
	return buf_add_char(out, '\0');
}

static bool add_address(struct buf *out, int family, struct str word)
{
	char text[64] = {};
	char octets[16];
	memcpy(text, word.data, word.length < sizeof text ? word.length : sizeof text - 1);
	return inet_pton(family, text, octets) == 1 && buf_append(out, octets, family == AF_INET ? 4 : 16);
}

static bool add_mx(struct buf *out, struct str rest)
{
	uint64_t preference;
	if (!str_to_u64(take_word(&rest), UINT16_MAX, &preference))
		return false;
	buf_add_char(out, (char)(preference >> 8));
	buf_add_char(out, (char)preference);
	return add_name(out, take_word(&rest));
}

/* Strings stand in quotes; one that is longer than 255 octets is cut up. */
static bool add_txt(struct buf *out, struct str rest)
{
	for (rest = str_trim(rest); rest.length; rest = str_trim(rest)) {
		if (rest.data[0] != '"')
			return false;
		rest = str_from_index(rest, 1);
		size_t end = str_find_char(rest, '"');
		struct str text = str_first(rest, end);
		do {
			struct str piece = str_first(text, 255);
			buf_add_char(out, (char)piece.length);
			buf_add_str(out, piece);
			text = str_from_index(text, piece.length);
		} while (text.length);
		rest = str_from_index(rest, end + 1);
	}
	return out->length > 0;
}

static bool add_tlsa(struct buf *out, struct str rest)
{
	for (int i = 0; i < 3; i++) {
		uint64_t number;
		if (!str_to_u64(take_word(&rest), 255, &number))
			return false;
		buf_add_char(out, (char)number);
	}
	struct str digits = str_trim(rest);
	char *room = buf_reserve(out, digits.length / 2);
	if (!room || !text_hex_decode(digits, room, digits.length / 2))
		return false;
	buf_claim(out, digits.length / 2);
	return true;
}

static bool add_data(struct buf *out, enum dns_type type, struct str rest)
{
	struct str word = str_trim(rest);
	switch (type) {
	case DNS_A: return add_address(out, AF_INET, word);
	case DNS_AAAA: return add_address(out, AF_INET6, word);
	case DNS_MX: return add_mx(out, rest);
	case DNS_TXT: return add_txt(out, rest);
	case DNS_TLSA: return add_tlsa(out, rest);
	default: return add_name(out, word);
	}
}

static bool parse_line(struct dns_zone *zone, struct str line)
{
	CLEANUP(buf_release) struct buf data = BUF_WITH_LIMIT(RECORD_MAX);
	struct entry entry = {};
	if (!dns_name_normalise(zone->arena, take_word(&line), &entry.name))
		return false;
	struct str word = take_word(&line);
	if (find_type(word, &entry.type) && !str_equal(str_trim(line), STR("FAIL"))) {
		if (!add_data(&data, entry.type, line))
			return false;
		entry.data = arena_copy(zone->arena, buf_str(&data));
	} else if (str_equal(word, STR("BOGUS"))) {
		entry.type = 0;
		entry.kind = KIND_BOGUS;
	} else {
		bool is_typed = str_equal(str_trim(line), STR("FAIL"));
		if (!is_typed && !str_equal(word, STR("FAIL")))
			return false;
		entry.type = is_typed ? entry.type : 0;
		entry.kind = KIND_FAIL;
	}
	*array_add(&zone->entries) = entry;
	return true;
}

struct dns_zone *dns_zone_parse(struct str text, struct fail **fail)
{
	struct dns_zone *zone = mem_alloc(sizeof *zone);
	zone->arena = arena_new(ZONE_ARENA_MAX);
	struct str line;
	for (unsigned number = 1; str_take_until(&text, '\n', &line); number++) {
		line = str_trim(line);
		if (line.length == 0 || line.data[0] == ';' || parse_line(zone, line))
			continue;
		fail_set(fail, FAIL_INVALID, "line %u of the zone: %.*s", number, STR_ARG(line));
		dns_zone_free(zone);
		return NULL;
	}
	return zone;
}

void dns_zone_free(struct dns_zone *zone)
{
	if (!zone)
		return;
	arena_free(zone->arena);
	array_release(&zone->entries);
	free(zone);
}

unsigned dns_zone_asked(const struct dns_zone *zone)
{
	return zone->asked;
}

/* ---- answers ---- */

static bool find_alias(const struct dns_zone *zone, struct arena *a, struct str name, struct str *target)
{
	for (size_t i = 0; i < zone->entries.count; i++) {
		const struct entry *e = &zone->entries.items[i];
		if (e->kind == KIND_RECORD && e->type == DNS_CNAME && str_equal(e->name, name))
			return dns_read_name(a, e->data, target);
	}
	return false;
}

static void collect(const struct dns_zone *zone, struct arena *a, struct str name, enum dns_type type,
                    struct dns_answer *answer)
{
	bool exists = false;
	answer->records = arena_alloc_array(a, zone->entries.count + 1, sizeof *answer->records);
	for (size_t i = 0; i < zone->entries.count; i++) {
		const struct entry *e = &zone->entries.items[i];
		exists |= dns_name_is_within(e->name, name);
		if (!str_equal(e->name, name) || (e->type && e->type != type))
			continue;
		if (e->kind != KIND_RECORD) {
			*answer = (struct dns_answer){ .status = e->kind == KIND_FAIL ? DNS_FAILED : DNS_BOGUS };
			return;
		}
		answer->records[answer->count++] = e->data;
	}
	answer->status = answer->count ? DNS_FOUND : exists ? DNS_NO_DATA : DNS_NO_NAME;
}

static void ask_zone(void *context, struct arena *a, struct str name, enum dns_type type, struct dns_answer *answer)
{
	struct dns_zone *zone = context;
	struct str target;
	struct str asked = name;
	zone->asked++;
	for (int i = 0; type != DNS_CNAME && find_alias(zone, a, name, &target); i++) {
		if (i == CHAIN_MAX) {
			*answer = (struct dns_answer){ .status = DNS_FAILED };
			return;
		}
		must(dns_name_normalise(a, target, &name));
	}
	*answer = (struct dns_answer){ .secure = true, .ttl_seconds = 3600 };
	if (name.data != asked.data)
		answer->canonical = name;
	collect(zone, a, name, type, answer);
}

struct dns_source dns_zone_source(struct dns_zone *zone)
{
	return (struct dns_source){ .ask = ask_zone, .context = zone };
}
