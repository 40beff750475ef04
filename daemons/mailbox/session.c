/* Sessions: from the hand-over to a thread of their own, and their end. */
#include "mailbox.h"

#include "file.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { STACK_SIZE = 256 * 1024 };

static void session_free(struct session *s)
{
	stream_free(s->stream);
	file_close(&s->descriptor);
	buf_release(&s->leftover);
	free(s);
}

static struct session *session_new(struct account *a, int descriptor)
{
	struct session *s = mem_alloc(sizeof *s);
	s->account = a;
	s->descriptor = descriptor;
	s->returned = -1;
	buf_init(&s->leftover, LIMIT_LEFTOVER_MAX);
	return s;
}

static void take_off_list(struct session *s)
{
	struct session **at = &s->account->sessions;
	while (*at != s)
		at = &(*at)->next;
	*at = s->next;
	s->account->session_count--;
}

/* The connection is closed before anybody hears that the session is over. */
static void finish(struct session *s)
{
	struct account *a = s->account;
	pthread_mutex_lock(&a->sessions_lock);
	take_off_list(s);
	pthread_mutex_unlock(&a->sessions_lock);
	stream_cleanup(&s->stream);
	file_close(&s->descriptor);
	pthread_mutex_lock(&a->sessions_lock);
	s->next = a->over;
	a->over = s;
	pthread_mutex_unlock(&a->sessions_lock);
}

void session_return(struct session *s)
{
	struct str ahead = stream_buffered(s->stream);
	if (ahead.length > LIMIT_LEFTOVER_MAX)
		return; /* more than can travel: the connection just ends */
	buf_clear(&s->leftover);
	buf_add_str(&s->leftover, ahead);
	s->returned = dup(stream_descriptor(s->stream));
}

static void tell_master(struct session *s)
{
	struct ipc_channel *master = &s->account->daemon.master.channel;
	struct msg_session_return back = {
		.porter = s->porter, .flags = s->flags & ~(unsigned)SESSION_LOGGED_IN, .leftover = buf_str(&s->leftover),
	};
	if (s->returned >= 0)
		msg_session_return_send(master, s->connection, &back, s->returned);
	else if (s->service != SERVICE_CONTROL)
		msg_session_closed_send(master, s->connection, &(struct msg_session_closed){ .porter = s->porter }, -1);
}

void session_forget_over(struct account *a)
{
	pthread_mutex_lock(&a->sessions_lock);
	struct session *over = TAKE(a->over);
	pthread_mutex_unlock(&a->sessions_lock);
	while (over) {
		struct session *s = over;
		over = s->next;
		tell_master(s);
		session_free(s);
	}
}

static void *run(void *argument)
{
	struct session *s = argument;
	int ended = s->account->session_ended;
	uint64_t one = 1;
	if (s->service == SERVICE_CONTROL)
		control_serve(s);
	else if (s->service == SERVICE_IMAP || s->service == SERVICE_IMAPS)
		imap_serve(s);
	else
		pop3_serve(s);
	finish(s);
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
		finish(s);
		session_forget_over(a);
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
	str_copy_to_array(message.account, s->address, sizeof s->address);
	str_copy_to_array(message.peer, s->peer, sizeof s->peer);
	str_copy_to_array(message.language, s->language, sizeof s->language);
	str_copy_to_array(message.tag, s->tag, sizeof s->tag);
	str_copy_to_array(message.client_id, s->client_id, sizeof s->client_id);
	buf_add_str(&s->leftover, message.leftover);
	return true;
}

static void start_or_wait(struct session *s)
{
	struct account *a = s->account;
	account_note_work(a);
	delivery_watch(a);
	if (!a->replaying && !a->catching_up) {
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

static void interrupt(struct session *s)
{
	s->interrupted = true;
	if (s->stream)
		stream_interrupt(s->stream);
}

void session_interrupt_all(struct account *a)
{
	pthread_mutex_lock(&a->sessions_lock);
	for (struct session *s = a->sessions; s; s = s->next)
		interrupt(s);
	pthread_mutex_unlock(&a->sessions_lock);
}

void session_interrupt_one(struct account *a, uint64_t connection)
{
	pthread_mutex_lock(&a->sessions_lock);
	for (struct session *s = a->sessions; s; s = s->next)
		if (s->connection == connection)
			interrupt(s);
	pthread_mutex_unlock(&a->sessions_lock);
	for (struct session *s = a->waiting; s; s = s->next)
		if (s->connection == connection)
			interrupt(s);
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
