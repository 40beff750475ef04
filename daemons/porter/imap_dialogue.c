/* IMAP in the not authenticated state (RFC 9051 §3.1): greeting, CAPABILITY, NOOP, LOGOUT, STARTTLS, ID, LANGUAGE,
 * LOGIN, AUTHENTICATE. The answer to a successful log-in comes from the mailbox process, which knows what it can do
 * there; only failures are said here. */
#include "porter.h"

#include "imap_capability.h"
#include "imap_collation.h"
#include "imap_collect.h"
#include "imap_id.h"
#include "imap_language.h"
#include "log.h"
#include "mem.h"
#include "text.h"

#include <stdlib.h>

enum { ARENA_MAX = 1 << 18 };

/* Of a connection that speaks IMAP, until it is handed over. */
struct imap_dialogue {
	struct imap_collector collector;
	char tag[LIMIT_IMAP_TAG_MAX + 1]; /* of the command that waits for its answer */
};

static const struct imap_collect_limits limits = {
	.line_max = LIMIT_IMAP_LOGIN_LINE_MAX, .literals_max = LIMIT_IMAP_LOGIN_LITERALS_MAX,
	.message_max = UINT64_MAX, /* none is taken; its command is refused for what it is */
	.plus_max = LIMIT_IMAP_LITERAL_MINUS_MAX, .discard_max = LIMIT_IMAP_LOGIN_DISCARD_MAX,
};

/* ---- answers ------------------------------------------------------------------------------------ */

static enum imap_language preferred_language(const struct connection *c)
{
	return (enum imap_language)c->porter->daemon.config.default_language;
}

static enum imap_language language_of(const struct connection *c)
{
	enum imap_language language = preferred_language(c);
	imap_language_find(str_of(c->language), language, &language);
	return language;
}

static void say_values(struct connection *c, struct str tag, const char *condition, const char *code,
                       enum imap_text text, const struct imap_values *values)
{
	buf_add_str(&c->output, tag.length ? tag : STR("*"));
	buf_printf(&c->output, " %s ", condition);
	if (code[0])
		buf_printf(&c->output, "[%s] ", code);
	imap_text_add(&c->output, language_of(c), text, values);
	buf_add_str(&c->output, STR("\r\n"));
}

static void say(struct connection *c, struct str tag, const char *condition, const char *code, enum imap_text text)
{
	say_values(c, tag, condition, code, text, NULL);
}

/* To the command at hand. */
static void say_no(struct connection *c, const char *code, enum imap_text text)
{
	say(c, str_of(c->imap->tag), "NO", code, text);
}

static void say_bad(struct connection *c, enum imap_text text)
{
	say(c, str_of(c->imap->tag), "BAD", "", text);
}

static void say_bye(struct connection *c, const char *code, enum imap_text text)
{
	say(c, STR("*"), "BYE", code, text);
	connection_close_after_output(c);
}

static void count_error(struct connection *c)
{
	if (++c->errors > LIMIT_IMAP_ERRORS_MAX)
		say_bye(c, "", IMAP_SAY_TOO_MANY_ERRORS);
}

static void keep_tag(struct connection *c, struct str tag)
{
	must(tag.length < sizeof c->imap->tag);
	if (tag.length)
		memcpy(c->imap->tag, tag.data, tag.length);
	c->imap->tag[tag.length] = '\0';
}

static void write_capabilities(struct connection *c)
{
	CLEANUP(buf_release) struct buf mechanisms = BUF_WITH_LIMIT(400);
	bool secure = connection_is_secure(c), password = connection_allows_password(c);
	mechanism_list(&mechanisms, c->porter->mechanisms, secure, password);
	struct imap_offer offer = {
		.state = IMAP_NOT_AUTHENTICATED,
		.tls = secure,
		.starttls = c->porter->tls != NULL,
		.password_allowed = password,
		.mechanisms = buf_str(&mechanisms),
	};
	imap_capability_write(&c->output, &offer);
}

/* ---- the collector's life ------------------------------------------------------------------------- */

static void wipe(struct buf *secret)
{
	if (secret->data)
		mem_wipe(secret->data, secret->capacity);
}

/* What it holds may be a password. */
static void forget_command(struct connection *c)
{
	wipe(&c->imap->collector.text);
	imap_collector_release(&c->imap->collector);
	imap_collector_init(&c->imap->collector, &limits);
}

static void begin_dialogue(struct connection *c)
{
	must(!c->imap);
	c->imap = mem_alloc(sizeof *c->imap);
	imap_collector_init(&c->imap->collector, &limits);
}

