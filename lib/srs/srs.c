#include "srs.h"

#include "hash.h"
#include "limits.h"

enum { HASH_LENGTH = 6, DAY_LENGTH = 2, DAYS_ROUND = 1024 };

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz234567";

static bool is_separator(char c)
{
	return c == '=' || c == '+' || c == '-';
}

/* ---- the hash ---- */

/* Thirty bits of it: an address is guessed at one connection's pace only, and lives for days. */
static bool hash_of(const struct srs_key *key, struct str tag, struct str text, char hash[HASH_LENGTH])
{
	CLEANUP(buf_release) struct buf lower = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 8);
	buf_add_str(&lower, tag);
	for (size_t i = 0; i < text.length; i++)
		buf_add_char(&lower, char_lower(text.data[i]));
	uint64_t bits = hash_sip(key->words, lower.data, lower.length);
	for (size_t i = 0; i < HASH_LENGTH; i++, bits >>= 5)
		hash[i] = alphabet[bits & 31];
	return !lower.overflowed;
}

static bool is_signed(const struct srs_keys *keys, struct str tag, struct str hash, struct str text)
{
	for (size_t i = 0; i < keys->count; i++) {
		char good[HASH_LENGTH];
		if (hash_of(&keys->items[i], tag, text, good) && str_equal_nocase(hash, str_from(good, HASH_LENGTH)))
			return true;
	}
	return false;
}

/* ---- the timestamp ---- */

static void add_day(struct buf *out, int64_t day)
{
	buf_add_char(out, alphabet[day >> 5 & 31]);
	buf_add_char(out, alphabet[day & 31]);
}

static bool read_day(struct str text, int64_t *day)
{
	*day = 0;
	for (size_t i = 0; i < text.length; i++) {
		const char *at = memchr(alphabet, char_lower(text.data[i]), sizeof alphabet - 1);
		if (!at)
			return false;
		*day = *day << 5 | (at - alphabet);
	}
	return text.length == DAY_LENGTH;
}

static bool is_fresh(int64_t then, int64_t day)
{
	return ((day - then) & (DAYS_ROUND - 1)) <= SRS_DAYS;
}

/* ---- forward ---- */

static bool is_unquoted(struct str local)
{
	for (size_t i = 0; i < local.length; i++)
		if ((unsigned char)local.data[i] <= 0x20 || local.data[i] == 0x7f || strchr("\"\\()<>,:;@[]", local.data[i]))
			return false;
	return local.length > 0;
}

/* True when local begins with tag ("SRS0") and a separator; *rest is what follows. */
static bool has_tag(struct str local, const char *tag, struct str *rest)
{
	size_t length = strlen(tag);
	if (local.length <= length || !str_starts_nocase(local, str_of(tag)) || !is_separator(local.data[length]))
		return false;
	*rest = str_from_index(local, length + 1);
	return true;
}

static bool finish(struct buf *out, size_t start, struct str domain)
{
	bool fits = !out->overflowed && out->length - start <= LIMIT_LOCAL_PART_MAX;
	buf_add_char(out, '@');
	buf_add_str(out, domain);
	if (fits && !out->overflowed && out->length - start <= LIMIT_ADDRESS_MAX)
		return true;
	buf_truncate(out, start);
	return false;
}

static bool add_signed(struct buf *out, const struct srs_key *key, const char *tag, struct str text)
{
	char hash[HASH_LENGTH];
	if (!hash_of(key, str_of(tag), text, hash))
		return false;
	buf_printf(out, "%s=%.*s=", tag, HASH_LENGTH, hash);
	return buf_add_str(out, text);
}

/* The first forwarder keeps the way to the sender; all we need to know is the first forwarder. */
static bool text_of_second(struct buf *text, struct str rest, struct str host)
{
	buf_add_str(text, host);
	buf_add_char(text, '=');
	buf_add_char(text, '=');
	return buf_add_str(text, rest);
}

/* Behind "SRS1=": its hash, then the first forwarder and what is his. */
static bool text_of_third(struct buf *text, struct str rest)
{
	struct str hash;
	return str_take_until(&rest, '=', &hash) && str_find(rest, STR("==")) < rest.length && buf_add_str(text, rest);
}

static bool text_of_first(struct buf *text, int64_t day, struct str local, struct str host)
{
	add_day(text, day);
	buf_add_char(text, '=');
	buf_add_str(text, host);
	buf_add_char(text, '=');
	return buf_add_str(text, local);
}

bool srs_forward(struct buf *out, const struct srs_keys *keys, int64_t day, struct str sender, struct str domain)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX);
	size_t at = str_find_last_char(sender, '@'), start = out->length;
	struct str local = str_first(sender, at), host = str_from_index(sender, at + 1), rest;
	if (!is_unquoted(host) || str_find_char(host, '=') < host.length || !is_unquoted(local) || keys->count == 0)
		return false;
	bool is_second = has_tag(local, "SRS0", &rest), is_third = has_tag(local, "SRS1", &rest);
	bool good = is_second  ? text_of_second(&text, rest, host)
	            : is_third ? text_of_third(&text, rest)
	                       : text_of_first(&text, day, local, host);
	return good && add_signed(out, &keys->items[0], is_second || is_third ? "SRS1" : "SRS0", buf_str(&text)) &&
	       finish(out, start, domain);
}

/* ---- back ---- */

static enum srs_result reverse_first(struct buf *out, const struct srs_keys *keys, int64_t day, struct str hash,
                                     struct str text)
{
	struct str stamp, host, local = text;
	int64_t then;
	if (!is_signed(keys, STR("SRS0"), hash, text) || !str_take_until(&local, '=', &stamp) || !read_day(stamp, &then) ||
	    !str_take_until(&local, '=', &host) || host.length == 0 || !is_unquoted(local))
		return SRS_FORGED;
	if (!is_fresh(then, day))
		return SRS_EXPIRED;
	buf_printf(out, "%.*s@%.*s", STR_ARG(local), STR_ARG(host));
	return SRS_GOOD;
}

static enum srs_result reverse_second(struct buf *out, const struct srs_keys *keys, struct str hash, struct str text)
{
	size_t end = str_find(text, STR("=="));
	struct str rest = str_from_index(text, end + 2);
	if (!is_signed(keys, STR("SRS1"), hash, text) || end == 0 || !is_unquoted(rest))
		return SRS_FORGED;
	buf_printf(out, "SRS0=%.*s@%.*s", STR_ARG(rest), STR_ARG(str_first(text, end)));
	return SRS_GOOD;
}

enum srs_result srs_reverse(struct buf *out, const struct srs_keys *keys, int64_t day, struct str local)
{
	struct str rest, hash = {};
	bool is_first = has_tag(local, "SRS0", &rest);
	if (!is_first && !has_tag(local, "SRS1", &rest))
		return SRS_NONE;
	if (!str_take_until(&rest, '=', &hash) || local.length > LIMIT_LOCAL_PART_MAX)
		return SRS_FORGED;
	return is_first ? reverse_first(out, keys, day, hash, rest) : reverse_second(out, keys, hash, rest);
}
