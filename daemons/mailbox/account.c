/* The process of one account: opening, the event loop, care of the store, the end. */
#include "mailbox.h"

#include "clock.h"
#include "file.h"
#include "log.h"
#include "mem.h"
#include "repair.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	USAGE_AFTER_MS = 50,        /* queue hears of what sessions added and removed at most so often */
	CARE_AFTER_MS = 2000,       /* quiet for so long: the store is tended, */
	CARE_AT_LATEST_MS = 60000,  /* and after so long even if it never is quiet */
	CARE_STEP_MS = 20,          /* from one step to the next, */
	CARE_TEXT_STEP_MS = 5,      /* and of search text, which only reads the store: a search would have to wait for it */
	CARE_BYTES = 1 << 20,
	CARE_TEXT = 1 << 19,        /* octets of mail that one step takes up into the search text */
	CARE_ROWS = 1000,
	LARGE_BLOCK = 1 << 20,      /* octets that are asked of the system, and given back to it, by themselves */
	END_PATIENCE_MS = 3000,
	DAY_SECONDS = 86400,
};

static void ask_to_end(void *owner)
{
	struct account *a = owner;
	if (session_count(a) || a->waiting || a->batch || a->replaying)
		return; /* the end of what goes on starts the timer again */
	a->asked_to_end = true;
	msg_idle_send(&a->daemon.master.channel, 0, &(struct msg_idle){}, -1);
}

static void care_for_store(void *owner);

static void care_soon(struct account *a)
{
	int64_t now = loop_now_ms(a->daemon.loop);
	if (!a->care_due_ms)
		a->care_due_ms = now + CARE_AT_LATEST_MS;
	int64_t left = a->care_due_ms - now;
	int64_t wait = left > CARE_AFTER_MS ? CARE_AFTER_MS : left > CARE_STEP_MS ? left : CARE_STEP_MS;
	a->changes = store_changes(a->store);
	loop_start_timer(a->daemon.loop, &a->care_timer, wait, care_for_store, a);
}

/* A session changes much, as STORE of a whole mailbox does: it need not wait for the lock while care has it. */
static bool is_being_changed(const struct account *a)
{
	return a->changes != store_changes(a->store) && loop_now_ms(a->daemon.loop) < a->care_due_ms;
}

static bool care_for_texts(struct account *a, bool *more, struct fail **fail)
{
	return text_store_care(a->texts[TEXT_LISTED], CARE_TEXT, more, fail) &&
	       (*more || text_store_care(a->texts[TEXT_WHOLE], CARE_TEXT, more, fail));
}

static void care_for_store(void *owner)
{
	struct account *a = owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	/* A batch has the writer's lock until its own timer, of this round of the loop, commits it. */
	if (a->batch || is_being_changed(a)) {
		care_soon(a);
		return;
	}
	const struct store_care care = {
		.now = clock_wall_seconds(), .recompress_age = (int64_t)a->daemon.config.recompress_after_days * DAY_SECONDS,
		.bytes_max = CARE_BYTES, .rows_max = CARE_ROWS,
	};
	bool more = false;
	bool cared = store_maintain(a->store, &care, &more, &fail);
	int64_t rest_ms = more ? CARE_STEP_MS : CARE_TEXT_STEP_MS;
	if (!cared)
		log_event(LOG_WARNING, 0, "care-failed", LOG_NUMBER("account", a->number),
		          LOG_TEXT("why", str_of(fail_text(fail))));
	else if (!more && !a->replaying && !care_for_texts(a, &more, &fail))
		log_event(LOG_WARNING, 0, "search-text-failed", LOG_NUMBER("account", a->number),
		          LOG_TEXT("why", str_of(fail_text(fail))));
	a->changes = store_changes(a->store);
	if (more) {
		loop_start_timer(a->daemon.loop, &a->care_timer, rest_ms, care_for_store, a);
	} else {
		a->care_due_ms = 0;
		malloc_trim(0);
	}
}

