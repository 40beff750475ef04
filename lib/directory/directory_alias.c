#include "directory_alias.h"

#include "clock.h"
#include "directory_alias_file.h"
#include "directory_domain.h"
#include "directory_lookup.h"

#include <stdlib.h>

#define ALIAS_TEXT_MAX ((size_t)LIMIT_ALIAS_TARGETS_MAX * (DIRECTORY_ADDRESS_TEXT_MAX + 1))
#define IMPORT_ARENA_MAX (256 * 1024 * 1024)

/* --- walking what is stored, to find loops --- */

struct walk {
	struct directory *d;
	struct fail **fail;
	int64_t start;             /* the alias that must not be met again */
	const char *start_address;
	size_t work;
};

static bool walk_alias(struct walk *w, int64_t alias_id, unsigned depth);

static bool target_exists(struct walk *w, const struct directory_address *address, const struct lookup *found)
{
	struct directory_domain domain;
	if (!found->domain_id || found->alias_id || found->account_id || lookup_is_role(w->d, address))
		return true;
	if (!directory_domain_get(w->d, str_of(address->domain), &domain, w->fail))
		return false;
	if (domain.catch_all[0])
		return true;
	return fail_set(w->fail, FAIL_NOT_FOUND, "alias %s: its target %s@%s does not exist; add it first",
	                w->start_address, address->local, address->domain);
}

static bool walk_target(struct walk *w, struct str text, int64_t from_alias, unsigned depth)
{
	struct directory_address address;
	struct lookup found;
	if (++w->work > LIMIT_ALIAS_TARGETS_MAX)
		return fail_set(w->fail, FAIL_LIMIT, "alias %s: it would reach more than %d addresses", w->start_address,
		                LIMIT_ALIAS_TARGETS_MAX);
	if (!directory_address_parse(text, &address, w->fail) || !lookup_address(w->d, &address, &found, w->fail))
		return false;
	if (from_alias == w->start && !target_exists(w, &address, &found))
		return false;
	if (!found.alias_id || (found.alias_id == from_alias && found.account_id))
		return true;
	if (found.alias_id == w->start)
		return fail_set(w->fail, FAIL_INVALID, "alias %s: it would lead back to itself", w->start_address);
	return walk_alias(w, found.alias_id, depth + 1);
}

struct targets {
	ARRAY(char *) texts;
};

static void targets_release(struct targets *t)
{
	for (size_t i = 0; i < t->texts.count; i++)
		free(t->texts.items[i]);
	array_release(&t->texts);
}

/* Copied, since the statement is needed again further down. */
static bool read_targets(struct directory *d, int64_t alias_id, struct targets *t, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ALIAS_TARGETS, fail);
	query_number(&q, 1, alias_id);
	while (query_row(&q))
		*array_add(&t->texts) = str_copy(query_get(&q, 0));
	return !q.failed;
}

static bool walk_alias(struct walk *w, int64_t alias_id, unsigned depth)
{
	CLEANUP(targets_release) struct targets t = {};
	if (depth > LIMIT_ALIAS_DEPTH_MAX)
		return fail_set(w->fail, FAIL_LIMIT, "alias %s: it would go through more than %d aliases", w->start_address,
		                LIMIT_ALIAS_DEPTH_MAX);
	if (!read_targets(w->d, alias_id, &t, w->fail))
		return false;
	for (size_t i = 0; i < t.texts.count; i++) {
		if (!walk_target(w, str_of(t.texts.items[i]), alias_id, depth))
			return false;
	}
	return true;
}

/* --- setting --- */

static bool add_target(struct directory *d, int64_t alias_id, size_t position, const char *text, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ALIAS_TARGET_ADD, fail);
	query_number(&q, 1, alias_id);
	query_number(&q, 2, (int64_t)position);
	query_text(&q, 3, str_of(text));
	return query_run(&q);
}

static bool give_address(struct directory *d, int64_t domain_id, const char *local, int64_t alias_id,
                         struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ADDRESS_SET_ALIAS, fail);
	query_number(&q, 1, domain_id);
	query_text(&q, 2, str_of(local));
	query_number(&q, 3, alias_id);
	return query_run(&q);
}

/* The alias at exactly this address: *id, or 0. */
static bool find_alias(struct directory *d, const struct directory_address *address, int64_t *id, struct fail **fail)
{
	struct lookup found;
	if (!lookup_address(d, address, &found, fail))
		return false;
	bool exact = found.domain_id && found.local_length == strlen(address->local);
	*id = exact ? found.alias_id : 0;
	return true;
}

static bool parse_name(struct str text, struct directory_address *address, struct fail **fail)
{
	if (!directory_address_parse(text, address, fail))
		return false;
	if (address->domain[0])
		return true;
	return fail_set(fail, FAIL_INVALID, "%s has no domain; write %s@DOMAIN", address->local, address->local);
}