struct str imap_dialogue_tag(const struct connection *c)
{
	return c->imap ? str_of(c->imap->tag) : (struct str){};
}

void imap_dialogue_end(struct connection *c)
{
	if (!c->imap)
		return;
	forget_command(c);
	imap_collector_release(&c->imap->collector);
	free(TAKE(c->imap));
}

/* ---- commands -------------------------------------------------------------------------------------- */

static void say_done(struct connection *c, const struct imap_command *command)
{
	say_values(c, command->tag, "OK", "", IMAP_SAY_DONE, &(struct imap_values){ .text = str_of(command->info->name) });
}

static void answer_capability(struct connection *c, const struct imap_command *command)
{
	buf_add_str(&c->output, STR("* CAPABILITY "));
	write_capabilities(c);
	buf_add_str(&c->output, STR("\r\n"));
	say_done(c, command);
}

static void log_out(struct connection *c, const struct imap_command *command)
{
	say(c, STR("*"), "BYE", "", IMAP_SAY_BYE);
	say_done(c, command);
	connection_close_after_output(c);
}

/* RFC 9051 §6.2.1. Nothing may be pipelined behind it: what came in clear text could be anybody's. */
static void start_tls(struct connection *c, const struct imap_command *command)
{
	if (connection_is_secure(c)) {
		say_bad(c, IMAP_SAY_ALREADY_TLS);
	} else if (!c->porter->tls) {
		say_bad(c, IMAP_SAY_TLS_NOT_OFFERED);
	} else if (c->input.length) {
		say_bye(c, "", IMAP_SAY_PIPELINED_TLS);
	} else {
		say(c, command->tag, "OK", "", IMAP_SAY_BEGIN_TLS);
		connection_flush(c);
		if (c->phase == PHASE_GONE)
			return;
		connection_begin_tls(c);
		connection_flush(c);
	}
}

static void answer_id(struct connection *c, const struct imap_command *command, const struct buf *shown)
{
	struct str said = str_first(buf_str(shown), sizeof c->client_id - 1);
	if (said.length) {
		memcpy(c->client_id, said.data, said.length);
		c->client_id[said.length] = '\0';
		log_event(LOG_INFO, c->id, "client", LOG_TEXT("id", said));
	}
	imap_id_write(&c->output);
	say_done(c, command);
}

/* RFC 5255 §3.2: the first that is known is taken; the answer is in that language already. */
static void choose_language(struct connection *c, const struct imap_command *command, const struct imap_words *ranges)
{
	enum imap_language language;
	for (size_t i = 0; i < ranges->count; i++) {
		if (!imap_language_find(ranges->items[i], preferred_language(c), &language))
			continue;
		struct str tag = imap_language_tag(language);
		memcpy(c->language, tag.data, tag.length);
		c->language[tag.length] = '\0';
		imap_language_write_chosen(&c->output, language);
		say_done(c, command);
		return;
	}
	if (ranges->count) {
		say_values(c, command->tag, "NO", "", IMAP_SAY_NO_LANGUAGE, &(struct imap_values){ .text = ranges->items[0] });
		return;
	}
	imap_language_write_all(&c->output);
	say_done(c, command);
}

/* RFC 9051 §6.2.3 */
static void log_in(struct connection *c, struct str user, struct str password)
{
	if (!connection_allows_password(c))
		say_no(c, "PRIVACYREQUIRED", IMAP_SAY_TLS_FIRST);
	else if (user.length > LIMIT_ADDRESS_MAX || password.length > LIMIT_PASSWORD_MAX || !text_is_utf8(user))
		say_no(c, "AUTHENTICATIONFAILED", IMAP_SAY_WRONG_PASSWORD);
	else
		link_auth_password(c, user, password);
}

/* RFC 9051 §6.2.2, RFC 4959: "=" is an initial response that is empty. */
static void authenticate(struct connection *c, struct str mechanism, bool has_initial, struct str text)
{
	CLEANUP(buf_release) struct buf initial = BUF_WITH_LIMIT(LIMIT_SMTP_AUTH_LINE_MAX);
	unsigned bit = mechanism_find(mechanism);
	if (!(bit & c->porter->mechanisms))
		say_no(c, "", IMAP_SAY_NO_MECHANISM);
	else if (mechanism_sends_password(bit) && !connection_allows_password(c))
		say_no(c, "PRIVACYREQUIRED", IMAP_SAY_TLS_FIRST);
	else if (has_initial && !str_equal(text, STR("=")) && !text_base64_decode(&initial, text))
		say_bad(c, IMAP_SAY_BAD_BASE64);
	else
		link_auth_start(c, mechanism, has_initial, buf_str(&initial));
	wipe(&initial);
}

