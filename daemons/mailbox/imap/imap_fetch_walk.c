#include "imap_fetch_walk.h"

#include "imap_compress.h"
#include "log.h"
#include "store_bulk.h"

#include <stdlib.h>

enum { CHUNK_ROWS = 512, CHUNK_OCTETS = 60000, FLAGS_MAX = 64 << 20 };

/* ---- one message ---- */

static bool send_some(void *session)
{
	return imap_send_some(session);
}

static bool is_uidonly(const struct imap_fetch_walk *f)
{
	return imap_is_enabled(f->s, IMAP_ENABLE_UIDONLY);
}

static void begin_message(struct imap_fetch_walk *f, const struct imap_row *row)
{
	struct buf *out = &f->s->out;
	bool uidonly = is_uidonly(f);
	if (f->has_content)
		imap_compress_boundary(f->s);
	buf_append(out, "* ", 2);
	buf_add_u64(out, uidonly ? row->row.uid : row->number);
	if (uidonly)
		buf_append(out, " UIDFETCH (", 11);
	else
		buf_append(out, " FETCH (", 8);
}

/* Why something of this message is missing; one reason is told at the end. */
static void note_failure(struct imap_fetch_walk *f, const struct imap_row *row)
{
	struct fail *fail = TAKE(f->mail.fail);
	if (!fail || fail->kind == FAIL_NOT_FOUND) {
		f->expunged = true;
		fail_free(&fail);
		return;
	}
	log_event(LOG_ERROR, f->s->session->connection, "mail-unreadable",
	          LOG_TEXT("account", str_of(f->s->session->address)), LOG_NUMBER("uid", row->row.uid),
	          LOG_TEXT("why", str_of(fail_text(fail))));
	if (f->fail)
		fail_free(&fail);
	else
		f->fail = fail;
}

/* True when it was written, with a blank before it unless it is the first. */
static bool write_item(struct imap_fetch_walk *f, size_t i, const struct imap_row *row, bool first)
{
	struct buf *out = &f->s->out;
	size_t start = out->length;
	if (!first)
		buf_add_char(out, ' ');
	switch (imap_item_write(&f->output, &f->items.list[i], &f->fields[i], row, &f->mail)) {
	case IMAP_ITEM_WRITTEN: return true;
	case IMAP_ITEM_FAILED: note_failure(f, row); break;
	case IMAP_ITEM_UNKNOWN_CTE: f->unknown_cte = true; break;
	case IMAP_ITEM_BROKEN: f->broken = true; return false;
	}
	buf_truncate(out, start);
	return false;
}

static bool asks_for_flags(const struct imap_fetch_walk *f)
{
	return f->items.kinds & 1u << IMAP_FETCH_FLAGS;
}

static bool made_seen(const struct imap_fetch_walk *f, const struct store_row *row)
{
	return f->items.sets_seen && row->modseq == f->s->view.own_modseq;
}

/* RFC 7162 §3.1, §3.2.4: where this command set \Seen, the flags come with UID and MODSEQ once CONDSTORE is enabled,
 * whether they were asked for or not; with IMAP4rev2 with the UID (RFC 9051 §7.5.2). */
static void write_flags(struct imap_fetch_walk *f, const struct imap_row *row, bool first)
{
	static const struct imap_fetch_item modseq = { .kind = IMAP_FETCH_MODSEQ }, uid = { .kind = IMAP_FETCH_UID };
	struct buf *out = &f->s->out;
	bool condstore = imap_is_enabled(f->s, IMAP_ENABLE_CONDSTORE);
	if (!asks_for_flags(f)) {
		if (!first)
			buf_add_char(out, ' ');
		buf_add_str(out, row->flags);
	}
	if (condstore && !f->adds_modseq && !(f->items.kinds & 1u << IMAP_FETCH_MODSEQ)) {
		buf_add_char(out, ' ');
		imap_item_write(&f->output, &modseq, NULL, row, &f->mail);
	}
	if (imap_view_adds_uid(f->s) && !f->adds_uid && !(f->items.kinds & 1u << IMAP_FETCH_UID) && !is_uidonly(f)) {
		buf_add_char(out, ' ');
		imap_item_write(&f->output, &uid, NULL, row, &f->mail);
	}
}

static void write_added(struct imap_fetch_walk *f, const struct imap_row *row, bool *any)
{
	struct buf *out = &f->s->out;
	if (f->adds_uid) {
		buf_append(out, "UID ", 4);
		buf_add_u64(out, row->row.uid);
		*any = true;
	}
	if (f->adds_modseq) {
		buf_append(out, *any ? " MODSEQ (" : "MODSEQ (", *any ? 9u : 8u);
		buf_add_u64(out, row->row.modseq);
		buf_add_char(out, ')');
		*any = true;
	}
}

