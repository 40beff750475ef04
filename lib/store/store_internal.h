/*
 * What the files of the store share; for lib/store alone.
 *
 * Lock order: turn_lock, writer_lock, then any one of readers_lock, watch_lock, segments.lock.
 * Fields say which lock is over them; the others are set at open and then constant.
 */
#ifndef POSTHORN_STORE_STORE_INTERNAL_H
#define POSTHORN_STORE_STORE_INTERNAL_H

#include "database.h"
#include "limits.h"
#include "segments.h"
#include "store.h"
#include "store_index.h"
#include "uid_page.h"
#include "version.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum segment_state {
	SEGMENT_OPEN,
	SEGMENT_SEALED,
	SEGMENT_ABANDONED, /* a sync failed: what is in it moves */
	SEGMENT_KEPT,      /* something in it can't be read, so it stays */
	SEGMENT_GONE,      /* nothing in it any more; its file is to be unlinked */
};

/* A mailbox row in memory, written back at commit. */
struct mailbox_state {
	uint64_t id;
	uint64_t highestmodseq;
	uint64_t messages, unseen, deleted, bytes;
	uint32_t uidvalidity, uidnext;
	uint32_t paged; /* the first UID that its pages do not cover */
	struct uid_pages pages;
	char *name;
	bool changed; /* in this transaction */
};

/* What changed in a row that was there. */
struct index_change {
	uint32_t uid;
	uint32_t keywords;      /* first of them in index_delta.rows.keywords */
	uint16_t keyword_count;
	uint16_t flags;
};

/* What a transaction changed in a mailbox, for its index, to be carried out in this order: rows that came, changes of
 * rows, UIDs that went. */
struct index_delta {
	struct index_delta *next;
	uint64_t modseq;
	struct store_index_state state; /* after it, but for removals and first_unseen */
	struct store_entries rows;
	ARRAY(struct index_change) changes;
	ARRAY(uint32_t) gone;
};

struct index_note {
	uint64_t mailbox;
	struct index_delta *delta; /* NULL: an index there may be must be read anew */
};

struct store_txn {
	struct store *store;
	struct fail *fail;
	bool durable;
	bool active;                             /* BEGIN worked */
	uint64_t modseq;                         /* of all its changes; 0: not taken yet */
	int64_t now;                             /* savedate of what it places */
	uint64_t message_next, message_reserved; /* this and the next: values before, for a roll-back */
	struct tail_mark {
		uint64_t number, end;
	} tail, archive;
	int64_t bytes_change, messages_change; /* of the account's usage */
	ARRAY(uint64_t) created;               /* segments made by it */
	ARRAY(struct index_note) notes;        /* one for each mailbox whose placements it changed */
	bool all_changed;                      /* every index must be read anew */
	bool mailboxes_changed;                /* names came, went or moved */
	bool tails_moved;                      /* the tails are not those it began with */
};

struct store {
	int directory;
	char *path; /* of meta.db */
	struct version version;
	bool recovering;
	bool created; /* by this open */
	atomic_bool broken;   /* the WAL could not be synced: nothing may be committed any more */
	atomic_bool deferred; /* something committed may not be durable */

	pthread_mutex_t turn_lock;   /* held while waiting for the next */
	pthread_mutex_t writer_lock; /* over all up to the next lock */
	struct database writer;
	struct segments segments;
	struct segment_tail tail;    /* deliveries go here */
	struct segment_tail archive; /* recompressed mail goes here */
	struct store_txn txn;        /* the one there can be */
	bool writer_durable;         /* PRAGMA synchronous of the writer connection */
	ARRAY(struct mailbox_state *) mailboxes;
	uint64_t modseq;
	uint64_t message_next, message_reserved;
	uint64_t journal_row; /* row of journal_uuid, 0: none cached */
	uint8_t journal_uuid[16];
	struct buf header;    /* record headers are made here */
	bool rebuilt;         /* its applied rows begin with a rebuild: the table of that name has what was there before */
	bool suspect;         /* there is an abandoned segment: nothing is durable before the rescue */
	struct segment_move { /* compaction or recompression that goes on from step to step */
		uint64_t segment; /* 0: none */
		enum segment_codec codec;
		ARRAY(uint64_t) messages;
		size_t next;
	} move;
	struct segment_numbers orphans; /* files that no row named at the open, and nobody has looked at since; */
	bool orphans_known;             /* listed by the first care: an open does not wait for a large folder */
	struct segment_numbers begun;   /* made since the open, so none of those */
	unsigned backups;        /* under way: no segment goes */
	int64_t checkpoint_time; /* of the last metadata checkpoint; 0: one is due */
	uint64_t checkpoint_size; /* octets of the last full one; 0: not known */
	int wal_pages;
	bool wal_written; /* by the transaction */

	pthread_mutex_t readers_lock; /* over idle and readers */
	ARRAY(struct store_reader *) idle;
	size_t readers; /* handed out */

	pthread_mutex_t watch_lock; /* over the lists */
	struct store_listener *listeners;
	struct store_maildrop *maildrops;
	struct store_index *indexes;

