#include "merge.h"

#include "arena.h"
#include "hash.h"
#include "intake.h"

#include <stdlib.h>

enum { PLACED_AT_A_TIME = 500, REMOVED_AT_A_TIME = 1000, FLAGS_MAX = 200000 };

/* A mail of the account. */
struct known {
	struct store_id id;
	uint64_t mailbox;
	uint64_t message;
	uint32_t uid;
	bool mine; /* came here in this merge */
};

/* A place that a mail which is here shall have too. */
struct place {
	struct store_id id;
	uint64_t mailbox;
	char *flags;
};

struct mailbox_then {
	uint64_t id;
	uint32_t uidnext;
	char *name;
	bool wanted; /* the other store has it */
};

struct merge {
	struct control *control;
	bool replace;
	struct merged *merged;
	struct intake intake;
	struct store_reader *here, *there;
	struct store_mailboxes keywords; /* of the other store */
	ARRAY(struct mailbox_then) boxes; /* of the account when the merge began */
	ARRAY(struct known *) known;
	struct map *by_id;               /* id → struct known */
	struct map *kept;                /* mailbox, uid → itself: stays when all others go */
	ARRAY(struct place) places;
	ARRAY(struct known *) superseded; /* damaged here, and put in again */
};

static void merge_release(struct merge *m)
{
	for (size_t i = 0; i < m->known.count; i++)
		free(m->known.items[i]);
	for (size_t i = 0; i < m->places.count; i++)
		free(m->places.items[i].flags);
	for (size_t i = 0; i < m->boxes.count; i++)
		free(m->boxes.items[i].name);
	array_release(&m->known);
	array_release(&m->places);
	array_release(&m->boxes);
	array_release(&m->superseded);
	map_free(m->by_id);
	map_free(m->kept);
	store_mailboxes_release(&m->keywords);
	intake_release(&m->intake);
	store_reader_release(&m->here);
	store_reader_release(&m->there);
}

/* ---- what is here ---- */

static struct known *know(struct merge *m, const struct store_id *id, uint64_t mailbox)
{
	struct known *known = mem_alloc(sizeof *known);
	known->id = *id;
	known->mailbox = mailbox;
	*array_add(&m->known) = known;
	map_set(m->by_id, str_from((const char *)id, sizeof *id), known);
	return known;
}

static struct known *find(const struct merge *m, const struct store_id *id)
{
	return map_get(m->by_id, str_from((const char *)id, sizeof *id));
}

static bool learn_mailbox(struct merge *m, const struct store_mailbox *box, struct fail **fail)
{
	CLEANUP(store_ids_release) struct store_ids ids = {};
	if (!store_read_ids(m->here, box->id, &ids, fail))
		return false;
	*array_add(&m->boxes) = (struct mailbox_then){ box->id, box->uidnext, str_copy(box->name), false };
	for (size_t i = 0; i < ids.list.count; i++) {
		const struct store_drop_message *mail = &ids.list.items[i];
		struct known *known = know(m, &mail->id, box->id);
		known->message = mail->message;
		known->uid = mail->uid;
	}
	return true;
}

static bool learn_all(struct merge *m, struct fail **fail)
{
	CLEANUP(store_mailboxes_release) struct store_mailboxes boxes = {};
	if (!store_read_mailboxes(m->here, &boxes, fail))
		return false;
	for (size_t i = 0; i < boxes.list.count; i++)
		if (!learn_mailbox(m, &boxes.list.items[i], fail))
			return false;
	return true;
}

static bool is_readable(struct merge *m, const struct known *known)
{
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(LIMIT_IMPORT_MAIL_MAX);
	return known->mine || store_read_body(m->here, known->message, &body, NULL);
}

/* ---- what the other store has ---- */

struct source {
	struct store_mailbox box; /* there */
	uint64_t mailbox;         /* here */
	struct store_ids ids;
	struct store_entries entries;
};

static void source_release(struct source *source)
{
	store_ids_release(&source->ids);
	store_entries_release(&source->entries);
}

