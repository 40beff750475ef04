/*
 * queue: takes mail from smtpd, makes it durable, and brings it to the accounts' mailbox processes.
 *
 * Invariants
 *  1. MAIL_DONE says OK only after the record's group was written and flushed (journal.h).
 *  2. A record leaves the journal only when each recipient is DONE or FAILED, or the mail has a file
 *     of its own that was flushed (spoolfile.h).
 *  3. DONE means: the account said DELIVERED before a syncfs of the accounts' file system began that succeeded, or that it
 *     had made the mail durable by itself, as it was asked to (trim.c).
 *  4. A file is removed only after its log says that all recipients are done, and after the durable mark of the
 *     journal it came from has passed the record; so is a body that has a file of its own.
 *  5. TRIMMED names to an account only numbers that will never be sent to it again: below the durable mark
 *     and below every mail in a file whose log does not say that this account has it.
 *     JOURNALS names all journals that something may be sent of: those in the spool, and those that mail in files came from.
 *     Neither is said while something in the spool cannot be read, or may come back though it was removed.
 *  6. A mail keeps the name (journal, sequence, recipient) that the mailbox knows it by, wherever it lies.
 *  7. What one account does (hang, fail, be full) delays no other one: sends never block, at most a window is
 *     in flight, and what an account does not take in seconds moves to a file.
 *
 * A recipient:
 *
 *	PENDING ──DELIVER──► SENT ──DELIVERED──► APPLIED ──syncfs──► DONE
 *	 ▲ │ ▲                │                     │
 *	 │ │ ├──it may pass───┤                     │
 *	 │ │ └──channel closed, unclean open, failed syncfs
 *	 │ ▼                  ├──for good─────────► BOUNCING ──report is durable──► FAILED
 *	HELD                  └──delivered, and the sender wants to know──┘────────► APPLIED
 *
 * A mail: in the journal ──lags, is deferred or held, ring half full──► in a file of its own ──► gone.
 *
 * For other hosts relay is in the mailbox's place: a job (relay.c) is one mail and its recipients in one domain (destination.c). What
 * relay says for good is in the results log (results.c) before relay is told that it is noted; the log is flushed by the same sync
 * that makes APPLIED to DONE.
 *
 * Threads: the loop's has all state. `writer` appends groups, `syncer` writes marks and calls syncfs, `filer`
 * writes the files; each gets a job with all that it needs.
 */
#ifndef POSTHORN_QUEUE_QUEUE_H
#define POSTHORN_QUEUE_QUEUE_H

#include "arena.h"
#include "array.h"
#include "daemon.h"
#include "envelope.h"
#include "hash.h"
#include "journal.h"
#include "services.h"
#include "spoolfile.h"
#include "worker.h"

enum {
	WINDOW_FRAMES = 64,
	WINDOW_OCTETS = 4 << 20,
	INLINE_MAX = 120000,     /* of a body in a DELIVER frame */
	JOURNALS_MAX = 16,
	TICK_MS = 1000,
	LAG_MS = 5000,           /* not applied after this: it moves to a file of its own */
	LAG_HALF_FULL_MS = 500,
	GATHER_MS = 250,         /* mail for an account without clients waits at most so long for more to come, */
	GATHER_QUIET_MS = 20,    /* and no longer than no mail comes for anybody */
	GATHER_FRAMES = WINDOW_FRAMES / 2,
	GATHER_OCTETS = WINDOW_OCTETS / 2,
	STARTING_MAX = 50,       /* mailboxes that master is asked for at the same time */
	ENVELOPE_ARENA_MAX = 8 << 20,
};

struct queue;
struct account;
struct destination;
struct lane;
struct mail;

/* ---- mail.c: what is in the queue ------------------------------------------------------------ */

enum delivery_state {
	DELIVERY_PENDING,
	DELIVERY_HELD,
	DELIVERY_SENT,
	DELIVERY_APPLIED,
	DELIVERY_BOUNCING,
	DELIVERY_DONE,
	DELIVERY_FAILED,
};

