/* Mail from queue: stored in one transaction per round of the loop, then acknowledged. */
#include "mailbox.h"

#include "arena.h"
#include "columns.h"
#include "file.h"
#include "log.h"
#include "mem.h"
#include "smtp_received.h"

#include <stdlib.h>

enum { BATCH_MAX = LIMIT_DELIVERY_BATCH_MAX, FRONT_MAX = 2048, CATCH_UP_PATIENCE_MS = 2000 };
#define MAIL_MAX (UINT64_C(1) << 31)

struct delivered_item {
	struct ipc_id journal;
	struct delivery_place place;
};

/* The open transaction of this round and what is acknowledged when it commits. */
struct delivery_batch {
	struct store_txn *txn;
	bool durable; /* before it is acknowledged: queue cannot flush the file system in good time */
	size_t count;
	struct delivered_item items[BATCH_MAX];
};

static const struct store_usage *usage_to_tell(struct account *a)
{
	store_usage(a->store, &a->usage_told);
	return &a->usage_told;
}

void delivery_tell_usage(struct account *a)
{
	struct store_usage before = a->usage_told;
	const struct store_usage *usage = usage_to_tell(a);
	if (!a->has_queue || memcmp(&before, usage, sizeof before) == 0)
		return;
	const struct msg_stored stored = {
		.used_bytes = usage->bytes,
		.used_messages = usage->messages,
		.limit_bytes = usage->bytes_max,
		.limit_messages = usage->messages_max,
	};
	msg_stored_send(&a->queue.channel, 0, &stored, -1);
}

static void report_failed(struct account *a, const struct delivered_item *item, const struct fail *fail)
{
	const struct store_usage *usage = usage_to_tell(a);
	struct msg_delivered answer = {
		.journal = item->journal, .sequence = item->place.sequence, .recipient = item->place.recipient,
		.result = 1 + (uint32_t)fail->kind, .text = str_first(str_of(fail->text), 300),
		.used_bytes = usage->bytes, .used_messages = usage->messages, .limit_bytes = usage->bytes_max,
		.limit_messages = usage->messages_max,
	};
	if (a->has_queue)
		msg_delivered_send(&a->queue.channel, 0, &answer, -1);
}

/* Neighbours of one journal in one frame. */
static void report_stored(struct account *a, const struct delivery_batch *batch)
{
	const struct store_usage *usage = usage_to_tell(a);
	for (size_t i = 0; a->has_queue && i < batch->count;) {
		CLEANUP(buf_release) struct buf places = BUF_WITH_LIMIT(BATCH_MAX * sizeof(struct delivery_place));
		const struct ipc_id journal = batch->items[i].journal;
		for (; i < batch->count && memcmp(&batch->items[i].journal, &journal, sizeof journal) == 0; i++)
			delivery_place_add(&places, &batch->items[i].place);
		struct msg_stored stored = {
			.journal = journal, .places = buf_str(&places), .used_bytes = usage->bytes,
			.used_messages = usage->messages, .limit_bytes = usage->bytes_max, .limit_messages = usage->messages_max,
		};
		msg_stored_send(&a->queue.channel, 0, &stored, -1);
	}
}

static void commit_batch(void *owner)
{
	struct account *a = owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct delivery_batch *batch = a->batch;
	if (!batch)
		return;
	a->batch = NULL;
	loop_stop_timer(a->daemon.loop, &a->batch_timer);
	if (!store_commit(&batch->txn, &fail) || (batch->durable && !store_barrier(a->store, &fail)))
		log_event(LOG_ERROR, 0, "delivery-failed", LOG_NUMBER("account", a->number),
		          LOG_TEXT("why", str_of(fail_text(fail))));
	if (!fail)
		report_stored(a, batch);
	for (size_t i = 0; fail && i < batch->count; i++)
		report_failed(a, &batch->items[i], fail);
	free(batch);
	account_note_work(a);
}

void delivery_commit(struct account *a)
{
	commit_batch(a);
}

static struct delivery_batch *open_batch(struct account *a)
{
	if (a->batch && a->batch->count == BATCH_MAX)
		commit_batch(a);
	if (!a->batch) {
		a->batch = mem_alloc(sizeof *a->batch);
		a->batch->txn = store_begin_deferred(a->store);
		loop_start_timer(a->daemon.loop, &a->batch_timer, 0, commit_batch, a);
	}
	return a->batch;
}