static void tell_unreadable(struct merge *m, const struct source *source, uint32_t uid, const struct fail *fail)
{
	CLEANUP(mem_free) char *where = mem_printf("%.*s uid %u of the backup", STR_ARG(source->box.name), uid);
	control_tell_damage(m->control, str_of(where), fail->kind, fail->text);
	m->merged->damaged++;
}

static bool put_in(struct merge *m, const struct source *source, const struct store_entry *entry,
				   const struct store_id *id, struct str flags, struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	struct known *known = find(m, id);
	struct intake_mail mail = { .mailbox = source->mailbox, .received = entry->received, .id = *id, .has_id = !known };
	buf_init(&mail.text, LIMIT_IMPORT_MAIL_MAX);
	if (!store_read_body(m->there, entry->message, &mail.text, &why)) {
		tell_unreadable(m, source, entry->uid, why);
		buf_release(&mail.text);
		return true;
	}
	if (!intake_flags(&m->intake, flags, &mail, fail)) {
		buf_release(&mail.text);
		return false;
	}
	/* its id stays with the damaged one, whose body is still there when it is expunged */
	if (known)
		*array_add(&m->superseded) = known;
	else
		know(m, id, source->mailbox)->mine = true;
	m->merged->restored++;
	return intake_add(&m->intake, &mail, fail);
}

static bool merge_mail(struct merge *m, const struct source *source, const struct store_entry *entry,
					   const struct store_id *id, struct fail **fail)
{
	CLEANUP(buf_release) struct buf flags = BUF_WITH_LIMIT(FLAGS_MAX);
	struct known *known = find(m, id);
	intake_flag_names(&flags, &source->entries, entry, &m->keywords);
	if (!known || !is_readable(m, known))
		return put_in(m, source, entry, id, buf_str(&flags), fail);
	/* a mail may lie in several mailboxes */
	if (known->mine || m->replace)
		*array_add(&m->places) = (struct place){ *id, source->mailbox, str_copy(buf_str(&flags)) };
	m->merged->there += !known->mine;
	return control_may_go_on(m->control, fail);
}

static void mark_wanted(struct merge *m, uint64_t mailbox)
{
	for (size_t i = 0; i < m->boxes.count; i++)
		m->boxes.items[i].wanted |= m->boxes.items[i].id == mailbox;
}

static bool merge_mailbox(struct merge *m, const struct store_mailbox *box, struct fail **fail)
{
	CLEANUP(source_release) struct source source = { .box = *box };
	const struct store_selection all = { box->id, &(struct store_range){ 1, UINT32_MAX }, 1 };
	if (!intake_mailbox(&m->intake, box->name, box->use, box->subscribed, &source.mailbox, fail) ||
		!store_read_ids(m->there, box->id, &source.ids, fail) ||
		!store_read_entries(m->there, &all, 0, &source.entries, fail))
		return false;
	mark_wanted(m, source.mailbox);
	/* both are by UID; a placement without a body, which a damaged store may have, has no id */
	for (size_t i = 0, k = 0; i < source.entries.list.count; i++) {
		const struct store_entry *entry = &source.entries.list.items[i];
		while (k < source.ids.list.count && source.ids.list.items[k].uid < entry->uid)
			k++;
		if (k < source.ids.list.count && source.ids.list.items[k].uid == entry->uid &&
		    !merge_mail(m, &source, entry, &source.ids.list.items[k].id, fail))
			return false;
	}
	return true;
}

static bool merge_all(struct merge *m, struct fail **fail)
{
	CLEANUP(store_mailboxes_release) struct store_mailboxes boxes = {};
	if (!store_read_mailboxes(m->there, &boxes, fail) || !store_read_keywords(m->there, &m->keywords, fail))
		return false;
	for (size_t i = 0; i < boxes.list.count; i++)
		if (!merge_mailbox(m, &boxes.list.items[i], fail))
			return false;
	return intake_flush(&m->intake, fail);
}

/* ---- further places ---- */

