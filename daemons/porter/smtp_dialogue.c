/* SMTP, submission and LMTP before the first MAIL: greeting, EHLO, STARTTLS, AUTH. MAIL hands the session over. */
#include "porter.h"

#include "clock.h"
#include "log.h"
#include "smtp_ehlo.h"
#include "smtp_helo.h"
#include "smtp_line.h"
#include "smtp_session.h"
#include "text.h"

static enum smtp_protocol protocol_of(const struct connection *c)
{
	return c->service == SERVICE_SMTP ? SMTP_ON_MX : c->service == SERVICE_LMTP ? SMTP_ON_LMTP : SMTP_ON_SUBMISSION;
}

static const struct config *config_of(const struct connection *c)
{
	return &c->porter->daemon.config;
}

static void answer(struct connection *c, int code, const char *enhanced, const char *text)
{
	smtp_reply_add(&c->output, &(struct smtp_reply){ code, enhanced, text });
}

/* RFC 5321 §4.2.1: the greeting names the host and nothing that helps an attacker. */
static void greet_now(void *owner)
{
	struct connection *c = owner;
	smtp_reply_printf(&c->output, 220, NULL, "%s %s Posthorn", config_of(c)->hostname,
	                  c->service == SERVICE_LMTP ? "LMTP" : "ESMTP");
	connection_resume(c);
}

static void smtp_greet(struct connection *c)
{
	int64_t wait_ms = config_of(c)->pregreet_wait_ms;
	if (c->service != SERVICE_SMTP || c->exempt || c->trusted || wait_ms == 0) {
		greet_now(c);
		return;
	}
	/* Watched for input meanwhile: RFC 5321 §3.1 lets the server speak first; what speaks before is a robot. */
	c->phase = PHASE_GREETING;
	connection_set_timer(c, wait_ms, greet_now);
	connection_flush(c);
}

static unsigned facts_of(const struct connection *c)
{
	bool submits = protocol_of(c) == SMTP_ON_SUBMISSION;
	bool returned = c->flags & SESSION_POOL_WAIT;
	unsigned facts = 0;
	if (connection_is_secure(c))
		facts |= SMTP_TLS_ACTIVE;
	if (c->porter->tls && c->service != SERVICE_LMTP)
		facts |= SMTP_TLS_OFFERED;
	if (c->flags & SESSION_LOGGED_IN)
		facts |= SMTP_LOGGED_IN;
	if (submits && !c->trusted)
		facts |= SMTP_LOGIN_REQUIRED;
	if (connection_allows_password(c))
		facts |= SMTP_CLEAR_LOGIN_OK;
	if (returned)
		facts |= SMTP_HANDED_OVER;
	return facts;
}

/* RFC 4954 §3: announced only where it would be accepted now. */
static void list_mechanisms(const struct connection *c, char *names, size_t size)
{
	CLEANUP(buf_release) struct buf list = BUF_WITH_LIMIT(size - 1);
	mechanism_list(&list, c->porter->mechanisms, connection_is_secure(c), connection_allows_password(c));
	memcpy(names, buf_text(&list), list.length + 1);
}

static void answer_ehlo(struct connection *c)
{
	const struct config *config = config_of(c);
	bool returned = c->flags & SESSION_POOL_WAIT;
	const struct smtp_offer offer = {
		.protocol = protocol_of(c), .tls = connection_is_secure(c), .size = config->message_size_max,
		.recipient_max = config->recipients_max, .hold_max = config->future_release_max_seconds,
		.now = clock_wall_seconds(), .by_min = config->deliver_by_minimum_seconds,
	};
	struct smtp_ehlo ehlo = smtp_session_offer(&offer);
	if (!returned && !c->tls && facts_of(c) & SMTP_TLS_OFFERED)
		ehlo.extensions |= SMTP_STARTTLS;
	if (!returned && protocol_of(c) == SMTP_ON_SUBMISSION && !(c->flags & SESSION_LOGGED_IN)) {
		list_mechanisms(c, ehlo.mechanisms, sizeof ehlo.mechanisms);
		ehlo.extensions |= ehlo.mechanisms[0] ? SMTP_AUTH : 0;
	}
	smtp_ehlo_write(&c->output, &ehlo, str_of(config->hostname), str_of(c->helo));
}