void account_note_work(struct account *a)
{
	loop_start_timer(a->daemon.loop, &a->quiet_timer, (int64_t)a->daemon.config.mailbox_linger_seconds * 1000 + 1,
	                 ask_to_end, a);
	care_soon(a);
}

static struct account *account_of(struct ipc_peer *master)
{
	return master->owner;
}

static bool on_session(struct ipc_peer *peer, struct ipc_frame *frame)
{
	return session_begin(account_of(peer), frame);
}

static bool on_wire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_wire wire;
	return msg_wire_read(frame, &wire) && wire.role == ROLE_QUEUE && delivery_wire(account_of(peer), frame);
}

static bool on_drop_sessions(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_drop_sessions drop;
	if (!msg_drop_sessions_read(frame, &drop))
		return false;
	if (drop.connection)
		session_interrupt_one(account_of(peer), drop.connection);
	else
		session_interrupt_all(account_of(peer));
	return true;
}

static bool on_reconfigure(struct ipc_peer *peer, struct ipc_frame *frame)
{
	return daemon_reconfigure(daemon_of(peer), frame);
}

/* Sessions are told to end and given some time; then the store is closed, which marks it clean. */
static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = account_of(peer);
	(void)frame;
	a->asked_to_end = true;
	session_interrupt_all(a);
	loop_stop(a->daemon.loop);
	return true;
}

#define ANY (unsigned)IPC_ANY_STATE
static const struct ipc_permit permits[] = {
	{ MSG_SESSION, ANY, 0, on_session },
	{ MSG_CTL_ACCOUNT, ANY, 0, on_session },
	{ MSG_WIRE, ANY, 0, on_wire },
	{ MSG_DROP_SESSIONS, ANY, 0, on_drop_sessions },
	{ MSG_RECONFIGURE, ANY, 0, on_reconfigure },
	{ MSG_DRAIN, ANY, 0, on_drain },
};

/* Gathered, for sessions that change much. */
static void tell_usage(void *owner)
{
	struct account *a = owner;
	atomic_store(&a->usage_noted, false);
	delivery_tell_usage(a);
}

static void on_session_ended(void *owner, uint32_t events)
{
	struct account *a = owner;
	uint64_t count;
	(void)events;
	if (read(a->session_ended, &count, sizeof count) == (ssize_t)sizeof count)
		account_note_work(a);
	session_forget_over(a);
	if (!atomic_load(&a->usage_noted))
		delivery_tell_usage(a);
	else if (!a->usage_timer.place)
		loop_start_timer(a->daemon.loop, &a->usage_timer, USAGE_AFTER_MS, tell_usage, a);
	if (session_count(a) == 0 && !a->waiting)
		delivery_unwatch(a);
	if (atomic_exchange(&a->rest, false))
		loop_start_timer(a->daemon.loop, &a->quiet_timer, 0, ask_to_end, a);
	if (!atomic_load(&a->restart) || a->asked_to_end)
		return;
	/* master knows first */
	a->asked_to_end = true;
	msg_idle_send(&a->daemon.master.channel, 0, &(struct msg_idle){}, -1);
	session_interrupt_all(a);
}

static void wake(struct account *a)
{
	uint64_t one = 1;
	ssize_t written = write(a->session_ended, &one, sizeof one);
	(void)written; /* the counter can't overflow: main reads it */
}

void account_note_usage(struct account *a)
{
	if (!atomic_exchange(&a->usage_noted, true))
		wake(a);
}

void account_restart(struct account *a)
{
	atomic_store(&a->restart, true);
	wake(a);
}

/* A directory without a store is new, or a crash came too early: it has its name for good before anything in it is
 * promised. */
