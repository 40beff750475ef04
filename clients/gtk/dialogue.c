#include "dialogue.h"

#include "display.h"
#include "exerciser_command.h"
#include "mem.h"
#include "talk.h"

#include <glib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TIMEOUT_MS = 60000, SHOWN_MAX = 4 * LIMIT_CLIENT_LINE_MAX, EVENTS_MAX = 2000, LINE_MAX_OCTETS = 1 << 20 };

struct line {
	bool waits;
	char *password; /* of a line that is replayed; otherwise NULL */
	char text[];
};

struct dialogue {
	int references;
	int wake;               /* eventfd: there are lines, or it is over */
	GAsyncQueue *lines;
	int is_closed;          /* atomic */
	int unread;             /* atomic: events on their way to the window */
	struct server server;
	char *ca_file;
	void (*report)(void *context, const struct dialogue_report *report);
	void *context;
	struct talk talk;       /* of the thread */
};

static void wipe_line(void *memory)
{
	struct line *line = memory;
	mem_wipe(line->text, strlen(line->text));
	if (line->password)
		mem_wipe(line->password, strlen(line->password));
	g_free(line->password);
	g_free(line);
}

static void drop(struct dialogue *d)
{
	if (!g_atomic_int_dec_and_test(&d->references))
		return;
	close(d->wake);
	g_async_queue_unref(d->lines);
	g_free(d->ca_file);
	g_free(d);
}

/* ---- events ---- */

static gboolean deliver(void *memory)
{
	struct dialogue_report *report = memory;
	if (!g_atomic_int_get(&report->dialogue->is_closed))
		report->dialogue->report(report->dialogue->context, report);
	return G_SOURCE_REMOVE;
}

static void free_report(void *memory)
{
	struct dialogue_report *report = memory;
	g_atomic_int_add(&report->dialogue->unread, -1);
	drop(report->dialogue);
	g_free(report->text);
	g_free(report);
}

static void post_report(struct dialogue *d, struct dialogue_report report)
{
	struct dialogue_report *copy = g_new0(struct dialogue_report, 1);
	g_atomic_int_inc(&d->references);
	g_atomic_int_inc(&d->unread);
	*copy = report;
	copy->dialogue = d;
	copy->when_us = g_get_real_time();
	g_idle_add_full(G_PRIORITY_DEFAULT_IDLE, deliver, copy, free_report);
}

static void post(struct dialogue *d, enum dialogue_event event, const char *text, const char *rfc)
{
	post_report(d, (struct dialogue_report){ .event = event, .text = g_strdup(text), .rfc = rfc });
}

static void post_wire(struct dialogue *d, enum dialogue_event event, struct str line)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(SHOWN_MAX);
	display_wire(&shown, str_first(line, LIMIT_CLIENT_LINE_MAX));
	post(d, event, buf_text(&shown), NULL);
}

static void on_sent(void *context, struct str shown)
{
	post_wire(context, DIALOGUE_SENT, shown);
}

static void on_received(void *context, struct str text, uint64_t octets)
{
	struct dialogue *d = context;
	post_wire(d, DIALOGUE_RECEIVED, text);
	if (text.length == octets)
		return;
	g_autofree char *more = g_strdup_printf("… + %" G_GUINT64_FORMAT, octets - text.length);
	post(d, DIALOGUE_EXPLAINED, more, NULL);
}

static void on_explained(void *context, const char *sentence, const char *rfc)
{
	post(context, DIALOGUE_EXPLAINED, sentence, rfc);
}

static void on_protected(void *context, const struct connection *connection)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(SHOWN_MAX);
	connection_describe_tls(connection, &text);
	post(context, DIALOGUE_PROTECTED, buf_text(&text), NULL);
}

static void on_state(void *context, const char *state)
{
	post(context, DIALOGUE_STATE, state, NULL);
}

static void on_facts(void *context, unsigned facts)
{
	post_report(context, (struct dialogue_report){ .event = DIALOGUE_FACTS, .facts = facts });
}

static void on_ended(void *context UNUSED, const char *why UNUSED)
{
}

/* ---- the thread ---- */