/* What an attempt led to: unchangeable, and shared by the deliveries that it stands for. */
struct attempt {
	unsigned users;
	enum relay_outcome outcome;
	unsigned code;      /* of SMTP, 0: none was given */
	struct str status;  /* "5.1.1", RFC 3463 */
	struct str reply;   /* of the other host, or our own words */
	struct str host;    /* who said so; empty: ourselves */
	struct str address;
	struct str tls;     /* as relay tells it; empty: none */
};

/* What the sender may be told of a recipient, RFC 3464 §2.3.3. */
enum report_kind { REPORT_FAILED, REPORT_DELAYED, REPORT_DELIVERED, REPORT_RELAYED };

/* A stretch of mail->head. */
struct place {
	uint32_t offset;
	uint32_t length;
};

/* One recipient of a mail. */
struct delivery {
	struct mail *mail;
	struct account *account;            /* NULL: remote */
	struct destination *destination;    /* remote: of which domain; NULL when it is DONE or FAILED */
	struct lane *lane;                  /* remote: it is to be sent as soon as may be; NULL: else */
	struct delivery *previous, *next;   /* of the account, in the order of arrival; or of the lane; or of those of the destination that wait */
	bool listed;                        /* in the account's list: until the disk says that it is DONE or FAILED */
	bool waits;                         /* in the destination's list of those that wait for their time */
	bool deleted;                       /* by the administrator, while it was being sent: not tried again */
	uint64_t order;                     /* in that list, rising */
	uint32_t index;                     /* in the envelope */
	uint32_t attempts;
	uint32_t round;                     /* of the sync after which an APPLIED one is DONE */
	enum delivery_state state;
	bool counted;                       /* in account->coming_* */
	bool replay;                        /* was sent before */
	bool durable;                       /* was sent so that STORED says it is durable */
	bool logged;                        /* the file says that it is final */
	bool unlogged;                      /* an attempt that the file does not tell of */
	bool warned;                        /* the sender was told of the delay */
	bool for_destination;               /* waits because its destination was out of reach */
	uint32_t tries;                     /* attempts since this process began */
	int64_t due_ms;                     /* monotonic: the next look at it */
	size_t due_place;                   /* 1 + index in queue->due; 0: not there */
	uint8_t notify;                     /* of RFC 3461, as in the envelope */
	enum report_kind report;            /* BOUNCING: what the sender is told; then it is FAILED, or DONE */
	struct place address, detail;
	struct attempt *last;               /* the last one, or NULL */
	int64_t last_attempt;               /* wall clock, seconds; 0: none */
};

/* The octets are in memory only between arrival and sending; else they are read when they are needed. */
struct mail {
	struct queue *queue;
	struct mail *previous, *next;           /* all mails, oldest first */
	struct mail *ring_previous, *ring_next; /* those that hold their ring, by sequence */
	struct ring *ring;                      /* where its record is, or was; NULL when that journal is gone */
	struct journal_uuid journal;
	uint64_t sequence;
	uint64_t id;
	uint64_t session;
	int64_t received;                       /* wall clock, seconds */
	int64_t queued_ms;                      /* monotonic */
	uint64_t size;                          /* of the body */
	bool body_in_file;
	bool body_unchecked;                    /* an earlier queue wrote that file: it is checked before its first use */
	bool quarantine;                        /* it belongs into Junk */
	uint64_t submitter;                     /* the account that submitted it, 0: nobody */
	int64_t hold_until;                     /* wall clock, seconds; 0: at once */
	int64_t deliver_by;                     /* wall clock, seconds; 0: none */
	bool by_return;                         /* then it is given up */
	bool by_trace;                          /* who sent it hears of each host that took it */
	int8_t priority;
	bool has_sender;                        /* not the null one */
	bool held;                              /* by the administrator */
	bool may_not_move;                      /* a file could not be made a moment ago */
	uint64_t results;                       /* the oldest file of results that tells of it, 0: none */
	uint32_t jobs;                          /* of relay, that name it */
	char *brief;                            /* sender and addresses, each with its NUL, of mail for few other hosts; or NULL */
	bool in_file;
	bool busy;                              /* a job of filer is under way */
	bool pinned;                            /* filer reads its octets */
	bool damaged;                           /* cannot be read; what is on disk is kept */
	uint32_t open;                          /* recipients neither DONE nor FAILED */
	uint32_t pending;                       /* to be sent, and not because their time has not come */
	char *head;                             /* the envelope as encoded, or NULL */
	size_t head_length;
	char *body;                             /* behind the head or in memory of its own; NULL when not in memory */
	char *body_memory;                      /* what is to be freed for it, or NULL */
	size_t octets;                          /* in memory, as counted in queue->octets */
	struct place sender;
	uint32_t count;
	struct delivery deliveries[];
};