static bool keep_name(struct account *a, struct fail **fail)
{
	if (faccessat(a->directory, "version", F_OK, 0) == 0)
		return true;
	CLEANUP(file_close) int folder = open(a->daemon.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return (folder >= 0 && fsync(folder) == 0) || fail_set_errno(fail, FAIL_IO, "cannot flush %s", a->daemon.folder);
}

/* Before the sandbox: the account's directory may be new. */
static void open_directory(struct account *a)
{
	struct fail *fail = NULL;
	a->path = mem_printf("%s/%llu", a->daemon.folder, (unsigned long long)a->number);
	if (!file_make_directory(a->path, 0700, &fail))
		daemon_die("cannot-start", fail);
	a->directory = open(a->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (a->directory < 0) {
		fail_set_errno(&fail, FAIL_IO, "cannot open %s", a->path);
		daemon_die("cannot-start", fail);
	}
	if (!keep_name(a, &fail))
		daemon_die("cannot-start", fail);
}

enum { FIRST_MAILBOXES = 5 };

/* RFC 6154: what clients look for. A name that is given twice has the first use. */
static size_t first_mailboxes(const struct config *config, struct store_first_mailbox first[FIRST_MAILBOXES])
{
	const struct store_first_mailbox wanted[FIRST_MAILBOXES] = {
		{ str_of(config->folder_drafts), STORE_USE_DRAFTS }, { str_of(config->folder_sent), STORE_USE_SENT },
		{ str_of(config->folder_trash), STORE_USE_TRASH },   { str_of(config->folder_junk), STORE_USE_JUNK },
		{ str_of(config->folder_archive), STORE_USE_ARCHIVE },
	};
	size_t count = 0;
	for (size_t i = 0; i < FIRST_MAILBOXES; i++) {
		bool known = str_is_empty(wanted[i].name);
		for (size_t k = 0; k < count; k++)
			known = known || str_equal(first[k].name, wanted[i].name);
		if (!known)
			first[count++] = wanted[i];
	}
	return count;
}

static void open_store(struct account *a)
{
	struct fail *fail = NULL;
	struct store_first_mailbox first[FIRST_MAILBOXES];
	const struct store_options options = {
		.path = a->path, .create = true, .first = first, .first_count = first_mailboxes(&a->daemon.config, first),
	};
	if (!repair_and_open(a, &options, &fail))
		daemon_die("cannot-open-store", fail);
	a->replaying = store_needs_recovery(a->store) || store_was_created(a->store);
	for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
		a->texts[kind] = text_store_new(a->store, kind);
}

static void close_store(struct account *a)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	int64_t until = clock_monotonic_ms() + END_PATIENCE_MS;
	while (session_count(a) && clock_monotonic_ms() < until)
		loop_step(a->daemon.loop, 100);
	if (session_count(a)) {
		log_event(LOG_WARNING, 0, "sessions-hang", LOG_NUMBER("account", a->number));
		_exit(0); /* unclean: the next start replays */
	}
	delivery_commit(a); /* what came in the same round as DRAIN */
	for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
		text_store_free(&a->texts[kind]);
	if (!store_close(&a->store, &fail))
		log_event(LOG_ERROR, 0, "close-failed", LOG_NUMBER("account", a->number),
		          LOG_TEXT("why", str_of(fail_text(fail))));
}

void account_serve(struct account *a, uint64_t number, int control)
{
	struct daemon_spec spec = {
		.program = "mailbox", .role = ROLE_MAILBOX, .permits = permits, .permit_count = COUNT_OF(permits),
	};
	/* What a command took for a million messages goes back when it is freed: the allocator would raise the mark. */
	mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
	a->number = number;
	a->daemon.spec = &spec;
	pthread_mutex_init(&a->sessions_lock, NULL);
	open_directory(a);
	daemon_become(&a->daemon, control, a->path);
	open_store(a);
	a->session_ended = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(a->session_ended >= 0);
	loop_watch(a->daemon.loop, &a->session_ended_watch, a->session_ended, EPOLLIN, on_session_ended, a);
	daemon_ready(&a->daemon);
	account_note_work(a);
	loop_run(a->daemon.loop);
	close_store(a);
}