/* RFC 5321 §4.4: the final delivery adds Return-Path. What the store gets is what a client will get, and ends with
 * CRLF. */
static bool compose(struct buf *text, const struct msg_deliver *mail, int file, struct fail **fail)
{
	smtp_return_path_write(text, mail->sender);
	buf_add_str(text, STR("Delivered-To: "));
	buf_add_str(text, mail->original);
	buf_add_str(text, STR("\r\n"));
	char *room = buf_reserve(text, mail->size);
	must(room);
	if (file < 0)
		memcpy(room, mail->content.data, mail->size);
	else if (!file_read_at(file, room, mail->size, mail->offset, fail))
		return false;
	buf_claim(text, mail->size);
	if (mail->size < 2 || memcmp(room + mail->size - 2, "\r\n", 2) != 0)
		buf_add_str(text, STR("\r\n"));
	return true;
}

/* An account without Junk has its quarantine in INBOX: better seen than lost. */
static bool find_mailbox(struct store_txn *txn, bool quarantine, uint64_t *mailbox)
{
	*mailbox = 0;
	if (quarantine && !store_mailbox_of_use(txn, STORE_USE_JUNK, mailbox))
		return false;
	return *mailbox || store_mailbox_find(txn, STR("INBOX"), mailbox);
}

static void store_mail(struct account *a, struct delivery_batch *batch, const struct msg_deliver *mail,
                       struct buf *text)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	struct store_message_columns columns;
	struct store_placed placed;
	struct store_origin origin = { .seq = mail->sequence, .recipient = mail->recipient };
	memcpy(origin.journal, mail->journal.bytes, sizeof origin.journal);
	must(columns_fill(arena, text, &columns));
	struct store_delivery delivery = {
		.origin = &origin, .body.bytes = buf_str(text), .columns = &columns, .received = mail->received_us / 1000000,
	};
	if (!find_mailbox(batch->txn, mail->quarantine, &delivery.mailbox))
		return; /* the transaction has failed; its commit says so */
	if (store_deliver(batch->txn, &delivery, &placed))
		log_event(LOG_DEBUG, 0, "stored", LOG_NUMBER("account", a->number), LOG_NUMBER("uid", placed.uid),
		          LOG_NUMBER("replayed", placed.replayed));
}

static bool on_deliver(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(file_close) int file = ipc_take_descriptor(frame);
	struct msg_deliver mail;
	if (!msg_deliver_read(frame, &mail) || (file < 0 && mail.size != mail.content.length) || mail.size > MAIL_MAX)
		return false;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(mail.size + FRONT_MAX);
	struct delivered_item item = { mail.journal, { mail.sequence, mail.recipient } };
	buf_reserve(&text, mail.size + FRONT_MAX);
	if (!compose(&text, &mail, file, &fail)) {
		report_failed(a, &item, fail);
		return true;
	}
	struct delivery_batch *batch = open_batch(a);
	batch->items[batch->count++] = item;
	batch->durable = batch->durable || (mail.flags & DELIVER_DURABLE);
	store_mail(a, batch, &mail, &text);
	return true;
}

/* ---- clients ---- */

static void start_sessions(struct account *a)
{
	if (!a->replaying && !a->catching_up)
		session_start_waiting(a);
}

static void caught_up(struct account *a)
{
	loop_stop_timer(a->daemon.loop, &a->catch_up_timer);
	a->catching_up = false;
	commit_batch(a);
	start_sessions(a);
}

/* A queue that hangs delays the mail, not the clients. */
static void catch_up_is_overdue(void *owner)
{
	struct account *a = owner;
	log_event(LOG_WARNING, 0, "queue-does-not-answer", LOG_NUMBER("account", a->number));
	caught_up(a);
}

void delivery_watch(struct account *a)
{
	if (a->watched || !a->has_queue)
		return;
	a->watched = a->catching_up = true;
	msg_clients_send(&a->queue.channel, 0, &(struct msg_clients){ .present = 1 }, -1);
	loop_start_timer(a->daemon.loop, &a->catch_up_timer, CATCH_UP_PATIENCE_MS, catch_up_is_overdue, a);
}

