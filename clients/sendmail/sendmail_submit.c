#include "sendmail_submit.h"

#include "limits.h"
#include "smtp_data.h"
#include "smtp_ehlo.h"
#include "smtp_parameter.h"
#include "smtp_reply.h"
#include "socket.h"
#include "stream.h"

enum { CONNECT_MS = 30000, INPUT_SIZE = 8192, OUTPUT_HIGH = 65536, PIECE = 65536 };

/* RFC 5321 §4.5.3.2: ten minutes behind the final dot, and no less elsewhere. */
static const struct stream_times times = {
	.idle_ms = 600000, .command_ms = 600000, .write_ms = 180000, .bulk_grace_ms = 600000, .bulk_rate_min = 0,
};

struct dialogue {
	struct stream *stream;
	struct smtp_reply_reader reply;
};

static void end(struct dialogue *d)
{
	smtp_reply_reader_release(&d->reply);
	stream_free(d->stream);
}

static bool read_reply(struct dialogue *d, struct fail **fail)
{
	enum smtp_reply_state state = SMTP_REPLY_MORE;
	smtp_reply_reader_clear(&d->reply);
	while (state == SMTP_REPLY_MORE) {
		struct str input = stream_peek(d->stream);
		size_t used;
		if (input.length == 0)
			return fail_set(fail, stream_status(d->stream) == STREAM_IDLE ? FAIL_TIMEOUT : FAIL_UNAVAILABLE,
			                "the connection to the post office ended: %s",
			                stream_status_name(stream_status(d->stream)));
		state = smtp_reply_read(&d->reply, input, &used);
		stream_consume(d->stream, used);
	}
	return state == SMTP_REPLY_DONE || fail_set(fail, FAIL_UNAVAILABLE, "what answers is no SMTP server");
}

/* 530: authentication required, RFC 4954 §6. */
static bool refused(const struct dialogue *d, const char *what, enum fail_kind final, struct fail **fail)
{
	enum fail_kind kind = d->reply.code == 530 ? FAIL_DENIED : d->reply.code < 500 ? FAIL_BUSY : final;
	return fail_set(fail, kind, "%s: %d %.*s", what, d->reply.code, STR_ARG(buf_str(&d->reply.text)));
}

static bool expect(struct dialogue *d, const char *what, enum fail_kind final, struct fail **fail)
{
	if (!read_reply(d, fail))
		return false;
	return (d->reply.code >= 200 && d->reply.code < 400) || refused(d, what, final, fail);
}

static bool greet(struct dialogue *d, const char *hostname, struct smtp_ehlo *offered, struct fail **fail)
{
	if (!expect(d, "greeting", FAIL_UNAVAILABLE, fail))
		return false;
	stream_printf(d->stream, "EHLO %s\r\n", hostname);
	if (!expect(d, "EHLO", FAIL_UNAVAILABLE, fail))
		return false;
	smtp_ehlo_read(buf_str(&d->reply.text), offered);
	return true;
}

/* RFC 3461 §4.3, §4.4 */
static void ask_for_reports(struct dialogue *d, const struct sendmail_message *m)
{
	CLEANUP(buf_release) struct buf id = BUF_WITH_LIMIT(3 * LIMIT_SMTP_ENVID_MAX);
	if (m->returned)
		stream_printf(d->stream, " RET=%s", m->returned);
	if (!m->envelope_id)
		return;
	smtp_xtext_encode(&id, str_of(m->envelope_id));
	stream_printf(d->stream, " ENVID=%s", buf_text(&id));
}

static bool mail(struct dialogue *d, const struct smtp_ehlo *offered, const struct sendmail_message *m,
                 struct fail **fail)
{
	stream_printf(d->stream, "MAIL FROM:<%.*s>", STR_ARG(m->sender));
	if (offered->extensions & SMTP_SIZE)
		stream_printf(d->stream, " SIZE=%zu", m->content.length);
	if (m->has_8bit && offered->extensions & SMTP_8BITMIME)
		stream_printf(d->stream, " BODY=8BITMIME");
	if (m->needs_utf8 && offered->extensions & SMTP_SMTPUTF8)
		stream_printf(d->stream, " SMTPUTF8");
	if (offered->extensions & SMTP_DSN)
		ask_for_reports(d, m);
	stream_printf(d->stream, "\r\n");
	return expect(d, "sender", FAIL_INVALID, fail);
}

static bool recipients(struct dialogue *d, const struct smtp_ehlo *offered, const struct sendmail_message *m,
                       struct fail **fail)
{
	const char *notify = m->notify && offered->extensions & SMTP_DSN ? m->notify : NULL;
	for (size_t i = 0; i < m->recipients.count; i++) {
		CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(2 * LIMIT_ADDRESS_MAX);
		buf_add_str(&name, m->recipients.items[i]);
		stream_printf(d->stream, "RCPT TO:<%.*s>%s%s\r\n", STR_ARG(buf_str(&name)), notify ? " NOTIFY=" : "",
		              notify ? notify : "");
		if (!expect(d, buf_text(&name), FAIL_NOT_FOUND, fail))
			return false;
	}
	return true;
}

static bool data(struct dialogue *d, const struct sendmail_message *m, struct fail **fail)
{
	CLEANUP(buf_release) struct buf stuffed = BUF_WITH_LIMIT(2 * PIECE + 100);
	struct smtp_stuffer stuffer = {};
	stream_printf(d->stream, "DATA\r\n");
	if (!expect(d, "DATA", FAIL_INVALID, fail))
		return false;
	for (struct str rest = buf_str(&m->content); rest.length; rest = str_from_index(rest, PIECE)) {
		buf_clear(&stuffed);
		smtp_stuff_add(&stuffer, str_first(rest, PIECE), &stuffed);
		stream_write(d->stream, buf_str(&stuffed));
	}
	buf_clear(&stuffed);
	smtp_stuff_end(&stuffer, &stuffed);
	stream_write(d->stream, buf_str(&stuffed));
	return expect(d, "message", FAIL_INVALID, fail);
}

bool sendmail_submit(const struct endpoint *server, const char *hostname, const struct sendmail_message *message,
                     struct fail **fail)
{
	const struct stream_options options = { .input_size = INPUT_SIZE, .output_high = OUTPUT_HIGH, .times = times };
	CLEANUP(end) struct dialogue d = {};
	struct smtp_ehlo offered;
	int descriptor = socket_connect(server, CONNECT_MS, fail);
	if (descriptor < 0)
		return false;
	d.stream = stream_new(descriptor, &options);
	smtp_reply_reader_init(&d.reply);
	if (!greet(&d, hostname, &offered, fail) || !mail(&d, &offered, message, fail) ||
	    !recipients(&d, &offered, message, fail) || !data(&d, message, fail))
		return false;
	/* It is delivered whatever becomes of the farewell. */
	stream_printf(d.stream, "QUIT\r\n");
	(void)read_reply(&d, NULL);
	return true;
}
