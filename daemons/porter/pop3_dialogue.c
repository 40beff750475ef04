/* POP3 in the AUTHORIZATION state (RFC 1939 §4): greeting, CAPA, STLS, USER and PASS, APOP, AUTH, UTF8, LANG, QUIT.
 * The answer to a successful log-in comes from the mailbox process, which may also refuse it ([IN-USE]). */
#include "porter.h"

#include "capa.h"
#include "command.h"
#include "offer.h"
#include "reply.h"
#include "text.h"

static enum pop3_language language_of(const struct connection *c)
{
	enum pop3_language language = (enum pop3_language)c->porter->daemon.config.default_language;
	pop3_language_find(str_of(c->language), language, &language);
	return language;
}

static void say_ok(struct connection *c, enum pop3_text text)
{
	pop3_reply_ok(&c->output, language_of(c), text, NULL);
}

static void say_err(struct connection *c, enum pop3_code code, enum pop3_text text)
{
	pop3_reply_err(&c->output, language_of(c), code, text, NULL);
}

static void pop3_greet(struct connection *c)
{
	pop3_reply_greeting(&c->output, str_of(c->apop_timestamp));
	connection_resume(c);
}

static void pop3_tls_began(struct connection *c)
{
	if (service_is_tls(c->service)) {
		pop3_greet(c);
		return;
	}
	c->user[0] = '\0'; /* RFC 2595 §4: nothing said before TLS counts */
	connection_resume(c);
}

static struct pop3_situation situation_of(const struct connection *c)
{
	return (struct pop3_situation){
		.state = POP3_AUTHORIZATION, .tls = connection_is_secure(c), .stls_offered = c->porter->tls != NULL,
		.clear_text_allowed = connection_allows_password(c), .user_given = c->user[0] != '\0',
		.utf8 = c->flags & SESSION_UTF8, .language = language_of(c),
	};
}

static void answer_capa(struct connection *c, const struct pop3_situation *situation)
{
	const struct config *config = &c->porter->daemon.config;
	CLEANUP(buf_release) struct buf mechanisms = BUF_WITH_LIMIT(400);
	mechanism_list(&mechanisms, c->porter->mechanisms, situation->tls, situation->clear_text_allowed);
	struct pop3_capabilities capabilities = pop3_offer(config->pop3_expire, config->pop3_login_delay_seconds);
	capabilities.stls = situation->stls_offered;
	capabilities.sasl = mechanisms.length > 0;
	capabilities.mechanisms = buf_str(&mechanisms);
	pop3_capa_answer(&c->output, &capabilities, situation);
}

/* RFC 2595 §4, and the same rule as for SMTP: nothing may be pipelined behind it. */
static void start_tls(struct connection *c)
{
	if (c->input.length) {
		say_err(c, POP3_NO_CODE, POP3_SAY_PIPELINED_TLS);
		connection_close_after_output(c);
		return;
	}
	say_ok(c, POP3_SAY_BEGIN_TLS);
	connection_flush(c);
	if (c->phase == PHASE_GONE)
		return;
	connection_begin_tls(c);
	connection_flush(c);
}

static void set_user(struct connection *c, struct str user)
{
	if (user.length >= sizeof c->user) {
		say_err(c, POP3_NO_CODE, POP3_SAY_INVALID);
		return;
	}
	memcpy(c->user, user.data, user.length);
	c->user[user.length] = '\0';
	/* RFC 1939 §7: the same answer for every name, so that nobody learns which exist. */
	say_ok(c, POP3_SAY_SEND_PASSWORD);
}

static void log_in_with_password(struct connection *c, struct str password)
{
	char user[sizeof c->user];
	memcpy(user, c->user, sizeof user);
	c->user[0] = '\0';
	if (password.length > LIMIT_PASSWORD_MAX || !text_is_utf8(str_of(user)))
		say_err(c, POP3_AUTH, POP3_SAY_WRONG_PASSWORD);
	else
		link_auth_password(c, str_of(user), password);
}

static void log_in_with_apop(struct connection *c, struct str user, struct str digest)
{
	if (!c->apop_timestamp[0])
		say_err(c, POP3_NO_CODE, POP3_SAY_NO_APOP);
	else if (user.length > LIMIT_ADDRESS_MAX || digest.length > 64 || !text_is_utf8(user) || !text_is_utf8(digest))
		say_err(c, POP3_AUTH, POP3_SAY_WRONG_PASSWORD);
	else
		link_auth_apop(c, user, digest);
}