/* A mail of this envelope; its deliveries have accounts, and are in no list yet. */
struct mail *mail_new(struct queue *q, const struct envelope *e);
void mail_free(struct mail *mail);

/* Puts it among all mails and its deliveries into their accounts' lists; is_final ones are left out. */
void mail_enqueue(struct mail *mail);

/* Gives it its octets, which become its own: head as encoded; body (of body_memory, which may be NULL) unless it has a
 * file. False when head is no envelope of this mail. */
bool mail_hold(struct mail *mail, char *head, size_t head_length, char *body, char *body_memory, struct fail **fail);

/* Sees to it that head is in memory, and body unless it has a file of its own. */
bool mail_load(struct mail *mail, struct fail **fail);
void mail_unload(struct mail *mail);

/* The envelope with the states as they are known now; it looks into arena and head. */
bool mail_envelope(struct mail *mail, struct arena *arena, struct envelope *e, struct fail **fail);

struct str mail_text(const struct mail *mail, struct place place);

/* The recipient's address, read if need be; empty when it cannot be read. */
struct str mail_address(const struct delivery *d);

/* It cannot be read: whoever did not get it yet never will. mail may be freed by this. */
void mail_give_up_damaged(struct mail *mail, const struct fail *fail);

/* Its record is no longer needed: there is a file, or all is done. */
void mail_leave_ring(struct mail *mail);

/* A recipient became DONE or FAILED. mail may be freed by this. */
void mail_settle(struct delivery *d, enum delivery_state state);

/* Those that the file tells of leave their accounts' lists: invariant 5 does not need them any more. */
void mail_release_logged(struct mail *mail);

/* What is to be done when nothing of it is under way: log, remove, free. mail may be freed by this. */
void mail_proceed(struct mail *mail);

static inline bool delivery_is_final(const struct delivery *d)
{
	return d->state == DELIVERY_DONE || d->state == DELIVERY_FAILED;
}

/* ---- commit.c: the journal ------------------------------------------------------------------- */

struct ring {
	struct ring *next;
	struct journal *journal;
	struct journal_uuid uuid;
	struct mail *first, *last;  /* those that hold their records */
	uint64_t last_sequence;     /* known to be appended */
	bool damaged;               /* keeps its file when it is drained */
};

/* What is to become durable; belongs to its giver until done. */
struct commit {
	struct commit *next;
	struct mail *mail;          /* head and body in memory */
	bool body_finished;
	bool failed;                /* its own part failed, not the group */
	enum fail_kind why;
	/* durable: mail is in the queue, and is sent after this; or else it is freed after this. */
	void (*done)(struct commit *commit, bool durable);
	void *owner;
};

/* Appends it with the others of this round of the loop. */
void commit_add(struct queue *q, struct commit *commit);

/* The ring has room again. */
void commit_retry(struct queue *q);
bool commit_is_idle(const struct queue *q);

/* Makes and opens a journal; in any thread. */
struct journal *commit_make_journal(int spool, uint64_t size, struct fail **fail);
struct ring *commit_add_ring(struct queue *q, struct journal *journal);

/* ---- resolve.c: what auth knows -------------------------------------------------------------- */

struct answer {
	uint32_t verdict;           /* enum resolve_verdict, or allowed for MAY_SEND */
	struct str targets;
};

