/* The end: a last look at quotas, the signature, the journal, and the answer. */
#include "transaction.h"

#include "aggregate.h"
#include "file.h"
#include "log.h"
#include "sending.h"

#include <stdlib.h>

/* Looks again, now with the real size. */
static void check_room(struct intake *in, uint64_t size)
{
	for (size_t i = 0; i < in->promises.count; i++) {
		struct promise *one = &in->promises.items[i];
		intake_unpromise(one);
		one->kind = one->account ? quota_check(one->account, size) : VERDICT_OK;
		intake_promise(one, size);
	}
}

/* VERDICT_OK when any of them takes it. */
static enum verdict_kind kind_of(const struct intake *in, size_t first, size_t count)
{
	enum verdict_kind kind = in->promises.items[first].kind;
	for (size_t i = first; i < first + count; i++)
		if (in->promises.items[i].kind == VERDICT_OK)
			return VERDICT_OK;
	return kind;
}

/* LMTP answers for each recipient (RFC 2033 §4.2): what was refused there is not taken, and no bounce follows. */
static struct str refuse_each(struct intake *in)
{
	if (!in->is_lmtp)
		return (struct str){};
	char *kinds = arena_alloc(in->arena, in->addressed.count);
	for (size_t i = 0; i < in->addressed.count; i++) {
		const struct addressed *one = &in->addressed.items[i];
		enum verdict_kind kind = kind_of(in, one->first, one->count);
		kinds[i] = (char)kind;
		for (size_t k = one->first; kind != VERDICT_OK && k < one->first + one->count; k++)
			in->promises.items[k].recipient.state = ENVELOPE_FAILED;
	}
	return str_from(kinds, in->addressed.count);
}

static void committed(struct commit *commit, bool durable);

static bool encode(struct intake *in, struct mail **mail, struct fail **fail)
{
	struct envelope *e = &in->envelope;
	CLEANUP(buf_release) struct buf head = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	e->recipients = arena_alloc_array(in->arena, in->promises.count, sizeof *e->recipients);
	e->recipient_count = in->promises.count;
	for (size_t i = 0; i < in->promises.count; i++)
		e->recipients[i] = in->promises.items[i].recipient;
	if (!envelope_encode(e, &head, fail))
		return false;
	if (head.length + (e->body_in_file ? 0 : e->body_size) > LIMIT_JOURNAL_RECORD_MAX)
		return fail_set(fail, FAIL_TOO_BIG, "envelope and message are too long");
	*mail = mail_new(in->queue, e);
	in->queue->octets -= in->body.length; /* mail_hold counts it */
	char *body = e->body_in_file ? NULL : in->body.data;
	if (!e->body_in_file)
		in->body = (struct buf){};
	size_t length = head.length;
	return mail_hold(*mail, TAKE(head.data), length, body, body, fail);
}

static void leave(struct intake *in)
{
	if (in->gone)
		intake_free(in);
	else
		intake_end(in);
}

static void refuse_commit(struct intake *in, enum verdict_kind kind, struct str kinds)
{
	intake_say_done(in, kind, kinds);
	leave(in);
}

static bool kinds_differ(struct str kinds)
{
	for (size_t i = 1; i < kinds.length; i++)
		if (kinds.data[i] != kinds.data[0])
			return true;
	return false;
}

static void append(struct intake *in)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct mail *mail = NULL;
	if (!encode(in, &mail, &fail)) {
		log_event(LOG_ERROR, in->session, "not-queued", LOG_TEXT("why", str_of(fail_text(fail))));
		if (mail)
			mail_free(mail);
		refuse_commit(in, VERDICT_TEMPORARY, (struct str){});
		return;
	}
	in->commit = (struct commit){ .mail = mail, .done = committed, .owner = in };
	commit_add(in->queue, &in->commit);
}

/* Our signatures stand before everything else. */
static void put_before(struct intake *in, const struct buf *fields)
{
	struct buf *body = &in->body;
	if (!buf_reserve(body, fields->length))
		return;
	memmove(body->data + fields->length, body->data, body->length);
	memcpy(body->data, fields->data, fields->length);
	buf_claim(body, fields->length);
	in->envelope.body_size += fields->length;
	in->queue->octets += fields->length;
}

static void looked(struct signing *s)
{
	struct intake *in = s->owner;
	in->envelope.has_8bit = s->facts.has_8bit;
	in->envelope.is_signed = s->facts.is_signed;
	in->envelope.tls_optional = s->facts.tls_optional;
	in->envelope.body_size += s->added;
	file_close(&in->body_file);
	if (s->file < 0 && s->fields.length)
		put_before(in, &s->fields);
	if (s->spoiled)
		refuse_commit(in, VERDICT_TEMPORARY, (struct str){});
	else
		append(in);
}

