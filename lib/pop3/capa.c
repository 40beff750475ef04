#include "capa.h"

#include "limits.h"
#include "reply.h"

/* The capabilities that are there or not, and nothing else. */
static const struct {
	const char *tag;
	size_t offset;
} plain[] = {
	{ "TOP", offsetof(struct pop3_capabilities, top) },
	{ "USER", offsetof(struct pop3_capabilities, user) },
	{ "UIDL", offsetof(struct pop3_capabilities, uidl) },
	{ "PIPELINING", offsetof(struct pop3_capabilities, pipelining) },
	{ "RESP-CODES", offsetof(struct pop3_capabilities, resp_codes) },
	{ "AUTH-RESP-CODE", offsetof(struct pop3_capabilities, auth_resp_code) },
	{ "STLS", offsetof(struct pop3_capabilities, stls) },
	{ "LANG", offsetof(struct pop3_capabilities, lang) },
};

static bool *plain_flag(struct pop3_capabilities *capabilities, size_t i)
{
	return (bool *)((char *)capabilities + plain[i].offset);
}

static void add_line(struct buf *out, const char *tag, struct str argument)
{
	buf_add_str(out, str_of(tag));
	if (argument.length) {
		buf_add_char(out, ' ');
		buf_add_str(out, str_first(argument, LIMIT_POP3_STATUS_LINE_MAX - 20));
	}
	buf_add_str(out, STR("\r\n"));
}

static void add_value(struct buf *out, const char *tag, uint64_t value, uint64_t never, bool differs)
{
	buf_add_str(out, str_of(tag));
	buf_add_char(out, ' ');
	if (value == never)
		buf_add_str(out, STR("NEVER"));
	else
		buf_add_u64(out, value);
	buf_add_str(out, differs ? STR(" USER\r\n") : STR("\r\n"));
}

void pop3_capa_answer(struct buf *out, const struct pop3_capabilities *configured,
	const struct pop3_situation *situation)
{
	struct pop3_capabilities now = *configured;
	bool before_login = situation->state == POP3_AUTHORIZATION;
	now.stls = now.stls && before_login && !situation->tls && !situation->utf8;
	now.user = now.user && (situation->tls || situation->clear_text_allowed);
	pop3_reply_ok(out, situation->language, POP3_SAY_CAPA_FOLLOWS, NULL);
	for (size_t i = 0; i < COUNT_OF(plain); i++)
		if (*plain_flag(&now, i))
			add_line(out, plain[i].tag, (struct str){});
	if (now.sasl)
		add_line(out, "SASL", now.mechanisms); /* RFC 5034 §3 */
	if (now.utf8)
		add_line(out, "UTF8", now.utf8_user ? STR("USER") : (struct str){});
	if (now.login_delay)
		add_value(out, "LOGIN-DELAY", now.login_delay_s, UINT64_MAX, now.login_delay_differs && before_login);
	if (now.expire)
		add_value(out, "EXPIRE", now.expire_days, POP3_EXPIRE_NEVER, now.expire_differs && before_login);
	if (now.implementation.length)
		add_line(out, "IMPLEMENTATION", now.implementation);
	pop3_reply_end(out);
}

/* "900", "900 USER". */
static bool parse_value(struct str arguments, uint64_t max, uint64_t *value, bool *differs)
{
	struct str number;
	if (!str_take_until(&arguments, ' ', &number) || !str_to_u64(number, max, value))
		return false;
	*differs = str_equal_nocase(arguments, STR("USER"));
	return true;
}

static void parse_expire(struct pop3_capabilities *c, struct str arguments)
{
	uint64_t days = POP3_EXPIRE_NEVER;
	struct str first = str_first(arguments, str_find_char(arguments, ' '));
	if (str_equal_nocase(first, STR("NEVER")))
		c->expire_differs = str_equal_nocase(str_from_index(arguments, first.length), STR(" USER"));
	else if (!parse_value(arguments, POP3_EXPIRE_NEVER - 1, &days, &c->expire_differs))
		return;
	c->expire = true;
	c->expire_days = (uint32_t)days;
}

static void parse_login_delay(struct pop3_capabilities *c, struct str arguments)
{
	uint64_t seconds;
	if (!parse_value(arguments, UINT32_MAX, &seconds, &c->login_delay_differs))
		return;
	c->login_delay = true;
	c->login_delay_s = (uint32_t)seconds;
}

void pop3_capa_parse(struct pop3_capabilities *c, struct str line, struct arena *arena)
{
	struct str tag = str_first(line, str_find_char(line, ' '));
	struct str arguments = str_trim(str_from_index(line, tag.length));
	for (size_t i = 0; i < COUNT_OF(plain); i++)
		if (str_equal_nocase(tag, str_of(plain[i].tag)))
			*plain_flag(c, i) = true;
	if (str_equal_nocase(tag, STR("SASL")) && !c->sasl) {
		c->sasl = true;
		c->mechanisms = arena_copy(arena, arguments);
	} else if (str_equal_nocase(tag, STR("UTF8"))) {
		c->utf8 = true;
		c->utf8_user = str_equal_nocase(arguments, STR("USER"));
	} else if (str_equal_nocase(tag, STR("LOGIN-DELAY"))) {
		parse_login_delay(c, arguments);
	} else if (str_equal_nocase(tag, STR("EXPIRE"))) {
		parse_expire(c, arguments);
	} else if (str_equal_nocase(tag, STR("IMPLEMENTATION")) && !c->implementation.length) {
		c->implementation = arena_copy(arena, arguments);
	}
}
