#include "smtp_parameter.h"

#include "text.h"

#include <stdlib.h>
#include <time.h>

enum { SECONDS_MAX = 999999999 };

/* What a value is read with: the arena for what is kept, the transaction that gets it. One of mail and rcpt is NULL. */
struct target {
	struct arena *arena;
	unsigned extensions;
	struct smtp_mail *mail;
	struct smtp_rcpt *rcpt;
	bool utf8;
};

enum value_rule { NO_VALUE, NEEDS_VALUE };
enum on_command { ON_MAIL, ON_RCPT };

struct parameter {
	const char *keyword;
	enum on_command command;
	enum smtp_extension extension;
	enum value_rule value;
	bool (*read)(struct target *t, struct str value);
};

static int upper_hex_value(char c)
{
	return char_is_digit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool smtp_xtext_decode(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c < '!' || c > '~' || c == '=')
			return false;
		if (c == '+') {
			int high = i + 2 < text.length ? upper_hex_value(text.data[i + 1]) : -1;
			int low = i + 2 < text.length ? upper_hex_value(text.data[i + 2]) : -1;
			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!buf_add_char(out, c))
			return false;
	}
	return true;
}

void smtp_xtext_encode(struct buf *out, struct str octets)
{
	for (size_t i = 0; i < octets.length; i++) {
		char c = octets.data[i];
		if (c >= '!' && c <= '~' && c != '+' && c != '=')
			buf_add_char(out, c);
		else
			buf_printf(out, "+%02X", (unsigned char)c);
	}
}

/* xtext of at most max octets that is printable ASCII when decoded. */
static bool read_printable(struct target *t, struct str value, size_t max, struct str *decoded)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(max);
	if (value.length > max || !smtp_xtext_decode(&text, value) || !str_is_printable(buf_str(&text)))
		return false;
	*decoded = arena_copy(t->arena, buf_str(&text));
	return true;
}

/* RFC 1870 §6.1: 1*20DIGIT, which may be more than 64 bits hold. */
static bool read_size(struct target *t, struct str value)
{
	uint64_t size = 0;
	if (value.length > 20)
		return false;
	for (size_t i = 0; i < value.length; i++) {
		if (!char_is_digit(value.data[i]))
			return false;
		if (__builtin_mul_overflow(size, 10, &size) ||
		    __builtin_add_overflow(size, (uint64_t)(value.data[i] - '0'), &size))
			size = UINT64_MAX;
	}
	t->mail->size = size;
	return true;
}

static bool read_body(struct target *t, struct str value)
{
	static const struct {
		const char *name;
		enum smtp_extension extension;
	} bodies[] = { { "7BIT", SMTP_8BITMIME }, { "8BITMIME", SMTP_8BITMIME }, { "BINARYMIME", SMTP_BINARYMIME } };
	for (size_t i = 0; i < COUNT_OF(bodies); i++) {
		if (!str_equal_nocase(value, str_of(bodies[i].name)) || !(t->extensions & bodies[i].extension))
			continue;
		t->mail->body = (enum smtp_body)i;
		return true;
	}
	return false;
}

static bool read_utf8(struct target *t, struct str value UNUSED)
{
	t->mail->utf8 = true;
	return true;
}

static bool read_require_tls(struct target *t, struct str value UNUSED)
{
	t->mail->require_tls = true;
	return true;
}

/* RFC 4954 §5: "<>" or a mailbox as xtext. */
static bool read_auth(struct target *t, struct str value)
{
	t->mail->has_auth = true;
	if (str_equal(value, STR("<>")))
		return true;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_SMTP_AUTH_PARAMETER_MAX);
	struct smtp_path path;
	unsigned flags = t->extensions & SMTP_SMTPUTF8 ? SMTP_PATH_UTF8 : 0;
	if (!smtp_xtext_decode(&text, value) || !smtp_mailbox_parse(t->arena, buf_str(&text), flags, &path))
		return false;
	t->mail->auth = path.mailbox;
	return true;
}

static bool read_ret(struct target *t, struct str value)
{
	bool full = str_equal_nocase(value, STR("FULL"));
	t->mail->ret = full ? SMTP_RETURN_FULL : SMTP_RETURN_HEADERS;
	return full || str_equal_nocase(value, STR("HDRS"));
}

static bool read_envid(struct target *t, struct str value)
{
	return read_printable(t, value, LIMIT_SMTP_ENVID_MAX, &t->mail->envid);
}

