#include "submit.h"

#include "clock.h"
#include "log.h"
#include "text.h"

#include <inttypes.h>

static void end(struct submission *s, enum submit_outcome outcome)
{
	arena_free(TAKE(s->arena));
	buf_release(&s->signing.fields);
	s->done(s, outcome);
}

static void committed(struct commit *commit, bool durable)
{
	struct submission *s = commit->owner;
	char id[17];
	envelope_id_text(s->envelope.id, id);
	if (durable)
		log_event(LOG_INFO, s->session, "queued", LOG_TEXT("queue-id", str_of(id)),
		          LOG_TEXT("from", s->envelope.reverse_path), LOG_TEXT("to", s->recipient),
		          LOG_NUMBER("size", commit->mail->size));
	end(s, durable ? SUBMIT_DURABLE : SUBMIT_LATER);
}

/* The mail has octets of its own: the giver's text stays for the case that they do not become durable. */
static bool compose(struct submission *s, struct fail **fail)
{
	CLEANUP(buf_release) struct buf head = BUF_WITH_LIMIT(LIMIT_ENVELOPE_SIZE_MAX);
	CLEANUP(buf_release) struct buf body = BUF_WITH_LIMIT(s->text.length + s->signing.fields.length);
	buf_add_str(&body, buf_str(&s->signing.fields));
	buf_add_str(&body, buf_str(&s->text));
	s->envelope.body_size = body.length;
	if (!envelope_encode(&s->envelope, &head, fail))
		return false;
	s->commit = (struct commit){ .mail = mail_new(s->queue, &s->envelope), .done = committed, .owner = s };
	size_t length = head.length;
	char *memory = TAKE(body.data);
	if (mail_hold(s->commit.mail, TAKE(head.data), length, memory, memory, fail))
		return true;
	mail_free(s->commit.mail);
	return false;
}

static void looked(struct signing *signing)
{
	struct submission *s = signing->owner;
	CLEANUP(fail_free) struct fail *fail = NULL;
	s->envelope.has_8bit = signing->facts.has_8bit;
	s->envelope.is_signed = signing->facts.is_signed;
	s->envelope.tls_optional = signing->facts.tls_optional;
	if (compose(s, &fail)) {
		commit_add(s->queue, &s->commit);
		return;
	}
	log_event(LOG_ERROR, s->session, "not-queued", LOG_TEXT("to", s->recipient),
	          LOG_TEXT("why", str_of(fail_text(fail))));
	end(s, SUBMIT_LATER);
}

static void address_targets(struct submission *s, struct str targets)
{
	struct target target;
	struct envelope *e = &s->envelope;
	e->recipients = arena_alloc_array(s->arena, LIMIT_ALIAS_TARGETS_MAX, sizeof *e->recipients);
	while (target_next(&targets, &target) && e->recipient_count < LIMIT_ALIAS_TARGETS_MAX)
		e->recipients[e->recipient_count++] = (struct envelope_recipient){
			.account = target.account, .address = arena_copy(s->arena, target.address), .notify = (uint8_t)s->notify,
		};
}

static void resolved(struct waiter *waiter, const struct answer *answer)
{
	struct submission *s = waiter->owner;
	CLEANUP(buf_release) struct buf remote = BUF_WITH_LIMIT(2 * LIMIT_ADDRESS_MAX);
	struct str targets = answer->targets;
	if (answer->verdict == RESOLVE_NOT_OURS) {
		target_add(&remote, &(struct target){ .address = s->recipient });
		targets = buf_str(&remote);
	}
	if (answer->verdict == RESOLVE_TEMPORARY || targets.length == 0) {
		end(s, answer->verdict == RESOLVE_TEMPORARY ? SUBMIT_LATER : SUBMIT_NOBODY);
		return;
	}
	address_targets(s, targets);
	s->signing = (struct signing){
		.queue = s->queue, .session = s->session, .text = buf_str(&s->text), .file = -1, .may_sign = true,
		.is_of_system = true, .done = looked, .owner = s,
	};
	sign_begin(&s->signing);
}

void submit_mail(struct submission *s)
{
	struct envelope *e = &s->envelope;
	s->arena = arena_new(ENVELOPE_ARENA_MAX);
	s->waiter = (struct waiter){ .answered = resolved, .owner = s };
	if (!e->id)
		e->id = ipc_number_make();
	if (!e->received)
		e->received = clock_wall_seconds();
	if (!e->session.length)
		e->session = arena_printf(s->arena, "%016" PRIx64, s->session);
	e->body_type = text_is_ascii(buf_str(&s->text)) ? ENVELOPE_7BIT : ENVELOPE_8BITMIME;
	resolve_address(s->queue, s->recipient, &s->waiter);
}
