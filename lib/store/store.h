/*
 * The store of one account: its mail, mailboxes, flags and what they were.
 *
 * One process at a time has a store open (an OFD lock on `version`); in it, one thread at a time
 * writes and any number read. docs/store.md has the file formats and the crash reasoning.
 *
 * INVARIANTS
 *  1  A body's bytes never change their meaning: what is read back is what was given, octet
 *     for octet, or the read fails with FAIL_CORRUPT. Nothing else fails because of it.
 *  2  A body row refers to bytes that were written before the row was committed.
 *  3  A durable commit, and a barrier, sync the segments (and seg/ if it changed) first, then the WAL:
 *     no durable row refers to bytes that are not durable.
 *  4  A deferred commit is durable after the next durable commit, barrier or sync of the file
 *     system. Until then the journal has the mail and would deliver it again.
 *  5  What a client is told, it is told after it is durable: sessions commit durably, and call
 *     store_barrier before they name UIDs or ids that others committed.
 *  6  (journal, seq, recipient) is applied once: the applied row is in the same transaction
 *     as the placement and outlives the message. It goes only below the trim mark.
 *  7  A delivery given again whose applied row is there changes no row; if the body row is
 *     there too, the bytes in the segment are checked and, if they differ, written again in place.
 *  8  (mailbox, UIDVALIDITY, UID), a modification sequence and a message number name one thing for ever.
 *     After an unclean stop UIDNEXT, the modification sequence and the message number jump LIMIT_UID_GAP.
 *  9  `version` says "clean" only when all that was ever committed is durable: the word goes,
 *     durably, before the first commit after an open and comes back, durably, in store_close.
 * 10  A segment file is unlinked only after the commit that left nothing in it is durable, and
 *     never while an applied row says that the journal may rewrite something in it. One that no row names
 *     goes only when all that is in it can be read elsewhere (orphan.c).
 * 11  Every body can be found with the segments alone; one damaged record hides no other.
 * 12  Message rows are immutable. What changes is in placement and mailbox rows only.
 * 13  Counters (messages, unseen, deleted, bytes) equal what counting placements gives, in
 *     every committed state.
 * 14  A reader holds no read transaction between calls, except between store_snapshot_begin and _end.
 * 15  The stored pages of a mailbox (uid_page.h) are exactly its placements below mailbox.paged, in every committed
 *     state, and the modseq of a page is at least that of each of them.
 *
 * STATES OF A BODY                          by
 *
 *	            ┌──────────┐ roll-back
 *	  (bytes) → │ appended │ ───────────→ overwritten        store_deliver
 *	            └────┬─────┘
 *	                 │ commit                                store_commit
 *	            ┌────▼─────┐ replay: checked, rewritten      store_deliver
 *	            │committed │◄─┐
 *	            └────┬─────┘──┘
 *	                 │ the segment is full, or its end       store_deliver
 *	            ┌────▼─────┐ compaction: copied to another
 *	            │  sealed  │◄─┐ segment, committed            store_maintain
 *	            └──┬────┬──┘──┘
 *	 old, trimmed  │    │
 *	 ┌─────────────▼┐   │ last placement expunged             store_maintain; store_expunge,
 *	 │ recompressed ├─┐ │ (from committed too)                store_mailbox_delete
 *	 └──────────────┘ │ │
 *	            ┌─────▼─▼──┐
 *	            │   dead   │ readable while a maildrop pins it
 *	            └────┬─────┘
 *	                 │ collected: rows dropped               store_maintain
 *	            ┌────▼─────┐
 *	            │   gone   │ bytes leave with the segment    store_maintain
 *	            └──────────┘
 *
 * Functions that change something take a struct store_txn *, which is the proof that the writer
 * lock is held; it is sticky: after the first failure every call does nothing and returns false, and
 * the commit refuses with that failure. Strings and arrays given are not kept beyond the
 * call. Dates are seconds since 1970 UTC, sizes octets, mailbox names UTF-8 with '/' between levels.
 * Failures: FAIL_NO_SPACE disk full; FAIL_IO the disk failed; FAIL_CORRUPT; FAIL_BUSY; others where named.
 */
#ifndef POSTHORN_STORE_STORE_H
#define POSTHORN_STORE_STORE_H

#include "array.h"
#include "buf.h"
#include "fail.h"

struct store;
struct store_txn;
struct store_reader;

/* ---- open and close ---- */

/* Loads what SQLite would open lazily; before the sandbox, once per process tree. */
void store_preload(void);