struct mail_place {
	struct store_id id;
	uint64_t mailbox;
};

static void keep(struct merge *m, uint64_t mailbox, uint32_t uid)
{
	const uint64_t key[2] = { mailbox, uid };
	map_set(m->kept, MAP_KEY(key), m);
}

static bool is_kept(const struct merge *m, uint64_t mailbox, uint32_t uid)
{
	const uint64_t key[2] = { mailbox, uid };
	return map_get(m->kept, MAP_KEY(key));
}

static void set_flags(struct store_txn *txn, uint64_t mailbox, uint32_t uid, const struct intake_mail *wanted)
{
	const struct store_selection one = { mailbox, &(struct store_range){ uid, uid }, 1 };
	const struct store_change change = {
		.how = STORE_FLAGS_REPLACE, .flags = wanted->flags, .keywords = wanted->keywords, .unchanged_since = UINT64_MAX,
	};
	store_flags(txn, &one, &change, NULL, NULL);
}

/* Where the mail is now: in that mailbox if it can be. */
static const struct known *place_now(const struct map *now, const struct place *place)
{
	struct mail_place exact = { place->id, place->mailbox };
	const struct known *known = map_get(now, MAP_KEY(exact));
	return known ? known : map_get(now, MAP_KEY(place->id));
}

static void give_place(struct merge *m, struct store_txn *txn, const struct map *now, const struct place *place,
                       const struct intake_mail *wanted)
{
	const struct known *known = place_now(now, place);
	struct store_uids copied = {};
	uint32_t uid = known ? known->uid : 0;
	if (!known)
		return; /* expunged meanwhile */
	if (known->mailbox != place->mailbox) {
		const struct store_selection one = { known->mailbox, &(struct store_range){ known->uid, known->uid }, 1 };
		store_copy(txn, &one, place->mailbox, &copied);
		uid = copied.to.count ? copied.to.items[0] : 0;
		store_uids_release(&copied);
	}
	if (uid) {
		set_flags(txn, place->mailbox, uid, wanted);
		keep(m, place->mailbox, uid);
	}
}

static bool give_places(struct merge *m, const struct map *now, size_t first, size_t count, struct fail **fail)
{
	ARRAY(struct intake_mail) wanted = {};
	bool good = control_may_go_on(m->control, fail);
	/* a new keyword is a transaction of its own, so they come before the one of the places */
	for (size_t i = 0; good && i < count; i++)
		good = intake_flags(&m->intake, str_of(m->places.items[first + i].flags), array_add(&wanted), fail);
	if (good) {
		struct store_txn *txn = store_begin(m->control->store);
		for (size_t i = 0; i < count; i++)
			give_place(m, txn, now, &m->places.items[first + i], &wanted.items[i]);
		good = store_commit(&txn, fail);
	}
	array_release(&wanted);
	arena_reset(m->intake.arena);
	return good;
}

/* What is here now, by id and mailbox, and by id alone. */
static bool map_places(struct merge *m, struct map *now, struct fail **fail)
{
	size_t first = m->known.count;
	CLEANUP(store_mailboxes_release) struct store_mailboxes boxes = {};
	if (!store_read_mailboxes(m->here, &boxes, fail))
		return false;
	for (size_t i = 0; i < boxes.list.count; i++) {
		CLEANUP(store_ids_release) struct store_ids ids = {};
		if (!store_read_ids(m->here, boxes.list.items[i].id, &ids, fail))
			return false;
		for (size_t k = 0; k < ids.list.count; k++) {
			struct known *known = know(m, &ids.list.items[k].id, boxes.list.items[i].id);
			known->uid = ids.list.items[k].uid;
		}
	}
	for (size_t i = first; i < m->known.count; i++) {
		struct known *known = m->known.items[i];
		struct mail_place exact = { known->id, known->mailbox };
		map_set(now, MAP_KEY(exact), known);
		map_set(now, MAP_KEY(known->id), known);
	}
	return true;
}