/* What only comes to accounts of ours, from strangers, needs no look. */
static void commit(struct intake *in)
{
	check_room(in, in->envelope.body_size);
	struct str kinds = refuse_each(in);
	enum verdict_kind kind = kind_of(in, 0, in->promises.count);
	if (kind != VERDICT_OK) {
		refuse_commit(in, kinds_differ(kinds) ? VERDICT_OK : kind, kinds);
		return;
	}
	intake_enter(in, COMMITTING);
	bool may_sign = in->may_relay && !keys_are_none(in->queue->keys);
	if (!may_sign && !intake_count_remote(in)) {
		append(in);
		return;
	}
	in->signing = (struct signing){
		.queue = in->queue, .session = in->session, .id = in->envelope.id, .text = buf_str(&in->body), .file = in->envelope.body_in_file ? in->body_file : -1,
		.size = in->envelope.body_size, .may_sign = may_sign, .done = looked, .owner = in,
	};
	sign_begin(&in->signing);
}

bool intake_commit(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct intake *in = peer->owner;
	struct msg_mail_commit read;
	if (!msg_mail_commit_read(frame, &read) || frame->request != in->request)
		return false;
	buf_reserve(&in->body, read.front.length + read.content.length);
	if ((in->envelope.body_in_file ? read.front.length + read.content.length > 0
	                              : !intake_take_content(in, read.front) || !intake_take_content(in, read.content)))
		return false;
	enum verdict_kind kind = in->body_verdict;
	if (kind == VERDICT_OK && !in->envelope.body_in_file && read.size != in->body.length)
		return false;
	/* what is put before the message is not counted by SIZE */
	if (read.size > (uint64_t)in->queue->daemon.config.message_size_max + BODY_SLACK)
		kind = VERDICT_TOO_BIG;
	in->envelope.body_size = read.size;
	in->envelope.quarantine = read.quarantine;
	in->dmarc = arena_copy(in->arena, read.dmarc);
	if (kind == VERDICT_OK)
		commit(in);
	else
		refuse_commit(in, kind, (struct str){});
	return true;
}

static void log_queued(const struct intake *in, const struct mail *mail)
{
	char id[17];
	envelope_id_text(mail->id, id);
	log_event(LOG_INFO, in->session, "queued", LOG_TEXT("queue-id", str_of(id)),
	          LOG_TEXT("from", in->envelope.reverse_path),
	          LOG_NUMBER("size", mail->size), LOG_NUMBER("recipients", mail->count),
	          LOG_NUMBER("sequence", mail->sequence));
	for (size_t i = 0; i < in->promises.count; i++) {
		const struct promise *one = &in->promises.items[i];
		log_event(LOG_INFO, in->session, "recipient", LOG_TEXT("queue-id", str_of(id)), LOG_NUMBER("recipient", i),
		          LOG_TEXT("to", one->leads_to), LOG_TEXT("asked", one->asked),
		          LOG_NUMBER("account", one->recipient.account));
	}
}

/* Those who refused though others took it: their sender hears of it. */
static void give_up_refused(struct intake *in, struct mail *mail)
{
	for (size_t i = 0; i < in->promises.count; i++)
		if (in->promises.items[i].kind != VERDICT_OK && !delivery_is_final(&mail->deliveries[i]))
			deliver_give_up(&mail->deliveries[i], "5.2.2", "the mailbox is full", true);
}

/* Which aliases led to several (RFC 3461 §5.2.7.3). */
static void tell_of_expansion(struct intake *in, struct mail *mail)
{
	struct envelope_recipient *aliases = arena_alloc_array(in->arena, in->addressed.count, sizeof *aliases);
	size_t count = 0;
	for (size_t i = 0; i < in->addressed.count; i++)
		if (in->addressed.items[i].is_expanded)
			aliases[count++] = in->addressed.items[i].alias;
	if (count)
		bounce_expanded(mail, &in->envelope, aliases, count);
}

static void note_sent(struct intake *in)
{
	size_t remote = in->may_relay ? intake_count_remote(in) : 0;
	if (remote)
		sending_count(in->queue, in->envelope.account, in->envelope.reverse_path, remote);
}

static void committed(struct commit *commit, bool durable)
{
	struct intake *in = commit->owner;
	in->envelope.body_in_file = false; /* the file is the mail's now, or removed */
	if (durable) {
		note_sent(in);
		tell_of_expansion(in, commit->mail);
		log_queued(in, commit->mail);
		if (!aggregate_count(in->queue, in->dmarc))
			log_event(LOG_ERROR, in->session, "no-dmarc-row");
		intake_say_done(in, VERDICT_OK, refuse_each(in));
		give_up_refused(in, commit->mail);
	} else {
		log_event(LOG_ERROR, in->session, "not-queued", LOG_TEXT("why", str_of(fail_kind_name(commit->why))));
		intake_say_done(in, intake_kind_of_failure(commit->why), (struct str){});
	}
	leave(in);
}