static void continue_authentication(struct connection *c, struct str line)
{
	CLEANUP(buf_release) struct buf response = BUF_WITH_LIMIT(LIMIT_SMTP_AUTH_LINE_MAX);
	bool cancelled = str_equal(line, STR("*"));
	if (!cancelled && text_base64_decode(&response, line)) {
		link_auth_step(c, buf_str(&response));
		wipe(&response);
		return;
	}
	link_auth_cancel(c);
	say_bad(c, cancelled ? IMAP_SAY_LOGIN_CANCELLED : IMAP_SAY_BAD_BASE64);
}

/* False, with BAD written, when the arguments were wrong. */
static bool arguments_end(struct connection *c, struct imap_parser *p)
{
	if (imap_parse_end(p))
		return true;
	say_values(c, str_of(c->imap->tag), "BAD", "", p->too_much ? IMAP_SAY_TOO_MUCH : IMAP_SAY_EXPECTED,
		&(struct imap_values){ .text = str_of(p->expected), .number = p->failed_at });
	count_error(c);
	return false;
}

static void take_login(struct connection *c, struct imap_parser *p)
{
	imap_parse_space(p);
	struct str user = imap_parse_astring(p);
	imap_parse_space(p);
	struct str password = imap_parse_astring(p);
	if (arguments_end(c, p))
		log_in(c, user, password);
}

static void take_authenticate(struct connection *c, struct imap_parser *p)
{
	struct str initial = {};
	imap_parse_space(p);
	struct str mechanism = imap_parse_atom(p);
	bool has_initial = imap_parse_more(p);
	if (has_initial)
		initial = imap_parse_atom(p);
	if (arguments_end(c, p))
		authenticate(c, mechanism, has_initial, initial);
}

static void take_id(struct connection *c, struct imap_parser *p, const struct imap_command *command)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(sizeof c->client_id - 1);
	imap_parse_id(p, &shown);
	if (arguments_end(c, p))
		answer_id(c, command, &shown);
}

static void take_language(struct connection *c, struct imap_parser *p, const struct imap_command *command)
{
	struct imap_words ranges;
	imap_parse_words(p, &ranges);
	if (arguments_end(c, p))
		choose_language(c, command, &ranges);
}

static void carry_out(struct connection *c, struct imap_parser *p, const struct imap_command *command)
{
	switch (command->verb) {
	case IMAP_CAPABILITY: answer_capability(c, command); break;
	case IMAP_NOOP: say_done(c, command); break;
	case IMAP_LOGOUT: log_out(c, command); break;
	case IMAP_STARTTLS: start_tls(c, command); break;
	case IMAP_ID: take_id(c, p, command); break;
	case IMAP_LANGUAGE: take_language(c, p, command); break;
	case IMAP_LOGIN: take_login(c, p); break;
	case IMAP_AUTHENTICATE: take_authenticate(c, p); break;
	default: must(false); /* imap_command_begin lets only these pass before log-in */
	}
}

/* True when the command may go on; else BAD has been said. */
static bool may_go_on(struct connection *c, const struct imap_parser *p, enum imap_command_check check,
                      const struct imap_command *command)
{
	static const enum imap_text texts[] = {
		[IMAP_COMMAND_NO_TAG] = IMAP_SAY_NO_TAG, [IMAP_COMMAND_UNKNOWN] = IMAP_SAY_UNKNOWN_COMMAND,
		[IMAP_COMMAND_WRONG_STATE] = IMAP_SAY_LOGIN_FIRST, [IMAP_COMMAND_NO_UID] = IMAP_SAY_NO_UID_FORM,
		[IMAP_COMMAND_ARGUMENTS] = IMAP_SAY_NO_ARGUMENTS,
	};
	keep_tag(c, command->tag);
	if (check == IMAP_COMMAND_OK)
		return true;
	struct str rest = str_from_index(p->text, command->tag.length + 1);
	struct str shown = command->info ? str_of(command->info->name) : str_first(rest, str_find_char(rest, ' '));
	enum imap_text text = check == IMAP_COMMAND_UNKNOWN && shown.length == 0 ? IMAP_SAY_NO_COMMAND : texts[check];
	say_values(c, command->tag, "BAD", "", text, &(struct imap_values){ .text = shown });
	if (check != IMAP_COMMAND_WRONG_STATE)
		count_error(c);
	return false;
}

static void take_command(struct connection *c, struct str text)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA_MAX);
	struct imap_parser p;
	struct imap_command command;
	imap_parser_init(&p, arena, text, false);
	enum imap_command_check check = imap_command_begin(&p, IMAP_NOT_AUTHENTICATED, &command);
	if (may_go_on(c, &p, check, &command))
		carry_out(c, &p, &command);
}