/* A message of which nothing could be told is left out: UID and MODSEQ alone were not asked for. */
static void write_message(struct imap_fetch_walk *f, const struct imap_row *row)
{
	struct buf *out = &f->s->out;
	size_t start = out->length;
	bool any = false, told = false;
	begin_message(f, row);
	write_added(f, row, &any);
	for (size_t i = 0; i < f->items.count && !f->broken; i++)
		if (write_item(f, i, row, !any))
			any = told = true;
	if (f->broken)
		return;
	if (made_seen(f, &row->row)) {
		write_flags(f, row, !any);
		told = true;
	}
	if (told)
		buf_append(out, ")\r\n", 3);
	else
		buf_truncate(out, start);
}

/* ---- rows ---- */

static bool next_known(struct imap_fetch_walk *f, uint32_t *uid)
{
	const struct uidmap *known = &f->s->view.uids;
	for (; f->range < f->uids.ranges.count; f->range++) {
		const struct imap_range *range = &f->uids.ranges.items[f->range];
		uint32_t from = f->next > range->first ? f->next : range->first;
		*uid = from <= range->last ? uidmap_next(known, from) : 0;
		if (*uid && *uid <= range->last) {
			f->next = *uid + 1;
			return true;
		}
	}
	return false;
}

/* The text is made while the rows stand still, since sets of keywords belong to the image. Where it lies is known
 * when all are made. */
static struct str make_flags(struct imap_fetch_walk *f, const struct store_row *row)
{
	struct buf *out = &f->s->out;
	size_t start = out->length;
	imap_view_write_flags(f->s, row);
	size_t length = out->length - start;
	buf_append(&f->flags, out->data + start, length);
	buf_truncate(out, start);
	return str_from(NULL, length);
}

static void place_flags(struct imap_fetch_walk *f)
{
	struct str rest = buf_str(&f->flags);
	for (size_t i = 0; i < f->count; i++) {
		size_t length = f->rows[i].flags.length;
		f->rows[i].flags = str_first(rest, length);
		rest = str_from_index(rest, length);
	}
}

static bool wants_flags(const struct imap_fetch_walk *f, const struct store_row *row)
{
	return asks_for_flags(f) || made_seen(f, row);
}

static void add_row(struct imap_fetch_walk *f, const struct store_row *row, uint32_t number)
{
	struct imap_row *copy = &f->rows[f->count++];
	copy->row = *row;
	copy->number = number;
	copy->thread = 0;
	copy->flags = wants_flags(f, row) ? make_flags(f, row) : (struct str){};
}

/* A message that is gone still has its number, and so its UID, until EXPUNGE may be told (RFC 9051 §7.5.1). */
static bool is_answered_by_view(const struct imap_fetch_walk *f)
{
	return f->items.kinds == 1u << IMAP_FETCH_UID && !f->s->command.uid;
}

static void miss_row(struct imap_fetch_walk *f, uint32_t uid, uint32_t number)
{
	f->expunged = true;
	if (is_answered_by_view(f))
		add_row(f, &(struct store_row){ .uid = uid }, number);
}

/* Within a range of the set one number follows the other. */
static void copy_rows(struct imap_fetch_walk *f)
{
	struct imap_view *view = &f->s->view;
	size_t range = SIZE_MAX;
	uint32_t uid, number = 0;
	while (f->count < f->room && next_known(f, &uid)) {
		const struct store_row *row = store_index_find(view->index, uid, &f->hint);
		number = f->range == range ? number + 1 : uidmap_rank(&view->uids, uid);
		range = f->range;
		if (!row)
			miss_row(f, uid, number);
		else if (!f->modifiers.has_changed_since || row->modseq > f->modifiers.changed_since)
			add_row(f, row, number);
	}
}

static bool fill_chunk(struct imap_fetch_walk *f, struct fail **fail)
{
	f->count = f->told = 0;
	buf_clear(&f->flags);
	if (!store_index_lock(f->s->view.index, f->s->reader, fail))
		return false;
	copy_rows(f);
	store_index_unlock(f->s->view.index);
	place_flags(f);
	return !f->s->view.untold_keyword || imap_view_tell_flags(f->s, fail);
}

static bool read_threads(struct imap_fetch_walk *f, struct fail **fail)
{
	for (size_t i = 0; i < f->count; i++) {
		struct fail *why = NULL;
		if (store_read_thread(f->s->reader, f->rows[i].row.message, &f->rows[i].thread, &why))
			continue;
		bool unknown = why->kind == FAIL_NOT_FOUND;
		if (!unknown)
			fail_set(fail, why->kind, "%s", why->text);
		fail_free(&why);
		if (!unknown)
			return false;
	}
	return true;
}

