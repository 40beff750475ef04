#include "smtp_ehlo.h"

#include "limits.h"
#include "smtp_reply.h"

#include <time.h>

enum { PARAMETER_MAX_OCTETS = 480, LIMIT_VALUE_MAX = 999999, SECONDS_MAX = 999999999 };

struct extension {
	enum smtp_extension bit;
	const char *keyword;
	void (*write)(const struct smtp_ehlo *e, struct buf *out); /* what follows the keyword, with its space */
	void (*read)(struct str parameter, struct smtp_ehlo *e);
};

static void write_number(struct buf *out, uint64_t number)
{
	if (number == 0)
		return;
	buf_add_char(out, ' ');
	buf_add_u64(out, number);
}

static void write_size(const struct smtp_ehlo *e, struct buf *out)
{
	buf_add_char(out, ' ');
	buf_add_u64(out, e->size);
}

static void read_size(struct str parameter, struct smtp_ehlo *e)
{
	str_to_u64(parameter, UINT64_MAX, &e->size);
}

/* RFC 9422 §4 */
static const struct limit_name {
	const char *name;
	size_t offset;
} limit_names[] = {
	{ "MAILMAX", offsetof(struct smtp_ehlo, mail_max) },
	{ "RCPTMAX", offsetof(struct smtp_ehlo, recipient_max) },
	{ "RCPTDOMAINMAX", offsetof(struct smtp_ehlo, recipient_domain_max) },
};

static uint64_t *limit_value(struct smtp_ehlo *e, const struct limit_name *limit)
{
	return (uint64_t *)(void *)((char *)e + limit->offset);
}

static void write_limits(const struct smtp_ehlo *e, struct buf *out)
{
	struct smtp_ehlo copy = *e;
	for (size_t i = 0; i < COUNT_OF(limit_names); i++) {
		uint64_t value = *limit_value(&copy, &limit_names[i]);
		must(value <= LIMIT_VALUE_MAX);
		if (value)
			buf_printf(out, " %s=%llu", limit_names[i].name, (unsigned long long)value);
	}
}

/* RFC 9422 §3: limit-name ["=" limit-value] */
static bool is_limit(struct str item)
{
	size_t equals = str_find_char(item, '=');
	for (size_t i = 0; i < equals; i++)
		if (!char_is_alpha(item.data[i]) && !char_is_digit(item.data[i]) && item.data[i] != '-' && item.data[i] != '_')
			return false;
	struct str value = str_from_index(item, equals + 1);
	for (size_t i = 0; i < value.length; i++)
		if (value.data[i] < 0x21 || value.data[i] > 0x7e || value.data[i] == ';')
			return false;
	return equals > 0 && (equals == item.length || value.length > 0);
}

static void read_limit(struct str item, struct smtp_ehlo *e)
{
	uint64_t value;
	struct str name = str_first(item, str_find_char(item, '=')), number = str_from_index(item, name.length + 1);
	for (size_t i = 0; i < COUNT_OF(limit_names); i++)
		if (str_equal_nocase(name, str_of(limit_names[i].name)) && number.length && number.data[0] != '0' &&
		    str_to_u64(number, LIMIT_VALUE_MAX, &value))
			*limit_value(e, &limit_names[i]) = value;
}

static void read_limits(struct str parameter, struct smtp_ehlo *e)
{
	struct str rest = parameter, item;
	while (str_take_until(&rest, ' ', &item)) {
		if (!is_limit(item)) {
			e->mail_max = e->recipient_max = e->recipient_domain_max = 0;
			e->extensions &= ~(unsigned)SMTP_LIMITS;
			return;
		}
		read_limit(item, e);
	}
}

static void write_mechanisms(const struct smtp_ehlo *e, struct buf *out)
{
	buf_printf(out, " %s", e->mechanisms);
}

/* RFC 4422 §3.1: sasl-mech = 1*20mech-char */
static bool is_mechanism(struct str word)
{
	for (size_t i = 0; i < word.length; i++)
		if (!char_is_alpha(word.data[i]) && !char_is_digit(word.data[i]) && word.data[i] != '-' && word.data[i] != '_')
			return false;
	return word.length > 0 && word.length <= 20;
}

static void read_mechanisms(struct str parameter, struct smtp_ehlo *e)
{
	struct str rest = parameter, word;
	while (str_take_until(&rest, ' ', &word)) {
		size_t length = strlen(e->mechanisms), space = length > 0;
		if (!is_mechanism(word) || smtp_ehlo_has_mechanism(e, word) ||
		    length + space + word.length >= sizeof e->mechanisms)
			continue;
		if (space)
			e->mechanisms[length++] = ' ';
		for (size_t i = 0; i < word.length; i++)
			e->mechanisms[length + i] = char_upper(word.data[i]);
		e->mechanisms[length + word.length] = '\0';
	}
}