enum store_special_use {
	STORE_USE_NONE,
	STORE_USE_ARCHIVE,
	STORE_USE_DRAFTS,
	STORE_USE_FLAGGED,
	STORE_USE_JUNK,
	STORE_USE_SENT,
	STORE_USE_TRASH,
	STORE_USE_IMPORTANT
};

/* A mailbox that a new account begins with. */
struct store_first_mailbox {
	struct str name;
	enum store_special_use use;
};

struct store_options {
	const char *path;      /* absolute path of the same directory, for SQLite */
	bool create;           /* an empty directory becomes an account with an INBOX */
	const struct store_first_mailbox *first; /* made with a new account beside INBOX, and all of them subscribed */
	size_t first_count;
	uint32_t uidvalidity;  /* a new account's first; 0 is 1. One made anew under an old name needs more */
	uint64_t bytes_max;    /* quota; 0: none */
	uint64_t messages_max; /* quota; 0: none */
};

/* FAIL_BUSY: another process has it. FAIL_NOT_FOUND: no account there and create not asked.
 * FAIL_CORRUPT: meta.db is damaged; store_rebuild makes it anew. */
struct store *store_open(int account_directory, const struct store_options *options, struct fail **fail);

/* Makes all durable and says so in `version`. The store is gone afterwards in any case; false means
 * that the next open finds an unclean stop. All readers must have been released. */
bool store_close(struct store **store, struct fail **fail);

/* For CLEANUP: closes, unclean if it must. */
void store_cleanup(struct store **store);

/* True after an unclean stop: the caller replays all the journal has for the account with deferred
 * transactions, then calls store_finish_recovery, and only then starts sessions. */
bool store_needs_recovery(const struct store *store);
bool store_finish_recovery(struct store *store, struct fail **fail);

/* True when this open made the store. A power loss may have taken an account that the journal has mail for: here, too,
 * sessions begin only when that was replayed. */
bool store_was_created(const struct store *store);

/* The jump of invariant 8, for mail that is imported or restored: the first thing in its transaction. */
bool store_leave_gap(struct store_txn *txn);

/* ---- transactions ---- */

/* Waits for the writer lock. store_begin: durable once committed, for sessions.
 * store_begin_deferred: invariant 4, for deliveries and the implicit \Seen. Never NULL. */
struct store_txn *store_begin(struct store *store);
struct store_txn *store_begin_deferred(struct store *store);

/* Ends it either way and sets *txn to NULL. */
bool store_commit(struct store_txn **txn, struct fail **fail) NODISCARD;
void store_rollback(struct store_txn **txn); /* for CLEANUP too; NULL is nothing */
bool store_txn_failed(const struct store_txn *txn);

/* Everything committed so far is durable afterwards. Costs nothing when it is already. */
bool store_barrier(struct store *store, struct fail **fail) NODISCARD;

/* ---- deliver and append ---- */

enum store_flag {
	STORE_SEEN = 1,
	STORE_ANSWERED = 2,
	STORE_FLAGGED = 4,
	STORE_DRAFT = 8,
	STORE_DELETED = 16,
	STORE_FLAGS_ALL = 31
};

/* Unique and never reused; also the UIDL. Derived from the origin of a delivery, else random. */
struct store_id {
	uint8_t bytes[16];
};

/* Numbers of keywords (store_keyword), ascending. */
struct store_keywords {
	const uint16_t *numbers;
	size_t count;
};

struct store_body {
	struct str bytes; /* the mail, when file is 0 */
	int file;         /* else its first size bytes */
	uint64_t size;
};

/* What lists of a maildrop must know of a mail without reading it. */
enum store_trait {
	STORE_HAS_8BIT_HEADER = 1, /* clients without UTF-8 get a surrogate of another size, RFC 6856 §2.1 */
	STORE_ENDS_WITHIN_LINE = 2, /* POP3 sends a line end more than there is */
};

/* What lib/mail found in the mail; kept as it is. Empty parts are allowed. */
struct store_message_columns {
	struct str structure; /* envelope and MIME structure */
	struct str headers;   /* fields that lists show */
	struct str subject;   /* base subject, RFC 5256 §2.1 */
	struct str message_id;
	const struct str *references; /* Message-IDs of References and In-Reply-To, oldest first */
	size_t reference_count;
	struct str preview;
	int64_t sent; /* Date field */
	uint32_t lines;
	uint32_t traits; /* enum store_trait */
};

/* Which record of which journal this is, and for which of its recipients. */
struct store_origin {
	uint8_t journal[16];
	uint64_t seq;
	uint32_t recipient;
};

