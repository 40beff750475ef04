#include "ctl_trace.h"

#include "arena.h"
#include "array.h"
#include "ctl_link.h"
#include "ctl_log_line.h"
#include "ctl_log_source.h"
#include "ctl_table.h"
#include "hash.h"
#include "text.h"

enum { TRACE_ARENA_MAX = 256 << 20, SESSIONS_MAX = 10000, LINES_MAX = 100000, PENDING_MAX = 1000,
	QUEUE_ID_LENGTH = 16 };

struct event {
	uint64_t place; /* in the log */
	struct str line;
};

/* A session that brought a mail that is wanted. */
struct session {
	ARRAY(struct event) pending; /* of the transaction that goes on */
};

struct trace {
	const struct ctl_call *call;
	struct arena *arena;
	struct str wanted;         /* without < and > */
	struct map *mails;         /* queue-id → present */
	struct map *sessions;      /* session → struct session */
	ARRAY(struct str) mail_list;
	ARRAY(struct session *) session_list;
	ARRAY(struct event) events;
	uint64_t place;
	bool is_full;
	FILE *out;
	struct ctl_table table;
};

/* ---- which mails ---- */

static struct str without_brackets(struct str id)
{
	id = str_trim(id);
	if (id.length >= 2 && id.data[0] == '<' && id.data[id.length - 1] == '>')
		id = str_first(str_from_index(id, 1), id.length - 2);
	return id;
}

/* False when the line has none; value then holds the last one's. */
static bool field_of(const struct ctl_log_line *line, struct str wanted, struct buf *value)
{
	struct str rest = line->fields, key;
	while (ctl_log_field_next(&rest, &key, value))
		if (str_equal(key, wanted))
			return value->length > 0;
	return false;
}

static void add_mail(struct trace *t, struct str queue_id)
{
	if (queue_id.length == 0 || map_get(t->mails, queue_id) || t->mail_list.count >= SESSIONS_MAX)
		return;
	map_set(t->mails, queue_id, t);
	*array_add(&t->mail_list) = arena_copy(t->arena, queue_id);
}

static void add_session(struct trace *t, struct str name)
{
	if (str_equal(name, STR("-")) || map_get(t->sessions, name) || t->session_list.count >= SESSIONS_MAX)
		return;
	struct session *session = arena_alloc(t->arena, sizeof *session);
	map_set(t->sessions, name, session);
	*array_add(&t->session_list) = session;
}

static bool is_message(const struct trace *t, const struct ctl_log_line *line, struct buf *value)
{
	return field_of(line, STR("message-id"), value) && str_equal(without_brackets(buf_str(value)), t->wanted);
}

/* True when the line tells of a mail that is wanted. A report on one is wanted too. */
static bool is_ours(const struct trace *t, const struct ctl_log_line *line, struct buf *value)
{
	return is_message(t, line, value) || (field_of(line, STR("queue-id"), value) && map_get(t->mails, buf_str(value)));
}

static void look_for_mails(void *owner, struct str text)
{
	struct trace *t = owner;
	struct ctl_log_line line;
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX);
	if (!ctl_log_line_parse(text, &line) || !is_ours(t, &line, &value))
		return;
	add_session(t, line.session);
	if (field_of(&line, STR("queue-id"), &value))
		add_mail(t, buf_str(&value));
	if (field_of(&line, STR("report-id"), &value))
		add_mail(t, buf_str(&value));
}

/* ---- their events ---- */

static void keep(struct trace *t, struct event event)
{
	t->is_full |= t->events.count >= LINES_MAX;
	if (!t->is_full)
		*array_add(&t->events) = event;
}

/* Lines of a transaction that has no queue-id yet wait until it is known whose they are. */
static void hold(struct trace *t, struct session *session, struct event event)
{
	if (session->pending.count < PENDING_MAX)
		*array_add(&session->pending) = event;
	else
		t->is_full = true;
}

static void end_transaction(struct trace *t, struct session *session, bool ours)
{
	for (size_t i = 0; ours && i < session->pending.count; i++)
		keep(t, session->pending.items[i]);
	session->pending.count = 0;
}

static void look_for_events(void *owner, struct str text)
{
	struct trace *t = owner;
	struct ctl_log_line line;
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX);
	t->place++;
	if (!ctl_log_line_parse(text, &line))
		return;
	bool ours = is_ours(t, &line, &value), names_mail = field_of(&line, STR("queue-id"), &value);
	struct session *session = map_get(t->sessions, line.session);
	if (!ours && (!session || str_equal(line.session, STR("-"))))
		return;
	struct event event = { t->place, arena_copy(t->arena, text) };
	bool is_dialogue = str_equal(line.program, STR("smtpd"));
	bool ends = is_dialogue && (str_equal(line.event, STR("accepted")) || str_equal(line.event, STR("refused")));
	if (session && ends)
		end_transaction(t, session, ours);
	if (ours || (!names_mail && !is_dialogue))
		keep(t, event);
	else if (!names_mail && !ends)
		hold(t, session, event);
}

static int by_place(const void *a, const void *b)
{
	const struct event *x = a, *y = b;
	return x->place < y->place ? -1 : x->place > y->place;
}