static void greeted(struct connection *c, const struct smtp_request *request)
{
	struct smtp_helo helo;
	const struct smtp_reply *refusal = smtp_helo_parse(request->argument, &helo);
	if (refusal) {
		smtp_reply_add(&c->output, refusal);
		return;
	}
	memcpy(c->helo, helo.name, sizeof c->helo);
	if (request->command->id == SMTP_COMMAND_HELO) {
		c->flags &= ~(unsigned)SESSION_ESMTP;
		smtp_reply_printf(&c->output, 250, NULL, "%s", config_of(c)->hostname);
		return;
	}
	c->flags |= SESSION_ESMTP;
	answer_ehlo(c);
}

/* RFC 3207 §4: nothing stands behind STARTTLS, smtp_command_check has seen to that. */
static void start_tls(struct connection *c)
{
	answer(c, 220, "2.0.0", "Ready to start TLS");
	uint64_t id = c->id;
	connection_flush(c);
	if (c->phase == PHASE_GONE || id != c->id)
		return;
	connection_begin_tls(c);
	connection_flush(c);
}

/* RFC 3207 §4.2: what was said before TLS is forgotten. */
static void smtp_tls_began(struct connection *c)
{
	if (service_is_tls(c->service)) {
		smtp_greet(c);
		return;
	}
	c->helo[0] = '\0';
	c->flags &= ~(unsigned)SESSION_ESMTP;
	connection_resume(c);
}

static bool decode_base64(struct connection *c, struct str text, struct buf *decoded)
{
	if (text_base64_decode(decoded, text))
		return true;
	answer(c, 501, "5.5.2", "That is not base64");
	return false;
}

/* RFC 4954 §4: AUTH mechanism [initial response]; "=" is an empty one. */
static void begin_auth(struct connection *c, struct str argument)
{
	CLEANUP(buf_release) struct buf initial = BUF_WITH_LIMIT(LIMIT_SMTP_AUTH_LINE_MAX);
	struct str mechanism = {};
	bool has_initial = str_find_char(argument, ' ') < argument.length;
	str_take_until(&argument, ' ', &mechanism);
	unsigned bit = mechanism_find(mechanism);
	if (!(bit & c->porter->mechanisms)) {
		answer(c, 504, "5.5.4", "That mechanism is not offered");
		return;
	}
	if (mechanism_sends_password(bit) && !connection_allows_password(c)) {
		answer(c, 538, "5.7.11", "That mechanism needs TLS: say STARTTLS first");
		return;
	}
	if (has_initial && !str_equal(argument, STR("=")) && !decode_base64(c, argument, &initial))
		return;
	link_auth_start(c, mechanism, has_initial, buf_str(&initial));
}

static void continue_auth(struct connection *c, struct str line)
{
	CLEANUP(buf_release) struct buf response = BUF_WITH_LIMIT(LIMIT_SMTP_AUTH_LINE_MAX);
	if (str_equal(line, STR("*"))) {
		link_auth_cancel(c);
		answer(c, 501, "5.7.0", "Log-in cancelled");
		return;
	}
	if (!decode_base64(c, line, &response)) {
		link_auth_cancel(c);
		return;
	}
	link_auth_step(c, buf_str(&response));
}

static void smtp_challenge(struct connection *c, struct str challenge)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(2 * LIMIT_SMTP_AUTH_LINE_MAX);
	text_base64_encode(&text, challenge);
	buf_add_str(&c->output, STR("334 "));
	buf_add_str(&c->output, buf_str(&text));
	buf_add_str(&c->output, STR("\r\n"));
	connection_resume(c);
}

static void smtp_authenticated(struct connection *c, struct str additional)
{
	(void)additional; /* RFC 4954 §4: it came as a challenge that the client answered with an empty line */
	answer(c, 235, "2.7.0", "Logged in");
	connection_resume(c);
}

