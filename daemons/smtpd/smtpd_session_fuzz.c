/*
 * A whole session fed with anything, with a queue in memory (in the place of link.c) that answers as the first octets of the input say:
 *
 *	service, flags of the session, six verdicts in turn (below 192: yes), then what the client sends
 *
 * The session ends. All that it says are whole replies. A mail is accepted as often as the client hears so. What queue gets was sent by
 * the client just so, is in lines unless it was announced as binary, keeps to the limits, and DATA ended with CRLF "." CRLF.
 */
#include "smtpd.h"

#include "file.h"
#include "log.h"
#include "reencode.h"
#include "sender_check.h"
#include "smtp_reply.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	VERDICTS = 6, SCRIPT = 2 + VERDICTS, YES_BELOW = 192, QUEUE_LOST = 255, /* verdicts */
	INPUT_MAX = 65536, OUTPUT_MAX = 64 << 20, READ_SIZE = 65536,
	SIZE_MAX_SMALL = 4000, RECIPIENTS_MAX = 4, RECEIVED_MAX = 3,
	LARGE = 0xf0, LARGE_OCTETS = LIMIT_INLINE_BODY_MAX + 400000, /* service, from here on: behind the first DATA come so many octets */
};

/* What queue knows. */
static struct {
	const uint8_t *verdicts;
	unsigned asked;
	struct str input;   /* all of the client's octets */
	bool is_known;      /* the transaction; */
	size_t recipients;  /* of it, accepted */
	struct buf content; /* of it, so far */
	int file;           /* of it, or -1 */
	size_t accepted;    /* replies that say so, to come */
	size_t commits;
} queue = { .file = -1 };

static struct smtpd smtpd;

/* ---- queue ---- */

static void forget(void)
{
	queue.is_known = false;
	queue.recipients = 0;
	buf_clear(&queue.content);
	file_close(&queue.file);
}

static enum verdict_kind answer(struct session *s)
{
	uint8_t verdict = queue.verdicts[queue.asked++ % VERDICTS];
	if (verdict == QUEUE_LOST) {
		s->txn->lost = true;
		forget();
		return VERDICT_TEMPORARY;
	}
	return verdict < YES_BELOW ? VERDICT_OK : (enum verdict_kind)(verdict % VERDICT_COUNT);
}

static void check_address(struct str address)
{
	must(address.length <= LIMIT_ADDRESS_MAX);
	for (size_t i = 0; i < address.length; i++)
		must((unsigned char)address.data[i] >= ' ' && address.data[i] != 0x7f);
}

enum verdict_kind link_begin(struct session *s)
{
	must(!queue.is_known);
	check_address(s->txn->begin.sender);
	s->txn->lost = false;
	enum verdict_kind kind = answer(s);
	queue.is_known = kind == VERDICT_OK;
	return kind;
}

enum verdict_kind link_begin_again(struct session *s)
{
	must(s == NULL); /* only filters ask for it, and there is none */
	return VERDICT_TEMPORARY;
}

enum verdict_kind link_recipient(struct session *s, const struct recipient *recipient)
{
	if (s->txn->begin_waits) {
		must(!queue.is_known);
		s->txn->begin_waits = false;
		queue.is_known = true;
		check_address(s->txn->begin.sender);
	}
	if (s->txn->lost)
		return VERDICT_TEMPORARY;
	must(queue.is_known && recipient->address.length && s->txn->recipients.count < RECIPIENTS_MAX);
	check_address(recipient->address);
	check_address(recipient->original);
	enum verdict_kind kind = answer(s);
	queue.recipients += kind == VERDICT_OK;
	return kind;
}

enum verdict_kind link_from_header(struct session *s, struct str address)
{
	must(s->flags & SESSION_LOGGED_IN && address.length <= LIMIT_ADDRESS_MAX);
	return s->txn->lost ? VERDICT_TEMPORARY : answer(s);
}

void link_body(struct session *s, struct str piece)
{
	must(s->txn->lost || queue.is_known);
	buf_add_str(&queue.content, piece);
}

int link_file(struct session *s)
{
	if (s->txn->lost || answer(s) != VERDICT_OK)
		return -1;
	must(queue.is_known && queue.file < 0);
	queue.file = memfd_create("body", MFD_CLOEXEC);
	must(queue.file >= 0);
	return dup(queue.file);
}

static bool has(struct str text, struct str part)
{
	return str_find(text, part) < text.length || part.length == 0;
}