/* What came after the last mail of a session: its end. */
static void keep_ends(struct trace *t)
{
	for (size_t i = 0; i < t->session_list.count; i++)
		for (size_t k = 0; k < t->session_list.items[i]->pending.count; k++) {
			struct ctl_log_line line;
			struct event *event = &t->session_list.items[i]->pending.items[k];
			if (ctl_log_line_parse(event->line, &line) && str_equal(line.event, STR("connection-ended")))
				keep(t, *event);
		}
	if (t->events.count)
		qsort(t->events.items, t->events.count, sizeof *t->events.items, by_place);
}

/* ---- what is shown ---- */

/* 06:30:00.123  smtpd     accepted   from=… */
static void show_text(struct trace *t, const struct ctl_log_line *line)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX * 4),
		value = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX);
	struct str rest = line->fields, key;
	buf_printf(&text, "%.*s  %-9.*s %-16.*s", STR_ARG(line->time), STR_ARG(line->program), STR_ARG(line->event));
	while (ctl_log_field_next(&rest, &key, &value)) {
		if (value.length == 0)
			continue;
		buf_printf(&text, " %.*s=", STR_ARG(key));
		ctl_visible_add(&text, buf_str(&value));
	}
	fprintf(t->out, "%s\n", buf_text(&text));
}

static void show_events(struct trace *t)
{
	for (size_t i = 0; i < t->events.count; i++) {
		struct ctl_log_line line;
		CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX * 2);
		if (!ctl_log_line_parse(t->events.items[i].line, &line))
			continue;
		if (!t->call->json) {
			show_text(t, &line);
			continue;
		}
		ctl_log_line_row(&line, &row);
		ctl_table_take(&t->table, buf_str(&row));
	}
}

struct holding {
	struct trace *trace;
	struct str queue_id;
};

static void show_waiting(void *owner, struct str row)
{
	struct holding *holding = owner;
	struct trace *t = holding->trace;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX * 2);
	struct str key, value;
	if (t->call->json) {
		buf_append(&text, "event\0in-queue\0queue-id", 24);
		buf_add_str(&text, holding->queue_id);
		buf_add_char(&text, '\0');
		buf_add_str(&text, row);
		ctl_table_take(&t->table, buf_str(&text));
		return;
	}
	buf_printf(&text, "now in the queue:");
	while (ctl_row_next(&row, &key, &value)) {
		buf_printf(&text, " %.*s=", STR_ARG(key));
		ctl_value_add(&text, key, value);
	}
	fprintf(t->out, "%s\n", buf_text(&text));
}

/* A post office that does not run, or a mail that has left, adds nothing. */
static void ask_queue(struct trace *t)
{
	CLEANUP(mem_free) char *runtime_directory = ctl_runtime_directory(t->call->directory, t->call->config, NULL);
	for (size_t i = 0; runtime_directory && i < t->mail_list.count; i++) {
		CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
		CLEANUP(buf_release) struct buf words = BUF_WITH_LIMIT(100);
		struct holding holding = { t, t->mail_list.items[i] };
		buf_append(&words, "show", 5);
		buf_add_str(&words, holding.queue_id);
		buf_add_char(&words, '\0');
		if (words.overflowed || !ctl_connect(runtime_directory, CTL_QUEUE, &channel, NULL))
			return;
		ctl_ask(&channel, &(struct ctl_request){ .words = buf_str(&words), .descriptor = -1 }, show_waiting,
			&holding, NULL);
	}
}

static bool read_log(struct trace *t, void (*take)(void *owner, struct str line), struct fail **fail)
{
	return ctl_log_source_read(&(struct ctl_log_source){ .directory = t->call->directory, .all = true, .take = take,
		.owner = t }, fail);
}

static void release(struct trace *t)
{
	for (size_t i = 0; i < t->session_list.count; i++)
		array_release(&t->session_list.items[i]->pending);
	map_free(t->mails);
	map_free(t->sessions);
	array_release(&t->mail_list);
	array_release(&t->session_list);
	array_release(&t->events);
	arena_free(t->arena);
}

bool ctl_trace_run(const struct ctl_call *call, FILE *out, struct fail **fail)
{
	CLEANUP(release) struct trace t = { .call = call, .arena = arena_new(TRACE_ARENA_MAX),
		.wanted = without_brackets(str_of(call->arguments[0])),
		.mails = map_new(), .sessions = map_new(), .out = out };
	char bytes[QUEUE_ID_LENGTH / 2];
	if (text_hex_decode(t.wanted, bytes, sizeof bytes))
		add_mail(&t, t.wanted);
	if (!read_log(&t, look_for_mails, fail) || !read_log(&t, look_for_events, fail))
		return false;
	keep_ends(&t);
	if (t.events.count == 0)
		return fail_set(fail, FAIL_NOT_FOUND,
			"the log knows no mail %.*s; what was refused before its content came stands under posthornctl log "
		                "to=ADDRESS or from=ADDRESS", STR_ARG(t.wanted));
	if (call->json)
		ctl_table_begin(&t.table, CTL_FORM_JSON, out);
	show_events(&t);
	ask_queue(&t);
	if (call->json)
		ctl_table_end(&t.table);
	if (t.is_full)
		fprintf(stderr, "posthornctl: there is more than can be shown; see posthornctl log\n");
	return true;
}