bool smtp_ehlo_has_mechanism(const struct smtp_ehlo *e, struct str mechanism)
{
	struct str rest = str_of(e->mechanisms), word;
	while (str_take_until(&rest, ' ', &word))
		if (str_equal_nocase(word, mechanism))
			return true;
	return false;
}

/* RFC 4865 §3 (3): max-future-release-interval and max-future-release-date-time. */
static void write_hold(const struct smtp_ehlo *e, struct buf *out)
{
	time_t until = (time_t)e->hold_until_max;
	struct tm tm = {};
	must(gmtime_r(&until, &tm) != NULL);
	buf_printf(out, " %llu %04d-%02d-%02dT%02d:%02d:%02dZ", (unsigned long long)e->hold_max, tm.tm_year + 1900,
	           tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void read_hold(struct str parameter, struct smtp_ehlo *e)
{
	str_to_u64(str_first(parameter, str_find_char(parameter, ' ')), SECONDS_MAX, &e->hold_max);
}

static void write_by(const struct smtp_ehlo *e, struct buf *out)
{
	write_number(out, e->by_min);
}

static void read_by(struct str parameter, struct smtp_ehlo *e)
{
	str_to_u64(str_first(parameter, str_find_char(parameter, ',')), SECONDS_MAX, &e->by_min);
}

static const struct extension extensions[] = {
	{ SMTP_PIPELINING, "PIPELINING", NULL, NULL },
	{ SMTP_SIZE, "SIZE", write_size, read_size },
	{ SMTP_8BITMIME, "8BITMIME", NULL, NULL },
	{ SMTP_CHUNKING, "CHUNKING", NULL, NULL },
	{ SMTP_BINARYMIME, "BINARYMIME", NULL, NULL },
	{ SMTP_SMTPUTF8, "SMTPUTF8", NULL, NULL },
	{ SMTP_ENHANCED, "ENHANCEDSTATUSCODES", NULL, NULL },
	{ SMTP_LIMITS, "LIMITS", write_limits, read_limits },
	{ SMTP_STARTTLS, "STARTTLS", NULL, NULL },
	{ SMTP_AUTH, "AUTH", write_mechanisms, read_mechanisms },
	{ SMTP_DSN, "DSN", NULL, NULL },
	{ SMTP_REQUIRETLS, "REQUIRETLS", NULL, NULL },
	{ SMTP_FUTURERELEASE, "FUTURERELEASE", write_hold, read_hold },
	{ SMTP_DELIVERBY, "DELIVERBY", write_by, read_by },
	{ SMTP_MT_PRIORITY, "MT-PRIORITY", NULL, NULL },
	{ SMTP_VRFY, "VRFY", NULL, NULL },
	{ SMTP_EXPN, "EXPN", NULL, NULL },
	{ SMTP_HELP, "HELP", NULL, NULL },
};

void smtp_ehlo_write(struct buf *out, const struct smtp_ehlo *e, struct str hostname, struct str client)
{
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(2 * PARAMETER_MAX_OCTETS);
	unsigned left = e->extensions;
	buf_printf(&line, "%.*s greets %.*s", STR_ARG(hostname), STR_ARG(client));
	smtp_reply_add_line(out, 250, left != 0, NULL, buf_str(&line));
	for (size_t i = 0; i < COUNT_OF(extensions); i++) {
		if (!(left & extensions[i].bit))
			continue;
		left &= ~(unsigned)extensions[i].bit;
		buf_clear(&line);
		buf_add_str(&line, str_of(extensions[i].keyword));
		if (extensions[i].write)
			extensions[i].write(e, &line);
		must(line.length <= PARAMETER_MAX_OCTETS);
		smtp_reply_add_line(out, 250, left != 0, NULL, buf_str(&line));
	}
	must(left == 0);
}

static void read_line(struct str line, struct smtp_ehlo *e)
{
	/* "AUTH=PLAIN" is how servers older than RFC 2554 say it */
	bool old_auth = str_starts_nocase(line, STR("AUTH="));
	size_t end = old_auth ? 4 : str_find_char(line, ' ');
	struct str keyword = str_first(line, end), parameter = str_trim(str_from_index(line, end + 1));
	for (size_t i = 0; i < COUNT_OF(extensions); i++) {
		if (!str_equal_nocase(keyword, str_of(extensions[i].keyword)))
			continue;
		e->extensions |= extensions[i].bit;
		if (extensions[i].read)
			extensions[i].read(parameter, e);
	}
}

void smtp_ehlo_read(struct str text, struct smtp_ehlo *e)
{
	struct str rest = text, line;
	*e = (struct smtp_ehlo){};
	str_take_until(&rest, '\n', &line);
	while (str_take_until(&rest, '\n', &line))
		read_line(str_trim(line), e);
}