/* Somebody waits for auth's answer; it may be withdrawn. */
struct waiter {
	struct waiter *next;
	struct question *question;  /* NULL: does not wait */
	void (*answered)(struct waiter *waiter, const struct answer *answer);
	void *owner;
};

/* Calls answered now, or when auth answered; RESOLVE_TEMPORARY, or not allowed, after some time without. */
void resolve_address(struct queue *q, struct str address, struct waiter *waiter);
void resolve_may_send(struct queue *q, uint64_t account, struct str address, struct waiter *waiter);
void resolve_withdraw(struct waiter *waiter);

/* Tokens: NULL when it is not known (yet). */
struct token {
	uint64_t account;
	unsigned generation;        /* which auth told it */
	char address[LIMIT_ADDRESS_MAX + 1];
};
const struct token *resolve_token(struct queue *q, const struct ipc_id *id);

bool resolve_wire(struct queue *q, int descriptor);
void resolve_init(struct queue *q);
void resolve_tick(struct queue *q);

/* ---- transaction.c: smtpd's side ------------------------------------------------------------- */
bool transaction_wire(struct queue *q, const struct msg_wire *wire, int descriptor);
void transaction_tick(struct queue *q);

/* A token came in. */
void transaction_token_known(struct queue *q);

/* ---- quota.c --------------------------------------------------------------------------------- */

struct usage {
	uint64_t used_bytes, used_messages;
	uint64_t limit_bytes, limit_messages; /* auth's; 0: none */
	uint64_t told_bytes, told_messages;   /* those that the mailbox keeps to: lower ones are its owner's */
};

/* May it take one more mail of that size? Counts what is on its way to it. */
enum verdict_kind quota_check(const struct account *a, uint64_t size);
void quota_note(struct account *a, const struct usage *usage);

/* QUOTA of auth; the mailbox hears it now or when it opens. */
void quota_limit(struct queue *q, const struct msg_quota *quota);
void quota_load(struct queue *q);

/* Writes what is known to a file of its own, at most twice a minute; after a crash it may be old. */
void quota_tick(struct queue *q);

/* ---- deliver.c: one account ------------------------------------------------------------------ */

struct account {
	struct queue *queue;
	uint64_t number;
	struct ipc_peer peer;
	bool has_peer;
	bool opened;                 /* MAILBOX_OPENED came */
	bool wanted;                 /* master was asked */
	bool queues_to_start;        /* is in queue->first_to_start … */
	struct account *next_to_start;
	bool replaying;              /* REPLAY_END is owed after replay_until */
	uint64_t replay_until;
	struct delivery *first, *last;
	struct delivery *cursor;     /* none before it is PENDING */
	uint64_t next_order;
	size_t waiting;              /* in the list */
	struct delivery *sent[WINDOW_FRAMES];
	size_t sent_count;
	uint64_t sent_octets;
	unsigned failures;           /* in a row */
	bool held;                   /* until retry_timer */
	struct timer retry_timer;
	bool watched;                /* a client would see what comes: nothing is held back */
	bool gathers;                /* mail is held back, to be sent together */
	bool in_gathering;           /* is in queue->first_gathering …, maybe still */
	struct account *next_gathering;
	int64_t gather_until_ms;     /* rises along that list */
	unsigned gathered;           /* mails held back, */
	uint64_t gathered_octets;    /* and their bodies */
	int64_t sent_ms;             /* when something was sent last */
	uint64_t coming_bytes, coming_messages; /* accepted or promised, not in used yet */
	struct usage usage;
	uint64_t prunable;           /* applied rows that the mailbox keeps for us */
	int64_t trimmed_ms;          /* when it was told last */
	unsigned journals_told;      /* queue->journals_generation when JOURNALS was sent; 0: never */
};

struct account *account_get(struct queue *q, uint64_t number);
bool deliver_wire(struct queue *q, const struct msg_wire *wire, int descriptor);
void deliver_failed_to_start(struct queue *q, uint64_t number);

/* The list of an account. */
void deliver_enqueue(struct account *a, struct delivery *d);
void deliver_dequeue(struct delivery *d);

/* From now on the account has nothing to do with it. */
void deliver_finish(struct delivery *d, enum delivery_state state);

