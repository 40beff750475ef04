/*
 * A whole session fed with anything: it ends, nothing of another's memory is touched, and all it says is well-formed:
 * every line begins with "* ", "+ " or a tag that the client sent, ends with CRLF, and holds no other CR, LF or NUL
 * but inside literals.
 */
#include "imap_session_kit.h"

#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 65536, OUTPUT_MAX = 256 << 20, READ_SIZE = 65536 };

static struct session_kit kit;

static void close_kit(void)
{
	session_kit_close(&kit);
}

static void open_kit(void)
{
	static bool open;
	if (open)
		return;
	open = true;
	log_set_level(LOG_ERROR);
	session_kit_open(&kit);
	kit.account.daemon.config.account_sessions_max = 10;
	store_set_quota(kit.account.store, 1 << 20, 200);
	session_kit_deliver(&kit, "From: a@example.test\r\nSubject: test\r\n\r\nbody\r\n");
	atexit(close_kit);
}

/* Writes all and reads all, whichever is possible. */
static void converse(struct session_kit_client *client, struct str input, struct buf *output)
{
	if (input.length == 0)
		shutdown(client->descriptor, SHUT_WR);
	for (bool open = true; open;) {
		struct pollfd wait = { .fd = client->descriptor, .events = (short)(POLLIN | (input.length ? POLLOUT : 0)) };
		if (poll(&wait, 1, -1) < 0)
			continue; /* the fuzzer's own alarm */
		if (wait.revents & POLLOUT) {
			ssize_t sent = send(client->descriptor, input.data, input.length, MSG_NOSIGNAL | MSG_DONTWAIT);
			input = sent > 0 ? str_from_index(input, (size_t)sent) : input;
			if ((sent < 0 && errno != EINTR && errno != EAGAIN) || input.length == 0) {
				input.length = 0;
				shutdown(client->descriptor, SHUT_WR);
			}
		}
		if (wait.revents & (POLLIN | POLLHUP)) {
			char *room = buf_reserve(output, READ_SIZE);
			must(room);
			ssize_t got = read(client->descriptor, room, READ_SIZE);
			open = got > 0 || (got < 0 && errno == EINTR);
			buf_claim(output, got > 0 ? (size_t)got : 0);
		}
	}
}

/* Up to and with CRLF, or all when there is none. */
static struct str take_line(struct str *rest)
{
	size_t length = str_find(*rest, STR("\r\n"));
	struct str line = str_first(*rest, length);
	must(length < rest->length);
	*rest = str_from_index(*rest, length + 2);
	return line;
}

static bool announces(struct str line, uint64_t *size)
{
	size_t open = str_find_last_char(line, '{');
	struct str digits = str_from_index(line, open + 1);
	return digits.length > 1 && digits.data[digits.length - 1] == '}' &&
	       str_to_u64(str_first(digits, digits.length - 1), OUTPUT_MAX, size);
}

static void check_line(struct str line, bool begins)
{
	for (size_t i = 0; i < line.length; i++)
		must(line.data[i] != '\r' && line.data[i] != '\n' && line.data[i] != '\0');
	if (!begins || str_starts(line, STR("* ")) || str_starts(line, STR("+ ")))
		return;
	struct str answer = str_from_index(line, str_find_char(line, ' ') + 1);
	must(str_starts(answer, STR("OK ")) || str_starts(answer, STR("NO ")) || str_starts(answer, STR("BAD ")));
}

static void check_output(struct str rest)
{
	bool begins = true;
	uint64_t literal = 0;
	while (rest.length) {
		struct str line = take_line(&rest);
		check_line(line, begins);
		begins = !announces(line, &literal);
		if (!begins) {
			must(literal <= rest.length);
			rest = str_from_index(rest, literal);
		}
	}
}

/* Deflated answers and a connection that was given back are no lines. */
static bool is_readable(struct str input)
{
	for (size_t i = 0; i < input.length; i++)
		if (str_starts_nocase(str_from_index(input, i), STR("COMPRESS")) ||
		    str_starts_nocase(str_from_index(input, i), STR("UNAUTHENTICATE")))
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf output = BUF_WITH_LIMIT(OUTPUT_MAX);
	struct str input = str_from((const char *)data, size < INPUT_MAX ? size : INPUT_MAX);
	struct session_kit_client client;
	open_kit();
	session_kit_connect(&kit, &client);
	converse(&client, input, &output);
	session_kit_hang_up(&client);
	must(str_starts(buf_str(&output), STR("t0 OK ")));
	if (is_readable(input))
		check_output(buf_str(&output));
	buf_release(&output);
	return 0;
}
