#include "session.h"

#include "check.h"
#include "clock.h"
#include "display.h"
#include "file.h"
#include "header.h"
#include "mail_body.h"
#include "mem.h"
#include "pop3_download.h"
#include "words.h"

#include <fcntl.h>
#include <glib.h>
#include <stdlib.h>
#include <unistd.h>

enum {
	TIMEOUT_MS = 60000,
	KEEP_ALIVE_US = 60 * G_USEC_PER_SEC,
	BATCH_MAX = 200,
	BATCH_US = 100000,
	LOG_BATCH = 100,
	TEXT_MAX = 65536,
};

/* Headers beyond this are not kept: they can still be asked for again. */
static const uint64_t spool_max = UINT64_C(2) << 30;

enum task_kind { TASK_PREVIEW, TASK_DOWNLOAD, TASK_CLOSE, TASK_LEAVE };

struct task {
	enum task_kind kind;
	size_t index, count;
	uint64_t lines;
	size_t *indexes;
};

struct place {
	uint64_t offset;
	uint32_t length;
};

struct session {
	int references;
	struct account account;
	struct buf password;
	char *ca_file, *folder, *desk_path, *copy_folder, *mailbox;
	enum mail_format format;
	bool keeps_copies, only_new;
	GAsyncQueue *tasks;

	/* the window's thread */
	void (*report)(void *context, const struct session_report *report);
	void *context;

	/* guarded by lock */
	GMutex lock;
	struct pop3_client *interruptible;
	bool is_cancelled;

	/* the session's thread */
	struct pop3_client *client;
	struct desk *desk;
	struct desk_rules rules;
	struct map *seen;
	int spool;
	uint64_t spooled;
	struct place *places;      /* of each mail's header: written before it is reported */
	GArray *batch;
	int64_t reported_us;
	uint64_t done, total;
	struct buf header;
	struct display_summary summary;
	char **copies;             /* paths of kept copies, in the order of marked mails */
	size_t copied;
};

/* ---- life ---- */

struct session *session_hold(struct session *s)
{
	g_atomic_int_inc(&s->references);
	return s;
}

static void free_task(void *memory)
{
	struct task *task = memory;
	free(task->indexes);
	free(task);
}

static void clear_mail(void *memory)
{
	g_free(((struct session_mail *)memory)->texts);
}

void session_drop(struct session *s)
{
	if (!g_atomic_int_dec_and_test(&s->references))
		return;
	must(!s->client);
	buf_wipe(&s->password);
	g_free(s->ca_file);
	g_free(s->folder);
	g_free(s->desk_path);
	g_free(s->copy_folder);
	free(s->mailbox);
	g_async_queue_unref(s->tasks);
	g_mutex_clear(&s->lock);
	file_close(&s->spool);
	free(s->places);
	g_array_unref(s->batch);
	free(s);
}

const char *session_account(const struct session *s)
{
	return s->account.name;
}

/* ---- reports ---- */

static gboolean deliver(void *memory)
{
	struct session_report *report = memory;
	struct session *s = report->session;
	if (s->report)
		s->report(s->context, report);
	return G_SOURCE_REMOVE;
}

static void free_report(void *memory)
{
	struct session_report *report = memory;
	for (size_t i = 0; i < report->mail_count; i++)
		g_free(report->mails[i].texts);
	g_free(report->mails);
	free(report->text);
	session_drop(report->session);
	free(report);
}

static void post(struct session *s, struct session_report report)
{
	struct session_report *copy = mem_alloc(sizeof *copy);
	*copy = report;
	copy->session = session_hold(s);
	g_idle_add_full(G_PRIORITY_DEFAULT_IDLE, deliver, copy, free_report);
}

static char *harmless(struct str text)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(TEXT_MAX);
	display_text(&shown, text);
	return mem_printf("%s", buf_text(&shown));
}

static void warn(void *context, const char *text)
{
	post(context, (struct session_report){ .event = SESSION_WARNING, .text = harmless(str_of(text)) });
}

/* Not more often than eyes can follow. */
static void post_progress(struct session *s, const char *text)
{
	int64_t now = g_get_monotonic_time();
	if (now - s->reported_us < BATCH_US)
		return;
	s->reported_us = now;
	post(s, (struct session_report){ .event = SESSION_PROGRESS, .done = s->done, .total = s->total,
	                                 .text = harmless(str_of(text)) });
}