/* RFC 5034 §4: AUTH mechanism [initial response]; "=" is an empty one. */
static void begin_auth(struct connection *c, const struct pop3_command *command)
{
	CLEANUP(buf_release) struct buf initial = BUF_WITH_LIMIT(LIMIT_POP3_AUTH_LINE_MAX);
	bool has_initial = command->argument_count > 1;
	struct str text = command->arguments[1];
	unsigned bit = mechanism_find(command->arguments[0]);
	if (!(bit & c->porter->mechanisms))
		say_err(c, POP3_NO_CODE, POP3_SAY_NO_MECHANISM);
	else if (mechanism_sends_password(bit) && !connection_allows_password(c))
		say_err(c, POP3_NO_CODE, POP3_SAY_TLS_FIRST);
	else if (has_initial && !str_equal(text, STR("=")) && !text_base64_decode(&initial, text))
		say_err(c, POP3_NO_CODE, POP3_SAY_BAD_BASE64);
	else
		link_auth_start(c, command->arguments[0], has_initial, buf_str(&initial));
}

static void continue_auth(struct connection *c, struct str line)
{
	CLEANUP(buf_release) struct buf response = BUF_WITH_LIMIT(LIMIT_POP3_AUTH_LINE_MAX);
	bool cancelled = str_equal(line, STR("*"));
	if (!cancelled && text_base64_decode(&response, line)) {
		link_auth_step(c, buf_str(&response));
		return;
	}
	link_auth_cancel(c);
	say_err(c, POP3_NO_CODE, cancelled ? POP3_SAY_LOGIN_CANCELLED : POP3_SAY_BAD_BASE64);
}

/* LANG without argument lists, "*" goes back to the default (RFC 6856 §3.2). */
static void choose_language(struct connection *c, const struct pop3_command *command)
{
	enum pop3_language standard = (enum pop3_language)c->porter->daemon.config.default_language, language;
	if (command->argument_count == 0) {
		pop3_reply_languages(&c->output, language_of(c));
		return;
	}
	if (!pop3_language_find(command->arguments[0], standard, &language)) {
		pop3_reply_err(&c->output, language_of(c), POP3_NO_CODE, POP3_SAY_LANGUAGE_UNKNOWN,
		               &(struct pop3_values){ .text = command->arguments[0] });
		return;
	}
	struct str tag = pop3_language_tag(language);
	memcpy(c->language, tag.data, tag.length);
	c->language[tag.length] = '\0';
	pop3_reply_language(&c->output, language);
}

static void carry_out(struct connection *c, const struct pop3_command *command, const struct pop3_situation *situation)
{
	switch (command->verb) {
	case POP3_VERB_CAPA: answer_capa(c, situation); break;
	case POP3_VERB_STLS: start_tls(c); break;
	case POP3_VERB_UTF8:
		c->flags |= SESSION_UTF8;
		say_ok(c, POP3_SAY_UTF8_ON);
		break;
	case POP3_VERB_LANG: choose_language(c, command); break;
	case POP3_VERB_USER: set_user(c, command->arguments[0]); break;
	case POP3_VERB_PASS: log_in_with_password(c, command->arguments[0]); break;
	case POP3_VERB_APOP: log_in_with_apop(c, command->arguments[0], command->arguments[1]); break;
	case POP3_VERB_AUTH: begin_auth(c, command); break;
	case POP3_VERB_QUIT:
		say_ok(c, POP3_SAY_BYE);
		connection_close_after_output(c);
		break;
	default: must(false); /* pop3_command_check lets only these pass before log-in */
	}
}

static void count_error(struct connection *c)
{
	if (++c->errors <= LIMIT_POP3_ERRORS_MAX)
		return;
	say_err(c, POP3_NO_CODE, POP3_SAY_TOO_MANY_ERRORS);
	connection_close_after_output(c);
}

static void take_line(struct connection *c, struct str line)
{
	struct pop3_command command;
	struct pop3_situation situation = situation_of(c);
	if (c->authenticating) {
		continue_auth(c, line);
		return;
	}
	if (!pop3_command_check(&situation, line, &command, &c->output)) {
		c->user[0] = '\0';
		count_error(c);
		return;
	}
	if (command.verb != POP3_VERB_PASS && command.verb != POP3_VERB_USER)
		c->user[0] = '\0';
	carry_out(c, &command, &situation);
}

