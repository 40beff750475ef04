/* Any dialogue: the exerciser keeps its bounds, and a password that follows PASS, AUTH or LOGIN is never shown. The
 * first octet chooses the protocol; lines that begin with ">" are sent, all others come from the server. */
#include "exerciser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct {
	const char *login;
} logins[SERVER_PROTOCOL_COUNT] = {
	[SERVER_POP3] = { "PASS tanstaaf" },
	[SERVER_IMAP] = { "a LOGIN x tanstaaf" },
	[SERVER_SMTP] = { "AUTH PLAIN tanstaaf" },
};

static void send_line(struct exerciser *x, struct str line)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(line.length + 100);
	if (!exerciser_may_send(x))
		return;
	exerciser_client_line(x, line, &shown);
	must(!shown.overflowed);
}

static void take_line(struct exerciser *x, struct str line)
{
	struct exerciser_note note;
	exerciser_server_line(x, line, line.length, &note);
	must(note.sentence || !note.rfc);
	if (note.begins_tls && line.length % 2)
		exerciser_tls_started(x);
}

/* In any state that takes a command; in the middle of a mail it would be text. */
static void send_login(enum server_protocol protocol)
{
	CLEANUP(exerciser_cleanup) struct exerciser *x = exerciser_new(protocol);
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(100);
	exerciser_client_line(x, str_of(logins[protocol].login), &shown);
	must(str_find(buf_str(&shown), STR("tanstaaf")) == shown.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str rest = str_from((const char *)data, size), line;
	enum server_protocol protocol = size ? (enum server_protocol)(data[0] % SERVER_PROTOCOL_COUNT) : SERVER_POP3;
	CLEANUP(exerciser_cleanup) struct exerciser *x = exerciser_new(protocol);
	rest = str_from_index(rest, 1);
	while (str_take_until(&rest, '\n', &line)) {
		if (str_starts(line, STR(">")))
			send_line(x, str_from_index(line, 1));
		else
			take_line(x, line);
		must(exerciser_state(x) != NULL);
	}
	send_login(protocol);
	return 0;
}