static bool read_hold_for(struct target *t, struct str value)
{
	return value.data[0] != '0' && str_to_u64(value, SECONDS_MAX, &t->mail->hold_seconds) && !t->mail->hold_until;
}

/* A field of a date: width digits at the front of *rest, then the separator ('\0' for none). */
static bool take_number(struct str *rest, size_t width, char separator, int *number)
{
	uint64_t value;
	if (rest->length < width + (separator != '\0') || !str_to_u64(str_first(*rest, width), 9999, &value))
		return false;
	if (separator && char_upper(rest->data[width]) != separator)
		return false;
	*number = (int)value;
	*rest = str_from_index(*rest, width + (separator != '\0'));
	return true;
}

/* "Z" or "+hh:mm" (RFC 3339 §5.6), in seconds east of UTC. */
static bool read_offset(struct str rest, int *offset)
{
	int hours, minutes;
	*offset = 0;
	if (rest.length == 1)
		return char_upper(rest.data[0]) == 'Z';
	if (rest.length != 6 || (rest.data[0] != '+' && rest.data[0] != '-'))
		return false;
	int sign = rest.data[0] == '-' ? -1 : 1;
	rest = str_from_index(rest, 1);
	if (!take_number(&rest, 2, ':', &hours) || !take_number(&rest, 2, '\0', &minutes) || hours > 23 || minutes > 59)
		return false;
	*offset = sign * (hours * 3600 + minutes * 60);
	return true;
}

/* RFC 4865 §5: a date-time of RFC 3339; a fraction of a second is dropped. */
static bool read_hold_until(struct target *t, struct str value)
{
	struct tm tm = {};
	int offset;
	if (!take_number(&value, 4, '-', &tm.tm_year) || !take_number(&value, 2, '-', &tm.tm_mon) ||
	    !take_number(&value, 2, 'T', &tm.tm_mday) || !take_number(&value, 2, ':', &tm.tm_hour) ||
	    !take_number(&value, 2, ':', &tm.tm_min) || !take_number(&value, 2, '\0', &tm.tm_sec))
		return false;
	if (value.length > 1 && value.data[0] == '.' && char_is_digit(value.data[1]))
		do
			value = str_from_index(value, 1);
		while (value.length && char_is_digit(value.data[0]));
	if (tm.tm_year < 1971 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_hour > 23 || tm.tm_min > 59 ||
	    tm.tm_sec > 60 || !read_offset(value, &offset) || t->mail->hold_seconds)
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	int day = tm.tm_mday, second = tm.tm_sec;
	t->mail->hold_until = (int64_t)timegm(&tm) - offset;
	return tm.tm_mday == day || second == 60; /* timegm turns February 30 into March */
}

/* RFC 2852 §4: by-time ";" by-mode [by-trace] */
static bool read_by(struct target *t, struct str value)
{
	uint64_t seconds;
	struct str time = str_first(value, str_find_char(value, ';')), mode = str_from_index(value, time.length + 1);
	bool negative = time.length && time.data[0] == '-';
	if (negative || (time.length && time.data[0] == '+'))
		time = str_from_index(time, 1);
	if (time.length > 9 || !str_to_u64(time, SECONDS_MAX, &seconds) || mode.length < 1 || mode.length > 2)
		return false;
	char letter = char_upper(mode.data[0]);
	if ((letter != 'R' && letter != 'N') || (mode.length == 2 && char_upper(mode.data[1]) != 'T'))
		return false;
	t->mail->has_by = true;
	t->mail->by_seconds = negative ? -(int64_t)seconds : (int64_t)seconds;
	t->mail->by_return = letter == 'R';
	t->mail->by_trace = mode.length == 2;
	return letter == 'N' || t->mail->by_seconds > 0;
}

/* RFC 6710 §5: (["-"] NZDIGIT) / "0" */
static bool read_priority(struct target *t, struct str value)
{
	bool negative = value.data[0] == '-';
	struct str digit = str_from_index(value, negative);
	if (digit.length != 1 || !char_is_digit(digit.data[0]) || (negative && digit.data[0] == '0'))
		return false;
	t->mail->priority = (digit.data[0] - '0') * (negative ? -1 : 1);
	return true;
}

