#include "ctl_log.h"

#include "clock.h"
#include "ctl_link.h"
#include "ctl_log_line.h"
#include "ctl_table.h"
#include "file.h"
#include "hash.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 65536, PIECE = 65536, SESSIONS_MAX = 100000, NOT_FOUND_STATUS = 127 };

struct filter {
	struct str key, value;
	char number[24]; /* of the account that value is the address of */
};

struct reading {
	const struct ctl_call *call;
	int descriptor;
	int changes;   /* of the file that is followed, or -1 */
	pid_t journal; /* journalctl; 0: none */
	struct filter *filters;
	size_t filter_count;
	int64_t since;    /* 0: from the beginning */
	bool line_is_old; /* so is what stands behind it and is no line of ours */
	struct map *sessions; /* that logged in to the account that is looked for */
	struct buf line;
	struct ctl_table table;
	FILE *out;
};

/* ---- what is wanted ------------------------------------------------------------------------------- */

static void find_number(const struct ctl_call *call, struct filter *filter)
{
	CLEANUP(mem_free) char *runtime_directory = ctl_runtime_directory(call->directory, call->config, NULL);
	CLEANUP(mem_free) char *address = str_copy(filter->value);
	uint64_t account;
	if (runtime_directory && ctl_account_number(runtime_directory, address, &account, NULL))
		snprintf(filter->number, sizeof filter->number, "%llu", (unsigned long long)account);
}

static bool take_filters(struct reading *r, struct fail **fail)
{
	const struct ctl_call *call = r->call;
	r->filters = mem_alloc(call->argument_count * sizeof *r->filters);
	for (size_t i = 0; i < call->argument_count; i++) {
		struct filter *filter = &r->filters[r->filter_count++];
		struct str text = str_of(call->arguments[i]);
		size_t equals = str_find_char(text, '=');
		filter->key = str_first(text, equals);
		filter->value = str_from_index(text, equals + 1);
		if (equals == 0 || equals == text.length)
			return fail_set(fail, FAIL_INVALID, "%s is no KEY=VALUE, like session=5d2f or account=alice@example.org",
			                call->arguments[i]);
		if (str_equal(filter->key, STR("account")))
			find_number(call, filter);
	}
	if (call->since && !ctl_log_since_parse(call->since, clock_wall_seconds(), &r->since))
		return fail_set(fail, FAIL_INVALID, "--since %s: a time like \"2026-11-22 06:30\", or 90s, 10m, 2h, 3d ago",
		                call->since);
	return true;
}

static bool is_of_account(struct reading *r, const struct ctl_log_line *line, const struct filter *filter)
{
	bool has_session = !str_equal(line->session, STR("-"));
	if (has_session && map_get(r->sessions, line->session))
		return true;
	if (!ctl_log_line_has(line, filter->key, filter->value) &&
	    !(*filter->number && ctl_log_line_has(line, filter->key, str_of(filter->number))))
		return false;
	if (has_session && map_count(r->sessions) < SESSIONS_MAX)
		map_set(r->sessions, line->session, r);
	return true;
}

static bool is_wanted(struct reading *r, const struct ctl_log_line *line)
{
	for (size_t i = 0; i < r->filter_count; i++) {
		const struct filter *filter = &r->filters[i];
		bool fits = str_equal(filter->key, STR("account")) ? is_of_account(r, line, filter)
		                                                    : ctl_log_line_has(line, filter->key, filter->value);
		if (!fits)
			return false;
	}
	return true;
}

/* ---- what is shown ---------------------------------------------------------------------------------- */

static void add_pair(struct buf *row, struct str key, struct str value)
{
	buf_add_str(row, key);
	buf_add_char(row, '\0');
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

static void show_object(struct reading *r, const struct ctl_log_line *line)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(LINE_MAX_OCTETS * 2), value = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	struct str rest = line->fields, key;
	add_pair(&row, STR("time"), line->time);
	add_pair(&row, STR("program"), line->program);
	add_pair(&row, STR("session"), line->session);
	add_pair(&row, STR("level"), line->level);
	add_pair(&row, STR("event"), line->event);
	while (ctl_log_field_next(&rest, &key, &value))
		add_pair(&row, key, buf_str(&value));
	ctl_table_take(&r->table, buf_str(&row));
}

static void show_text(struct reading *r, struct str text)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(LINE_MAX_OCTETS * 4);
	if (r->call->json) {
		add_pair(&shown, STR("text"), text);
		ctl_table_take(&r->table, buf_str(&shown));
		return;
	}
	ctl_visible_add(&shown, text);
	buf_add_char(&shown, '\n');
	fwrite(shown.data, 1, shown.length, r->out);
}

