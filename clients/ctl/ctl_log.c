#include "ctl_log.h"

#include "clock.h"
#include "ctl_link.h"
#include "ctl_log_line.h"
#include "ctl_log_source.h"
#include "ctl_table.h"
#include "hash.h"
#include "mem.h"

#include <stdlib.h>

enum { SESSIONS_MAX = 100000 };

struct filter {
	struct str key, value;
	char number[24]; /* of the account that value is the address of */
};

struct reading {
	const struct ctl_call *call;
	struct filter *filters;
	size_t filter_count;
	int64_t since;    /* 0: from the beginning */
	bool line_is_old; /* so is what stands behind it and is no line of ours */
	struct map *sessions; /* that logged in to the account that is looked for */
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

static void show_object(struct reading *r, const struct ctl_log_line *line)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX * 2);
	ctl_log_line_row(line, &row);
	ctl_table_take(&r->table, buf_str(&row));
}

static void show_text(struct reading *r, struct str text)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX * 4);
	if (r->call->json) {
		buf_append(&shown, "text", 5);
		buf_add_str(&shown, text);
		buf_add_char(&shown, '\0');
		ctl_table_take(&r->table, buf_str(&shown));
		return;
	}
	ctl_visible_add(&shown, text);
	buf_add_char(&shown, '\n');
	fwrite(shown.data, 1, shown.length, r->out);
}

static void take_line(void *owner, struct str text)
{
	struct reading *r = owner;
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

static void release(struct reading *r)
{
	map_free(r->sessions);
	free(r->filters);
}

static void show_now(void *owner)
{
	struct reading *r = owner;
	fflush(r->out);
}

bool ctl_log_run(const struct ctl_call *call, FILE *out, struct fail **fail)
{
	CLEANUP(release) struct reading r = { .call = call, .sessions = map_new(), .out = out };
	if (!take_filters(&r, fail))
		return false;
	if (call->json)
		ctl_table_begin(&r.table, CTL_FORM_JSON, out);
	bool good = ctl_log_source_read(&(struct ctl_log_source){ .directory = call->directory, .follow = call->follow,
		.since = r.since,
		.all = call->since || !call->follow, .take = take_line, .waits = show_now, .owner = &r }, fail);
	if (call->json)
		ctl_table_end(&r.table);
	return good;
}
