#include "directory_password.h"

#include "mem.h"
#include "text.h"

#include <gsasl.h>
#include <stdlib.h>
#include <utf8proc.h>

void directory_password_wipe(struct directory_password *password)
{
	mem_wipe(password, sizeof *password);
}

/* RFC 8265 §4.2.2, rule 2. */
static utf8proc_int32_t plain_space(utf8proc_int32_t code, void *unused)
{
	(void)unused;
	return utf8proc_category(code) == UTF8PROC_CATEGORY_ZS ? ' ' : code;
}

static bool has_controls(struct str s)
{
	uint32_t code;
	for (size_t i = 0; i < s.length; i += text_utf8_next(str_from_index(s, i), &code)) {
		must(text_utf8_next(str_from_index(s, i), &code) > 0);
		if (utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_CC)
			return true;
	}
	return false;
}

static bool keep(struct directory_password *password, const char *text, size_t length)
{
	if (length > LIMIT_PASSWORD_MAX)
		return false;
	memcpy(password->text, text, length);
	password->text[length] = 0;
	password->length = length;
	return true;
}

static void wipe_and_free(char *text, size_t length)
{
	mem_wipe(text, length);
	free(text);
}

static bool compose(struct str typed, struct directory_password *password)
{
	utf8proc_uint8_t *made = NULL;
	utf8proc_ssize_t length =
		utf8proc_map_custom((const utf8proc_uint8_t *)typed.data, (utf8proc_ssize_t)typed.length, &made,
		                    UTF8PROC_STABLE | UTF8PROC_COMPOSE, plain_space, NULL);
	if (length < 0)
		return false;
	bool kept = keep(password, (char *)made, (size_t)length);
	wipe_and_free((char *)made, (size_t)length);
	return kept;
}

bool directory_password_normalise(struct str typed, struct directory_password *password, struct fail **fail)
{
	password->length = 0;
	password->text[0] = 0;
	if (str_is_empty(typed))
		return fail_set(fail, FAIL_INVALID, "the password is empty");
	if (typed.length > LIMIT_PASSWORD_MAX)
		return fail_set(fail, FAIL_TOO_BIG, "the password is longer than %d octets", LIMIT_PASSWORD_MAX);
	if (!text_is_utf8(typed))
		return fail_set(fail, FAIL_INVALID, "the password is not UTF-8 text");
	if (has_controls(typed))
		return fail_set(fail, FAIL_INVALID, "the password has control characters");
	if (text_is_ascii(typed) ? keep(password, typed.data, typed.length) : compose(typed, password))
		return true;
	return fail_set(fail, FAIL_TOO_BIG, "the password is longer than %d octets in its normal form", LIMIT_PASSWORD_MAX);
}

bool directory_password_acceptable(const struct directory_password *password, size_t length_min, struct fail **fail)
{
	size_t characters = 0;
	for (size_t i = 0; i < password->length; i++)
		characters += ((unsigned char)password->text[i] & 0xc0) != 0x80;
	if (characters >= length_min)
		return true;
	return fail_set(fail, FAIL_INVALID, "the password has %zu characters; at least %zu are needed", characters,
	                length_min);
}

void directory_password_saslprep(const struct directory_password *password, struct directory_password *prepared)
{
	char *made = NULL;
	*prepared = *password;
	if (text_is_ascii(str_from(password->text, password->length)))
		return;
	if (gsasl_saslprep(password->text, 0, &made, NULL) != GSASL_OK)
		return;
	size_t length = strlen(made);
	if (length > 0)
		keep(prepared, made, length);
	wipe_and_free(made, length);
}
