/* Types of values: what several of them need, and those of one plain value: texts, numbers, yes or no, words. */
#include "config_type.h"

#include <stdlib.h>
#include <string.h>

bool config_type_refuse(const struct config_key *key, struct str text, const char *why, struct fail **fail)
{
	return fail_set(fail, FAIL_INVALID, "%s: \"%.*s\" is %s", key->name, STR_ARG(str_first(text, 100)), why);
}

bool config_type_is_host(struct str text, const char *inside)
{
	bool good = text.length > 0 && text.length <= LIMIT_DOMAIN_MAX;
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		bool is_inside = i > 0 && i + 1 < text.length;
		good = good && (char_is_alpha(c) || char_is_digit(c) || (is_inside && c && strchr(inside, c)));
	}
	return good;
}

char *config_type_lower_copy(struct str text)
{
	char *copy = str_copy(text);
	for (size_t i = 0; i < text.length; i++)
		copy[i] = char_lower(copy[i]);
	return copy;
}

bool config_type_set_text(struct str text, void *field)
{
	*(char **)field = str_copy(text);
	return true;
}

static void clear_text(void *field)
{
	free(*(char **)field);
}

/* Texts: host, address, path, folder */

static bool text_text(const struct config_key *key, const void *field, size_t i, struct buf *out)
{
	(void)key;
	return i == 0 && buf_add_str(out, str_of(*(char *const *)field));
}

static bool host_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	if (text.length && !config_type_is_host(text, "-."))
		return config_type_refuse(key, text, "no host name (letters, digits, hyphens and dots)", fail);
	return config_type_set_text(text, field);
}

static bool address_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	size_t at = str_find_last_char(text, '@');
	bool local_part = at > 0 && at <= LIMIT_LOCAL_PART_MAX;
	bool domain = at + 1 < text.length && text.length - at - 1 <= LIMIT_DOMAIN_MAX;
	bool blank = str_find_char(text, ' ') < text.length;
	if (text.length && (!local_part || !domain || blank))
		return config_type_refuse(key, text, "no mail address (name@domain)", fail);
	return config_type_set_text(text, field);
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
	return config_path_check(key->name, text, fail) && config_type_set_text(text, field);
}

/* What the store takes as a name; that INBOX is no folder of its own is said here. */
static bool folder_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	struct str rest = text, level;
	bool good = text.length <= LIMIT_MAILBOX_NAME_MAX && !str_equal_nocase(text, STR("INBOX"));
	while (str_take_until(&rest, '/', &level))
		good = good && level.length > 0;
	if (!good || (text.length && text.data[text.length - 1] == '/'))
		return config_type_refuse(key, text, "no name of a mailbox (levels are separated by /)", fail);
	return config_type_set_text(text, field);
}

static bool file_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	return text.length == 0 ? config_type_set_text(text, field) : path_add(key, text, field, fail);
}

static bool text_add(const struct config_key *key, struct str text, void *field, struct fail **fail)
{
	(void)key;
	(void)fail;
	return config_type_set_text(text, field);
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
		return config_type_refuse(key, text, "neither yes nor no", fail);
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

const struct config_type config_type_host = { false, CONFIG_SHOW_QUOTED, host_add, clear_text, text_text };
const struct config_type config_type_address = {
	false, CONFIG_SHOW_QUOTED, address_add, clear_text, text_text,
};
const struct config_type config_type_path = { false, CONFIG_SHOW_QUOTED, path_add, clear_text, text_text };
const struct config_type config_type_file = { false, CONFIG_SHOW_QUOTED, file_add, clear_text, text_text };
const struct config_type config_type_folder = {
	false, CONFIG_SHOW_QUOTED, folder_add, clear_text, text_text,
};
const struct config_type config_type_text = { false, CONFIG_SHOW_QUOTED, text_add, clear_text, text_text };
const struct config_type config_type_number = { false, CONFIG_SHOW_NUMBER, number_add, nothing_clear, number_text };
const struct config_type config_type_size = { false, CONFIG_SHOW_NUMBER, size_add, nothing_clear, size_text };
const struct config_type config_type_days = { false, CONFIG_SHOW_QUOTED, days_add, nothing_clear, days_text };
const struct config_type config_type_flag = { false, CONFIG_SHOW_FLAG, flag_add, nothing_clear, flag_text };
const struct config_type config_type_separator = {
	false, CONFIG_SHOW_QUOTED, separator_add, nothing_clear, separator_text,
};
const struct config_type config_type_choice = { false, CONFIG_SHOW_QUOTED, choice_add, nothing_clear, choice_text };
const struct config_type config_type_set = { true, CONFIG_SHOW_QUOTED, set_add, nothing_clear, set_text_at };