static void post_batch(struct session *s)
{
	guint count = s->batch->len;
	s->reported_us = g_get_monotonic_time();
	post(s, (struct session_report){ .event = SESSION_MAILS, .mails = g_array_steal(s->batch, NULL),
	                                 .mail_count = count, .done = s->done, .total = s->total });
}

/* ---- the list ---- */

static void spool_header(struct session *s, size_t index, struct str header)
{
	if (s->spool < 0 || s->spooled + header.length > spool_max ||
	    !file_write_at(s->spool, header.data, header.length, s->spooled, NULL))
		return;
	s->places[index] = (struct place){ s->spooled, (uint32_t)header.length };
	s->spooled += header.length;
}

static char *join_texts(struct display_summary *summary)
{
	struct str from = str_of(buf_text(&summary->from)), subject = str_of(buf_text(&summary->subject)),
	           to = str_of(buf_text(&summary->to));
	char *texts = g_malloc(from.length + subject.length + to.length + 3);
	memcpy(texts, from.data, from.length + 1);
	memcpy(texts + from.length + 1, subject.data, subject.length + 1);
	memcpy(texts + from.length + subject.length + 2, to.data, to.length + 1);
	return texts;
}

static size_t index_of(const struct session *s, const struct pop3_mail *mail)
{
	return (size_t)(mail - pop3_client_mail(s->client, 0));
}

static bool is_new(const struct session *s, const struct pop3_mail *mail)
{
	return mail->uid[0] && !map_get(s->seen, str_of(mail->uid));
}

static void add_mail(struct session *s, const struct pop3_mail *mail)
{
	struct str header = buf_str(&s->header);
	struct header_field field;
	struct date date;
	struct rule_mail facts = { .size = mail->size };
	display_summary_take(&s->summary, header);
	struct session_mail one = { .index = index_of(s, mail), .size = mail->size, .is_new = is_new(s, mail) };
	one.has_date = header_find(header, STR("Date"), &field) && date_parse(field.value, &date);
	one.seconds = one.has_date ? date.seconds : 0;
	one.texts = join_texts(&s->summary);
	facts.from = buf_str(&s->summary.from);
	facts.to = buf_str(&s->summary.to);
	facts.subject = buf_str(&s->summary.subject);
	rule_mail_read(&facts, header, clock_wall_seconds());
	one.action = rule_apply(s->rules.list.items, s->rules.list.count, &facts);
	spool_header(s, one.index, header);
	g_array_append_val(s->batch, one);
	s->done++;
	if (s->batch->len >= BATCH_MAX || g_get_monotonic_time() - s->reported_us > BATCH_US)
		post_batch(s);
}

static bool begin_header(void *context, const struct pop3_mail *mail UNUSED, struct fail **fail UNUSED)
{
	buf_clear(&((struct session *)context)->header);
	return true;
}

static bool take_header(void *context, const struct pop3_mail *mail UNUSED, struct str piece, struct fail **fail UNUSED)
{
	struct session *s = context;
	buf_add_str(&s->header, str_first(piece, s->header.limit - s->header.length));
	return true;
}

static bool end_header(void *context, const struct pop3_mail *mail, const char *refusal, struct fail **fail UNUSED)
{
	struct session *s = context;
	if (refusal)
		buf_clear(&s->header);
	add_mail(s, mail);
	return true;
}

/* The newest mails have the highest numbers and come first. */
static size_t *choose_listed(struct session *s, size_t *count)
{
	size_t all = pop3_client_count(s->client);
	size_t *indexes = mem_resize(NULL, all + 1, sizeof *indexes);
	for (size_t i = all; i-- > 0;)
		if (!s->only_new || is_new(s, pop3_client_mail(s->client, i)))
			indexes[(*count)++] = i;
	return indexes;
}

static bool list(struct session *s, struct fail **fail)
{
	const struct pop3_sink sink = { begin_header, take_header, end_header, s };
	size_t count = 0;
	CLEANUP(mem_free) size_t *indexes = choose_listed(s, &count);
	s->places = mem_alloc((pop3_client_count(s->client) + 1) * sizeof *s->places);
	s->done = 0;
	s->total = count;
	if (s->only_new)
		return true;
	post_batch(s);
	bool good = pop3_client_top(s->client, indexes, count, 0, &sink, fail);
	post_batch(s);
	return good;
}

static void release_map(struct map **m)
{
	map_free(*m);
}

/* False where a mail has none. */
static bool collect_uids(const struct session *s, struct map *now)
{
	static char there;
	bool all = true;
	for (size_t i = 0; i < pop3_client_count(s->client); i++) {
		struct str uid = str_of(pop3_client_mail(s->client, i)->uid);
		if (uid.length)
			map_set(now, uid, &there);
		all &= uid.length > 0;
	}
	return all;
}