struct store_delivery {
	const struct store_origin *origin; /* NULL: an APPEND */
	const struct store_id *id; /* of a mail put back, which no mail here has now; NULL: a new one */
	struct store_body body;
	const struct store_message_columns *columns; /* NULL: nothing is known */
	uint64_t mailbox;
	int64_t received; /* store_date.h */
	uint32_t flags;
	struct store_keywords keywords;
	bool within_quota; /* refuse with FAIL_OVER_QUOTA; a mail that got its 250 never is */
};

struct store_placed {
	struct store_id id;
	uint64_t message;
	uint64_t modseq;
	uint32_t uid; /* 0: applied before */
	uint32_t uidvalidity;
	bool replayed; /* applied before; nothing changed */
};

bool store_deliver(struct store_txn *txn, const struct store_delivery *delivery, struct store_placed *placed);

/* Drops the applied rows of a journal below a mark: the caller knows that no record below it is ever given again. */
bool store_trim(struct store_txn *txn, const uint8_t journal[16], uint64_t mark);

/* The same for all rows of all journals but these: count times 16 octets. */
bool store_trim_journals(struct store_txn *txn, const uint8_t *kept, size_t count);

/* ---- mailboxes ---- */

struct store_mailbox {
	uint64_t id; /* never reused */
	struct str name;
	uint64_t highestmodseq;
	uint64_t messages, unseen, deleted, bytes;
	uint32_t uidvalidity, uidnext;
	uint32_t recent_uid;        /* no session was shown those from here on as \Recent; store_index_take_recent */
	enum store_special_use use; /* RFC 6154 */
	bool subscribed;
};

/* Missing parents are made as well. FAIL_EXISTS, FAIL_INVALID (not a name), FAIL_LIMIT. */
bool store_mailbox_create(struct store_txn *txn, struct str name, enum store_special_use use, uint64_t *id);

/* Children move along, also those of a level that is no mailbox; INBOX leaves an empty INBOX and its children where
 * they are, RFC 9051 §6.3.6. */
bool store_mailbox_rename(struct store_txn *txn, struct str from, struct str to);

/* *id: what it was. Children stay, below a level that is no mailbox any more (RFC 9051 §6.3.5); such a level can't be
 * deleted, nor can INBOX (FAIL_DENIED). */
bool store_mailbox_delete(struct store_txn *txn, struct str name, uint64_t *id);
bool store_mailbox_use(struct store_txn *txn, uint64_t id, enum store_special_use use);

/* Of a name, whether a mailbox has it or not, RFC 9051 §6.3.7. */
bool store_subscribe(struct store_txn *txn, struct str name, bool subscribed);

/* HIGHESTMODSEQ of a mailbox as the transaction sees it; 0: it has failed. */
uint64_t store_mailbox_modseq(struct store_txn *txn, uint64_t mailbox);

/* The id of a mailbox inside a transaction; FAIL_NOT_FOUND. */
bool store_mailbox_find(struct store_txn *txn, struct str name, uint64_t *id);

/* The mailbox with this use, RFC 6154; *id is 0 when there is none. */
bool store_mailbox_of_use(struct store_txn *txn, enum store_special_use use, uint64_t *id);

/* The number of a keyword, made when new; FAIL_INVALID, FAIL_LIMIT. */
bool store_keyword(struct store_txn *txn, struct str name, uint16_t *number);

/* ---- flags, copy, move, expunge ---- */

/* UIDs from first to last; UINT32_MAX is the end. Ranges ascend and do not overlap. */
struct store_range {
	uint32_t first, last;
};

struct store_selection {
	uint64_t mailbox;
	const struct store_range *ranges;
	size_t count;
};

struct store_change {
	enum store_flags_how { STORE_FLAGS_ADD, STORE_FLAGS_REMOVE, STORE_FLAGS_REPLACE } how;
	uint32_t flags;
	struct store_keywords keywords;
	uint64_t unchanged_since; /* leave alone what has a higher modseq, RFC 7162 §3.1.3; UINT64_MAX: no condition */
	uint64_t known;           /* what had a higher modseq before it changed is added to `news` too, if there is one */
	struct store_uids *news;
};

/* UIDs that an operation met; to[] only where something was copied. Embedded and zeroed by
 * the caller, released with store_uids_release. */
struct store_uids {
	ARRAY(uint32_t) uids;
	ARRAY(uint32_t) to;
	uint32_t to_uidvalidity;
	uint64_t modseq; /* of the change; 0: nothing changed */
};
void store_uids_release(struct store_uids *uids);