/* Does text begin with the body as DATA sends it: a "." may stand before each line, and does before one that begins
 * with it? */
static bool begins_dotted(struct str text, struct str body)
{
	size_t at = 0;
	for (size_t i = 0; i < body.length; i++, at++) {
		bool line_begins = i == 0 || body.data[i - 1] == '\n';
		at += line_begins && at < text.length && text.data[at] == '.';
		if (at >= text.length || text.data[at] != body.data[i])
			return false;
	}
	return str_starts(str_from_index(text, at), STR(".\r\n"));
}

static bool was_sent_dotted(struct str body)
{
	struct str rest = queue.input;
	while (rest.length && !begins_dotted(rest, body))
		rest = str_from_index(rest, str_find_char(rest, '\n') + 1);
	return rest.length;
}

/* What we put before it is not the client's; a forged field that was taken out would be missing. */
static void check_content(const struct session *s, struct str whole)
{
	const struct smtp_data *data = &s->txn->content.data;
	must(data->octets <= session_config(s)->message_size_max);
	if (data->form != SMTP_DATA_BINARY)
		must(reencode_is_lines(whole));
	if (has(queue.input, STR("uthentication-")) || has(queue.input, STR("UTHENTICATION-")))
		return;
	must(data->octets <= whole.length);
	struct str body = str_from_index(whole, whole.length - data->octets);
	must(data->form == SMTP_DATA_DOTTED ? was_sent_dotted(body) : body.length <= queue.input.length + 2);
}

static void read_back(void)
{
	off_t size = lseek(queue.file, 0, SEEK_END);
	must(size > LIMIT_INLINE_BODY_MAX / 2 && queue.content.length == 0);
	CLEANUP(fail_free) struct fail *fail = NULL;
	char *room = buf_reserve(&queue.content, (size_t)size);
	must(room && file_read_at(queue.file, room, (size_t)size, 0, &fail));
	buf_claim(&queue.content, (size_t)size);
}

enum verdict_kind link_commit(struct session *s, uint64_t size, struct str front, struct str last, uint64_t *queue_id,
                              struct str *kinds)
{
	static char all_kinds[RECIPIENTS_MAX];
	if (s->txn->lost)
		return VERDICT_TEMPORARY;
	must(queue.is_known && queue.recipients > 0 && queue.recipients == s->txn->recipients.count);
	must(front.length <= FRONT_FRAME_MAX && front.length + last.length <= BODY_FRAME_MAX);
	buf_add_str(&queue.content, front);
	buf_add_str(&queue.content, last);
	if (queue.file >= 0)
		read_back();
	must(!queue.content.overflowed && queue.content.length == size);
	check_content(s, buf_str(&queue.content));
	queue.commits++;
	enum verdict_kind kind = answer(s);
	if (s->txn->lost)
		s->txn->in_doubt = true;
	else if (kind == VERDICT_OK)
		queue.accepted += s->protocol == SMTP_ON_LMTP ? queue.recipients : 1;
	*queue_id = queue.commits;
	*kinds = str_from(all_kinds, queue.recipients);
	if (kind == VERDICT_OK)
		forget();
	return kind;
}

void link_abort(struct session *s)
{
	if (!s->txn->begun || s->txn->begin_waits || s->txn->lost)
		return;
	must(queue.is_known);
	forget();
}

void smtpd_pause_pool(struct smtpd *paused)
{
	(void)paused;
}

void smtpd_resume_pool(struct smtpd *resumed)
{
	(void)resumed;
}

/* ---- the client ---- */

/* Writes all and reads all, whichever is possible. */
static void converse(int client, struct str input, struct buf *output)
{
	if (input.length == 0)
		shutdown(client, SHUT_WR);
	for (bool open = true; open;) {
		struct pollfd wait = { .fd = client, .events = (short)(POLLIN | (input.length ? POLLOUT : 0)) };
		if (poll(&wait, 1, -1) < 0)
			continue; /* the fuzzer's own alarm */
		if (wait.revents & POLLOUT) {
			ssize_t sent = send(client, input.data, input.length, MSG_NOSIGNAL | MSG_DONTWAIT);
			input = sent > 0 ? str_from_index(input, (size_t)sent) : input;
			if ((sent < 0 && errno != EINTR && errno != EAGAIN) || input.length == 0) {
				input.length = 0;
				shutdown(client, SHUT_WR);
			}
		}
		if (wait.revents & (POLLIN | POLLHUP)) {
			char *room = buf_reserve(output, READ_SIZE);
			must(room);
			ssize_t got = read(client, room, READ_SIZE);
			open = got > 0 || (got < 0 && errno == EINTR);
			buf_claim(output, got > 0 ? (size_t)got : 0);
		}
	}
}