/* A check of its own does not make mails seen. */
static void remember_visit(struct session *s)
{
	CLEANUP(release_map) struct map *now = map_new();
	CLEANUP(fail_free) struct fail *why = NULL;
	struct desk_outcome outcome = {};
	if (!s->desk || s->only_new)
		return;
	bool all = collect_uids(s, now);
	if (!desk_save_seen(s->desk, s->mailbox, now, &why) ||
	    (all && !desk_log_check(s->desk, s->mailbox, now, &outcome, &why)))
		warn(s, fail_text(why));
	else if (outcome.gone || outcome.still_there)
		post(s, (struct session_report){ .event = SESSION_OUTCOME, .outcome = outcome });
}

/* ---- tasks ---- */

static bool end_preview(void *context, const struct pop3_mail *mail, const char *refusal, struct fail **fail UNUSED)
{
	struct session *s = context;
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT((size_t)4 * MAIL_BODY_MAX);
	if (refusal)
		display_text(&shown, str_of(refusal));
	else
		mail_body_add(&shown, buf_str(&s->header));
	post(s, (struct session_report){ .event = SESSION_PREVIEW, .index = index_of(s, mail),
	                                 .text = mem_printf("%s", buf_text(&shown)) });
	return true;
}

static bool preview(struct session *s, const struct task *task, struct fail **fail)
{
	const struct pop3_sink sink = { begin_header, take_header, end_preview, s };
	buf_release(&s->header);
	buf_init(&s->header, MAIL_BODY_MAX);
	bool good = pop3_client_top(s->client, &task->index, 1, task->lines, &sink, fail);
	buf_release(&s->header);
	buf_init(&s->header, LIMIT_CLIENT_HEADER_MAX);
	return good;
}

static void count_saved(void *context, const struct pop3_mail *mail UNUSED, const char *path UNUSED,
                        const char *refusal)
{
	struct session *s = context;
	if (refusal)
		warn(s, refusal);
	s->done++;
	post_progress(s, path ? path : "");
}

static void show_octets(void *context, const struct pop3_mail *mail, uint64_t octets)
{
	CLEANUP(mem_free) char *text =
		mem_printf("%s: %llu / %llu", mail->uid, (unsigned long long)octets, (unsigned long long)mail->size);
	post_progress(context, text);
}

static bool download(struct session *s, struct task *task, struct fail **fail)
{
	CLEANUP(mail_folder_cleanup) struct mail_folder *folder =
		mail_folder_open(s->folder, s->format, str_of(s->mailbox), fail);
	if (!folder)
		return false;
	struct pop3_download d = { s->client, folder, .done = count_saved, .progress = show_octets, .context = s };
	s->done = 0;
	s->total = task->count;
	bool good = pop3_download_run(&d, task->indexes, task->count, fail);
	post(s, (struct session_report){ .event = SESSION_DOWNLOADED, .saved = d.saved, .there = d.there,
	                                 .refused = d.refused, .done = d.saved + d.there, .total = task->count,
	                                 .text = harmless(str_of(s->folder)) });
	return good;
}

static void note_copy(void *context, const struct pop3_mail *mail UNUSED, const char *path, const char *refusal UNUSED)
{
	struct session *s = context;
	s->copies[s->copied++] = path ? mem_printf("%s", path) : NULL;
	s->done++;
	post_progress(s, path ? path : "");
}

static bool keep_copies(struct session *s, const struct task *task, struct fail **fail)
{
	CLEANUP(mail_folder_cleanup) struct mail_folder *folder =
		mail_folder_open(s->copy_folder, MAIL_EML, str_of(s->mailbox), fail);
	CLEANUP(mem_free) size_t *indexes = mem_resize(NULL, task->count + 1, sizeof *indexes);
	if (!folder)
		return false;
	memcpy(indexes, task->indexes, task->count * sizeof *indexes);
	struct pop3_download d = { s->client, folder, .again = true, .done = note_copy, .context = s };
	if (!pop3_download_run(&d, indexes, task->count, fail))
		return false;
	return d.refused == 0 || fail_set(fail, FAIL_DENIED, _("the server does not give %zu mails, so they can't be kept"),
	                                  d.refused);
}

