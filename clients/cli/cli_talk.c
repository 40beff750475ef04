/* posthorn talk: the protocol exerciser in a terminal, or with commands from a pipe. */
#include "cli.h"

#include "connection.h"
#include "display.h"
#include "exerciser.h"
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 60000, INPUT_MAX = 1 << 20, PIECE = 16384, COLUMNS_DEFAULT = 80, SMTP_PORT = 25 };

struct talk {
	struct connection connection;
	struct exerciser *exerciser;
	bool typed; /* a person types: lines are not held back, and what was typed is overwritten by what is shown */
	bool listens;             /* to the person too */
	bool input_ended;
	bool over;
	struct buf input;         /* of the person */
	size_t input_used;
	struct buf line;          /* of the server, as far as it came; what is beyond the limit is dropped */
	uint64_t octets;          /* of it */
	char last;                /* octet of it */
	const char *state;        /* as it was shown last */
};

static void end(struct talk *t)
{
	connection_close(&t->connection);
	exerciser_free(t->exerciser);
	cli_wipe(&t->input);
	buf_release(&t->line);
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

static void print_state(struct talk *t)
{
	const char *state = exerciser_state(t->exerciser);
	if (t->state == state)
		return;
	t->state = state;
	printf("             = %s\n", state);
}

static void print_tls(const struct talk *t)
{
	const struct tls_facts *facts = &t->connection.facts;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	buf_printf(&text, "%s with %s, %d bits; the certificate is valid for %s.", facts->version, facts->cipher,
	           facts->bits, t->connection.server.host);
	print_remark(buf_text(&text), NULL);
}

/* A terminal has shown the line as it was typed, password and all: what stands there is written over. */
static void erase_typed(const struct talk *t, size_t length)
{
	struct winsize size;
	if (!t->typed || isatty(STDOUT_FILENO) != 1)
		return;
	size_t columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : COLUMNS_DEFAULT;
	for (size_t rows = length / columns + 1; rows; rows--)
		fputs("\033[1A\033[2K", stdout);
}

/* ---- the server's side ---- */

static bool begin_tls(struct talk *t, struct fail **fail)
{
	if (!connection_start_tls(&t->connection, fail))
		return false;
	exerciser_tls_started(t->exerciser);
	print_tls(t);
	return true;
}

/* What came behind the line in the clear, before TLS, could be anybody's: RFC 2595 §4, RFC 3207 §4. */
static bool check_tls_start(const struct talk *t, struct str behind, struct fail **fail)
{
	if (t->connection.is_protected)
		return fail_set(fail, FAIL_CORRUPT, "the server agrees to begin TLS inside TLS");
	return behind.length == 0 || fail_set(fail, FAIL_CORRUPT, "the server sent something in the clear before TLS");
}

static bool server_line(struct talk *t, struct str behind, struct fail **fail)
{
	struct exerciser_note note;
	struct str text = buf_str(&t->line);
	uint64_t octets = t->octets;
	if (t->last == '\r') {
		octets--;
		text = str_first(text, octets < text.length ? (size_t)octets : text.length);
	}
	print_stamped("S", text);
	if (text.length < octets)
		printf("             # … and %llu octets more.\n", (unsigned long long)(octets - text.length));
	exerciser_server_line(t->exerciser, text, octets, &note);
	if (note.sentence)
		print_remark(note.sentence, note.rfc);
	buf_clear(&t->line);
	t->octets = 0;
	t->last = '\0';
	bool good = !note.begins_tls || (check_tls_start(t, behind, fail) && begin_tls(t, fail));
	print_state(t);
	return good;
}

static bool keep(struct talk *t, struct str part, struct fail **fail)
{
	buf_add_str(&t->line, str_first(part, t->line.limit - t->line.length));
	t->octets += part.length;
	if (part.length)
		t->last = part.data[part.length - 1];
	return t->octets <= LIMIT_CLIENT_MAIL_MAX || fail_set(fail, FAIL_CORRUPT, "the server sends a line without end");
}

/* Where no answer is due, the end may come as it likes: not every server ends TLS before it closes. */
static bool take_end(struct talk *t, struct fail *why, struct fail **fail)
{
	bool good = t->octets == 0 || server_line(t, (struct str){}, fail);
	t->over = true;
	if (good && exerciser_is_waiting(t->exerciser))
		return fail_set(fail, why->kind, "%s", why->text);
	if (good)
		printf("             # The session is over: %s.\n", why->text);
	return good;
}

static bool take_server(struct talk *t, struct fail **fail)
{
	char room[PIECE];
	size_t got;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!connection_read_now(&t->connection, room, sizeof room, &got, &why))
		return take_end(t, why, fail);
	for (struct str rest = str_from(room, got); rest.length;) {
		size_t at = str_find_char(rest, '\n');
		bool whole = at < rest.length;
		if (!keep(t, str_first(rest, at), fail))
			return false;
		rest = str_from_index(rest, at + whole);
		if (whole && !server_line(t, rest, fail))
			return false;
	}
	return true;
}

/* ---- the person's side ---- */

static void send_line(struct talk *t, struct str line)
{
	CLEANUP(cli_wipe) struct buf shown = BUF_WITH_LIMIT(INPUT_MAX + 100);
	exerciser_client_line(t->exerciser, line, &shown);
	print_stamped("C", buf_str(&shown));
	stream_write(t->connection.stream, line);
	stream_write(t->connection.stream, STR("\r\n"));
	stream_flush(t->connection.stream);
	print_state(t);
}

static void help(void)
{
	print_remark(":starttls begins TLS, :quit closes the connection without QUIT, :help shows this.", NULL);
	print_remark("Everything else is sent as it is typed.", NULL);
}