static void send_line(struct dialogue *d, const struct line *line)
{
	const struct exerciser_protocol_commands *protocol = exerciser_commands(d->server.protocol);
	CLEANUP(buf_wipe) struct buf filled = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	if (line->password && !exerciser_takes_mail(d->talk.exerciser))
		exerciser_fill_secret(protocol, str_of(line->text), line->password, &filled);
	else
		buf_add_str(&filled, str_of(line->text));
	talk_send(&d->talk, buf_str(&filled));
}

static void send_lines(struct dialogue *d)
{
	struct line *line;
	while (exerciser_may_send(d->talk.exerciser) && (line = g_async_queue_try_pop(d->lines))) {
		if (line->waits && exerciser_is_waiting(d->talk.exerciser)) {
			g_async_queue_push_front(d->lines, line);
			return;
		}
		send_line(d, line);
		wipe_line(line);
	}
}

static void take_wake(struct dialogue *d)
{
	uint64_t count;
	must(read(d->wake, &count, sizeof count) == sizeof count);
}

/* A server that talks without end must not fill the memory with events faster than a window shows them. */
static void let_window_follow(struct dialogue *d)
{
	while (g_atomic_int_get(&d->unread) > EVENTS_MAX && !g_atomic_int_get(&d->is_closed))
		g_usleep(10000);
}

static bool converse(struct dialogue *d, struct fail **fail)
{
	bool good = true;
	talk_tell_state(&d->talk);
	while (good && !d->talk.is_over && !g_atomic_int_get(&d->is_closed)) {
		send_lines(d);
		let_window_follow(d);
		if (stream_wait_readable_or(d->talk.connection.stream, d->wake, -1) == STREAM_WOKEN)
			take_wake(d);
		else
			good = talk_receive(&d->talk, fail);
	}
	return good;
}

/* As if it had been typed behind the greeting. */
static void begin_tls(struct dialogue *d)
{
	if (d->server.tls != SERVER_TLS_STARTTLS)
		return;
	if (d->server.protocol == SERVER_SMTP)
		dialogue_send(d, "EHLO localhost", true);
	struct str command = exerciser_tls_command(d->talk.exerciser);
	g_autofree char *text = g_strndup(command.data, command.length);
	dialogue_send(d, text, true);
}

static void *run(void *memory)
{
	struct dialogue *d = memory;
	const struct talk_watch watch = { on_sent, on_received, on_explained, on_protected, on_state, on_facts,
		on_ended, d };
	CLEANUP(fail_free) struct fail *why = NULL;
	bool good = talk_open(&d->talk, &d->server, *d->ca_file ? d->ca_file : NULL, TIMEOUT_MS, &watch, &why);
	if (good) {
		begin_tls(d);
		good = converse(d, &why);
	}
	talk_close(&d->talk);
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(SHOWN_MAX);
	display_text(&shown, str_of(good ? "" : why->text));
	post(d, DIALOGUE_ENDED, buf_text(&shown), NULL);
	drop(d);
	return NULL;
}

/* ---- the window's thread ---- */

struct dialogue *dialogue_open(const struct server *server, const char *ca_file,
                               void (*report)(void *context, const struct dialogue_report *report), void *context)
{
	struct dialogue *d = g_new0(struct dialogue, 1);
	d->references = 2;
	d->wake = eventfd(0, EFD_CLOEXEC);
	must(d->wake >= 0);
	d->lines = g_async_queue_new_full(wipe_line);
	d->server = *server;
	d->ca_file = g_strdup(ca_file);
	d->report = report;
	d->context = context;
	g_thread_unref(g_thread_new("exerciser", run, d));
	return d;
}

static void wake(struct dialogue *d)
{
	const uint64_t one = 1;
	must(write(d->wake, &one, sizeof one) == sizeof one);
}

static void push_line(struct dialogue *d, const char *line, bool waits, const char *password)
{
	size_t length = strlen(line);
	struct line *copy = g_malloc0(sizeof *copy + length + 1);
	copy->waits = waits;
	copy->password = g_strdup(password);
	memcpy(copy->text, line, length);
	g_async_queue_push(d->lines, copy);
	wake(d);
}

void dialogue_send(struct dialogue *d, const char *line, bool waits)
{
	push_line(d, line, waits, NULL);
}

void dialogue_replay(struct dialogue *d, const char *line, const char *password)
{
	push_line(d, line, true, password);
}

void dialogue_close(struct dialogue *d)
{
	g_atomic_int_set(&d->is_closed, 1);
	wake(d);
	drop(d);
}