/* A few at a time: headers may be long. */
static bool log_some(struct session *s, const struct task *task, size_t from, size_t count, struct fail **fail)
{
	struct desk_deletion notes[LOG_BATCH] = {};
	struct buf headers[LOG_BATCH] = {};
	char *texts[LOG_BATCH] = {};
	for (size_t i = 0; i < count; i++) {
		size_t index = task->indexes[from + i];
		buf_init(&headers[i], LIMIT_CLIENT_HEADER_MAX);
		session_header(s, index, &headers[i]);
		display_summary_take(&s->summary, buf_str(&headers[i]));
		texts[i] = join_texts(&s->summary);
		notes[i] = (struct desk_deletion){
			.when = clock_wall_seconds(), .fate = DESK_PENDING, .mailbox = s->mailbox,
			.uid = pop3_client_mail(s->client, index)->uid, .from = texts[i],
			.subject = texts[i] + strlen(texts[i]) + 1, .header = buf_str(&headers[i]),
			.copy = from + i < s->copied && s->copies[from + i] ? s->copies[from + i] : "",
		};
	}
	bool good = desk_log_begin(s->desk, notes, count, fail);
	for (size_t i = 0; i < count; i++) {
		buf_release(&headers[i]);
		g_free(texts[i]);
	}
	return good;
}

static bool log_deletions(struct session *s, const struct task *task, struct fail **fail)
{
	bool good = s->desk || fail_set(fail, FAIL_IO, _("there is no log of deletions"));
	for (size_t i = 0; good && i < task->count; i += LOG_BATCH)
		good = log_some(s, task, i, task->count - i < LOG_BATCH ? task->count - i : LOG_BATCH, fail);
	return good;
}

static void free_copies(struct session *s)
{
	for (size_t i = 0; i < s->copied; i++)
		free(s->copies[i]);
	free(s->copies);
	s->copies = NULL;
	s->copied = 0;
}

static enum desk_fate fate_of(const struct session *s)
{
	switch (pop3_client_deletion(s->client)) {
	case POP3_MARKED_DELETED: return DESK_DELETED;
	case POP3_DELETION_UNKNOWN: return DESK_UNKNOWN;
	default: return DESK_PENDING;
	}
}

static bool delete_and_quit(struct session *s, const struct task *task, struct fail **fail)
{
	s->copies = mem_alloc((task->count + 1) * sizeof *s->copies);
	bool good = (!s->keeps_copies || keep_copies(s, task, fail)) && log_deletions(s, task, fail) &&
	            pop3_client_mark(s->client, task->indexes, task->count, fail) && pop3_client_quit(s->client, fail);
	free_copies(s);
	if (s->desk)
		desk_log_end(s->desk, s->mailbox, fate_of(s), NULL);
	return good;
}

static bool close_mailbox(struct session *s, const struct task *task, struct fail **fail)
{
	s->done = 0;
	s->total = task->count;
	bool good = task->count ? delete_and_quit(s, task, fail) : pop3_client_quit(s->client, fail);
	if (good)
		post(s, (struct session_report){ .event = SESSION_CLOSED, .total = task->count,
		                                 .deletion = pop3_client_deletion(s->client) });
	return good;
}

static bool serve(struct session *s, struct fail **fail)
{
	for (;;) {
		struct task *task = g_async_queue_timeout_pop(s->tasks, KEEP_ALIVE_US);
		enum task_kind kind = task ? task->kind : TASK_LEAVE;
		bool good = task || pop3_client_noop(s->client, fail);
		if (task && kind == TASK_PREVIEW)
			good = preview(s, task, fail);
		else if (task && kind == TASK_DOWNLOAD)
			good = download(s, task, fail);
		else if (task && kind == TASK_CLOSE)
			good = close_mailbox(s, task, fail);
		else if (task)
			good = fail_set(fail, FAIL_UNAVAILABLE, "%s", _("cancelled"));
		if (task)
			free_task(task);
		if (!good || kind == TASK_CLOSE)
			return good;
	}
}

/* ---- the thread ---- */

static void note_client(void *context, struct pop3_client *client)
{
	struct session *s = context;
	g_mutex_lock(&s->lock);
	s->interruptible = client;
	if (client && s->is_cancelled)
		pop3_client_interrupt(client);
	g_mutex_unlock(&s->lock);
}

static void prepare_desk(struct session *s)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	s->desk = desk_open(s->desk_path, &why);
	if (!s->desk || !desk_load_rules(s->desk, &s->rules, &why) ||
	    !desk_load_seen(s->desk, s->mailbox, s->seen, &why))
		warn(s, fail_text(why));
}

