#include "store_internal.h"

#include <stdio.h>

enum { BODIES_AT_A_TIME = 500, BLOCK = 65536 };

struct checking {
	struct store_reader *reader;
	const struct store_report *report;
	uint64_t *damages;
	struct fail **fail;
};

static void tell(struct checking *c, enum fail_kind kind, const char *what)
{
	++*c->damages;
	if (c->report)
		c->report->found(c->report->context, kind, what);
}

/* What must give no row, each in one statement, so that it sees one state. The first column says what is wrong. */
static const char *const rules[] = {
	"SELECT 'counters of mailbox ' || m.name FROM mailbox m WHERE name NOT NULL AND (messages, unseen, deleted, bytes) "
	"!="
	" (SELECT count(*), coalesce(sum(flags & 1 = 0), 0), coalesce(sum(flags & 16 != 0), 0), coalesce(sum(size), 0)"
	" FROM placement p WHERE p.mailbox = m.id)",
	"SELECT 'UID beyond UIDNEXT or modseq beyond HIGHESTMODSEQ: mailbox ' || m.id || ' uid ' || p.uid FROM placement p"
	" JOIN mailbox m ON m.id = p.mailbox WHERE p.uid >= m.uidnext OR p.modseq > m.highestmodseq",
	"SELECT 'modseq beyond that of its page: mailbox ' || p.mailbox || ' uid ' || p.uid FROM page g JOIN mailbox m ON"
	" m.id = g.mailbox JOIN placement p ON p.mailbox = m.id AND p.uid BETWEEN g.number * 8192 AND"
	" g.number * 8192 + 8191 AND p.uid < m.paged WHERE p.modseq > g.modseq AND m.name NOT NULL",
	"SELECT 'annotation of no mailbox: ' || entry FROM annotation WHERE mailbox != 0 AND mailbox NOT IN (SELECT id FROM"
	" mailbox)",
	"SELECT 'page of no mailbox: ' || mailbox FROM page WHERE mailbox NOT IN (SELECT id FROM mailbox)",
	"SELECT 'placement in no mailbox: ' || mailbox || ' uid ' || uid FROM placement WHERE mailbox NOT IN"
	" (SELECT id FROM mailbox)",
	"SELECT 'placement of no message: mailbox ' || mailbox || ' uid ' || uid FROM placement p WHERE NOT EXISTS"
	" (SELECT 1 FROM body WHERE body.message = p.message) OR NOT EXISTS (SELECT 1 FROM message WHERE message.message ="
	" p.message)",
	"SELECT 'size of placement: mailbox ' || p.mailbox || ' uid ' || p.uid FROM placement p JOIN body b ON b.message ="
	" p.message WHERE b.size != p.size",
	"SELECT 'message without placement that is not dead: ' || message FROM body b WHERE NOT EXISTS (SELECT 1 FROM"
	" placement p WHERE p.message = b.message) AND message NOT IN (SELECT message FROM dead)",
	"SELECT 'body in no segment: message ' || message FROM body WHERE segment NOT IN (SELECT number FROM segment WHERE"
	" state != 4)",
	"SELECT 'bodies overlap: segment ' || segment || ' at ' || start FROM (SELECT segment, start, lag(start + header +"
	" stored, 1, 0) OVER (PARTITION BY segment ORDER BY start) AS end FROM body) WHERE start < end",
};

static bool check_rule(struct checking *c, const char *rule)
{
	struct database *db = &c->reader->database;
	sqlite3_stmt *query = database_query(db, rule);
	enum database_step step;
	while ((step = database_step(db, query, c->fail)) == DATABASE_ROW)
		tell(c, FAIL_CORRUPT, (const char *)sqlite3_column_text(query, 0));
	return step == DATABASE_DONE;
}