	atomic_uint_fast64_t changes; /* the modseq, for those without the lock */
	atomic_uint_fast64_t bytes, messages, bytes_max, messages_max, own_bytes, own_messages;
};

struct store_reader {
	struct store *store;
	struct database database;
};

/* Where a body lies. */
struct body_place {
	uint64_t segment;
	uint64_t offset; /* of the record */
	uint32_t header;
	uint64_t stored;
	uint64_t size;
	uint64_t check;
	enum segment_codec codec;
	struct store_id id;
};

/* ---- schema.c ---- */
/* create: a file without tables gets them, and then *created is true. */
bool schema_open(struct database *db, bool create, const struct store_options *options, bool *created,
                 struct fail **fail);
bool schema_configure(struct database *db, bool writer, struct fail **fail);

/* ---- store.c ---- */

/* The steps of opening, for a rebuild. */
struct store *store_new(int directory, const struct store_options *options);
bool store_open_files(struct store *store, bool create, struct fail **fail);
bool store_open_database(struct store *store, const struct store_options *options, bool create, struct fail **fail);
bool store_load_counters(struct store *store, struct fail **fail);
void store_free(struct store *store);

/* These with the writer lock. */
struct store_txn *txn_begin_locked(struct store *store, bool durable);
bool txn_commit_locked(struct store_txn *txn, struct fail **fail);
bool barrier_locked(struct store *store, struct fail **fail);

/* Runs a query of the transaction; on failure the transaction has failed. */
bool txn_run(struct store_txn *txn, sqlite3_stmt *query);
enum database_step txn_step(struct store_txn *txn, sqlite3_stmt *query);
sqlite3_stmt *txn_query(struct store_txn *txn, const char *sql);

/* The first column of the only row; 0 when there is none. */
uint64_t txn_number(struct store_txn *txn, sqlite3_stmt *query);
bool txn_ok(const struct store_txn *txn);
bool txn_set_fail(struct store_txn *txn, enum fail_kind kind, const char *format, ...) FORMAT(3, 4);
uint64_t txn_modseq(struct store_txn *txn);

/* A number for a new message; numbers are reserved in the database in blocks. */
uint64_t txn_message_number(struct store_txn *txn);

/* ---- annotation.c ---- */
bool annotation_copy(struct store_txn *txn, uint64_t from, uint64_t to);
bool annotation_drop(struct store_txn *txn, uint64_t mailbox);

/* The placements p of mailbox ?1 with a modseq above ?2, by UID: looked for where pages say that there are any, and
 * among those that no page covers. */
#define CHANGED_PLACEMENTS                                                                                            \
	"(SELECT number * 8192 AS low, min(number * 8192 + 8191, (SELECT paged - 1 FROM mailbox WHERE id = ?1)) AS high"  \
	" FROM page WHERE mailbox = ?1 AND modseq > ?2 UNION ALL SELECT paged, 4294967295 FROM mailbox WHERE id = ?1"     \
	" ORDER BY low) CROSS JOIN placement p WHERE p.mailbox = ?1 AND p.uid >= low AND p.uid <= high AND p.modseq > ?2 "

/* ---- mailbox.c ---- */

/* The row in memory; NULL fails the transaction with FAIL_NOT_FOUND. Lives until the next call. */
struct mailbox_state *mailbox_state(struct store_txn *txn, uint64_t id);
void mailbox_forget_all(struct store *store);
bool mailbox_write_back(struct store_txn *txn);

/* The row in memory when it is there, else NULL. */
const struct mailbox_state *mailbox_in_memory(const struct store *store, uint64_t id);

/* After a commit: nothing is changed any more, and not too much is kept. */
void mailbox_settle(struct store *store);
bool mailbox_name_is_valid(struct str name);

/* The name with INBOX, which may come in any case, as it is stored; may live in memory. */
struct str mailbox_path(struct str name, struct buf *memory);

/* Changes counters by one placement and takes the transaction's modseq. */
void mailbox_count(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t flags, uint64_t size, int by);

/* ---- deliver.c ---- */
struct placement {
	uint64_t mailbox;
	uint32_t uid;
	uint64_t message;
	uint64_t size;
	int64_t received;
	uint32_t flags;
	struct str keywords; /* as stored: 16 bit numbers, little-endian */
	uint64_t modseq;
	int64_t saved;
};
bool placement_insert(struct store_txn *txn, const struct placement *placement);

bool quota_allows(struct store_txn *txn, uint64_t bytes, uint64_t messages);

/* Appends a record to a tail, beginning a new segment when it is full. place gets all but size, check and id,
 * which it has to have. */
bool body_append(struct store_txn *txn, struct segment_tail *tail, struct segment_header *header, struct str stored,
                 struct body_place *place);
bool body_insert(struct store_txn *txn, uint64_t message, const struct body_place *place);
bool message_insert(struct store_txn *txn, uint64_t message, uint64_t size, int64_t received,
                    const struct store_message_columns *columns);
uint32_t mailbox_take_uid(struct store_txn *txn, struct mailbox_state *mailbox);
bool segment_seal(struct store_txn *txn, struct segment_tail *tail);