static bool work(struct session *s, struct fail **fail)
{
	const struct pop3_client_options options = {
		.server = s->account.mailbox, .ca_file = *s->ca_file ? s->ca_file : NULL, .password = buf_str(&s->password),
		.method = s->account.method, .timeout_ms = TIMEOUT_MS, .warn = warn, .connected = note_client, .context = s,
	};
	s->client = pop3_client_open(&options, fail);
	buf_wipe(&s->password);
	if (!s->client || !list(s, fail))
		return false;
	remember_visit(s);
	post(s, (struct session_report){ .event = SESSION_READY, .total = s->total });
	return serve(s, fail);
}

static void *run(void *memory)
{
	struct session *s = memory;
	CLEANUP(fail_free) struct fail *why = NULL;
	s->seen = map_new();
	buf_init(&s->header, LIMIT_CLIENT_HEADER_MAX);
	display_summary_init(&s->summary);
	prepare_desk(s);
	if (!work(s, &why))
		post(s, (struct session_report){
					.event = SESSION_FAILED, .kind = why->kind, .text = harmless(str_of(why->text)),
					.deletion = s->client ? pop3_client_deletion(s->client) : POP3_NOTHING_DELETED });
	note_client(s, NULL);
	pop3_client_free(s->client);
	s->client = NULL;
	desk_cleanup(&s->desk);
	array_release(&s->rules.list);
	map_free(s->seen);
	buf_release(&s->header);
	display_summary_release(&s->summary);
	session_drop(s);
	return NULL;
}

struct session *session_open(const struct session_options *options)
{
	CLEANUP(buf_release) struct buf mailbox = BUF_WITH_LIMIT(2000);
	struct session *s = mem_alloc(sizeof *s);
	server_print_mailbox(&mailbox, &options->account.mailbox);
	s->references = 2;
	s->account = options->account;
	buf_init(&s->password, LIMIT_PASSWORD_MAX);
	buf_add_str(&s->password, str_of(options->password));
	s->ca_file = g_strdup(options->ca_file);
	s->folder = g_strdup(options->folder);
	s->desk_path = g_strdup(options->desk_path);
	s->copy_folder = g_strdup(options->copy_folder);
	s->mailbox = mem_printf("%s", buf_text(&mailbox));
	s->format = options->format;
	s->keeps_copies = options->keeps_copies;
	s->only_new = options->only_new;
	s->report = options->report;
	s->context = options->context;
	s->tasks = g_async_queue_new_full(free_task);
	s->batch = g_array_new(FALSE, FALSE, sizeof(struct session_mail));
	g_array_set_clear_func(s->batch, clear_mail);
	g_mutex_init(&s->lock);
	s->spool = open(g_get_tmp_dir(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	g_thread_unref(g_thread_new("mailbox", run, s));
	return s;
}

/* ---- the window's thread ---- */

static void ask(struct session *s, struct task task, const size_t *indexes, size_t count)
{
	struct task *copy = mem_alloc(sizeof *copy);
	*copy = task;
	copy->count = count;
	copy->indexes = mem_resize(NULL, count + 1, sizeof *indexes);
	if (count)
		memcpy(copy->indexes, indexes, count * sizeof *indexes);
	g_async_queue_push(s->tasks, copy);
}

void session_preview(struct session *s, size_t index, uint64_t lines)
{
	ask(s, (struct task){ .kind = TASK_PREVIEW, .index = index, .lines = lines }, NULL, 0);
}

void session_download(struct session *s, const size_t *indexes, size_t count)
{
	ask(s, (struct task){ .kind = TASK_DOWNLOAD }, indexes, count);
}

void session_close(struct session *s, const size_t *marked, size_t count)
{
	ask(s, (struct task){ .kind = TASK_CLOSE }, marked, count);
}

void session_cancel(struct session *s)
{
	g_mutex_lock(&s->lock);
	s->is_cancelled = true;
	if (s->interruptible)
		pop3_client_interrupt(s->interruptible);
	g_mutex_unlock(&s->lock);
	ask(s, (struct task){ .kind = TASK_LEAVE }, NULL, 0);
}

void session_abandon(struct session *s)
{
	s->report = NULL;
	session_cancel(s);
}

void session_header(struct session *s, size_t index, struct buf *out)
{
	struct place place = s->places[index];
	char *room = s->spool >= 0 && place.length ? buf_reserve(out, place.length) : NULL;
	if (room && file_read_at(s->spool, room, place.length, place.offset, NULL))
		buf_claim(out, place.length);
}
