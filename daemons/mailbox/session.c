/* Sessions: from the hand-over to a thread of their own, and their end. */
#include "mailbox.h"

#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STACK_SIZE = 256 * 1024 };

static void session_free(struct session *s)
{
	stream_free(s->stream);
	if (s->descriptor >= 0)
		close(s->descriptor);
	buf_release(&s->leftover);
	free(s);
}

static void keep_text(char *field, size_t size, struct str text)
{
	size_t length = text.length < size ? text.length : size - 1;
	if (length)
		memcpy(field, text.data, length);
	field[length] = '\0';
}

static struct session *session_new(struct account *a, int descriptor)
{
	struct session *s = mem_alloc(sizeof *s);
	s->account = a;
	s->descriptor = descriptor;
	buf_init(&s->leftover, LIMIT_LEFTOVER_MAX);
	return s;
}

static void take_off_list(struct session *s)
{
	struct account *a = s->account;
	pthread_mutex_lock(&a->sessions_lock);
	struct session **at = &a->sessions;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	a->session_count--;
	pthread_mutex_unlock(&a->sessions_lock);
}

static void *run(void *argument)
{
	struct session *s = argument;
	int ended = s->account->session_ended;
	uint64_t one = 1;
	if (s->service == SERVICE_CONTROL)
		control_serve(s);
	else
		pop3_serve(s);
	take_off_list(s);
	session_free(s);
	ssize_t written = write(ended, &one, sizeof one);
	(void)written; /* the counter can't overflow: main reads it */
	return NULL;
}

static void start(struct session *s)
{
	struct account *a = s->account;
	pthread_t thread;
	pthread_attr_t attributes;
	pthread_mutex_lock(&a->sessions_lock);
	s->next = a->sessions;
	a->sessions = s;
	a->session_count++;
	pthread_mutex_unlock(&a->sessions_lock);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, run, s) != 0) {
		log_event(LOG_ERROR, s->connection, "no-thread");
		take_off_list(s);
		session_free(s);
	}
	pthread_attr_destroy(&attributes);
}

static bool fill_from_message(struct session *s, const struct ipc_frame *frame)
{
	struct msg_session message;
	if (!msg_session_read(frame, &message) || message.service >= SERVICE_CONTROL)
		return false;
	s->service = (enum service)message.service;
	s->flags = message.flags;
	s->connection = message.connection;
	s->porter = message.porter;
	keep_text(s->address, sizeof s->address, message.account);
	keep_text(s->peer, sizeof s->peer, message.peer);
	keep_text(s->language, sizeof s->language, message.language);
	buf_add_str(&s->leftover, message.leftover);
	return true;
}

static void start_or_wait(struct session *s)
{
	struct account *a = s->account;
	account_note_work(a);
	if (!a->replaying) {
		start(s);
		return;
	}
	s->next = a->waiting;
	a->waiting = s;
}

bool session_begin(struct account *a, struct ipc_frame *frame)
{
	int descriptor = ipc_take_descriptor(frame);
	if (descriptor < 0)
		return false;
	struct session *s = session_new(a, descriptor);
	if (frame->type == MSG_CTL_ACCOUNT)
		s->service = SERVICE_CONTROL;
	else if (!fill_from_message(s, frame)) {
		/* Master passes it on unread: what is wrong with it is not master's fault. */
		log_event(LOG_ERROR, frame->request, "malformed-session");
		session_free(s);
		return true;
	}
	/* One more than allowed is told so by its own thread: sessions are counted there. */
	start_or_wait(s);
	return true;
}

void session_start_waiting(struct account *a)
{
	while (a->waiting) {
		struct session *first = a->waiting;
		a->waiting = first->next;
		start(first);
	}
}

void session_interrupt_all(struct account *a)
{
	pthread_mutex_lock(&a->sessions_lock);
	for (struct session *s = a->sessions; s; s = s->next) {
		s->interrupted = true;
		if (s->stream)
			stream_interrupt(s->stream);
	}
	pthread_mutex_unlock(&a->sessions_lock);
}

unsigned session_count(struct account *a)
{
	pthread_mutex_lock(&a->sessions_lock);
	unsigned count = a->session_count;
	pthread_mutex_unlock(&a->sessions_lock);
	return count;
}

struct stream *session_open_stream(struct session *s, size_t input_size, const struct stream_times *times)
{
	struct stream_options options = {
		.input_size = input_size, .output_high = 65536, .times = *times, .leftover = buf_str(&s->leftover),
	};
	pthread_mutex_lock(&s->account->sessions_lock);
	if (!s->interrupted) {
		s->stream = stream_new(s->descriptor, &options);
		s->descriptor = -1;
	}
	pthread_mutex_unlock(&s->account->sessions_lock);
	buf_release(&s->leftover);
	return s->stream;
}