/* changed: those whose flags differ now; conflicts: left alone by unchanged_since. Both may be NULL. */
bool store_flags(struct store_txn *txn, const struct store_selection *selection, const struct store_change *change,
                 struct store_uids *changed, struct store_uids *conflicts);

/* Flags and dates go along; FAIL_OVER_QUOTA. copied may be NULL. */
bool store_copy(struct store_txn *txn, const struct store_selection *selection, uint64_t to, struct store_uids *copied);
bool store_move(struct store_txn *txn, const struct store_selection *selection, uint64_t to, struct store_uids *moved);

/* Those with \Deleted, or all when any is set. What is not there is no failure. */
bool store_expunge(struct store_txn *txn, const struct store_selection *selection, bool any,
                   struct store_uids *expunged);

/* ---- readers ---- */

/* A connection from the pool, for one thread until released. */
struct store_reader *store_reader_acquire(struct store *store, struct fail **fail);
void store_reader_release(struct store_reader **reader); /* for CLEANUP too */

/* All reads between the two see one state. Never across a wait for the network. */
bool store_snapshot_begin(struct store_reader *reader, struct fail **fail);
void store_snapshot_end(struct store_reader *reader);

/* All mailboxes by name; names live as long as the array. Released with store_mailboxes_release. */
struct store_mailboxes {
	ARRAY(struct store_mailbox) list;
	ARRAY(char *) names;
};
bool store_read_mailboxes(struct store_reader *reader, struct store_mailboxes *mailboxes, struct fail **fail);
void store_mailboxes_release(struct store_mailboxes *mailboxes);

/* One of them; its name is the one given. INBOX in any case. FAIL_NOT_FOUND. */
bool store_read_mailbox(struct store_reader *reader, struct str name, struct store_mailbox *mailbox,
                        struct fail **fail);

/* How many messages of a mailbox have this UID or a larger one. */
bool store_read_count(struct store_reader *reader, uint64_t mailbox, uint32_t uid, uint64_t *count, struct fail **fail);

/* Octets of the messages with \Deleted, RFC 9208 §4.1.4; looks at all placements of the mailbox. */
bool store_read_deleted_bytes(struct store_reader *reader, uint64_t mailbox, uint64_t *bytes, struct fail **fail);

/* Subscribed names, whether they exist or not. */
bool store_read_subscriptions(struct store_reader *reader, struct store_mailboxes *names, struct fail **fail);

/* All keywords of the account: names.items[number]. */
bool store_read_keywords(struct store_reader *reader, struct store_mailboxes *names, struct fail **fail);

struct store_entry {
	uint64_t message;
	uint64_t modseq;
	uint64_t size;
	int64_t received; /* store_date.h */
	int64_t saved;
	uint32_t uid;
	uint32_t flags;
	uint32_t keywords; /* first of them in store_entries.keywords */
	uint32_t keyword_count;
};

struct store_entries {
	ARRAY(struct store_entry) list;
	ARRAY(uint16_t) keywords;
};
void store_entries_release(struct store_entries *entries);

/* The placements in the selection that changed after changed_since (0: all), by UID, added to entries. */
bool store_read_entries(struct store_reader *reader, const struct store_selection *selection, uint64_t changed_since,
                        struct store_entries *entries, struct fail **fail);

struct store_drop_message {
	struct store_id id;
	uint64_t message;
	uint64_t size;
	uint32_t uid;
	uint32_t traits; /* enum store_trait */
};

/* The mails of a mailbox by UID, with their ids; traits are left out. Zeroed by the caller, released with
 * store_ids_release. */
struct store_ids {
	ARRAY(struct store_drop_message) list;
};
bool store_read_ids(struct store_reader *reader, uint64_t mailbox, struct store_ids *ids, struct fail **fail);
void store_ids_release(struct store_ids *ids);

/* UIDs expunged after a modseq, RFC 7162 §3.2.5.1. *complete is false when it is too long ago to know. */
bool store_read_vanished(struct store_reader *reader, uint64_t mailbox, uint64_t since, struct store_uids *vanished,
                         bool *complete, struct fail **fail);

/* The columns of a message as delivered, in columns (references empty) with their bytes in memory. */
bool store_read_columns(struct store_reader *reader, uint64_t message, struct store_message_columns *columns,
                        struct buf *memory, struct fail **fail);

/* Threads are found some time after delivery: store_maintain does it, or this, before they are asked for. *more:
 * call again. A thread has the number of its first message. */
bool store_assign_threads(struct store_txn *txn, unsigned rows_max, bool *more);

