#include "dmarc.h"

#include "header.h"
#include "limits.h"
#include "mail_envelope.h"

static enum dmarc_policy policy_of(struct str value)
{
	static const char *const names[] = { [DMARC_POLICY_NONE] = "none", [DMARC_POLICY_QUARANTINE] = "quarantine",
		[DMARC_POLICY_REJECT] = "reject" };
	for (size_t i = DMARC_POLICY_NONE; i < COUNT_OF(names); i++)
		if (str_equal_nocase(value, str_of(names[i])))
			return (enum dmarc_policy)i;
	return DMARC_POLICY_ABSENT;
}

static void set_policy(struct dmarc_record *record, enum dmarc_policy *policy, struct str value)
{
	*policy = policy_of(value);
	record->malformed |= *policy == DMARC_POLICY_ABSENT;
}

static unsigned failure_of(struct str value)
{
	static const struct {
		char letter;
		unsigned bit;
	} options[] = { { '0', DMARC_FAILURE_ALL }, { '1', DMARC_FAILURE_ANY }, { 'd', DMARC_FAILURE_DKIM },
		{ 's', DMARC_FAILURE_SPF } };
	unsigned bits = 0;
	struct str word;
	while (str_take_until(&value, ':', &word)) {
		word = str_trim(word);
		for (size_t i = 0; i < COUNT_OF(options); i++)
			if (word.length == 1 && char_lower(word.data[0]) == options[i].letter)
				bits |= options[i].bit;
	}
	return bits ? bits : DMARC_FAILURE_ALL;
}

static void set_tag(struct dmarc_record *record, struct str name, struct str value)
{
	char first = value.length == 1 ? char_lower(value.data[0]) : '\0';
	if (str_equal_nocase(name, STR("p")))
		set_policy(record, &record->policy, value);
	else if (str_equal_nocase(name, STR("sp")))
		set_policy(record, &record->subdomain_policy, value);
	else if (str_equal_nocase(name, STR("np")))
		set_policy(record, &record->nonexistent_policy, value);
	else if (str_equal_nocase(name, STR("psd")))
		record->psd = first == 'y' ? DMARC_PSD_YES : first == 'n' ? DMARC_PSD_NO : DMARC_PSD_UNKNOWN;
	else if (str_equal_nocase(name, STR("adkim")))
		record->dkim_strict = first == 's';
	else if (str_equal_nocase(name, STR("aspf")))
		record->spf_strict = first == 's';
	else if (str_equal_nocase(name, STR("t")))
		record->testing = first == 'y';
	else if (str_equal_nocase(name, STR("fo")))
		record->failure = failure_of(value);
	else if (str_equal_nocase(name, STR("rua")))
		record->aggregate = value;
	else if (str_equal_nocase(name, STR("ruf")))
		record->forensic = value;
}

static bool parse_tags(struct str text, struct dmarc_record *record)
{
	struct str part;
	for (bool first = true; str_take_until(&text, ';', &part); first = false) {
		size_t equals = str_find_char(part, '=');
		struct str name = str_trim(str_first(part, equals));
		struct str value = str_trim(str_from_index(part, equals + 1));
		if (first && (!str_equal_nocase(name, STR("v")) || !str_equal(value, STR("DMARC1"))))
			return false;
		if (!first && equals < part.length)
			set_tag(record, name, value);
		if (text.length == 0)
			return true;
	}
	return false;
}

bool dmarc_record_parse(struct str text, struct dmarc_record *record)
{
	*record = (struct dmarc_record){ .failure = DMARC_FAILURE_ALL };
	bool good = parse_tags(text, record);
	if (!record->forensic.length)
		record->failure = DMARC_FAILURE_ALL; /* §4.7: fo without ruf is passed over */
	return good;
}

/* ---- addresses of reports ---- */

static int digit_of(char c)
{
	return char_is_digit(c) ? c - '0' : char_lower(c) >= 'a' && char_lower(c) <= 'f' ? char_lower(c) - 'a' + 10 : -1;
}

static bool decode(struct arena *a, struct str text, struct str *out)
{
	char *decoded = arena_alloc(a, text.length + 1);
	size_t length = 0;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == '%') {
			int high = i + 2 < text.length ? digit_of(text.data[i + 1]) : -1;
			int low = high >= 0 ? digit_of(text.data[i + 2]) : -1;
			if (low < 0)
				return false;
			c = (char)(high * 16 + low);
			i += 2;
		}
		if (c <= ' ' || c > '~')
			return false;
		decoded[length++] = c;
	}
	*out = str_from(decoded, length);
	size_t at = str_find_last_char(*out, '@');
	return at > 0 && at < length && dns_name_is_valid(str_from_index(*out, at + 1));
}

bool dmarc_address_next(struct arena *a, struct str *list, struct str *address)
{
	struct str uri;
	while (str_take_until(list, ',', &uri)) {
		uri = str_trim(uri);
		if (!str_starts_nocase(uri, STR("mailto:")))
			continue;
		uri = str_from_index(uri, 7);
		uri = str_first(uri, str_find_char(uri, '!'));
		uri = str_first(uri, str_find_char(uri, '?'));
		if (decode(a, uri, address))
			return true;
	}
	return false;
}

/* ---- the author ---- */

/* One domain, however often. */
static bool add_domains(struct arena *a, const struct address_list *list, struct str *domain, bool *several)
{
	for (const struct address *address = list->first; address; address = address->next) {
		struct str name;
		if (!address_is_mailbox(address))
			continue;
		if (!dns_name_normalise(a, address->host, &name))
			return false;
		if (domain->data && !str_equal(*domain, name))
			*several = true;
		*domain = name;
	}
	return true;
}

enum dmarc_author dmarc_author_find(struct arena *a, struct str header, struct str *domain)
{
	struct header_reader reader;
	struct header_field field;
	unsigned fields = 0;
	bool several = false;
	bool good = true;
	*domain = (struct str){};
	header_begin(&reader, header);
	while (header_next(&reader, &field)) {
		if (field.id != HEADER_FROM)
			continue;
		struct address_list list = {};
		address_parse(a, field.value, LIMIT_ADDRESSES_MAX, &list);
		good &= add_domains(a, &list, domain, &several);
		fields++;
	}
	if (fields > 1 || several)
		return DMARC_AUTHOR_SEVERAL;
	return good && domain->data ? DMARC_AUTHOR_FOUND : DMARC_AUTHOR_NONE;
}