/* A literal that waits: what will be refused anyway is refused before a password is sent in clear text. */
static void take_literal(struct connection *c, struct str text)
{
	struct imap_parser p;
	struct imap_command command;
	imap_parser_init(&p, NULL, text, false);
	enum imap_command_check check = imap_command_begin(&p, IMAP_NOT_AUTHENTICATED, &command);
	bool good = may_go_on(c, &p, check, &command);
	if (good && (command.verb != IMAP_LOGIN || connection_allows_password(c))) {
		buf_add_str(&c->output, STR("+ \r\n"));
		return;
	}
	if (good)
		say_no(c, "PRIVACYREQUIRED", IMAP_SAY_TLS_FIRST);
	forget_command(c);
}

/* ---- input --------------------------------------------------------------------------------------- */

static void refuse_collected(struct connection *c, enum imap_collected what)
{
	const struct imap_collector *collector = &c->imap->collector;
	struct str tag = imap_tag_of(buf_str(&collector->text));
	struct imap_values values = { .number = LIMIT_IMAP_LOGIN_LINE_MAX };
	if (c->authenticating) {
		link_auth_cancel(c);
		tag = str_of(c->imap->tag);
	}
	if (what == IMAP_TAKES_TOO_LONG) {
		say_values(c, STR("*"), "BYE", "TOOBIG", collector->too_big ? IMAP_SAY_LITERAL_TOO_BIG : IMAP_SAY_LINE_TOO_LONG,
		           &values);
		connection_close_after_output(c);
		return;
	}
	if (what == IMAP_TOO_BIG) /* RFC 7888 §5 wants BAD for what came unasked */
		say(c, tag, collector->refused_plus || !tag.length ? "BAD" : "NO", "TOOBIG", IMAP_SAY_LITERAL_TOO_BIG);
	else
		say_values(c, tag, "BAD", "TOOBIG", IMAP_SAY_LINE_TOO_LONG, &values);
	count_error(c);
}

/* Lines within AUTHENTICATE are no commands, and have no literals. */
static void take_response(struct connection *c, enum imap_collected what)
{
	struct imap_collector *collector = &c->imap->collector;
	if (what == IMAP_COMMAND) {
		continue_authentication(c, buf_str(&collector->text));
		return;
	}
	link_auth_cancel(c);
	say_bad(c, IMAP_SAY_BAD_BASE64);
	forget_command(c);
}

static void take_collected(struct connection *c, enum imap_collected what)
{
	struct imap_collector *collector = &c->imap->collector;
	struct str text = buf_str(&collector->text);
	if (what == IMAP_LINE_TOO_LONG || what == IMAP_TOO_BIG || what == IMAP_TAKES_TOO_LONG)
		refuse_collected(c, what);
	else if (c->authenticating)
		take_response(c, what);
	else if (what == IMAP_CONTINUE)
		take_literal(c, text);
	else
		take_command(c, text);
	/* no command takes a message here: it has been answered */
	if (what == IMAP_MESSAGE && collector->part == IMAP_COLLECT_MESSAGE)
		imap_collect_drop_message(collector);
}

static void imap_input(struct connection *c)
{
	while (connection_takes_input(c) && c->input.length) {
		struct str rest = buf_str(&c->input);
		enum imap_collected what = imap_collect(&c->imap->collector, &rest);
		buf_consume(&c->input, c->input.length - rest.length);
		if (what != IMAP_MORE)
			take_collected(c, what);
	}
}

/* ---- events ------------------------------------------------------------------------------------------ */

static void imap_greet(struct connection *c)
{
	begin_dialogue(c);
	buf_add_str(&c->output, STR("* OK [CAPABILITY "));
	write_capabilities(c);
	buf_add_str(&c->output, STR("] "));
	imap_text_add(&c->output, language_of(c), IMAP_SAY_READY, NULL);
	buf_add_str(&c->output, STR("\r\n"));
	connection_resume(c);
}

static void imap_tls_began(struct connection *c)
{
	if (service_is_tls(c->service)) {
		imap_greet(c);
		return;
	}
	/* RFC 9051 §11.1: nothing said before TLS counts */
	c->language[0] = c->client_id[0] = '\0';
	forget_command(c);
	connection_resume(c);
}

static void imap_challenge(struct connection *c, struct str challenge)
{
	buf_add_str(&c->output, STR("+ "));
	text_base64_encode(&c->output, challenge);
	buf_add_str(&c->output, STR("\r\n"));
	connection_resume(c);
}