/* Sends what the window allows, unless mail is held back. */
void deliver_push(struct account *a);

/* The same for a mail that just came. Nobody looks at an account that has no client: while much mail
 * comes, what follows a mail that was sent at once waits for more, and wakes the account's process together. */
void deliver_push_new(struct delivery *d);

/* At the start: pushes every account that has mail, oldest mail first. */
void deliver_push_all(struct queue *q);

/* It goes back to be sent again: now, or with the retry of the account. */
void deliver_again(struct delivery *d);

/* What waits for a retry is sent now; from the loop, not from here. */
void deliver_retry_soon(struct account *a);

/* Gives up one recipient, local or remote: the sender is told, or it is forgotten silently. NULL: for the reason of the last attempt. */
void deliver_give_up(struct delivery *d, const char *status, const char *why, bool tell);

/* Stops and begins to be sent, by the administrator or by time. */
void deliver_hold(struct delivery *d);
void deliver_release(struct delivery *d);

/* Tells mailboxes what they may forget. */
void deliver_tell_trimmed(struct queue *q);

/* ---- attempt.c ------------------------------------------------------------------------------- */

/* Copies the facts, whose users is not looked at; one reference is the caller's. NULL is nothing. */
struct attempt *attempt_new(const struct attempt *facts);
struct attempt *attempt_ref(struct attempt *attempt);
void attempt_unref(struct attempt *attempt);
bool attempt_equal(const struct attempt *a, const struct attempt *b);

/* For logs of files: at most SPOOLFILE_REPLY_MAX octets, of which the end of the reply is missing where it is too long. */
void attempt_pack(struct buf *out, const struct attempt *attempt);

/* What attempt_pack wrote; any other text is a reply. Views. */
struct attempt attempt_unpack(struct str packed, enum relay_outcome outcome);

/* It is the last one of d now, which takes the reference. */
void attempt_note(struct delivery *d, struct attempt *attempt, int64_t when);

/* What was answered, on one line, with the code if there was one. */
void attempt_text(struct buf *out, const struct attempt *attempt);

/* ---- destination.c: domains that mail goes to ------------------------------------------------- */

enum standing { STANDING_LIVING, STANDING_UNKNOWN, STANDING_FAILING, STANDING_COUNT };

/* Mail of one account and priority. */
struct lane {
	struct destination *destination;
	struct lane *previous, *next;   /* by falling priority; of those alike the one whose turn is next first */
	uint64_t account;
	int8_t priority;
	struct delivery *first, *last;
};

struct destination {
	struct queue *queue;
	struct destination *previous, *next; /* those that could have a job now, of their standing */
	bool ready;                   /* is there */
	enum standing standing;
	struct lane *first, *last;
	struct delivery *first_waiting;
	size_t count;                 /* deliveries that name it */
	size_t jobs;                  /* under way */
	unsigned window;              /* jobs at the same time */
	unsigned ceiling;             /* where it was too many once */
	unsigned reached;             /* since the window changed */
	unsigned failures;            /* in a row */
	bool backs_off;               /* until timer; else the timer ends its life when nothing names it */
	int64_t until_ms;             /* monotonic, of the timer */
	struct timer timer;
	struct attempt *last_failure; /* or NULL */
	size_t name_length;
	char name[];
};

void destination_init(struct queue *q);

/* Of an address. */
struct destination *destination_of(struct queue *q, struct str address);

/* d, PENDING and in no list: to be sent now, or after a time. */
void destination_enqueue(struct delivery *d);
void destination_wait(struct delivery *d, int64_t delay_ms);

/* d, HELD: destination_due gives it after that time. */
void destination_remind(struct delivery *d, int64_t delay_ms);

/* One whose time has come, which is named only once; NULL: none. */
struct delivery *destination_due(struct queue *q);

/* It is neither to be sent nor waits; and it has nothing to do with its destination any more. */
void destination_withdraw(struct delivery *d);
void destination_leave(struct delivery *d);

