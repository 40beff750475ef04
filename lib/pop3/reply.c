#include "reply.h"

#include "limits.h"
#include "text.h"

/* RFC 2449 §8.1, RFC 3206 §4 and §5, RFC 6856 §5 */
static const char *const code_names[POP3_CODE_COUNT] = {
	[POP3_NO_CODE] = "",           [POP3_IN_USE] = "IN-USE",     [POP3_LOGIN_DELAY] = "LOGIN-DELAY",
	[POP3_SYS_TEMP] = "SYS/TEMP",  [POP3_SYS_PERM] = "SYS/PERM", [POP3_AUTH] = "AUTH",
	[POP3_UTF8] = "UTF8",
};

/* Once logged in nothing is wrong with the credentials, so DENIED is no [AUTH]: RFC 3206 §6. */
static const struct {
	enum pop3_code code;
	enum pop3_text text;
} fail_replies[FAIL_KIND_COUNT] = {
	[FAIL_NOT_FOUND] = { POP3_NO_CODE, POP3_SAY_NOT_FOUND },
	[FAIL_EXISTS] = { POP3_NO_CODE, POP3_SAY_INVALID },
	[FAIL_DENIED] = { POP3_NO_CODE, POP3_SAY_NOT_ALLOWED },
	[FAIL_INVALID] = { POP3_NO_CODE, POP3_SAY_INVALID },
	[FAIL_OVER_QUOTA] = { POP3_SYS_TEMP, POP3_SAY_NO_SPACE },
	[FAIL_TOO_BIG] = { POP3_NO_CODE, POP3_SAY_TOO_BIG },
	[FAIL_LIMIT] = { POP3_SYS_TEMP, POP3_SAY_TOO_MANY_SESSIONS },
	[FAIL_BUSY] = { POP3_IN_USE, POP3_SAY_IN_USE },
	[FAIL_CORRUPT] = { POP3_SYS_PERM, POP3_SAY_DAMAGED },
	[FAIL_IO] = { POP3_SYS_PERM, POP3_SAY_PERMANENT },
	[FAIL_NO_SPACE] = { POP3_SYS_TEMP, POP3_SAY_NO_SPACE },
	[FAIL_UNAVAILABLE] = { POP3_SYS_TEMP, POP3_SAY_TEMPORARY },
	[FAIL_TIMEOUT] = { POP3_SYS_TEMP, POP3_SAY_TIMED_OUT },
};

struct str pop3_code_name(enum pop3_code code)
{
	must((unsigned)code < POP3_CODE_COUNT);
	return str_of(code_names[code]);
}

/* Ends the status line that began at start; never cuts a UTF-8 sequence in two. */
static void end_status(struct buf *out, size_t start)
{
	size_t end = start + LIMIT_POP3_STATUS_LINE_MAX - 2;
	if (out->length > end) {
		while (((unsigned char)out->data[end] & 0xc0) == 0x80)
			end--;
		buf_truncate(out, end);
	}
	buf_add_str(out, STR("\r\n"));
}

void pop3_reply_ok(struct buf *out, enum pop3_language language, enum pop3_text text, const struct pop3_values *values)
{
	size_t start = out->length;
	buf_add_str(out, STR("+OK "));
	pop3_text_add(out, language, text, values);
	end_status(out, start);
}

void pop3_reply_err(struct buf *out, enum pop3_language language, enum pop3_code code, enum pop3_text text,
	const struct pop3_values *values)
{
	size_t start = out->length;
	buf_add_str(out, STR("-ERR "));
	if (code != POP3_NO_CODE) {
		buf_add_char(out, '[');
		buf_add_str(out, pop3_code_name(code));
		buf_add_str(out, STR("] "));
	}
	pop3_text_add(out, language, text, values);
	end_status(out, start);
}

void pop3_reply_fail(struct buf *out, enum pop3_language language, enum fail_kind kind)
{
	must((unsigned)kind < FAIL_KIND_COUNT);
	pop3_reply_err(out, language, fail_replies[kind].code, fail_replies[kind].text, NULL);
}

void pop3_reply_greeting(struct buf *out, struct str timestamp)
{
	size_t start = out->length;
	buf_add_str(out, STR("+OK "));
	pop3_text_add(out, POP3_ENGLISH, POP3_SAY_READY, NULL);
	if (timestamp.length) {
		buf_add_char(out, ' ');
		buf_add_str(out, timestamp);
	}
	end_status(out, start);
}

void pop3_add_size(struct buf *out, uint64_t number, uint64_t octets)
{
	buf_add_u64(out, number);
	buf_add_char(out, ' ');
	buf_add_u64(out, octets);
	buf_add_str(out, STR("\r\n"));
}

void pop3_add_uid(struct buf *out, uint64_t number, struct str uid)
{
	buf_add_u64(out, number);
	buf_add_char(out, ' ');
	buf_add_str(out, uid);
	buf_add_str(out, STR("\r\n"));
}

void pop3_reply_numbers(struct buf *out, uint64_t first, uint64_t second)
{
	buf_add_str(out, STR("+OK "));
	pop3_add_size(out, first, second);
}

void pop3_reply_uid(struct buf *out, uint64_t number, struct str uid)
{
	buf_add_str(out, STR("+OK "));
	pop3_add_uid(out, number, uid);
}

void pop3_reply_challenge(struct buf *out, struct str bytes)
{
	buf_add_str(out, STR("+ "));
	text_base64_encode(out, bytes);
	buf_add_str(out, STR("\r\n"));
}

void pop3_reply_language(struct buf *out, enum pop3_language language)
{
	size_t start = out->length;
	buf_add_str(out, STR("+OK "));
	buf_add_str(out, pop3_language_tag(language));
	buf_add_char(out, ' ');
	pop3_text_add(out, language, POP3_SAY_LANGUAGE_CHANGED, NULL);
	end_status(out, start);
}

void pop3_reply_languages(struct buf *out, enum pop3_language language)
{
	pop3_reply_ok(out, language, POP3_SAY_LANGUAGES_FOLLOW, NULL);
	for (unsigned i = 0; i < POP3_LANGUAGE_COUNT; i++) {
		buf_add_str(out, pop3_language_tag((enum pop3_language)i));
		buf_add_char(out, ' ');
		buf_add_str(out, pop3_language_name((enum pop3_language)i));
		buf_add_str(out, STR("\r\n"));
	}
	pop3_reply_end(out);
}

void pop3_reply_end(struct buf *out)
{
	buf_add_str(out, STR(".\r\n"));
}