/* RFC 3461 §4.1: NEVER alone, or a list of the others. */
static bool read_notify(struct target *t, struct str value)
{
	static const char *const names[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };
	struct str rest = value, word;
	if (value.data[value.length - 1] == ',')
		return false;
	while (str_take_until(&rest, ',', &word)) {
		unsigned bit = 0;
		for (size_t i = 0; i < COUNT_OF(names); i++)
			if (str_equal_nocase(word, str_of(names[i])))
				bit = 1u << i;
		if (bit == 0)
			return false;
		t->rcpt->notify |= bit;
	}
	return !(t->rcpt->notify & SMTP_NOTIFY_NEVER) || t->rcpt->notify == SMTP_NOTIFY_NEVER;
}

/* "\x{HEXPOINT}" at the front of *rest, RFC 6533 §3. */
static bool take_embedded(struct str *rest, struct buf *out)
{
	size_t end = str_find_char(*rest, '}');
	uint32_t code = 0;
	if (!str_starts(*rest, STR("\\x{")) || end == rest->length || end < 5 || end > 9)
		return false;
	for (size_t i = 3; i < end; i++) {
		int digit = upper_hex_value(rest->data[i]);
		if (digit < 0)
			return false;
		code = code << 4 | (uint32_t)digit;
	}
	*rest = str_from_index(*rest, end + 1);
	if (code > 0x10ffff || code < 0x20 || code == 0x7f)
		return false;
	text_utf8_add(out, code);
	return true;
}

/* utf-8-addr-xtext and, where the transaction is SMTPUTF8, utf-8-addr-unitext of RFC 6533 §3. */
static bool read_utf8_address(struct target *t, struct str value, struct str *decoded)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_SMTP_ORCPT_MAX);
	struct str rest = value;
	while (rest.length) {
		unsigned char c = (unsigned char)rest.data[0];
		if (c == '\\') {
			if (!take_embedded(&rest, &text))
				return false;
			continue;
		}
		if (c <= 0x20 || c == 0x7f || c == '=' || c == '+' || (c >= 0x80 && !t->utf8))
			return false;
		buf_add_char(&text, rest.data[0]);
		rest = str_from_index(rest, 1);
	}
	if (text.length == 0 || text.overflowed || !text_is_utf8(buf_str(&text)))
		return false;
	*decoded = arena_copy(t->arena, buf_str(&text));
	return true;
}

/* RFC 3461 §4.2: addr-type ";" xtext, where addr-type is an atom. */
static bool read_orcpt(struct target *t, struct str value)
{
	size_t semicolon = str_find_char(value, ';');
	struct str type = str_first(value, semicolon), address = str_from_index(value, semicolon + 1);
	if (value.length > LIMIT_SMTP_ORCPT_MAX || type.length == 0 || address.length == 0)
		return false;
	char *lower = arena_alloc(t->arena, type.length + 1);
	for (size_t i = 0; i < type.length; i++) {
		if (!char_is_alpha(type.data[i]) && !char_is_digit(type.data[i]) && type.data[i] != '-')
			return false;
		lower[i] = char_lower(type.data[i]);
	}
	t->rcpt->orcpt_type = str_from(lower, type.length);
	if (str_equal(t->rcpt->orcpt_type, STR("utf-8")))
		return read_utf8_address(t, address, &t->rcpt->orcpt_address);
	return read_printable(t, address, LIMIT_SMTP_ORCPT_MAX, &t->rcpt->orcpt_address);
}

static const struct parameter parameters[] = {
	{ "SIZE",        ON_MAIL, SMTP_SIZE,          NEEDS_VALUE, read_size },        /* RFC 1870 §6.1 */
	{ "BODY",        ON_MAIL, SMTP_8BITMIME,      NEEDS_VALUE, read_body },        /* RFC 6152 §2, RFC 3030 §3 */
	{ "SMTPUTF8",    ON_MAIL, SMTP_SMTPUTF8,      NO_VALUE,    read_utf8 },        /* RFC 6531 §3.4 */
	{ "REQUIRETLS",  ON_MAIL, SMTP_REQUIRETLS,    NO_VALUE,    read_require_tls }, /* RFC 8689 §2 */
	{ "AUTH",        ON_MAIL, SMTP_AUTH,          NEEDS_VALUE, read_auth },        /* RFC 4954 §5 */
	{ "RET",         ON_MAIL, SMTP_DSN,           NEEDS_VALUE, read_ret },         /* RFC 3461 §4.3 */
	{ "ENVID",       ON_MAIL, SMTP_DSN,           NEEDS_VALUE, read_envid },       /* RFC 3461 §4.4 */
	{ "HOLDFOR",     ON_MAIL, SMTP_FUTURERELEASE, NEEDS_VALUE, read_hold_for },    /* RFC 4865 §5 */
	{ "HOLDUNTIL",   ON_MAIL, SMTP_FUTURERELEASE, NEEDS_VALUE, read_hold_until },  /* RFC 4865 §5 */
	{ "BY",          ON_MAIL, SMTP_DELIVERBY,     NEEDS_VALUE, read_by },          /* RFC 2852 §4 */
	{ "MT-PRIORITY", ON_MAIL, SMTP_MT_PRIORITY,   NEEDS_VALUE, read_priority },    /* RFC 6710 §4 */
	{ "NOTIFY",      ON_RCPT, SMTP_DSN,           NEEDS_VALUE, read_notify },      /* RFC 3461 §4.1 */
	{ "ORCPT",       ON_RCPT, SMTP_DSN,           NEEDS_VALUE, read_orcpt },       /* RFC 3461 §4.2 */
};