/* Takes one line from the input, without its CRLF or LF, into line; false when there is none yet. */
static bool next_line(struct connection *c, struct buf *line)
{
	size_t end = str_find_char(buf_str(&c->input), '\n');
	if (end == c->input.length)
		return false;
	size_t length = end > 0 && c->input.data[end - 1] == '\r' ? end - 1 : end;
	buf_append(line, c->input.data, length);
	buf_consume(&c->input, end + 1);
	return true;
}

static void refuse_long_line(struct connection *c)
{
	if (c->authenticating)
		link_auth_cancel(c);
	c->discarding = false;
	pop3_command_too_long(&c->output, language_of(c));
	count_error(c);
}

static void pop3_input(struct connection *c)
{
	while (connection_takes_input(c)) {
		CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(LIMIT_POP3_AUTH_LINE_MAX);
		if (next_line(c, &line)) {
			if (c->discarding || line.overflowed)
				refuse_long_line(c);
			else
				take_line(c, buf_str(&line));
			continue;
		}
		/* An endless line is dropped as it comes. */
		if (c->input.length > LIMIT_POP3_AUTH_LINE_MAX) {
			c->discarding = true;
			buf_clear(&c->input);
		}
		return;
	}
}

static void pop3_challenge(struct connection *c, struct str challenge)
{
	pop3_reply_challenge(&c->output, challenge);
	connection_resume(c);
}

static void pop3_authenticated(struct connection *c, struct str additional)
{
	(void)additional;
	handover_to_mailbox(c);
}

static void pop3_refused(struct connection *c, enum auth_reason reason, struct str text)
{
	static const struct {
		enum pop3_code code;
		enum pop3_text text;
	} answers[] = {
		[AUTH_REASON_CREDENTIALS] = { POP3_AUTH, POP3_SAY_WRONG_PASSWORD },
		[AUTH_REASON_SYNTAX] = { POP3_NO_CODE, POP3_SAY_INVALID },
		[AUTH_REASON_MECHANISM] = { POP3_NO_CODE, POP3_SAY_NO_MECHANISM },
		[AUTH_REASON_DISABLED] = { POP3_AUTH, POP3_SAY_WRONG_PASSWORD },
		[AUTH_REASON_BLOCKED] = { POP3_SYS_TEMP, POP3_SAY_TEMPORARY },
		[AUTH_REASON_TEMPORARY] = { POP3_SYS_TEMP, POP3_SAY_TEMPORARY },
		[AUTH_REASON_LOGIN_DELAY] = { POP3_LOGIN_DELAY, POP3_SAY_LOGIN_DELAY },
	};
	(void)text;
	must((unsigned)reason < COUNT_OF(answers));
	say_err(c, answers[reason].code, answers[reason].text);
	count_error(c);
	if (c->phase != PHASE_CLOSING && c->phase != PHASE_GONE)
		connection_resume(c);
}

static void pop3_session_refused(struct connection *c, struct str text)
{
	(void)text;
	say_err(c, POP3_SYS_TEMP, POP3_SAY_TEMPORARY);
	connection_close_after_output(c);
}

/* A session comes back to be logged in anew. */
static void pop3_returned(struct connection *c)
{
	c->flags &= ~(unsigned)SESSION_LOGGED_IN;
	connection_resume(c);
}

static void pop3_farewell(struct connection *c, enum fail_kind kind)
{
	if (kind == FAIL_TIMEOUT)
		say_err(c, POP3_NO_CODE, POP3_SAY_AUTOLOGOUT);
	else
		say_err(c, POP3_SYS_TEMP, kind == FAIL_LIMIT ? POP3_SAY_TOO_MANY_SESSIONS : POP3_SAY_SHUTTING_DOWN);
}

const struct dialogue pop3_dialogue = {
	.greet = pop3_greet, .input = pop3_input, .tls_began = pop3_tls_began, .challenge = pop3_challenge,
	.authenticated = pop3_authenticated, .refused = pop3_refused, .session_refused = pop3_session_refused,
	.returned = pop3_returned, .farewell = pop3_farewell,
	.too_busy = "-ERR [SYS/TEMP] too many connections, try again later\r\n",
};
