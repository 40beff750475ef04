#include "exerciser_internal.h"

#include "answer.h"
#include "command.h"

enum state { AUTHORIZATION, TRANSACTION, UPDATE, CLOSED };

static const char *const states[] = { "AUTHORIZATION", "TRANSACTION", "UPDATE", N_("closed") };

/* What +OK and -ERR mean behind each command. */
static const struct {
	const char *ok, *err, *rfc;
} answers[POP3_VERB_COUNT] = {
	[POP3_VERB_CAPA] = { N_("The capabilities follow, one per line, up to a dot."),
	                     N_("This server has no CAPA: what it can do must be tried."), "RFC 2449 §5" },
	[POP3_VERB_STLS] = { N_("The server is ready: the TLS handshake comes next."),
	                     N_("TLS can't begin here: it is not offered, or there already."), "RFC 2595 §4" },
	[POP3_VERB_UTF8] = { N_("From now on headers, names and passwords may be UTF-8."), N_("The server keeps to ASCII."),
	                     "RFC 6856 §2.1" },
	[POP3_VERB_LANG] = { N_("The server speaks this language from now on, or lists those it knows."),
	                     N_("The server does not know this language and goes on in the one it uses."),
	                     "RFC 6856 §3.2" },
	[POP3_VERB_USER] = { N_("The name is noted, which does not say that there is such a mailbox; PASS comes next."),
	                     N_("The name is refused, or passwords in clear text are: then begin TLS first."),
	                     "RFC 1939 §7" },
	[POP3_VERB_PASS] = { N_("You are logged in and hold the lock of the maildrop: the TRANSACTION state begins."),
	                     N_("The log-in failed, or another session holds the maildrop; begin again with USER."),
	                     "RFC 1939 §7" },
	[POP3_VERB_APOP] = { N_("The digest is right: you are logged in without having sent the password."),
	                     N_("The digest is wrong, or the account has no APOP."), "RFC 1939 §7" },
	[POP3_VERB_AUTH] = { N_("The SASL exchange succeeded: you are logged in."),
	                     N_("The SASL exchange failed; the state is as before."), "RFC 5034 §4" },
	[POP3_VERB_STAT] = { N_("The number of messages and their octets, those marked as deleted not counted."),
	                     N_("STAT needs the TRANSACTION state: log in first."), "RFC 1939 §5" },
	[POP3_VERB_LIST] = { N_("Message numbers with their sizes in octets."),
	                     N_("There is no such message, or it is marked as deleted."), "RFC 1939 §5" },
	[POP3_VERB_UIDL] = { N_("Message numbers with the unique ids that stay the same from session to session."),
	                     N_("There is no such message, or the server keeps no unique ids."), "RFC 1939 §7" },
	[POP3_VERB_RETR] = { N_("The message follows up to a line with a dot alone; dots that begin a line are doubled."),
	                     N_("There is no such message, or it is marked as deleted."), "RFC 1939 §5" },
	[POP3_VERB_TOP] = { N_("The headers follow, a blank line, and as many lines of the body as you asked for."),
	                    N_("There is no such message, or the server has no TOP."), "RFC 1939 §7" },
	[POP3_VERB_DELE] = { N_("The message is marked; it is removed only when QUIT is answered."),
	                     N_("There is no such message, or it is marked already."), "RFC 1939 §5" },
	[POP3_VERB_RSET] = { N_("All marks of DELE are taken back."), N_("RSET needs the TRANSACTION state: log in first."),
	                     "RFC 1939 §5" },
	[POP3_VERB_NOOP] = { N_("Nothing was done, and the server's inactivity timer began anew."),
	                     N_("NOOP needs the TRANSACTION state: log in first."), "RFC 1939 §5" },
	[POP3_VERB_QUIT] = { N_("The session ends."),
	                     N_("The session ends, but the server could not remove all that was marked."), "RFC 1939 §6" },
};