void delivery_unwatch(struct account *a)
{
	if (a->watched && a->has_queue)
		msg_clients_send(&a->queue.channel, 0, &(struct msg_clients){}, -1);
	a->watched = false;
}

static bool on_up_to_date(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)frame;
	caught_up(peer->owner);
	return true;
}

static bool on_replay_end(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	struct fail *fail = NULL;
	(void)frame;
	commit_batch(a);
	if (!a->replaying)
		return true;
	if (store_needs_recovery(a->store)) {
		if (!store_finish_recovery(a->store, &fail))
			daemon_die("recovery-failed", fail);
		log_event(LOG_INFO, 0, "recovered", LOG_NUMBER("account", a->number));
	}
	a->replaying = false;
	start_sessions(a);
	return true;
}

static bool on_trimmed(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct msg_trimmed trimmed;
	if (!msg_trimmed_read(frame, &trimmed))
		return false;
	commit_batch(a);
	struct store_txn *txn = store_begin_deferred(a->store);
	store_trim(txn, trimmed.journal.bytes, trimmed.sequence);
	if (!store_commit(&txn, &fail))
		log_event(LOG_WARNING, 0, "trim-failed", LOG_NUMBER("account", a->number),
		          LOG_TEXT("why", str_of(fail_text(fail))));
	return true;
}

static bool on_journals(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct msg_journals journals;
	if (!msg_journals_read(frame, &journals) || journals.ids.length % sizeof(struct ipc_id))
		return false;
	commit_batch(a);
	struct store_txn *txn = store_begin_deferred(a->store);
	store_trim_journals(txn, (const uint8_t *)journals.ids.data, journals.ids.length / sizeof(struct ipc_id));
	if (!store_commit(&txn, &fail))
		log_event(LOG_WARNING, 0, "trim-failed", LOG_NUMBER("account", a->number),
		          LOG_TEXT("why", str_of(fail_text(fail))));
	return true;
}

static bool on_quota(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct account *a = peer->owner;
	struct msg_quota quota;
	if (!msg_quota_read(frame, &quota) || quota.account != a->number)
		return false;
	store_set_quota(a->store, quota.limit_bytes, quota.limit_messages);
	delivery_tell_usage(a);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_DELIVER, (unsigned)IPC_ANY_STATE, 0, on_deliver },
	{ MSG_REPLAY_END, (unsigned)IPC_ANY_STATE, 0, on_replay_end },
	{ MSG_UP_TO_DATE, (unsigned)IPC_ANY_STATE, 0, on_up_to_date },
	{ MSG_TRIMMED, (unsigned)IPC_ANY_STATE, 0, on_trimmed },
	{ MSG_JOURNALS, (unsigned)IPC_ANY_STATE, 0, on_journals },
	{ MSG_QUOTA, (unsigned)IPC_ANY_STATE, 0, on_quota },
};

/* A new queue will wire itself; what is in the open batch is acknowledged to nobody and comes again. */
static void queue_ended(struct ipc_peer *peer, const char *why)
{
	struct account *a = peer->owner;
	if (why)
		log_event(LOG_ERROR, 0, "queue-channel-ended", LOG_TEXT("why", str_of(why)));
	a->has_queue = a->watched = false;
	ipc_peer_release(peer);
	caught_up(a);
}

bool delivery_wire(struct account *a, struct ipc_frame *frame)
{
	int descriptor = ipc_take_descriptor(frame);
	if (descriptor < 0)
		return false;
	if (a->has_queue)
		queue_ended(&a->queue, NULL);
	a->queue.role = ROLE_QUEUE;
	a->queue.owner = a;
	ipc_peer_start(&a->queue, a->daemon.loop, descriptor, permits, COUNT_OF(permits), queue_ended);
	a->has_queue = true;
	const struct store_usage *usage = usage_to_tell(a);
	struct msg_mailbox_opened opened = {
		.unclean = a->replaying, .used_bytes = usage->bytes, .used_messages = usage->messages,
		.limit_bytes = usage->bytes_max, .limit_messages = usage->messages_max,
	};
	msg_mailbox_opened_send(&a->queue.channel, 0, &opened, -1);
	if (session_count(a) || a->waiting)
		delivery_watch(a);
	return true;
}