/* The sets of the pages that a mailbox has, against its placements. */
static bool read_pages(struct checking *c, uint64_t mailbox, struct uidmap sets[2], bool *damaged)
{
	struct database *db = &c->reader->database;
	sqlite3_stmt *query = database_query(db, "SELECT uids, unseen, number FROM page WHERE mailbox = ? ORDER BY number");
	bind_u64(query, 1, mailbox);
	enum database_step step;
	while ((step = database_step(db, query, c->fail)) == DATABASE_ROW) {
		for (int i = 0; i < 2; i++)
			*damaged = !uidmap_unpack(&sets[i], column_bytes(query, i), NULL) || *damaged;
		*damaged = *damaged || uidmap_last(&sets[0]) / UIDMAP_PAGE_BITS != column_u64(query, 2);
	}
	return step == DATABASE_DONE;
}

static bool read_placed(struct checking *c, uint64_t mailbox, struct uidmap sets[2])
{
	struct database *db = &c->reader->database;
	sqlite3_stmt *query =
		database_query(db, "SELECT uid, flags FROM placement WHERE mailbox = ?1 AND uid < (SELECT paged FROM mailbox"
	                       " WHERE id = ?1) ORDER BY uid");
	bind_u64(query, 1, mailbox);
	enum database_step step;
	while ((step = database_step(db, query, c->fail)) == DATABASE_ROW) {
		uidmap_append(&sets[0], (uint32_t)column_u64(query, 0));
		if (!(column_u64(query, 1) & STORE_SEEN))
			uidmap_append(&sets[1], (uint32_t)column_u64(query, 0));
	}
	return step == DATABASE_DONE;
}

static bool compare_pages(struct checking *c, uint64_t mailbox)
{
	struct uidmap stored[2] = {};
	struct uidmap placed[2] = {};
	bool damaged = false;
	bool ok = store_snapshot_begin(c->reader, c->fail) && read_pages(c, mailbox, stored, &damaged) &&
	          read_placed(c, mailbox, placed);
	store_snapshot_end(c->reader);
	damaged = damaged || !uidmap_equal(&stored[0], &placed[0]) || !uidmap_equal(&stored[1], &placed[1]);
	for (int i = 0; i < 2; i++) {
		uidmap_release(&stored[i]);
		uidmap_release(&placed[i]);
	}
	char text[80];
	snprintf(text, sizeof text, "pages of mailbox %llu", (unsigned long long)mailbox);
	if (ok && damaged)
		tell(c, FAIL_CORRUPT, text);
	return ok;
}

static bool check_uid_pages(struct checking *c)
{
	struct store_mailboxes mailboxes = {};
	bool ok = store_read_mailboxes(c->reader, &mailboxes, c->fail);
	for (size_t i = 0; ok && i < mailboxes.list.count; i++)
		ok = compare_pages(c, mailboxes.list.items[i].id);
	store_mailboxes_release(&mailboxes);
	return ok;
}

static bool check_pages(struct checking *c)
{
	struct database *db = &c->reader->database;
	sqlite3_stmt *query = database_query(db, "PRAGMA quick_check");
	enum database_step step;
	while ((step = database_step(db, query, c->fail)) == DATABASE_ROW) {
		const char *text = (const char *)sqlite3_column_text(query, 0);
		if (text && strcmp(text, "ok") != 0)
			tell(c, FAIL_CORRUPT, text);
	}
	return step == DATABASE_DONE;
}

static bool read_to_end(struct store_stream *stream, struct fail **fail)
{
	char block[BLOCK];
	int64_t got;
	while ((got = store_stream_read(stream, block, sizeof block, fail)) > 0)
		;
	return got == 0;
}