/* The next one to be sent; jobs_max of all. NULL: none now. It is still in its lane. */
struct delivery *destination_next(struct queue *q, size_t jobs_max);

/* A job began, and ended; reach: what it says of the destination, lost: it says nothing. */
enum standing destination_job_began(struct destination *destination);
void destination_job_ended(struct destination *destination, enum standing standing, bool lost, enum relay_reach reach);

/* The administrator knows that it is there. */
void destination_forgive(struct destination *destination);

/* ---- schedule.c: when ------------------------------------------------------------------------- */

/* A new mail, or one that was read at the start: each remote recipient gets its place. */
void schedule_mail(struct mail *mail);

/* What an attempt led to; it takes the reference. d is SENT; it and its mail may be gone when it returns. */
void schedule_result(struct delivery *d, struct attempt *attempt);

/* It was under way when relay ended. */
void schedule_lost(struct delivery *d);

/* Its destination failed: tells or gives up what is old. */
void schedule_look(struct destination *destination);

/* At the start, what the file says of d, PENDING: wall clock. */
void schedule_recovered(struct delivery *d, int64_t last_attempt, int64_t next_attempt);

/* When it is tried next, wall clock; 0: as soon as may be. */
int64_t schedule_next(const struct delivery *d);

/* The times that have come. */
void schedule_tick(struct queue *q);

/* By the administrator: the whole mail. The file says so from then on. */
bool schedule_hold(struct mail *mail, struct fail **fail);
bool schedule_release(struct mail *mail, struct fail **fail);
void schedule_retry(struct mail *mail);
void schedule_retry_one(struct delivery *d);

/* One that relay has at this moment goes when its attempt comes to nothing, unless queue was started again before. False for one
 * that is on its way into an account, or was delivered. */
bool schedule_delete(struct delivery *d);

/* ---- relay.c: jobs ---------------------------------------------------------------------------- */

bool relay_wire(struct queue *q, const struct msg_wire *wire, int descriptor);

/* Has relay post a report (tls_report.h hears of it); takes the descriptor. False when there is no relay now. */
bool relay_post(struct queue *q, uint64_t request, struct str url, uint64_t size, int content);

/* Gives what can be given, from the loop, not from here. */
void relay_dispatch_soon(struct queue *q);

/* What waited to be written is. */
void relay_say_noted(struct queue *q);

/* It is about to be freed. */
void relay_mail_gone(struct mail *mail);

/* ---- results.c: what relay said for good -------------------------------------------------------- */

enum result_kind {
	RESULT_DELIVERED = 1,
	RESULT_TO_REPORT,   /* + enum report_kind: BOUNCING */
	RESULT_FAILED = RESULT_TO_REPORT + REPORT_RELAYED + 1,
};

/* Its state, APPLIED, BOUNCING or FAILED, survives the end of this process from now on. False: the disk does not take it; it is tried
 * again, and relay_say_noted called then. */
bool results_write(struct delivery *d);
bool results_are_written(const struct queue *q);

/* The report of d, which was BOUNCING, is durable, or there is none to be made. d may be gone when it returns. */
void result_reported(struct delivery *d);

/* Nothing in the log needs to speak for this mail any more. */
void results_release(struct queue *q, uint64_t generation);

/* By the syncer: false when it must be called again, or when results_synced must write all anew. */
bool results_sync(struct queue *q, int *error);
void results_synced(struct queue *q, bool good);

/* At the start: what the files say is told to each mail that is read; then the files that nobody needs go. */
void results_load(struct queue *q);
void results_apply(struct mail *mail);
void results_loaded(struct queue *q);
void results_tick(struct queue *q);

/* ---- bounce.c -------------------------------------------------------------------------------- */

/* Reports that are being made; see bounce.c. */
struct bounce_desk {
	struct map *by_mail;
	struct bounce *first, *last; /* ready */
	unsigned under_way;
	struct timer timer;
};

/* Tells the sender, if he wants to know. d is BOUNCING, and then FAILED or DONE, or, for REPORT_DELAYED, in any state that it keeps.
 * d may be gone when it returns. */
void bounce_report(struct delivery *d, enum report_kind kind);