static const struct {
	const char *sentence, *rfc;
} codes[POP3_CODE_COUNT] = {
	[POP3_IN_USE] = { N_("Another session holds the lock of the maildrop; try again when it has ended."),
	                  "RFC 2449 §8.1.2" },
	[POP3_LOGIN_DELAY] = { N_("You have logged in a short time ago; the server wants a pause between sessions."),
	                       "RFC 2449 §8.1.1" },
	[POP3_SYS_TEMP] = { N_("The server has a trouble that will pass; try again later."), "RFC 3206 §4" },
	[POP3_SYS_PERM] = { N_("The server has a trouble that somebody must mend first."), "RFC 3206 §4" },
	[POP3_AUTH] = { N_("The name or the password is wrong, and nothing else is."), "RFC 3206 §5" },
	[POP3_UTF8] = { N_("This needs UTF-8: send UTF8 before the log-in."), "RFC 6856 §5" },
};

static const struct exerciser_word capabilities[] = {
	{ "TOP", N_("TOP fetches headers without the whole message."), "RFC 2449 §6.1" },
	{ "USER", N_("USER and PASS may be used."), "RFC 2449 §6.2" },
	{ "SASL", N_("AUTH may be used with these mechanisms."), "RFC 2449 §6.3" },
	{ "RESP-CODES", N_("Answers may begin with a code in brackets."), "RFC 2449 §6.4" },
	{ "LOGIN-DELAY", N_("So many seconds must lie between two log-ins."), "RFC 2449 §6.5" },
	{ "PIPELINING", N_("Several commands may be sent without waiting for answers."), "RFC 2449 §6.6" },
	{ "EXPIRE", N_("For so many days mails are kept here, or for ever."), "RFC 2449 §6.7" },
	{ "UIDL", N_("UIDL gives lasting unique ids."), "RFC 2449 §6.8" },
	{ "IMPLEMENTATION", N_("What program the server is."), "RFC 2449 §6.9" },
	{ "STLS", N_("STLS begins TLS on this connection."), "RFC 2595 §4" },
	{ "AUTH-RESP-CODE", N_("A failed log-in says whether the password was the reason."), "RFC 3206 §6" },
	{ "UTF8", N_("UTF8 allows headers in UTF-8."), "RFC 6856 §2" },
	{ "LANG", N_("LANG chooses the language of the server's texts."), "RFC 6856 §3" },
};

static size_t count_words(struct str text)
{
	size_t words = 0;
	struct str word;
	while (str_take_until(&text, ' ', &word))
		words += word.length > 0;
	return words;
}

static bool is_login(int verb)
{
	return verb == POP3_VERB_PASS || verb == POP3_VERB_APOP || verb == POP3_VERB_AUTH;
}

static void client_line(struct exerciser *x, struct str line, struct buf *shown)
{
	static const char *const secret_commands[] = { "PASS", "APOP", "AUTH", NULL };
	enum pop3_verb verb;
	size_t end = str_find_char(line, ' ');
	if (x->client_turn) {
		x->client_turn = false;
		buf_add_str(shown, str_equal(line, STR("*")) ? line : STR("***"));
		return;
	}
	bool known = pop3_command_find(str_first(line, end), &verb);
	struct exerciser_pending *p = exerciser_push(x, known ? (int)verb : EXERCISER_UNKNOWN);
	p->lists = known && pop3_command_has_listing(verb, (unsigned)count_words(str_from_index(line, end + 1)));
	if (known)
		pop3_command_mask(shown, line);
	else
		exerciser_show_unknown(x, line, secret_commands, shown);
	x->secret_may_follow = known ? verb == POP3_VERB_AUTH : x->secret_may_follow;
}

static void explain_ok(struct exerciser *x, const struct exerciser_pending *p, struct exerciser_note *note)
{
	if (is_login(p->verb)) {
		x->state = TRANSACTION;
		x->is_logged_in = true;
		x->secret_may_follow = false;
	}
	exerciser_explain(note, answers[p->verb].ok, answers[p->verb].rfc);
	note->begins_tls = p->verb == POP3_VERB_STLS;
	if (p->verb == POP3_VERB_QUIT && x->state == TRANSACTION) {
		x->state = UPDATE;
		exerciser_explain(
			note, N_("The server has removed what was marked, released the maildrop and closes the connection."),
			"RFC 1939 §6");
	} else if (p->verb == POP3_VERB_QUIT) {
		x->state = CLOSED;
		exerciser_explain(note, N_("The session ends before the log-in: there was nothing to remove."), "RFC 1939 §4");
	}
}