static bool check_header(struct checking *c, uint64_t message, struct fail **fail)
{
	char bytes[SEGMENT_HEADER_MAX];
	struct body_place place;
	struct segment_header header;
	struct store *store = c->reader->store;
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(SEGMENT_HEADER_MAX);
	struct segment_file *file = body_open(c->reader, message, &place, fail);
	bool ok = file && place.header <= sizeof bytes &&
	          segment_file_read(file, place.offset, bytes, place.header, fail) &&
	          (segment_header_decode(str_from(bytes, place.header), &store->segments.key, &header, &name) ||
	           fail_set(fail, FAIL_CORRUPT, "segment %llu at %llu has a damaged header",
	                    (unsigned long long)place.segment, (unsigned long long)place.offset));
	segments_unuse(&store->segments, file);
	return ok;
}

static void check_body(struct checking *c, uint64_t message)
{
	uint64_t size = 0;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(store_stream_close) struct store_stream *stream = store_stream_open(c->reader, message, &size, &fail);
	if (stream && read_to_end(stream, &fail) && check_header(c, message, &fail))
		return;
	/* collected while we were reading */
	if (fail && fail->kind != FAIL_NOT_FOUND)
		tell(c, fail->kind, fail->text);
}

/* In groups, so that no read transaction lasts as long as the reading of all mail. */
static bool check_bodies(struct checking *c)
{
	struct database *db = &c->reader->database;
	ARRAY(uint64_t) messages = {};
	uint64_t last = 0;
	enum database_step step;
	do {
		messages.count = 0;
		sqlite3_stmt *query = database_query(db, "SELECT message FROM body WHERE message > ? ORDER BY message LIMIT ?");
		bind_u64(query, 1, last);
		bind_u64(query, 2, BODIES_AT_A_TIME);
		while ((step = database_step(db, query, c->fail)) == DATABASE_ROW)
			*array_add(&messages) = column_u64(query, 0);
		for (size_t i = 0; i < messages.count; i++)
			check_body(c, last = messages.items[i]);
	} while (step == DATABASE_DONE && messages.count);
	array_release(&messages);
	return step == DATABASE_DONE;
}

/* A file is made before its row is committed: only between transactions each has one. */
static bool find_orphans(struct checking *c, struct segment_numbers *orphans)
{
	struct store *store = c->reader->store;
	pthread_mutex_lock(&store->writer_lock);
	bool ok = orphans_find(store, &c->reader->database, orphans, c->fail);
	pthread_mutex_unlock(&store->writer_lock);
	return ok;
}

static bool check_orphan(struct checking *c, uint64_t number)
{
	struct orphan_contents contents;
	struct fail *why = NULL;
	char text[160];
	if (!orphan_read(c->reader->store, &c->reader->database, number, &contents, &why)) {
		/* care took it meanwhile */
		bool gone = why->kind == FAIL_NOT_FOUND || fail_set(c->fail, why->kind, "%s", why->text);
		fail_free(&why);
		return gone;
	}
	if (contents.only_here)
		snprintf(text, sizeof text,
		         "segment %llu is named by no row; %llu of its %llu mails are nowhere else: rebuild has them",
		         (unsigned long long)number, (unsigned long long)contents.only_here,
		         (unsigned long long)contents.mails);
	else
		snprintf(text, sizeof text,
		         "segment %llu is named by no row and of no use: it goes when the account has been opened anew",
		         (unsigned long long)number);
	tell(c, FAIL_CORRUPT, text);
	return true;
}

static bool check_orphans(struct checking *c)
{
	CLEANUP(segment_numbers_release) struct segment_numbers orphans = {};
	bool ok = find_orphans(c, &orphans);
	for (size_t i = 0; ok && i < orphans.list.count; i++)
		ok = check_orphan(c, orphans.list.items[i]);
	return ok;
}

bool store_check(struct store *store, const struct store_report *report, uint64_t *damages, struct fail **fail)
{
	*damages = 0;
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(store, fail);
	if (!reader)
		return false;
	struct checking c = { reader, report, damages, fail };
	if (!check_pages(&c))
		return false;
	for (size_t i = 0; i < COUNT_OF(rules); i++)
		if (!check_rule(&c, rules[i]))
			return false;
	return check_uid_pages(&c) && check_bodies(&c) && check_orphans(&c);
}