/* An alias of that address led to several, and its sender asked for success: RFC 3461 §5.2.7.3 (c). e is the
 * envelope of mail, which was just taken. */
void bounce_expanded(struct mail *mail, const struct envelope *e, const struct envelope_recipient *aliases, size_t count);

/* mail goes. */
void bounce_forget(struct mail *mail);

/* ---- spool.c: files of their own, and the start ---------------------------------------------- */

/* Copies a journal record into its own file; soon: unless too many are under way, and then when it lags. */
void spool_move(struct mail *mail);
void spool_move_soon(struct mail *mail);

/* Writes what became final into the log of the mail's file. */
void spool_log(struct mail *mail);

/* The mail is done: its files go when the mark allows it. Frees it. */
void spool_forget(struct mail *mail);
void spool_remove_gone(struct queue *q);

/* A mail that cannot be read: its file, or the journal once it is drained, is kept under another name. Frees it. */
void spool_set_aside(struct mail *mail);

/* Moves what lags. */
void spool_tick(struct queue *q);

/* Reads all that is in the spool. */
void spool_recover(struct queue *q);

/* The file of a drained journal goes, or is kept under another name. */
bool spool_retire_journal(struct queue *q, const struct ring *ring, struct fail **fail);

/* "<id>.body", for reading. FAIL_CORRUPT: it is not what it was. */
int spool_open_body(struct mail *mail, struct fail **fail);

/* The content alone, for another process, which never sees the envelope with all recipients. The mail is loaded. */
int spool_open_content(struct mail *mail, struct fail **fail);

/* ---- trim.c ---------------------------------------------------------------------------------- */

/* The account said DELIVERED: DONE after the next sync. */
void trim_note_applied(struct delivery *d);
void trim_tick(struct queue *q);

/* The sync under way has taken so long that what waits for it should be elsewhere. */
bool trim_sync_hangs(const struct queue *q);

/* The ring fills: begins a sync before its time if something would be gained and the last one is not just over. */
void trim_hurry(struct queue *q);

/* Statistics of file systems, at most a second old. */
bool trim_has_headroom(struct queue *q);

/* ---- control.c: posthornctl ------------------------------------------------------------------ */
struct control;

/* For who answers a request later: rows, and at the end done. withdraw is called when the control is gone before that. */
void control_waits(struct control *c, void (*withdraw)(void *work), void *work);
void control_row(struct control *c, struct str fields);
void control_done(struct control *c, const struct fail *fail);

void control_listen(struct queue *q, int descriptor);

/* mail leaves the list of all mails. */
void control_mail_gone(struct queue *q, struct mail *mail);
void control_load_hold(struct queue *q);

/* ---- the program ----------------------------------------------------------------------------- */

/* A record or file whose message can go when the mark has passed. */
struct gone {
	uint64_t id;
	bool has_file;
	uint64_t results;            /* the file of results that need not speak for it then, 0: none */
	struct ring *ring;
	uint64_t sequence;
};

struct commit_list {
	struct commit *first, *last;
	size_t count;
};

/* One group on its way to the disk. */
struct group {
	struct job job;
	struct queue *queue;
	struct commit_list commits;
	struct ring *ring;           /* NULL: there is none, make one */
	struct journal_entry *entries;
	size_t capacity;
	bool tried;                  /* the job was run */
	bool full;                   /* the job found no room */
	bool waits;                  /* for room; the job is not under way */
	int64_t since_ms;
	struct fail *fail;
	struct journal *fresh;       /* made because the old one failed */
	bool under_way;
};

struct applied {
	struct delivery **items;
	size_t count;
	size_t capacity;
};

struct sync {
	struct job job;
	struct queue *queue;
	uint32_t round;              /* of what is applied now */
	struct applied applied;
	struct applied syncing;
	struct journal *journals[JOURNALS_MAX];
	size_t journal_count;
	bool under_way;
	bool with_accounts;          /* this one calls syncfs */
	bool is_slow;                /* syncfs takes too long: each account makes durable what comes to it */
	int64_t took_ms, looked_ms;  /* the last syncfs, and when it ended */
	bool good;
	bool results_good;
	bool marks_moved;            /* trimmed in memory, not on disk */
	int64_t began_ms;
	struct timer hurry_timer;
	int error;
	int64_t headroom_ms;
	bool headroom;
};