static const struct parameter *find(struct str keyword, enum on_command command, unsigned extensions)
{
	for (size_t i = 0; i < COUNT_OF(parameters); i++)
		if (parameters[i].command == command && (extensions & parameters[i].extension) &&
		    str_equal_nocase(keyword, str_of(parameters[i].keyword)))
			return &parameters[i];
	return NULL;
}

/* esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-") */
static bool is_keyword(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (!char_is_alpha(s.data[i]) && !char_is_digit(s.data[i]) && (i == 0 || s.data[i] != '-'))
			return false;
	return s.length > 0;
}

static const struct smtp_reply *read_parameters(struct target *t, struct str rest)
{
	static const struct smtp_reply bad_syntax = { 501, "5.5.4", "Bad parameter syntax" };
	static const struct smtp_reply bad_value = { 501, "5.5.4", "Bad parameter value" };
	static const struct smtp_reply twice = { 501, "5.5.4", "Parameter given twice" };
	static const struct smtp_reply unknown = { 555, "5.5.4", "Parameter not recognised or not implemented" };
	unsigned given = 0;
	struct str word;
	while (str_take_until(&rest, ' ', &word)) {
		if (word.length == 0)
			continue;
		size_t equals = str_find_char(word, '=');
		struct str keyword = str_first(word, equals), value = str_from_index(word, equals + 1);
		if (!is_keyword(keyword))
			return &bad_syntax;
		const struct parameter *p = find(keyword, t->mail ? ON_MAIL : ON_RCPT, t->extensions);
		if (!p)
			return &unknown;
		unsigned bit = 1u << (p - parameters);
		if (given & bit)
			return &twice;
		given |= bit;
		bool has_value = equals < word.length;
		if (has_value != (p->value == NEEDS_VALUE) || (has_value && value.length == 0) || !p->read(t, value))
			return &bad_value;
	}
	return NULL;
}

const struct smtp_reply *smtp_mail_parse(struct arena *a, struct str argument, unsigned extensions, unsigned flags,
                                         struct smtp_mail *mail)
{
	*mail = (struct smtp_mail){};
	struct target t = { .arena = a, .extensions = extensions, .mail = mail };
	flags = (flags & ~(unsigned)SMTP_PATH_UTF8) | (extensions & SMTP_SMTPUTF8 ? SMTP_PATH_UTF8 : 0u);
	const struct smtp_reply *refusal = smtp_path_parse(a, &argument, flags | SMTP_PATH_REVERSE, &mail->from);
	if (!refusal)
		refusal = read_parameters(&t, argument);
	if (!refusal && mail->from.is_utf8 && !mail->utf8)
		refusal = smtp_path_needs_utf8();
	return refusal;
}

const struct smtp_reply *smtp_rcpt_parse(struct arena *a, struct str argument, unsigned extensions, unsigned flags,
                                         bool utf8, struct smtp_rcpt *rcpt)
{
	*rcpt = (struct smtp_rcpt){};
	struct target t = { .arena = a, .extensions = extensions, .rcpt = rcpt, .utf8 = utf8 };
	flags = (flags & ~(unsigned)(SMTP_PATH_UTF8 | SMTP_PATH_REVERSE)) | (utf8 ? SMTP_PATH_UTF8 : 0u);
	const struct smtp_reply *refusal = smtp_path_parse(a, &argument, flags, &rcpt->to);
	return refusal ? refusal : read_parameters(&t, argument);
}