/* Where the account has moved to, or NULL. */
static const char *referral_of(const struct connection *c)
{
	const struct config_referrals *referrals = &c->porter->daemon.config.imap_referrals;
	for (size_t i = 0; i < referrals->count; i++)
		if (str_equal_nocase(str_of(referrals->items[i].account), str_of(c->account)))
			return referrals->items[i].host;
	return NULL;
}

/* RFC 2221 §4.1, with a URL of RFC 5092 §11: what is not plainly a part of a name is encoded. Only who has the
 * password learns it. */
static void refer(struct connection *c, const char *host)
{
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(2048);
	buf_add_str(&code, STR("REFERRAL imap://"));
	for (const char *at = c->account; *at; at++)
		if (char_is_alpha(*at) || char_is_digit(*at) || *at == '-' || *at == '.' || *at == '_')
			buf_add_char(&code, *at);
		else
			buf_printf(&code, "%%%02X", (unsigned char)*at);
	buf_printf(&code, ";AUTH=*@%s/", host);
	say_values(c, str_of(c->imap->tag), "NO", buf_text(&code), IMAP_SAY_MOVED,
		&(struct imap_values){ .text = str_of(host) });
	c->flags &= ~(unsigned)SESSION_LOGGED_IN;
	c->account[0] = '\0';
	connection_resume(c);
}

static void imap_authenticated(struct connection *c, struct str additional)
{
	(void)additional;
	const char *host = referral_of(c);
	if (host)
		refer(c, host);
	else
		handover_to_mailbox(c);
}

static void imap_refused(struct connection *c, enum auth_reason reason, struct str text)
{
	static const struct {
		const char *condition, *code;
		enum imap_text text;
	} answers[] = {
		[AUTH_REASON_CREDENTIALS] = { "NO", "AUTHENTICATIONFAILED", IMAP_SAY_WRONG_PASSWORD }, /* RFC 5530 §3 */
		[AUTH_REASON_SYNTAX] = { "BAD", "", IMAP_SAY_INVALID },
		[AUTH_REASON_MECHANISM] = { "NO", "", IMAP_SAY_NO_MECHANISM },
		[AUTH_REASON_DISABLED] = { "NO", "AUTHENTICATIONFAILED", IMAP_SAY_WRONG_PASSWORD },
		[AUTH_REASON_BLOCKED] = { "NO", "UNAVAILABLE", IMAP_SAY_TEMPORARY },
		[AUTH_REASON_TEMPORARY] = { "NO", "UNAVAILABLE", IMAP_SAY_TEMPORARY },
		[AUTH_REASON_LOGIN_DELAY] = { "NO", "LIMIT", IMAP_SAY_TEMPORARY },
	};
	(void)text;
	must((unsigned)reason < COUNT_OF(answers));
	say(c, str_of(c->imap->tag), answers[reason].condition, answers[reason].code, answers[reason].text);
	count_error(c);
	if (c->phase != PHASE_CLOSING && c->phase != PHASE_GONE)
		connection_resume(c);
}

static void imap_session_refused(struct connection *c, struct str text)
{
	(void)text;
	say_no(c, "UNAVAILABLE", IMAP_SAY_TEMPORARY);
	say_bye(c, "UNAVAILABLE", IMAP_SAY_TEMPORARY);
}

/* UNAUTHENTICATE (RFC 8437) has been answered by the mailbox process. */
static void imap_returned(struct connection *c)
{
	c->flags &= ~(unsigned)SESSION_LOGGED_IN;
	c->language[0] = c->client_id[0] = c->account[0] = '\0';
	begin_dialogue(c);
	connection_resume(c);
}

static void imap_farewell(struct connection *c, enum fail_kind kind)
{
	if (kind == FAIL_TIMEOUT)
		say(c, STR("*"), "BYE", "", IMAP_SAY_AUTOLOGOUT);
	else if (kind == FAIL_LIMIT)
		say(c, STR("*"), "BYE", "LIMIT", IMAP_SAY_TOO_MANY_SESSIONS);
	else
		say(c, STR("*"), "BYE", "UNAVAILABLE", IMAP_SAY_SHUTTING_DOWN);
}

const struct dialogue imap_dialogue = {
	.greet = imap_greet, .input = imap_input, .tls_began = imap_tls_began, .challenge = imap_challenge,
	.authenticated = imap_authenticated, .refused = imap_refused, .session_refused = imap_session_refused,
	.returned = imap_returned, .farewell = imap_farewell,
	.too_busy = "* BYE [LIMIT] Too many connections, try again later\r\n",
};
