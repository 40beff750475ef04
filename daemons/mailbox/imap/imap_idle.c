#include "imap_idle.h"

#include "imap_notify.h"

#include <sys/eventfd.h>
#include <unistd.h>

enum { DONE_MAX = 1024 };

/* From here on no commit is missed: what came before is told by the first update. */
static void listen_to_mailbox(struct imap_session *s)
{
	if (!s->view.index || imap_notify_descriptor(s) >= 0)
		return;
	s->listener = (struct store_listener){ .mailbox = s->kept.view.mailbox,
		.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
	must(s->listener.event >= 0);
	store_listen(s->session->account->store, &s->listener);
}

static void stop_listening(struct imap_session *s)
{
	if (s->listener.event < 0)
		return;
	store_unlisten(s->session->account->store, &s->listener);
	close(s->listener.event);
	s->listener.event = -1;
}

static bool tell(struct imap_session *s)
{
	bool told = s->kept.notify ? imap_notify_tell(s, true) : imap_tell_changes(s, true);
	store_reader_release(&s->reader);
	return told && imap_send(s);
}

/* Waits for the client, telling it what comes meanwhile; false when the session is over. */
static bool wait_for_client(struct imap_session *s)
{
	int silence_ms = (int)s->session->account->daemon.config.imap_autologout_seconds * 1000;
	int event = s->listener.event >= 0 ? s->listener.event : imap_notify_descriptor(s);
	while (tell(s)) {
		enum stream_event came = stream_wait_readable_or(s->stream, event, silence_ms);
		uint64_t count;
		if (came == STREAM_READABLE)
			return true;
		if (came == STREAM_TIMED_OUT) {
			imap_bye(s, "", IMAP_SAY_AUTOLOGOUT);
			s->over = true;
			return false;
		}
		/* read first, told then: what is committed in between wakes us again */
		ssize_t got = read(event, &count, sizeof count);
		(void)got;
	}
	return false;
}

void imap_idle(struct imap_session *s)
{
	struct str line;
	if (!imap_arguments_end(s))
		return;
	buf_add_str(&s->out, STR("+ "));
	imap_text_add(&s->out, s->kept.language, IMAP_SAY_IDLING, NULL);
	buf_add_str(&s->out, STR("\r\n"));
	listen_to_mailbox(s);
	bool came = wait_for_client(s);
	stop_listening(s);
	if (!came)
		return;
	enum stream_line got = stream_read_line(s->stream, DONE_MAX, STREAM_LF_TOO, &line);
	if (got == STREAM_LINE && str_equal_nocase(line, STR("DONE")))
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
	else if (got != STREAM_NO_LINE)
		imap_bad(s, "", IMAP_SAY_EXPECTED, &(struct imap_values){ .number = 1, .text = STR("DONE") });
}
