/* posthorn talk: the protocol exerciser in a terminal, or with commands from a pipe. */
#include "cli.h"

#include "display.h"
#include "talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 60000, INPUT_MAX = 1 << 20, PIECE = 16384, COLUMNS_DEFAULT = 80, SMTP_PORT = 25 };

struct dialogue {
	struct talk talk;
	bool typed; /* a person types: lines are not held back, and what was typed is overwritten by what is shown */
	bool listens;             /* to the person too */
	bool input_ended;
	bool over;
	struct buf input;         /* of the person */
	size_t input_used;
};

static void end(struct dialogue *t)
{
	talk_close(&t->talk);
	buf_wipe(&t->input);
}

static bool is_over(const struct dialogue *t)
{
	return t->over || t->talk.is_over;
}

/* ---- showing ---- */

static void print_stamped(const char *who, struct str text)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(4 * LIMIT_CLIENT_LINE_MAX + INPUT_MAX);
	struct timespec now;
	struct tm clock;
	display_wire(&shown, text);
	must(clock_gettime(CLOCK_REALTIME, &now) == 0 && localtime_r(&now.tv_sec, &clock));
	printf("%02d:%02d:%02d.%03ld %s %s\n", clock.tm_hour, clock.tm_min, clock.tm_sec, now.tv_nsec / 1000000, who,
	       buf_text(&shown));
}

static void print_remark(const char *text, const char *rfc)
{
	printf("             # %s%s%s%s\n", text, rfc ? " (" : "", rfc ? rfc : "", rfc ? ")" : "");
}

static void show_state(void *context UNUSED, const char *state)
{
	printf("             = %s\n", _(state));
}

static void show_protected(void *context UNUSED, const struct connection *connection)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(5000);
	connection_describe_tls(connection, &text);
	print_remark(buf_text(&text), NULL);
}

/* A terminal has shown the line as it was typed, password and all: what stands there is written over. */
static void erase_typed(const struct dialogue *t, size_t length)
{
	struct winsize size;
	if (!t->typed || isatty(STDOUT_FILENO) != 1)
		return;
	size_t columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	for (size_t rows = length / columns + 1; rows; rows--)
		fputs("\033[1A\033[2K", stdout);
}

/* ---- what happens ---- */

static void show_sent(void *context UNUSED, struct str shown)
{
	print_stamped("C", shown);
}

static void show_received(void *context UNUSED, struct str text, uint64_t octets)
{
	print_stamped("S", text);
	if (text.length < octets)
		{
		CLEANUP(buf_release) struct buf more = BUF_WITH_LIMIT(1000);
		buf_printf(&more, _("… and %llu octets more."), (unsigned long long)(octets - text.length));
		print_remark(buf_text(&more), NULL);
	}
}

static void show_explained(void *context UNUSED, const char *sentence, const char *rfc)
{
	print_remark(_(sentence), rfc);
}

static void show_ended(void *context UNUSED, const char *why)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(5000);
	buf_printf(&text, _("The session is over: %s."), why);
	print_remark(buf_text(&text), NULL);
}

static const struct talk_watch watch = {
	.sent = show_sent, .received = show_received, .explained = show_explained, .protected = show_protected,
	.state_changed = show_state, .ended = show_ended,
};

/* ---- the person's side ---- */

static void help(void)
{
	print_remark(_(":starttls begins TLS, :quit closes the connection without QUIT, :help shows this."), NULL);
	print_remark(_("Everything else is sent as it is typed."), NULL);
}

static void local_command(struct dialogue *t, struct str line)
{
	if (str_equal(line, STR(":quit"))) {
		t->over = true;
		print_remark(_("The connection is closed without QUIT: nothing that was marked is deleted."), NULL);
	} else if (str_equal(line, STR(":starttls")) && t->talk.connection.is_protected) {
		print_remark(_("TLS is there already."), NULL);
	} else if (str_equal(line, STR(":starttls"))) {
		talk_send(&t->talk, exerciser_tls_command(t->talk.exerciser));
	} else {
		help();
	}
}

static void take_line(struct dialogue *t, struct str line)
{
	if (line.length && line.data[line.length - 1] == '\r')
		line.length--;
	erase_typed(t, line.length);
	if (line.length && line.data[0] == ':')
		local_command(t, line);
	else
		talk_send(&t->talk, line);
}

/* A script waits for answers; a person may do as a person likes. */
static bool has_turn(const struct dialogue *t)
{
	return exerciser_may_send(t->talk.exerciser) && (t->typed || !exerciser_is_waiting(t->talk.exerciser));
}

static bool take_input(struct dialogue *t)
{
	struct str rest = str_from_index(buf_str(&t->input), t->input_used);
	size_t end = str_find_char(rest, '\n');
	if (end == rest.length && !(t->input_ended && rest.length))
		return false;
	t->input_used += end + (end < rest.length);
	take_line(t, str_first(rest, end));
	return true;
}