static void check_replies(struct str rest)
{
	size_t used, accepted = 0;
	CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader reader = {};
	smtp_reply_reader_init(&reader);
	while (rest.length) {
		must(smtp_reply_read(&reader, rest, &used) == SMTP_REPLY_DONE);
		must(str_ends_nocase(str_first(rest, used), STR("\r\n")));
		accepted += str_starts(buf_str(&reader.text), STR("2.0.0 Ok: queued as ")) ||
		            str_starts(buf_str(&reader.text), STR("Ok: queued as "));
		smtp_reply_reader_clear(&reader);
		rest = str_from_index(rest, used);
	}
	must(accepted == queue.accepted);
}

/* ---- one session ---- */

static void *serve(void *context)
{
	session_serve(&smtpd, context);
	return NULL;
}

static void configure(bool large)
{
	struct config *config = &smtpd.daemon.config;
	config->message_size_max = large ? 2 * LARGE_OCTETS : SIZE_MAX_SMALL;
	config->recipients_max = RECIPIENTS_MAX;
	config->received_max = RECEIVED_MAX;
}

static void begin_once(void)
{
	static bool begun;
	if (begun)
		return;
	begun = true;
	log_set_level(LOG_ERROR);
	config_init(&smtpd.daemon.config);
	smtpd.daemon.master.channel.broken = true; /* what it is told goes nowhere */
	buf_init(&queue.content, 4 * LARGE_OCTETS);
}

static void send_session(int descriptor, const uint8_t *script, struct ipc_channel ends[2], struct ipc_frame *frame)
{
	int pair[2];
	must(ipc_pair(pair, NULL));
	ipc_channel_init(&ends[0], pair[0]);
	ipc_channel_init(&ends[1], pair[1]);
	struct msg_session session = {
		.service = script[0] % (SERVICE_SUBMISSIONS + 1), .flags = script[1], .connection = 1, .porter = 1, .account = STR("alice@example.test"),
		.peer = STR("192.0.2.1"), .helo = STR("client.test"),
	};
	msg_session_send(&ends[0], 1, &session, descriptor);
	must(ipc_receive(&ends[1], frame) == IPC_FRAME);
}

static void run(const uint8_t *script, struct str input)
{
	CLEANUP(buf_release) struct buf output = BUF_WITH_LIMIT(OUTPUT_MAX);
	struct ipc_channel ends[2];
	struct ipc_frame frame;
	pthread_t thread;
	int pair[2];
	queue.verdicts = script + 2;
	queue.input = input;
	queue.asked = 0;
	queue.accepted = queue.commits = 0;
	smtpd.kind = service_kind((enum service)(script[0] % (SERVICE_SUBMISSIONS + 1)));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
	send_session(pair[1], script, ends, &frame);
	must(pthread_create(&thread, NULL, serve, &frame) == 0);
	converse(pair[0], input, &output);
	must(pthread_join(thread, NULL) == 0);
	close(pair[0]);
	ipc_channel_release(&ends[0]);
	ipc_channel_release(&ends[1]);
	check_replies(buf_str(&output));
	forget();
}

/* A mail of more than memory is for: lines behind the line that begins with what. */
static void add_large(struct buf *out, struct str input, struct str what)
{
	size_t at = str_find(input, what), end = at + str_find(str_from_index(input, at), STR("\r\n")) + 2;
	if (end > input.length)
		end = input.length;
	buf_add_str(out, str_first(input, end));
	while (out->length < end + LARGE_OCTETS)
		buf_add_str(out, STR("a line of a mail that is longer than others\r\n"));
	buf_add_str(out, str_from_index(input, end));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	begin_once();
	if (size < SCRIPT)
		return 0;
	struct str input = str_from((const char *)data + SCRIPT, size < INPUT_MAX ? size - SCRIPT : INPUT_MAX - SCRIPT);
	CLEANUP(buf_release) struct buf large = BUF_WITH_LIMIT(2 * LARGE_OCTETS);
	configure(data[0] >= LARGE);
	if (data[0] >= LARGE) {
		add_large(&large, input, STR("DATA"));
		input = buf_str(&large);
	}
	run(data, input);
	return 0;
}