/* Bad commands and failed log-ins alike: who goes on guessing is sent away. */
static bool has_too_many_errors(struct connection *c)
{
	if (++c->errors <= LIMIT_SMTP_ERRORS_MAX)
		return false;
	answer(c, 421, "4.7.0", "Too many errors");
	return true;
}

static void smtp_refused(struct connection *c, enum auth_reason reason, struct str text)
{
	static const struct smtp_reply replies[] = {
		[AUTH_REASON_CREDENTIALS] = { 535, "5.7.8", "User or password is wrong" },
		[AUTH_REASON_SYNTAX] = { 501, "5.5.2", "The mechanism's data makes no sense" },
		[AUTH_REASON_MECHANISM] = { 504, "5.5.4", "That mechanism is not offered" },
		[AUTH_REASON_DISABLED] = { 535, "5.7.8", "User or password is wrong" },
		[AUTH_REASON_BLOCKED] = { 454, "4.7.0", "Too many failed log-ins from your address; try again later" },
		[AUTH_REASON_TEMPORARY] = { 454, "4.7.0", "Log-in is not possible for the moment; try again" },
		[AUTH_REASON_LOGIN_DELAY] = { 454, "4.7.0", "Log-in is not possible for the moment; try again" },
	};
	(void)text;
	must((unsigned)reason < COUNT_OF(replies));
	smtp_reply_add(&c->output, &replies[reason]);
	if (has_too_many_errors(c))
		connection_close_after_output(c);
	else
		connection_resume(c);
}

static void begin_mail(struct connection *c, struct str line)
{
	/* smtpd reads the MAIL line itself: it goes back in front of what follows it. */
	CLEANUP(buf_release) struct buf rest = BUF_WITH_LIMIT(INPUT_MAX);
	buf_add_str(&rest, line);
	buf_add_str(&rest, STR("\r\n"));
	buf_add_str(&rest, buf_str(&c->input));
	buf_clear(&c->input);
	buf_add_str(&c->input, buf_str(&rest));
	/* More than fits into the frame stays in the socket only for TLS or plain input that was not read; here it is
	 * bounded. */
	if (handover_to_smtpd(c))
		return;
	answer(c, 421, "4.3.2", "Too busy, try again later");
	connection_close_after_output(c);
}

static void carry_out(struct connection *c, const struct smtp_request *request, struct str line)
{
	const struct smtp_reply *simple = smtp_simple_reply(protocol_of(c), request->command->id);
	if (simple)
		smtp_reply_add(&c->output, simple);
	switch (request->command->id) {
	case SMTP_COMMAND_EHLO:
	case SMTP_COMMAND_HELO:
	case SMTP_COMMAND_LHLO: greeted(c, request); break;
	case SMTP_COMMAND_STARTTLS: start_tls(c); break;
	case SMTP_COMMAND_AUTH: begin_auth(c, request->argument); break;
	case SMTP_COMMAND_MAIL: begin_mail(c, line); break;
	case SMTP_COMMAND_QUIT: connection_close_after_output(c); break;
	default: break;
	}
}

static void refuse(struct connection *c, const struct smtp_reply *refusal, const struct smtp_request *request)
{
	smtp_reply_add(&c->output, refusal);
	c->chunk_left = request->octets_behind;
	if (request->must_close && request->command->id == SMTP_COMMAND_STARTTLS)
		log_event(LOG_WARNING, c->id, "starttls-injection", LOG_TEXT("peer", str_of(c->peer)));
	if (has_too_many_errors(c) || request->must_close)
		connection_close_after_output(c);
}

static void take_line(struct connection *c, struct str line)
{
	struct smtp_request request = {};
	if (c->authenticating) {
		continue_auth(c, line);
		return;
	}
	unsigned facts = facts_of(c) | (c->input.length ? SMTP_BYTES_BEHIND : 0);
	enum smtp_phase phase = smtp_phase_of(c->helo[0] != '\0', false, 0, false);
	const struct smtp_reply *refusal = smtp_command_check(protocol_of(c), phase, facts, line, &request);
	if (refusal)
		refuse(c, refusal, &request);
	else
		carry_out(c, &request, line);
}