/* ---- telling a chunk ---- */

/* Up to the message with this index, those whose columns did not come. */
static void tell_up_to(struct imap_fetch_walk *f, size_t index)
{
	for (; f->told < index && !f->broken; f->told++) {
		const struct imap_row *row = &f->rows[f->told];
		imap_mail_begin(&f->mail, row->row.message, row->row.size);
		write_message(f, row);
	}
}

/* The rows of the store are under our hands: no wait for the network. */
static bool take_columns(void *context, size_t index, const struct store_message_columns *columns)
{
	struct imap_fetch_walk *f = context;
	tell_up_to(f, f->base + index);
	if (f->broken)
		return false;
	const struct imap_row *row = &f->rows[f->told++];
	imap_mail_begin(&f->mail, row->row.message, row->row.size);
	imap_mail_give_columns(&f->mail, columns);
	write_message(f, row);
	f->full = f->s->out.length >= CHUNK_OCTETS;
	return !f->full && !f->broken;
}

/* Columns of many messages are read in one go where nothing else is needed. */
static bool tell_columns(struct imap_fetch_walk *f, struct fail **fail)
{
	const struct store_column_visitor visitor = { take_columns, f };
	unsigned columns = (f->needs & IMAP_NEEDS_STRUCTURE ? STORE_COLUMN_STRUCTURE : 0u) |
	                   (f->needs & IMAP_NEEDS_HEADERS ? STORE_COLUMN_HEADERS : 0u);
	uint64_t messages[CHUNK_ROWS];
	for (size_t i = 0; i < f->count; i++)
		messages[i] = f->rows[i].row.message;
	f->output.send = NULL;
	while (f->told < f->count && !f->broken) {
		f->base = f->told;
		f->full = false;
		if (!store_read_many_columns(f->s->reader, messages + f->base, f->count - f->base, columns, &visitor, fail))
			return false;
		if (!f->full)
			tell_up_to(f, f->count);
		f->broken |= !imap_send_some(f->s);
	}
	return true;
}

static void tell_each(struct imap_fetch_walk *f)
{
	f->output.send = send_some;
	while (f->told < f->count && !f->broken) {
		tell_up_to(f, f->told + 1);
		f->broken |= !imap_send_some(f->s);
	}
}

static bool tell_chunk(struct imap_fetch_walk *f, struct fail **fail)
{
	if (f->needs & IMAP_NEEDS_THREAD && !read_threads(f, fail))
		return false;
	if (f->needs & (IMAP_NEEDS_STRUCTURE | IMAP_NEEDS_HEADERS) && !(f->needs & IMAP_NEEDS_MORE))
		return tell_columns(f, fail);
	tell_each(f);
	return true;
}

/* ---- the walk ---- */

static bool is_content(enum imap_fetch_kind kind)
{
	return kind >= IMAP_FETCH_ENVELOPE;
}

void imap_fetch_walk_begin(struct imap_fetch_walk *f, struct imap_session *s)
{
	f->s = s;
	f->output = (struct imap_output){ .out = &s->out, .utf8 = imap_is_utf8(s), .context = s };
	f->fields = mem_alloc(f->items.count * sizeof *f->fields);
	for (size_t i = 0; i < f->items.count; i++) {
		imap_fields_init(&f->fields[i], &f->items.list[i].section);
		f->needs |= imap_item_needs(&f->items.list[i], &f->fields[i]);
		f->has_content |= is_content(f->items.list[i].kind);
	}
	uint64_t most = imap_numbers_count(&f->uids);
	f->room = most < CHUNK_ROWS ? (size_t)most : CHUNK_ROWS;
	f->rows = mem_resize(NULL, f->room, sizeof *f->rows);
	f->flags = BUF_WITH_LIMIT(FLAGS_MAX);
	imap_mail_init(&f->mail, s->reader);
}

bool imap_fetch_walk_run(struct imap_fetch_walk *f, struct fail **fail)
{
	do {
		if (!fill_chunk(f, fail) || !tell_chunk(f, fail))
			return false;
	} while (f->count && !f->broken);
	if (f->has_content)
		imap_compress_boundary(f->s);
	return true;
}

void imap_fetch_walk_release(struct imap_fetch_walk *f)
{
	imap_numbers_release(&f->uids);
	if (!f->s)
		return;
	for (size_t i = 0; i < f->items.count; i++)
		imap_fields_release(&f->fields[i]);
	free(f->fields);
	free(f->rows);
	imap_mail_release(&f->mail);
	buf_release(&f->flags);
	fail_free(&f->fail);
}