struct lookups {
	struct map *young, *old;     /* key → struct known; see resolve.c */
	size_t octets;               /* of the young ones */
	struct map *tokens;
	struct question *questions;  /* on their way */
	uint64_t next_number;
	unsigned auth_generation;
	int64_t auth_since_ms;
	struct ipc_peer auth;
	bool has_auth;
};

struct results_file {
	uint64_t generation;
	size_t mails;                /* that need it */
};

struct results {
	int file;                    /* -1: none */
	uint64_t generation;         /* of the file that is written; they rise */
	uint64_t length;
	bool is_new;                 /* its name is not flushed */
	bool behind;                 /* not all is written */
	ARRAY(struct results_file) files; /* oldest first */
	struct map *loaded;          /* at the start: queue id → what is told of it */
	struct arena *memory;
};

struct destinations {
	struct map *by_name;
	struct map *lanes;
	struct {
		struct destination *first, *last;
	} ready[STANDING_COUNT];
	size_t jobs[STANDING_COUNT];
	bool newest_next;                       /* of those of which nothing is known, when many wait */
	unsigned turn;
	ARRAY(struct delivery *) due; /* a heap by due_ms */
};

struct relays {
	struct relay_link *links;
	uint64_t last_number;
	struct timer timer;
};

struct queue {
	struct daemon daemon;
	struct loop *loop;
	int spool;                   /* directory */
	int accounts_folder;         /* on the accounts' file system */
	struct worker writer, syncer, filer, signer;
	struct state *state;         /* see state.h */
	struct aggregates *aggregates; /* for DMARC reports; see aggregate.h */
	struct greylist *greylist;   /* see greylist.h */
	int key_folder;              /* of DKIM keys */
	struct keys *keys;           /* what mail is signed with now; see keys.h */
	size_t signings;             /* under way */
	struct timer tick;
	unsigned ticks;
	bool draining;
	bool held;                   /* posthornctl: deliver nothing */

	struct lookups lookups;
	struct intake *intakes;      /* smtpd peers */

	struct destinations destinations;
	struct relays relays;
	struct results results;

	struct map *accounts;        /* number → struct account */
	struct bounce_desk bounces;
	struct forward *forward;     /* see forward.h */
	struct sts_policies *sts;    /* see sts.h */
	struct tls_reports *tls_reports; /* see tls_report.h */
	struct map *senders;         /* see sending.h */
	int64_t senders_hour;        /* when they were looked through */
	unsigned starting;           /* mailboxes asked for and not wired yet */
	struct account *first_to_start, *last_to_start; /* to be asked for then */
	struct account *first_gathering, *last_gathering;
	struct timer gather_timer;
	int64_t mail_came_ms;        /* for a local account */
	struct mail *first, *last;
	size_t mail_count;
	uint64_t octets;             /* of messages, in memory */
	struct arena *scratch;       /* of one function at a time, which resets it */

	struct ring *rings;
	unsigned journals_generation; /* rises when a journal is gone */
	bool may_know_less;          /* something in the spool could not be read or removed: it may come back, so that no account
	                              * may forget what it has applied */
	struct ring *current;        /* where new mail goes, or NULL */
	int64_t ring_retry_ms;       /* not before then */
	enum fail_kind no_ring_why;  /* what mail hears until then */
	struct commit_list waiting;  /* commits of this round of the loop */
	struct timer commit_timer;
	size_t commits_coming;       /* transactions that have recipients and send their message */
	struct group group;
	struct sync sync;
	ARRAY(struct gone) gone;
	bool removing;
	unsigned moves;              /* of mails to files, under way */

	bool usage_changed;
	bool usage_busy;
	int64_t usage_written_ms;

	struct control *controls;
	struct watch control_watch;
	int control_listener;        /* -1: none */
};

#endif