/* RFC 5321 §3.1, §7.8: what speaks before the greeting does not speak SMTP. */
static void refuse_early_talker(struct connection *c)
{
	log_event(LOG_INFO, c->id, "pregreeted", LOG_TEXT("peer", str_of(c->peer)));
	answer(c, 554, "5.5.1", "You spoke before the greeting");
	connection_close_after_output(c);
}

/* A line that is too long or has forbidden bytes; within AUTH it ends the exchange (RFC 4954 §4). */
static void refuse_line(struct connection *c, enum smtp_line_kind kind)
{
	if (c->authenticating)
		link_auth_cancel(c);
	refuse(c, smtp_line_refusal(kind), &(struct smtp_request){});
}

/* RFC 3030 §2: the chunk follows even when BDAT is refused. */
static void skip_chunk(struct connection *c)
{
	size_t skipped = c->input.length < c->chunk_left ? c->input.length : (size_t)c->chunk_left;
	buf_consume(&c->input, skipped);
	c->chunk_left -= skipped;
}

static void smtp_input(struct connection *c)
{
	if (c->phase == PHASE_GREETING) {
		refuse_early_talker(c);
		return;
	}
	while (connection_takes_input(c)) {
		skip_chunk(c);
		struct str input = buf_str(&c->input), line;
		/* RFC 4954 §4: AUTH lines are longer than others. */
		bool is_auth = c->authenticating || str_starts_nocase(input, STR("AUTH "));
		size_t limit = is_auth ? LIMIT_SMTP_AUTH_LINE_MAX : LIMIT_SMTP_LINE_MAX;
		enum smtp_line_kind kind = smtp_line_take(&c->lines, &input, limit, &line);
		CLEANUP(buf_release) struct buf kept = BUF_WITH_LIMIT(LIMIT_SMTP_AUTH_LINE_MAX);
		if (kind == SMTP_LINE_COMMAND)
			buf_add_str(&kept, line);
		buf_consume(&c->input, c->input.length - input.length);
		if (kind == SMTP_LINE_NONE)
			return;
		if (kind == SMTP_LINE_COMMAND)
			take_line(c, buf_str(&kept));
		else
			refuse_line(c, kind);
	}
}

static void smtp_session_refused(struct connection *c, struct str text)
{
	(void)text; /* smtpd takes sessions from the pool: master is not asked */
	smtp_reply_add(&c->output, &(struct smtp_reply){ 421, "4.3.2", "Too busy, try again later" });
	connection_close_after_output(c);
}

static void smtp_returned(struct connection *c)
{
	connection_resume(c);
}

static void smtp_farewell(struct connection *c, enum fail_kind kind)
{
	if (kind == FAIL_TIMEOUT)
		smtp_reply_printf(&c->output, 421, "4.4.2", "%s Silent for too long", config_of(c)->hostname);
	else if (kind == FAIL_LIMIT && c->service == SERVICE_LMTP)
		smtp_reply_printf(&c->output, 421, "4.7.0",
		                  "%s Your address is not in lmtp_networks, or has too many connections",
		                  config_of(c)->hostname);
	else if (kind == FAIL_LIMIT)
		smtp_reply_printf(&c->output, 421, "4.7.0", "%s Too many connections or failed log-ins from your address",
		                  config_of(c)->hostname);
	else if (kind == FAIL_DENIED)
		smtp_reply_printf(&c->output, 421, "4.7.0", "%s This session has been ended", config_of(c)->hostname);
	else
		smtp_reply_printf(&c->output, 421, "4.3.2", "%s Shutting down, try again later", config_of(c)->hostname);
}

const struct dialogue smtp_dialogue = {
	.greet = smtp_greet, .input = smtp_input, .tls_began = smtp_tls_began, .challenge = smtp_challenge,
	.authenticated = smtp_authenticated, .refused = smtp_refused, .session_refused = smtp_session_refused,
	.returned = smtp_returned, .farewell = smtp_farewell,
	.too_busy = "421 4.3.2 Too many connections, try again later\r\n",
};