static bool give_all_places(struct merge *m, struct fail **fail)
{
	struct map *now = map_new();
	bool good = m->places.count == 0 || map_places(m, now, fail);
	for (size_t first = 0; good && first < m->places.count; first += PLACED_AT_A_TIME) {
		size_t count = m->places.count - first < PLACED_AT_A_TIME ? m->places.count - first : PLACED_AT_A_TIME;
		good = give_places(m, now, first, count, fail);
	}
	map_free(now);
	return good;
}

/* ---- what goes ---- */

static bool remove_ranges(struct merge *m, uint64_t mailbox, const struct store_range *ranges, size_t count,
						  struct fail **fail)
{
	const struct store_selection selection = { mailbox, ranges, count };
	struct store_uids gone = {};
	if (count == 0)
		return true;
	struct store_txn *txn = store_begin(m->control->store);
	store_expunge(txn, &selection, true, &gone);
	bool good = store_commit(&txn, fail);
	m->merged->removed += good ? gone.uids.count : 0;
	store_uids_release(&gone);
	return good;
}

static bool remove_superseded(struct merge *m, struct fail **fail)
{
	for (size_t i = 0; i < m->superseded.count; i++) {
		const struct known *known = m->superseded.items[i];
		if (!remove_ranges(m, known->mailbox, &(struct store_range){ known->uid, known->uid }, 1, fail))
			return false;
	}
	return true;
}

/* All that was in the mailbox when the merge began and is not kept. */
static bool remove_others(struct merge *m, const struct mailbox_then *box, struct fail **fail)
{
	CLEANUP(store_ids_release) struct store_ids ids = {};
	ARRAY(struct store_range) ranges = {};
	bool good = store_read_ids(m->here, box->id, &ids, fail);
	for (size_t i = 0; good && i < ids.list.count && ids.list.items[i].uid < box->uidnext; i++) {
		uint32_t uid = ids.list.items[i].uid;
		if (is_kept(m, box->id, uid))
			continue;
		*array_add(&ranges) = (struct store_range){ uid, uid };
		if (ranges.count == REMOVED_AT_A_TIME) {
			good = control_may_go_on(m->control, fail) && remove_ranges(m, box->id, ranges.items, ranges.count, fail);
			ranges.count = 0;
		}
	}
	good = good && remove_ranges(m, box->id, ranges.items, ranges.count, fail);
	array_release(&ranges);
	return good;
}

/* INBOX and one that is used again stay. */
static void remove_mailbox(struct merge *m, const struct mailbox_then *box)
{
	struct store_mailbox now;
	struct store_txn *txn = NULL;
	uint64_t id;
	if (!store_read_mailbox(m->here, str_of(box->name), &now, NULL) || now.id != box->id || now.messages)
		return;
	txn = store_begin(m->control->store);
	store_mailbox_delete(txn, str_of(box->name), &id);
	(void)!store_commit(&txn, NULL);
}

static bool remove_all_others(struct merge *m, struct fail **fail)
{
	for (size_t i = 0; m->replace && i < m->boxes.count; i++)
		if (!remove_others(m, &m->boxes.items[i], fail))
			return false;
	/* by name, so that children come first from the end */
	for (size_t i = m->boxes.count; m->replace && i > 0; i--)
		if (!m->boxes.items[i - 1].wanted)
			remove_mailbox(m, &m->boxes.items[i - 1]);
	return true;
}

bool merge_store(struct control *c, struct store *other, bool replace, struct merged *merged, struct fail **fail)
{
	*merged = (struct merged){};
	CLEANUP(merge_release) struct merge m = {
		.control = c, .replace = replace, .merged = merged, .by_id = map_new(), .kept = map_new(),
		.here = store_reader_acquire(c->store, fail), .there = store_reader_acquire(other, fail),
	};
	intake_begin(&m.intake, c);
	return m.here && m.there && learn_all(&m, fail) && merge_all(&m, fail) && give_all_places(&m, fail) &&
	       remove_superseded(&m, fail) && remove_all_others(&m, fail);
}