/* The record header of a delivery that got this placement. */
struct segment_header header_of_delivery(const struct store_delivery *delivery, const struct mailbox_state *mailbox,
                                         const struct store_placed *placed);

/* Appends a delivery's body where its size says; header->check is filled. */
bool append_mail(struct store_txn *txn, const struct store_delivery *delivery, struct segment_header *header,
                 struct body_place *place);

/* Copies a body's file behind a record header; *check is its checksum. */
bool copy_body(struct store_txn *txn, struct segment_file *to, uint64_t at, const struct store_body *body,
               uint64_t *check);

/* ---- replay.c ---- */

/* A delivery whose applied row is there: invariant 7. */
bool replay_body(struct store_txn *txn, const struct store_delivery *delivery, uint64_t message,
                 struct store_placed *placed);

/* ---- reader.c ---- */
void reader_free(struct store_reader *reader);

/* ---- store_bulk.c ---- */

/* A new reader may map the database file, and does not. */
bool bulk_prepare(struct store_reader *reader, struct fail **fail);

/* The columns of body that are a place, and the place in a row that begins with them. */
#define BODY_PLACE "segment, start, header, stored, size, checksum, codec, stable"
struct body_place body_place_of(sqlite3_stmt *query);

bool body_find(struct database *db, uint64_t message, struct body_place *place, struct fail **fail);

/* The place of a body and a use of its file; NULL: FAIL_NOT_FOUND, or FAIL_CORRUPT when the file is lost. */
struct segment_file *body_open(struct store_reader *reader, uint64_t message, struct body_place *place,
                               struct fail **fail);

/* Reads and checks a whole body through a handle. */
bool body_read(const struct segment_file *file, const struct body_place *place, struct buf *out, struct fail **fail);

/* ---- move.c ---- */

/* Lists what is to move out of a segment. */
bool move_begin(struct store *store, uint64_t segment, enum segment_codec codec, struct fail **fail);

/* Moves about bytes_max; at the end, once durable, the file goes. Both with the writer lock. */
bool move_step(struct store *store, uint64_t bytes_max, struct fail **fail);

/* Moves all that lies in abandoned segments to new ones, durably. With the writer lock. */
bool store_rescue(struct store *store, struct fail **fail);

/* ---- orphan.c ---- */

/* Files that no row names, added to orphans: from a crash between a file and its commit, or under a meta.db that is
 * older. */
bool orphans_find(struct store *store, struct database *db, struct segment_numbers *orphans, struct fail **fail);

/* How many mails are in the file of an orphan, and how many of them cannot be read anywhere else in the account. */
struct orphan_contents {
	uint64_t mails, only_here;
};
bool orphan_read(struct store *store, struct database *db, uint64_t number, struct orphan_contents *contents,
                 struct fail **fail);

/* ---- checkpoint.c ---- */

/* Appends what changed since the last metadata checkpoint; all of it when asked for or when the changes since
 * the last full one have become more than that. */
bool checkpoint_append(struct store_txn *txn, bool full);

/* Segments that metadata may be in: those that deliveries go into. */
#define HOLDS_METADATA " (large = 0 AND codec = 0) "

/* ---- watch (snapshot.c) ---- */
void watch_tell(const struct store_txn *txn);
bool watch_is_pinned(struct store *store, uint64_t message);

/* ---- store_index.c ---- */

/* What the transaction did: a row came; has other flags and keywords; a UID went; something else happened to the
 * mailbox. */
void index_note_row(struct store_txn *txn, const struct placement *row);
void index_note_change(struct store_txn *txn, const struct placement *row);
void index_note_gone(struct store_txn *txn, uint64_t mailbox, uint32_t uid);
void index_note_unknown(struct store_txn *txn, uint64_t mailbox);

/* True when the rows of the mailbox's index are those that the transaction has now. */
bool index_is_usable(struct store_txn *txn, const struct mailbox_state *mailbox);

/* Fills a piece from it, keywords without their place; false: it can't be had just now. */
struct rows;
bool index_read_rows(struct rows *rows);

/* At the end of a transaction: tells the indexes, or nobody. */
void index_publish_notes(struct store_txn *txn);
void index_forget_notes(struct store_txn *txn);

/* The first UID of a mailbox that is \Recent, of this that its row has and what its index knows. */
uint32_t index_recent(struct store *store, uint64_t mailbox, uint32_t written);

/* Writes what indexes know of that; deferred. With the writer lock. */
bool index_write_recent(struct store *store, struct fail **fail);

/* Frees the indexes that nobody has had open since then (clock_monotonic_ms). */
void index_drop_unused(struct store *store, int64_t before);
bool index_is_used(struct store *store);

/* Keywords as stored; bytes live in memory. */
struct str keywords_pack(const struct store_keywords *keywords, struct buf *memory);

static inline uint16_t keyword_at(struct str packed, size_t index)
{
	const unsigned char *bytes = (const unsigned char *)packed.data + 2 * index;
	return (uint16_t)(bytes[0] | bytes[1] << 8);
}

#endif