static void take_line(struct reading *r, struct str text)
{
	struct ctl_log_line line;
	if (!ctl_log_line_parse(text, &line)) {
		if (!r->line_is_old && r->filter_count == 0)
			show_text(r, text);
		return;
	}
	r->line_is_old = ctl_log_line_seconds(&line) < r->since;
	/* An old line may be the log-in of a session that goes on. */
	if (!is_wanted(r, &line) || r->line_is_old)
		return;
	if (r->call->json)
		show_object(r, &line);
	else
		show_text(r, text);
}

/* What is longer than a line may be is cut. */
static void take_octets(struct reading *r, struct str octets)
{
	while (octets.length) {
		size_t end = str_find_char(octets, '\n');
		size_t room = LINE_MAX_OCTETS - r->line.length;
		buf_add_str(&r->line, str_first(octets, room < end ? room : end));
		if (end == octets.length)
			return;
		take_line(r, buf_str(&r->line));
		buf_clear(&r->line);
		octets = str_from_index(octets, end + 1);
	}
}

/* ---- where it comes from ---------------------------------------------------------------------------- */

static bool open_file(struct reading *r, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/log", r->call->directory);
	r->descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (r->descriptor < 0)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	if (!r->call->follow)
		return true;
	r->changes = inotify_init1(IN_CLOEXEC);
	if (r->changes < 0 || inotify_add_watch(r->changes, path, IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB) < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot follow %s", path);
	if (!r->call->since)
		lseek(r->descriptor, 0, SEEK_END);
	return true;
}

static bool open_journal(struct reading *r, struct fail **fail)
{
	CLEANUP(mem_free) char *since = mem_printf("--since=@%lld", (long long)(r->since > 0 ? r->since : 0));
	char *arguments[] = { "journalctl", "--unit=posthorn", "--output=cat", "--quiet", "--all", "--no-pager", since,
		                  r->call->follow ? "--follow" : NULL, r->call->since ? "--lines=all" : "--lines=0", NULL };
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail_set_errno(fail, FAIL_IO, "pipe");
	r->journal = fork();
	if (r->journal == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execvp(arguments[0], arguments);
		_exit(NOT_FOUND_STATUS);
	}
	close(ends[1]);
	r->descriptor = ends[0];
	return r->journal > 0 || fail_set_errno(fail, FAIL_UNAVAILABLE, "fork");
}

/* At the end of a file that is followed: false when nothing more will come. */
static bool wait_for_change(struct reading *r)
{
	_Alignas(struct inotify_event) char events[4096];
	const struct inotify_event *event = (const void *)events;
	fflush(r->out);
	if (r->changes < 0)
		return false;
	ssize_t length = read(r->changes, events, sizeof events);
	bool modified = false;
	for (size_t at = 0; length > 0 && at < (size_t)length; at += sizeof *event + event->len) {
		event = (const void *)(events + at);
		modified |= (event->mask & IN_MODIFY) != 0;
		if (event->mask & (IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED))
			return modified;
	}
	return length > 0;
}

static bool read_all(struct reading *r, struct fail **fail)
{
	CLEANUP(mem_free) char *piece = mem_alloc(PIECE);
	ssize_t length;
	while ((length = read(r->descriptor, piece, PIECE)) > 0 || (length == 0 && wait_for_change(r))) {
		take_octets(r, str_from(piece, (size_t)length));
		if (r->journal && r->call->follow)
			fflush(r->out);
	}
	return length == 0 || fail_set_errno(fail, FAIL_IO, "cannot read the log");
}

static bool journal_ended_well(struct reading *r, struct fail **fail)
{
	int status = 0;
	file_close(&r->descriptor); /* it may wait for us to read */
	if (r->journal <= 0 || waitpid(r->journal, &status, 0) != r->journal || status == 0)
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND_STATUS)
		return fail_set(fail, FAIL_UNAVAILABLE, "there is no journalctl; where is the log of this post office?");
	return fail_set(fail, FAIL_UNAVAILABLE, "journalctl cannot read the journal of the unit posthorn");
}

static void release(struct reading *r)
{
	file_close(&r->descriptor);
	file_close(&r->changes);
	buf_release(&r->line);
	map_free(r->sessions);
	free(r->filters);
}

bool ctl_log_run(const struct ctl_call *call, FILE *out, struct fail **fail)
{
	CLEANUP(release) struct reading r = { .call = call, .descriptor = -1, .changes = -1, .sessions = map_new(), .out = out,
		                                  .line = BUF_WITH_LIMIT(LINE_MAX_OCTETS) };
	if (!take_filters(&r, fail) || !(call->directory ? open_file(&r, fail) : open_journal(&r, fail)))
		return false;
	if (call->json)
		ctl_table_begin(&r.table, CTL_FORM_JSON, out);
	bool good = read_all(&r, fail);
	if (call->json)
		ctl_table_end(&r.table);
	return journal_ended_well(&r, fail) && good;
}