/* A command in the wrong state is the usual reason. */
static void explain_err(const struct exerciser *x, const struct exerciser_pending *p, const struct pop3_status *status,
                        struct exerciser_note *note)
{
	unsigned now = x->state == AUTHORIZATION ? POP3_AUTHORIZATION : POP3_TRANSACTION;
	if (status->code != POP3_NO_CODE)
		exerciser_explain(note, codes[status->code].sentence, codes[status->code].rfc);
	else if (p->verb == EXERCISER_UNKNOWN)
		exerciser_explain(note, N_("The server does not know this command, or not in this state."), "RFC 1939 §3");
	else if (!(pop3_command_info((enum pop3_verb)p->verb)->states & now))
		exerciser_explain(note, N_("This command does not belong to the present state."), "RFC 1939 §3");
	else
		exerciser_explain(note, answers[p->verb].err, answers[p->verb].rfc);
}

static void greeting(struct exerciser *x, const struct pop3_status *status, struct str line,
                     struct exerciser_note *note)
{
	if (!status->ok) {
		x->state = CLOSED;
		exerciser_explain(note, N_("The server does not serve you now and closes the connection."), "RFC 1939 §4");
	} else if (pop3_greeting_timestamp(line).length) {
		exerciser_explain(note, N_("The server greets; the text in angle brackets is the timestamp for APOP."),
		                  "RFC 1939 §7");
	} else {
		exerciser_explain(note, N_("The server greets: the AUTHORIZATION state begins."), "RFC 1939 §4");
	}
}

static void status_line(struct exerciser *x, struct str line, struct exerciser_note *note)
{
	struct exerciser_pending p = { .verb = EXERCISER_UNKNOWN };
	struct pop3_status status;
	if (x->count)
		p = x->pending[0];
	if (p.verb == POP3_VERB_AUTH && (str_equal(line, STR("+")) || str_starts(line, STR("+ ")))) {
		x->client_turn = true;
		exerciser_explain(note, N_("A challenge in base64: answer with base64, or with * to give up."), "RFC 5034 §4");
		return;
	}
	if (!pop3_status_parse(line, &status, NULL)) {
		exerciser_explain(note, N_("This is no POP3 answer: those begin with +OK or -ERR."), "RFC 1939 §3");
		return;
	}
	x->in_listing = status.ok && p.lists;
	if (x->count && !x->in_listing)
		exerciser_remove(x, 0);
	if (p.verb == EXERCISER_GREETING)
		greeting(x, &status, line, note);
	else if (!status.ok)
		explain_err(x, &p, &status, note);
	else if (p.verb == EXERCISER_UNKNOWN)
		exerciser_explain(note, N_("The server accepts this."), "RFC 1939 §3");
	else
		explain_ok(x, &p, note);
}

static void server_line(struct exerciser *x, struct str text, uint64_t octets, struct exerciser_note *note)
{
	if (!x->in_listing) {
		status_line(x, text, note);
		return;
	}
	if (octets == 1 && str_equal(text, STR("."))) {
		x->in_listing = false;
		exerciser_remove(x, 0);
		exerciser_explain(note, N_("A dot alone ends the answer."), "RFC 1939 §3");
	} else if (x->pending[0].verb == POP3_VERB_CAPA) {
		if (!exerciser_explain_word(note, capabilities, COUNT_OF(capabilities), text))
			exerciser_explain(note, N_("A capability that this exerciser does not know."), "RFC 2449 §5");
	}
}

/* RFC 2595 §4: the session goes on in the AUTHORIZATION state, without a greeting. */
static void tls_started(struct exerciser *x)
{
	x->state = AUTHORIZATION;
}

const struct exerciser_protocol exerciser_pop3 = {
	states, "STLS", POP3_VERB_STLS, client_line, server_line, tls_started
};