/* Writes an alias without looking where it leads. */
static bool store_alias(struct directory *d, const struct directory_address *address, const struct str *targets,
                        size_t count, struct fail **fail)
{
	struct directory_domain domain;
	int64_t id;
	char text[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	if (!directory_domain_get(d, str_of(address->domain), &domain, fail) || !find_alias(d, address, &id, fail))
		return false;
	if (id && !query_numbers(d, SQL_ALIAS_TARGETS_REMOVE, id, 0, fail))
		return false;
	if (!id) {
		if (!query_numbers(d, SQL_ALIAS_ADD, clock_wall_seconds(), 0, fail))
			return false;
		id = sqlite3_last_insert_rowid(d->db);
		if (!give_address(d, domain.id, address->local, id, fail))
			return false;
	}
	for (size_t i = 0; i < count; i++) {
		if (!lookup_target(d, address->domain, targets[i], text, fail) || !add_target(d, id, i, text, fail))
			return false;
	}
	return true;
}

static bool check_alias(struct directory *d, const struct directory_address *address, struct fail **fail)
{
	char text[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	struct walk w = { .d = d, .fail = fail, .start_address = text };
	directory_address_write(str_of(address->local), str_of(address->domain), text);
	return find_alias(d, address, &w.start, fail) && walk_alias(&w, w.start, 1);
}

bool directory_alias_set(struct directory *d, struct str text, const struct str *targets, size_t count,
                         struct fail **fail)
{
	struct directory_address address;
	if (!parse_name(text, &address, fail))
		return false;
	if (count == 0)
		return fail_set(fail, FAIL_INVALID, "alias %s@%s needs a target", address.local, address.domain);
	if (count > LIMIT_ALIAS_TARGETS_MAX)
		return fail_set(fail, FAIL_LIMIT, "alias %s@%s has more than %d targets", address.local, address.domain,
		                LIMIT_ALIAS_TARGETS_MAX);
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	return store_alias(d, &address, targets, count, fail) && check_alias(d, &address, fail) && change_commit(&change);
}

static bool need_alias(struct directory *d, struct str text, struct directory_address *address, int64_t *id,
                       struct fail **fail)
{
	if (!parse_name(text, address, fail) || !find_alias(d, address, id, fail))
		return false;
	return *id || fail_set(fail, FAIL_NOT_FOUND, "there is no alias %s@%s", address->local, address->domain);
}

bool directory_alias_remove(struct directory *d, struct str text, struct fail **fail)
{
	static const enum directory_sql steps[] = { SQL_ADDRESS_DROP_ALIAS, SQL_ADDRESS_REMOVE_ALIAS,
		                                        SQL_ALIAS_TARGETS_REMOVE, SQL_ALIAS_REMOVE };
	struct directory_address address;
	int64_t id;
	if (!need_alias(d, text, &address, &id, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	for (size_t i = 0; i < COUNT_OF(steps); i++) {
		if (!query_numbers(d, steps[i], id, 0, fail))
			return false;
	}
	return change_commit(&change);
}

/* --- reading --- */

static bool list_targets(struct directory *d, int64_t id, struct buf *targets, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ALIAS_TARGETS, fail);
	query_number(&q, 1, id);
	while (query_row(&q)) {
		buf_add_str(targets, query_get(&q, 0));
		buf_add_char(targets, '\n');
	}
	if (q.failed)
		return false;
	return !targets->overflowed || fail_set(fail, FAIL_TOO_BIG, "the targets of the alias do not fit");
}

bool directory_alias_next(struct directory *d, struct directory_alias *alias, struct fail **fail)
{
	char local[LIMIT_LOCAL_PART_MAX + 1];
	char domain[LIMIT_DOMAIN_MAX + 1];
	CLEANUP(query_end) struct query q = query_begin(d, SQL_ALIAS_NEXT, fail);
	query_number(&q, 1, alias->id);
	if (!query_row(&q))
		return false;
	alias->id = query_get_number(&q, 0);
	query_copy(&q, 1, local, sizeof local);
	query_copy(&q, 2, domain, sizeof domain);
	directory_address_write(str_of(local), str_of(domain), alias->address);
	buf_clear(&alias->targets);
	if (alias->targets.limit == 0)
		alias->targets.limit = ALIAS_TEXT_MAX;
	return !q.failed && list_targets(d, alias->id, &alias->targets, fail);
}

bool directory_alias_get(struct directory *d, struct str text, struct buf *targets, struct fail **fail)
{
	struct directory_address address;
	int64_t id;
	return need_alias(d, text, &address, &id, fail) && list_targets(d, id, targets, fail);
}

/* --- import --- */

struct import {
	struct directory *d;
	const char *domain;
	enum directory_import how;
	int64_t newest;  /* the last alias there was before */
	size_t count;
	struct buf *report;
};

static bool parse_import_name(const struct import *import, const struct alias_file_entry *entry,
                              struct directory_address *address, struct fail **fail)
{
	if (!directory_address_parse(entry->name, address, fail))
		return false;
	if (!address->domain[0])
		memcpy(address->domain, import->domain, strlen(import->domain) + 1);
	return true;
}

/* Stores or checks one entry. A failure of the entry itself ends the import, or leaves the entry
 * out and is told. */
static bool import_entry(struct import *import, struct alias_file_entry *entry, bool check, struct fail **fail)
{
	struct directory_address address;
	CLEANUP(fail_free) struct fail *why = NULL;
	CLEANUP(change_end) struct change change = change_begin(import->d, &why);
	bool done = change.open && parse_import_name(import, entry, &address, &why) &&
	            (check ? check_alias(import->d, &address, &why)
	                   : store_alias(import->d, &address, entry->targets, entry->target_count, &why)) &&
	            change_commit(&change);
	if (done)
		return true;
	bool of_the_entry = why && (why->kind == FAIL_INVALID || why->kind == FAIL_NOT_FOUND || why->kind == FAIL_LIMIT);
	if (!of_the_entry || import->how == DIRECTORY_IMPORT_STRICT)
		return fail_set(fail, why ? why->kind : FAIL_IO, "line %u: %s", entry->line, fail_text(why));
	buf_printf(import->report, "line %u: %s\n", entry->line, why->text);
	entry->target_count = 0;
	return true;
}

/* Takes an entry out again whose targets turned out to be bad. */
static bool drop_entry(struct import *import, const struct alias_file_entry *entry, struct fail **fail)
{
	struct directory_address address;
	char text[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	int64_t id;
	if (!parse_import_name(import, entry, &address, fail) || !find_alias(import->d, &address, &id, fail))
		return false;
	if (id <= import->newest)
		return fail_set(fail, FAIL_INVALID, "line %u would replace the alias %s@%s, but cannot be taken over",
		                entry->line, address.local, address.domain);
	directory_address_write(str_of(address.local), str_of(address.domain), text);
	return directory_alias_remove(import->d, str_of(text), fail);
}

static bool import_all(struct import *import, struct alias_file *file, struct fail **fail)
{
	for (size_t i = 0; i < file->entries.count; i++) {
		if (!import_entry(import, &file->entries.items[i], false, fail))
			return false;
	}
	/* Entries may name each other in any order, so they are checked when all stand; what is left
	 * out may have been another's target, so that goes on until nothing more falls. */
	for (bool again = true; again;) {
		again = false;
		for (size_t i = 0; i < file->entries.count; i++) {
			struct alias_file_entry *entry = &file->entries.items[i];
			if (entry->target_count == 0)
				continue;
			if (!import_entry(import, entry, true, fail))
				return false;
			if (entry->target_count == 0 && !drop_entry(import, entry, fail))
				return false;
			again = again || entry->target_count == 0;
		}
	}
	for (size_t i = 0; i < file->entries.count; i++)
		import->count += file->entries.items[i].target_count > 0;
	return true;
}

static bool find_newest(struct import *import, struct fail **fail)
{
	CLEANUP(query_end) struct query q = query_begin(import->d, SQL_ALIAS_NEWEST, fail);
	if (query_row(&q))
		import->newest = query_get_number(&q, 0);
	return !q.failed;
}

static bool tell_problems(struct import *import, const struct alias_file *file, struct fail **fail)
{
	if (file->problems.count == 0)
		return true;
	if (import->how == DIRECTORY_IMPORT_STRICT)
		return fail_set(fail, FAIL_INVALID, "%.*s", STR_ARG(file->problems.items[0].text));
	if (file->problems.count == LIMIT_ALIAS_FILE_PROBLEMS_MAX)
		return fail_set(fail, FAIL_LIMIT, "the aliases file has more than %d problems; is it one?",
		                LIMIT_ALIAS_FILE_PROBLEMS_MAX);
	for (size_t i = 0; i < file->problems.count; i++) {
		buf_add_str(import->report, file->problems.items[i].text);
		buf_add_char(import->report, '\n');
	}
	return true;
}

static void free_arena(struct arena **arena)
{
	arena_free(*arena);
}

bool directory_alias_import(struct directory *d, struct str domain, struct str text, enum directory_import how,
                            size_t *count, struct buf *report, struct fail **fail)
{
	struct directory_domain ours;
	struct import import = { .d = d, .domain = ours.name, .how = how, .report = report };
	CLEANUP(free_arena) struct arena *arena = arena_new(IMPORT_ARENA_MAX);
	CLEANUP(alias_file_release) struct alias_file file = {};
	if (!directory_domain_get(d, domain, &ours, fail) || !alias_file_parse(text, arena, &file, fail) ||
	    !tell_problems(&import, &file, fail))
		return false;
	CLEANUP(change_end) struct change change = change_begin(d, fail);
	if (!change.open || !find_newest(&import, fail) || !import_all(&import, &file, fail) || !change_commit(&change))
		return false;
	*count = import.count;
	return true;
}