static void local_command(struct talk *t, struct str line)
{
	if (str_equal(line, STR(":quit"))) {
		t->over = true;
		print_remark("The connection is closed without QUIT: nothing that was marked is deleted.", NULL);
	} else if (str_equal(line, STR(":starttls")) && t->connection.is_protected) {
		print_remark("TLS is there already.", NULL);
	} else if (str_equal(line, STR(":starttls"))) {
		send_line(t, exerciser_tls_command(t->exerciser));
	} else {
		help();
	}
}

static void take_line(struct talk *t, struct str line)
{
	if (line.length && line.data[line.length - 1] == '\r')
		line.length--;
	erase_typed(t, line.length);
	if (line.length && line.data[0] == ':')
		local_command(t, line);
	else
		send_line(t, line);
}

/* A script waits for answers; a person may do as a person likes. */
static bool has_turn(const struct talk *t)
{
	return exerciser_may_send(t->exerciser) && (t->typed || !exerciser_is_waiting(t->exerciser));
}

static bool take_input(struct talk *t)
{
	struct str rest = str_from_index(buf_str(&t->input), t->input_used);
	size_t end = str_find_char(rest, '\n');
	if (end == rest.length && !(t->input_ended && rest.length))
		return false;
	t->input_used += end + (end < rest.length);
	take_line(t, str_first(rest, end));
	return true;
}

static bool read_input(struct talk *t, struct fail **fail)
{
	buf_consume(&t->input, t->input_used);
	t->input_used = 0;
	char *room = buf_reserve(&t->input, PIECE);
	if (!room)
		return fail_set(fail, FAIL_TOO_BIG, "a line of the input is too long");
	ssize_t got = read(STDIN_FILENO, room, PIECE);
	if (got < 0)
		return fail_set_errno(fail, FAIL_IO, "standard input");
	buf_claim(&t->input, (size_t)got);
	t->input_ended = got == 0;
	return true;
}

/* ---- the dialogue ---- */

static bool finished(const struct talk *t)
{
	return t->over || (t->input_ended && t->input_used == t->input.length && !exerciser_is_waiting(t->exerciser));
}

static bool wait_for_something(struct talk *t, struct fail **fail)
{
	bool waiting = exerciser_is_waiting(t->exerciser);
	bool listens = t->listens && !t->input_ended && has_turn(t);
	fflush(stdout);
	switch (stream_wait_readable_or(t->connection.stream, listens ? STDIN_FILENO : -1,
	                                waiting && !(t->typed && t->listens) ? t->connection.timeout_ms : -1)) {
	case STREAM_READABLE:
		return take_server(t, fail);
	case STREAM_WOKEN:
		return read_input(t, fail);
	default:
		return fail_set(fail, FAIL_TIMEOUT, "no answer for %d seconds", t->connection.timeout_ms / 1000);
	}
}

static bool converse(struct talk *t, struct fail **fail)
{
	bool good = true;
	while (good && !finished(t))
		if (!has_turn(t) || !take_input(t))
			good = wait_for_something(t, fail);
	return good;
}

static bool await_answer(struct talk *t, struct fail **fail)
{
	bool good = true;
	while (good && !t->over && exerciser_is_waiting(t->exerciser))
		good = wait_for_something(t, fail);
	return good;
}

/* --tls starttls: as if :starttls had been typed behind the greeting, and for SMTP behind an EHLO. */
static bool open_protected(struct talk *t, struct fail **fail)
{
	t->listens = false;
	if (!await_answer(t, fail))
		return false;
	if (!t->over && t->connection.server.protocol == SERVER_SMTP)
		send_line(t, STR("EHLO localhost"));
	if (!await_answer(t, fail))
		return false;
	if (!t->over)
		send_line(t, exerciser_tls_command(t->exerciser));
	if (!await_answer(t, fail))
		return false;
	t->listens = true;
	return t->connection.is_protected || fail_set(fail, FAIL_CORRUPT, "the server did not begin TLS");
}

static bool find_host(struct cli_call *call, struct server *server, struct fail **fail)
{
	struct str protocol = str_of(call->operands[0]), host = str_of(call->operands[1]);
	enum server_protocol wanted;
	if (!server_protocol_find(protocol, &wanted))
		return fail_set(fail, FAIL_INVALID, "\"%s\" is none of pop3, imap and smtp", call->operands[0]);
	if (server_is_url(host)) {
		if (!server_parse_url(host, server, fail))
			return false;
		if (server->protocol != wanted)
			return fail_set(fail, FAIL_INVALID, "the URL is not for %s", call->operands[0]);
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
	CLEANUP(end) struct talk t = { .input = BUF_WITH_LIMIT(INPUT_MAX), .line = BUF_WITH_LIMIT(LIMIT_CLIENT_LINE_MAX) };
	struct server server;
	if (!find_host(call, &server, fail) ||
	    !connection_open(&t.connection, &server, call->ca, call->timeout_ms ? call->timeout_ms : TIMEOUT_MS, fail))
		return false;
	t.listens = true;
	t.typed = isatty(STDIN_FILENO) == 1;
	t.exerciser = exerciser_new(server.protocol);
	if (t.connection.is_protected)
		print_tls(&t);
	else if (server.tls == SERVER_TLS_NONE)
		print_remark("The connection is not encrypted: do not send a password that matters. :starttls begins TLS.",
		             NULL);
	print_state(&t);
	return (server.tls != SERVER_TLS_STARTTLS || open_protected(&t, fail)) && converse(&t, fail);
}