/* FAIL_NOT_FOUND: not known yet. */
bool store_read_thread(struct store_reader *reader, uint64_t message, uint64_t *thread, struct fail **fail);

/* The whole mail, added to out and checked; FAIL_CORRUPT leaves what was read in out. FAIL_NOT_FOUND: it is gone. */
bool store_read_body(struct store_reader *reader, uint64_t message, struct buf *out, struct fail **fail);

/* A mail piece by piece, for what need not be in memory at once. Checked when its end is reached. */
struct store_stream;
struct store_stream *store_stream_open(struct store_reader *reader, uint64_t message, uint64_t *size,
                                       struct fail **fail);

/* Bytes read (0 at the end), or -1. */
int64_t store_stream_read(struct store_stream *stream, void *to, size_t length, struct fail **fail);

/* Passes over the next bytes, for nothing where they are not compressed; what is then read is not checked. */
bool store_stream_skip(struct store_stream *stream, uint64_t length, struct fail **fail);
void store_stream_close(struct store_stream **stream); /* for CLEANUP too */

/* ---- a POP3 maildrop: a snapshot that pins its bodies ---- */

struct store_maildrop {
	struct store *store;
	uint64_t mailbox;
	struct store_maildrop *next;
	ARRAY(struct store_drop_message) messages; /* by UID */
	ARRAY(uint64_t) pinned;                    /* the same by message number, for the store */
};

/* Takes the mailbox exclusively against other maildrops (FAIL_BUSY) and makes what it lists durable. Bodies
 * stay readable until the unlock, whatever others do. */
bool store_maildrop_lock(struct store_reader *reader, uint64_t mailbox, struct store_maildrop *drop,
                         struct fail **fail);
void store_maildrop_unlock(struct store_maildrop *drop); /* for CLEANUP too */

/* ---- being told ---- */

/* A session's ear: after each commit that changed the mailbox (0: any), 1 is added to the eventfd. */
struct store_listener {
	uint64_t mailbox;
	int event;
	struct store_listener *next;
};
void store_listen(struct store *store, struct store_listener *listener);
void store_unlisten(struct store *store, struct store_listener *listener);

/* ---- quota ---- */

/* A limit is 0 where there is none. What holds is the lower of the administrator's, which is told anew after each
 * open, and the owner's own, which is kept here (not through a rebuild). */
struct store_usage {
	uint64_t bytes, messages, bytes_max, messages_max;
};
void store_usage(struct store *store, struct store_usage *usage);
void store_set_quota(struct store *store, uint64_t bytes_max, uint64_t messages_max);

/* Durable. FAIL_DENIED: above the administrator's. */
bool store_set_own_quota(struct store *store, uint64_t bytes_max, uint64_t messages_max, struct fail **fail);

/* ---- care ---- */

struct store_care {
	int64_t now;            /* wall clock */
	int64_t recompress_age; /* seconds; 0: never */
	uint64_t bytes_max;     /* about so much is copied in one call */
	unsigned rows_max;      /* and so many rows collected */
};

/* Another number after each change of mail or mailboxes; from any thread. */
uint64_t store_changes(struct store *store);

/* One bounded step of what can wait: collecting the dead, compaction, recompression, metadata
 * checkpoints, the WAL. *more: there is more to do. Called when idle. */
bool store_maintain(struct store *store, const struct store_care *care, bool *more, struct fail **fail);

/* Tells of each thing found wrong; `what` is for people. */
struct store_report {
	void (*found)(void *context, enum fail_kind kind, const char *what);
	void *context;
};

/* Online check of counters, rows and every body. False only when it could not run; *damages counts. */
bool store_check(struct store *store, const struct store_report *report, uint64_t *damages, struct fail **fail);

/* A consistent copy into an empty directory while others read and write. */
bool store_backup(struct store *store, int directory, const char *path, struct fail **fail);

/* Fills columns from a mail; bytes that columns refer to live until the next call. NULL: none. */
struct store_parser {
	void (*parse)(void *context, struct str mail, struct store_message_columns *columns);
	void *context;
};

struct store_rebuilt {
	uint64_t messages, recovered, damaged;
};

/* Makes meta.db anew from the segments alone; the old one is kept as meta.db.old. The store must not be open.
 * What no checkpoint places goes where it was delivered, what is doubtful to the mailbox "Recovered". */
bool store_rebuild(int account_directory, const struct store_options *options, const struct store_parser *parser,
                   const struct store_report *report, struct store_rebuilt *rebuilt, struct fail **fail);

#endif