static bool read_input(struct dialogue *t, struct fail **fail)
{
	buf_consume(&t->input, t->input_used);
	t->input_used = 0;
	char *room = buf_reserve(&t->input, PIECE);
	if (!room)
		return fail_set(fail, FAIL_TOO_BIG, _("a line of the input is too long"));
	ssize_t got = read(STDIN_FILENO, room, PIECE);
	if (got < 0)
		return fail_set_errno(fail, FAIL_IO, _("standard input"));
	buf_claim(&t->input, (size_t)got);
	t->input_ended = got == 0;
	return true;
}

/* ---- the dialogue ---- */

static bool finished(const struct dialogue *t)
{
	return is_over(t) ||
	       (t->input_ended && t->input_used == t->input.length && !exerciser_is_waiting(t->talk.exerciser));
}

static bool wait_for_something(struct dialogue *t, struct fail **fail)
{
	bool waiting = exerciser_is_waiting(t->talk.exerciser);
	bool listens = t->listens && !t->input_ended && has_turn(t);
	fflush(stdout);
	switch (stream_wait_readable_or(t->talk.connection.stream, listens ? STDIN_FILENO : -1,
	                                waiting && !(t->typed && t->listens) ? t->talk.connection.timeout_ms : -1)) {
	case STREAM_READABLE:
		return talk_receive(&t->talk, fail);
	case STREAM_WOKEN:
		return read_input(t, fail);
	default:
		return fail_set(fail, FAIL_TIMEOUT, _("no answer for %d seconds"), t->talk.connection.timeout_ms / 1000);
	}
}

static bool converse(struct dialogue *t, struct fail **fail)
{
	bool good = true;
	while (good && !finished(t))
		if (!has_turn(t) || !take_input(t))
			good = wait_for_something(t, fail);
	return good;
}

static bool await_answer(struct dialogue *t, struct fail **fail)
{
	bool good = true;
	while (good && !is_over(t) && exerciser_is_waiting(t->talk.exerciser))
		good = wait_for_something(t, fail);
	return good;
}

/* --tls starttls: as if :starttls had been typed behind the greeting, and for SMTP behind an EHLO. */
static bool open_protected(struct dialogue *t, struct fail **fail)
{
	t->listens = false;
	if (!await_answer(t, fail))
		return false;
	if (!is_over(t) && t->talk.connection.server.protocol == SERVER_SMTP)
		talk_send(&t->talk, STR("EHLO localhost"));
	if (!await_answer(t, fail))
		return false;
	if (!is_over(t))
		talk_send(&t->talk, exerciser_tls_command(t->talk.exerciser));
	if (!await_answer(t, fail))
		return false;
	t->listens = true;
	return t->talk.connection.is_protected || fail_set(fail, FAIL_CORRUPT, _("the server did not begin TLS"));
}

static bool find_host(struct cli_call *call, struct server *server, struct fail **fail)
{
	struct str protocol = str_of(call->operands[0]), host = str_of(call->operands[1]);
	enum server_protocol wanted;
	if (!server_protocol_find(protocol, &wanted))
		return fail_set(fail, FAIL_INVALID, _("\"%s\" is none of pop3, imap and smtp"), call->operands[0]);
	if (server_is_url(host)) {
		if (!server_parse_url(host, server, fail))
			return false;
		if (server->protocol != wanted)
			return fail_set(fail, FAIL_INVALID, _("the URL is not for %s"), call->operands[0]);
	} else {
		*server = (struct server){ .protocol = wanted, .tls = SERVER_TLS_NONE };
		if (!server_parse_host(host, server, fail))
			return false;
		/* Where servers speak SMTP with each other, and with whoever wants to learn it. */
		if (server->port == 0 && wanted == SERVER_SMTP && !(call->given & CLI_TLS && call->tls == SERVER_TLS_IMPLICIT))
			server->port = SMTP_PORT;
	}
	if (call->given & CLI_TLS)
		server->tls = call->tls;
	return true;
}

bool cli_talk(struct cli_call *call, struct fail **fail)
{
	CLEANUP(end) struct dialogue t = { .input = BUF_WITH_LIMIT(INPUT_MAX) };
	struct server server;
	if (!find_host(call, &server, fail) ||
	    !talk_open(&t.talk, &server, call->ca, call->timeout_ms ? call->timeout_ms : TIMEOUT_MS, &watch, fail))
		return false;
	t.listens = true;
	t.typed = isatty(STDIN_FILENO) == 1;
	if (server.tls == SERVER_TLS_NONE)
		print_remark(_("The connection is not encrypted: do not send a password that matters. :starttls begins TLS."),
		             NULL);
	talk_tell_state(&t.talk);
	return (server.tls != SERVER_TLS_STARTTLS || open_protected(&t, fail)) && converse(&t, fail);
}
