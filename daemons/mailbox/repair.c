#include "repair.h"

#include "columns.h"
#include "control.h"
#include "file.h"
#include "folder.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static const char marker[] = "rebuild";

/* The folders of a backup or restore whose process died. */
static void remove_leftovers(const struct account *a)
{
	folder_remove(a->directory, "backup", NULL);
	folder_remove(a->directory, "restore", NULL);
}

static bool is_marked(const struct account *a)
{
	return faccessat(a->directory, marker, F_OK, 0) == 0;
}

static bool mark(const struct account *a, struct fail **fail)
{
	CLEANUP(file_close) int file = openat(a->directory, marker, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return (file >= 0 && fsync(file) == 0 && fsync(a->directory) == 0) ||
		   fail_set_errno(fail, FAIL_IO, "cannot mark the account for its rebuild");
}

static bool unmark(const struct account *a, struct fail **fail)
{
	return (unlinkat(a->directory, marker, 0) == 0 && fsync(a->directory) == 0) ||
	       fail_set_errno(fail, FAIL_IO, "cannot take the account's mark for a rebuild away");
}

/* ---- the rebuild ---- */

struct parsing {
	struct arena *arena;
	struct buf text;
};

static void parse(void *context, struct str mail, struct store_message_columns *columns)
{
	struct parsing *p = context;
	arena_reset(p->arena);
	buf_clear(&p->text);
	p->text.limit = mail.length;
	buf_add_str(&p->text, mail);
	must(columns_fill(p->arena, &p->text, columns));
}

static void found(void *context, enum fail_kind kind, const char *what)
{
	const struct account *a = context;
	log_event(LOG_WARNING, 0, "rebuild-found", LOG_NUMBER("account", a->number),
			  LOG_TEXT("kind", str_of(fail_kind_name(kind))), LOG_TEXT("what", str_of(what)));
}

static bool rebuild(struct account *a, const struct store_options *options, struct fail **fail)
{
	struct parsing parsing = { .arena = arena_new(MESSAGE_ARENA_SIZE) };
	const struct store_parser parser = { parse, &parsing };
	const struct store_report report = { found, a };
	log_event(LOG_WARNING, 0, "rebuild-begins", LOG_NUMBER("account", a->number));
	bool done = store_rebuild(a->directory, options, &parser, &report, &a->rebuilt, fail);
	arena_free(parsing.arena);
	buf_release(&parsing.text);
	a->was_rebuilt = done;
	if (done)
		log_event(LOG_WARNING, 0, "rebuilt", LOG_NUMBER("account", a->number), LOG_NUMBER("mails", a->rebuilt.messages),
		          LOG_NUMBER("recovered", a->rebuilt.recovered), LOG_NUMBER("damaged", a->rebuilt.damaged));
	return done && unmark(a, fail);
}

bool repair_and_open(struct account *a, const struct store_options *options, struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	remove_leftovers(a);
	if (is_marked(a) && !rebuild(a, options, fail))
		return false;
	a->store = store_open(a->directory, options, &why);
	if (a->store)
		return true;
	if (why->kind != FAIL_CORRUPT || a->was_rebuilt)
		return fail_set(fail, why->kind, "%s", why->text);
	log_event(LOG_ERROR, 0, "store-damaged", LOG_NUMBER("account", a->number), LOG_TEXT("why", str_of(why->text)));
	if (!mark(a, fail) || !rebuild(a, options, fail))
		return false;
	a->store = store_open(a->directory, options, fail);
	return a->store;
}

/* ---- posthornctl ---- */

bool control_rebuild(struct control *c, struct fail **fail)
{
	c->restarts = mark(c->account, fail);
	return c->restarts;
}

bool control_rebuilt(struct control *c, struct fail **fail)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(1000);
	const struct store_rebuilt *rebuilt = &c->account->rebuilt;
	if (!c->account->was_rebuilt)
		return fail_set(fail, FAIL_NOT_FOUND, "the account was not rebuilt when its process began");
	archive_field_add_number(&row, "mails", rebuilt->messages);
	archive_field_add_number(&row, "recovered", rebuilt->recovered);
	archive_field_add_number(&row, "damaged", rebuilt->damaged);
	control_send_row(c, &row);
	return true;
}
