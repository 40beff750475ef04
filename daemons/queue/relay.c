#include "relay.h"
#include "queue.h"
#include "forward.h"
#include "sts.h"
#include "tls_report.h"

#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

enum { GREETING = 1, UP = 2 };
enum { JOBS_PER_ROUND = 32, FULL_WAIT_MS = 20, DESCRIPTORS_MAX = 200, OCTETS_MAX = 4 << 20,
       NOTED_MS = 5, UNREAD_WAIT_MS = 60000 };

struct member {
	uint32_t place;
	bool open; /* without a result */
};

struct relay_job {
	struct relay_link *link;
	uint64_t number;
	struct mail *mail;               /* NULL: it is gone */
	struct destination *destination; /* NULL: nobody knows */
	enum standing standing;          /* that it counts for */
	bool unnoted;                    /* it is done, and relay waits to hear that this is written down */
	size_t open;
	size_t count;
	struct member members[];
};

struct relay_link {
	struct relay_link *next;
	struct queue *queue;
	struct ipc_peer peer;
	size_t jobs_max;
	struct map *jobs;                /* by number */
	struct map *known;               /* mails by their ids, while it says what it holds */
	struct buf noted;                /* numbers of jobs whose results are written down, which it is told together */
	struct timer noted_timer;
};

/* ---- jobs ---- */

static struct relay_job *job_new(struct relay_link *link, uint64_t number, struct mail *mail,
                                 struct destination *destination)
{
	struct relay_job *job = mem_alloc(sizeof *job + LIMIT_RELAY_RECIPIENTS_MAX * sizeof job->members[0]);
	job->link = link;
	job->number = number;
	job->mail = mail;
	job->destination = destination;
	if (mail)
		mail->jobs++;
	if (destination)
		job->standing = destination_job_began(destination);
	map_set(link->jobs, MAP_KEY(job->number), job);
	return job;
}

static void add_member(struct relay_job *job, struct delivery *d)
{
	destination_withdraw(d);
	d->state = DELIVERY_SENT;
	job->members[job->count++] = (struct member){ .place = d->index, .open = true };
	job->open++;
}

static struct delivery *delivery_of(const struct relay_job *job, const struct member *member)
{
	return job->mail ? &job->mail->deliveries[member->place] : NULL;
}

static void job_free(struct relay_job *job)
{
	map_remove(job->link->jobs, MAP_KEY(job->number));
	if (job->mail)
		job->mail->jobs--;
	free(job);
}

void relay_mail_gone(struct mail *mail)
{
	for (struct relay_link *link = mail->queue->relays.links; link && mail->jobs > 0; link = link->next) {
		size_t position = 0;
		struct str key;
		void *value;
		while (map_next(link->jobs, &position, &key, &value)) {
			struct relay_job *job = value;
			if (job->mail != mail)
				continue;
			job->mail = NULL;
			mail->jobs--;
		}
	}
}

/* ---- giving ---- */

/* Those of the mail that are to be sent to the same destination now, from the same sender (forward.h). */
static void gather(struct relay_job *job, struct delivery *first, const struct envelope *e, struct buf *recipients)
{
	struct mail *mail = job->mail;
	for (uint32_t i = 0; i < mail->count && job->count < LIMIT_RELAY_RECIPIENTS_MAX; i++) {
		struct delivery *d = &mail->deliveries[i];
		const struct envelope_recipient *r = &e->recipients[i];
		bool is_alike = d->lane && d->lane == first->lane && str_equal(r->detail, e->recipients[first->index].detail);
		if (!is_alike ||
		    recipients->length + r->address.length + r->orcpt.length + 16 > LIMIT_RELAY_RECIPIENTS_OCTETS_MAX)
			continue;
		relay_recipient_add(recipients,
			&(struct relay_recipient){ .place = i, .notify = r->notify, .address = r->address, .orcpt = r->orcpt });
		job->members[job->count++] = (struct member){ .place = i, .open = true };
	}
}

static void take_members(struct relay_job *job)
{
	size_t count = job->count;
	job->count = 0;
	for (size_t i = 0; i < count; i++)
		add_member(job, &job->mail->deliveries[job->members[i].place]);
}

static uint32_t flags_of(const struct envelope *e)
{
	return (e->has_8bit ? RELAY_8BIT : 0u) | (e->smtputf8 ? RELAY_SMTPUTF8 : 0u) |
	       (e->require_tls ? RELAY_REQUIRETLS : 0u) | (e->tls_optional ? RELAY_TLS_OPTIONAL : 0u) |
	       (e->is_signed ? RELAY_SIGNED : 0u) | (e->by_return ? RELAY_BY_RETURN : 0u) |
	       (e->by_trace ? RELAY_BY_TRACE : 0u);
}

/* Short mail travels within the job: no file in memory is made for it. */
static bool travels_inside(const struct mail *mail)
{
	return !mail->body_in_file && mail->size <= LIMIT_RELAY_CONTENT_MAX;
}

/* Of what an alias forwards, as its way is to show it. */
static struct str sender_for(const struct relay_job *job, struct arena *arena, const struct envelope *e)
{
	char id[17];
	struct str sender = forward_sender(job->mail->queue, arena, e->reverse_path,
	                                   e->recipients[job->members[0].place].detail);
	envelope_id_text(job->mail->id, id);
	if (!str_equal(sender, e->reverse_path))
		log_event(LOG_INFO, job->mail->session, "sender-rewritten", LOG_TEXT("queue-id", str_of(id)),
		          LOG_TEXT("from", e->reverse_path), LOG_TEXT("to", sender));
	return sender;
}

static void send_job(struct relay_job *job, struct arena *arena, const struct envelope *e, struct str recipients,
                     int content)
{
	const struct mail *mail = job->mail;
	const struct destination *to = job->destination;
	const struct msg_relay_job message = {
		.mail = mail->id, .session = mail->session, .destination = str_from(to->name, to->name_length),
		.sender = sender_for(job, arena, e),
		.flags = flags_of(e), .return_full = (uint32_t)e->ret, .envelope_id = e->envid, .priority = e->priority,
		.deliver_by = e->deliver_by, .size = mail->size, .recipients = recipients,
		.content = content < 0 ? str_from(mail->body, mail->size) : STR(""),
	};
	msg_relay_job_send(&job->link->peer.channel, job->number, &message, content);
}

/* What cannot be read now waits; what is damaged never goes. */
static void cannot_give(struct delivery *d, const struct fail *fail)
{
	struct mail *mail = d->mail;
	if (fail->kind == FAIL_CORRUPT || fail->kind == FAIL_NOT_FOUND) {
		mail_give_up_damaged(mail, fail);
		return;
	}
	log_event(LOG_WARNING, mail->session, "deferred", LOG_TEXT("why", str_of(fail_text(fail))));
	destination_withdraw(d);
	destination_wait(d, UNREAD_WAIT_MS);
}

static void give(struct relay_link *link, struct delivery *d)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ENVELOPE_ARENA_MAX);
	CLEANUP(buf_release) struct buf recipients = BUF_WITH_LIMIT(LIMIT_RELAY_RECIPIENTS_OCTETS_MAX);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct queue *q = link->queue;
	struct mail *mail = d->mail;
	struct envelope e;
	int content = -1;
	if (!mail_envelope(mail, arena, &e, &fail) || (!travels_inside(mail) && (content = spool_open_content(mail, &fail)) < 0)) {
		cannot_give(d, fail);
		return;
	}
	struct relay_job *job = job_new(link, ++q->relays.last_number, mail, d->destination);
	gather(job, d, &e, &recipients);
	take_members(job);
	send_job(job, arena, &e, buf_str(&recipients), content);
	if (mail->pending == 0 || q->octets > LIMIT_QUEUE_OCTETS_MAX / 2)
		mail_unload(mail);
}

/* The one that takes jobs, if all have said what they hold. */
static struct relay_link *taker(const struct queue *q)
{
	struct relay_link *found = NULL;
	for (struct relay_link *link = q->relays.links; link; link = link->next) {
		if (link->peer.state != UP)
			return NULL;
		if (!found && link->jobs_max > 0)
			found = link;
	}
	return found;
}

static bool has_room(const struct relay_link *link)
{
	const struct ipc_channel *channel = &link->peer.channel;
	return channel->waiting_descriptors < DESCRIPTORS_MAX && channel->waiting_octets < OCTETS_MAX;
}

static void dispatch(void *owner)
{
	struct queue *q = owner;
	struct relay_link *link = taker(q);
	if (!link || q->held || q->draining)
		return;
	for (unsigned i = 0; i < JOBS_PER_ROUND && map_count(link->jobs) < link->jobs_max && !link->peer.channel.broken; i++) {
		struct delivery *d = has_room(link) ? destination_next(q, link->jobs_max) : NULL;
		if (!d && has_room(link))
			return; /* whatever changes that calls relay_dispatch_soon */
		if (!d)
			break;
		give(link, d);
	}
	if (map_count(link->jobs) < link->jobs_max)
		loop_start_timer(q->loop, &q->relays.timer, has_room(link) ? 0 : FULL_WAIT_MS, dispatch, q);
}

void relay_dispatch_soon(struct queue *q)
{
	if (q->relays.timer.place == 0)
		loop_start_timer(q->loop, &q->relays.timer, 0, dispatch, q);
}

/* ---- what it says ---- */

static struct mail *find_known(struct relay_link *link, uint64_t id)
{
	if (!link->known) {
		link->known = map_new();
		for (struct mail *mail = link->queue->first; mail; mail = mail->next)
			map_set(link->known, MAP_KEY(mail->id), mail);
	}
	return map_get(link->known, MAP_KEY(id));
}

/* A job of before this process began. What has its final result already keeps it. */
static bool on_held(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay_link *link = peer->owner;
	struct msg_relay_held held;
	uint32_t place;
	if (!msg_relay_held_read(frame, &held) || map_get(link->jobs, MAP_KEY(frame->request)))
		return false;
	struct mail *mail = find_known(link, held.mail);
	struct relay_job *job = job_new(link, frame->request, mail, NULL);
	while (job->count < LIMIT_RELAY_RECIPIENTS_MAX && relay_place_next(&held.recipients, &place)) {
		struct delivery *d = mail && place < mail->count ? &mail->deliveries[place] : NULL;
		bool is_ours = d && d->destination && (d->state == DELIVERY_PENDING || d->state == DELIVERY_HELD);
		if (is_ours && !job->destination) {
			job->destination = d->destination;
			job->standing = destination_job_began(d->destination);
		}
		if (is_ours)
			add_member(job, d);
		else
			job->members[job->count++] = (struct member){ .place = place };
	}
	return held.recipients.length == 0;
}

static bool on_up(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay_link *link = peer->owner;
	struct msg_relay_up up;
	if (!msg_relay_up_read(frame, &up))
		return false;
	map_free(link->known);
	link->known = NULL;
	link->jobs_max = up.jobs_max;
	if (peer->state == GREETING)
		log_event(LOG_INFO, 0, "relay-up", LOG_NUMBER("jobs-max", up.jobs_max),
		          LOG_NUMBER("held", map_count(link->jobs)));
	peer->state = UP;
	relay_dispatch_soon(link->queue);
	return true;
}

static struct member *find_member(struct relay_job *job, uint32_t place)
{
	for (size_t i = 0; i < job->count; i++)
		if (job->members[i].place == place)
			return &job->members[i];
	return NULL;
}

/* Equal ones are kept once: a destination that is away says the same of all its mail. */
static struct attempt *attempt_of(const struct relay_job *job, const struct msg_relay_result *result)
{
	const struct attempt_facts facts = { .outcome = (enum relay_outcome)result->outcome, .code = result->code,
		.status = result->status,
		                                 .reply = result->reply, .host = result->host, .address = result->address,
		                                 .tls = result->tls };
	struct attempt *last = job->destination ? job->destination->last_failure : NULL;
	return last && attempt_is(last, &facts) ? attempt_ref(last) : attempt_new(&facts);
}

static bool take_results(struct relay_job *job, struct msg_relay_result *result, struct attempt *attempt)
{
	uint32_t place;
	while (relay_place_next(&result->recipients, &place)) {
		struct member *member = find_member(job, place);
		struct delivery *d = member ? delivery_of(job, member) : NULL;
		if (!member)
			return false;
		if (!member->open)
			continue; /* of before a restart, and known */
		member->open = false;
		job->open--;
		if (d)
			schedule_result(d, attempt_ref(attempt));
	}
	return result->recipients.length == 0;
}

/* What waits since nobody could be reached goes as soon as somebody can. */
static void note_reach(struct relay_job *job, enum relay_reach reach)
{
	for (size_t i = 0; i < job->count && reach != RELAY_REACHED; i++) {
		struct delivery *d = delivery_of(job, &job->members[i]);
		if (d && d->waits)
			d->for_destination = true;
	}
}

static void send_noted(void *owner)
{
	struct relay_link *link = owner;
	msg_relay_noted_send(&link->peer.channel, 0, &(struct msg_relay_noted){ .jobs = buf_str(&link->noted) }, -1);
	buf_clear(&link->noted);
	loop_stop_timer(link->queue->loop, &link->noted_timer);
}

/* Relay only keeps it a moment longer, so those of a moment are told together. */
static void say_noted(struct relay_job *job)
{
	struct relay_link *link = job->link;
	relay_number_add(&link->noted, job->number);
	job_free(job);
	size_t count = link->noted.length / sizeof job->number;
	if (count >= LIMIT_RELAY_NOTED_MAX || count >= link->jobs_max)
		send_noted(link);
	else if (!link->noted_timer.place)
		loop_start_timer(link->queue->loop, &link->noted_timer, NOTED_MS, send_noted, link);
}

/* False when it cannot have ended. */
static bool end_job(struct relay_job *job, uint32_t reach)
{
	if (job->unnoted || job->open > 0 || reach >= RELAY_REACH_COUNT)
		return false;
	note_reach(job, (enum relay_reach)reach);
	struct queue *q = job->link->queue;
	struct destination *destination = TAKE(job->destination);
	enum standing standing = job->standing;
	job->unnoted = true;
	if (results_are_written(q))
		say_noted(job);
	if (destination)
		destination_job_ended(destination, standing, false, (enum relay_reach)reach);
	return true;
}

static bool on_result(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay_link *link = peer->owner;
	struct relay_job *job = map_get(link->jobs, MAP_KEY(frame->request));
	struct msg_relay_result result;
	if (!msg_relay_result_read(frame, &result) || !job || job->unnoted || result.outcome >= RELAY_OUTCOME_COUNT ||
	    result.reach > RELAY_REACH_COUNT)
		return false;
	struct mail *mail = job->mail;
	struct attempt *attempt = attempt_of(job, &result);
	bool was_busy = mail && mail->busy;
	if (mail)
		mail->busy = true;
	bool good = take_results(job, &result, attempt);
	attempt_unref(attempt);
	if (mail) {
		mail->busy = was_busy;
		mail_proceed(mail);
	}
	return good && (result.reach == RELAY_REACH_COUNT || end_job(job, result.reach));
}

void relay_say_noted(struct queue *q)
{
	for (struct relay_link *link = q->relays.links; link; link = link->next) {
		size_t position = 0;
		struct str key;
		void *value;
		while (map_next(link->jobs, &position, &key, &value))
			if (((struct relay_job *)value)->unnoted)
				say_noted(value);
	}
	relay_dispatch_soon(q);
}

static bool on_done(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay_link *link = peer->owner;
	struct relay_job *job = map_get(link->jobs, MAP_KEY(frame->request));
	struct msg_relay_done done;
	return msg_relay_done_read(frame, &done) && job && end_job(job, done.reach);
}

static bool on_sts_policy(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay_link *link = peer->owner;
	struct msg_sts_policy message;
	return msg_sts_policy_read(frame, &message) && sts_take(link->queue, &message);
}

static bool on_tls_outcome(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay_link *link = peer->owner;
	struct msg_tls_outcome message;
	return msg_tls_outcome_read(frame, &message) && tls_report_count(link->queue, &message);
}

static bool on_posted(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay_link *link = peer->owner;
	struct msg_https_posted message;
	if (!msg_https_posted_read(frame, &message))
		return false;
	tls_report_posted(link->queue, frame->request, message.status);
	return true;
}

bool relay_post(struct queue *q, uint64_t request, struct str url, uint64_t size, int content)
{
	struct relay_link *link = q->relays.links;
	if (!link || link->peer.state != UP) {
		close(content);
		return false;
	}
	msg_https_post_send(&link->peer.channel, request,
		&(struct msg_https_post){ .url = url, .type = STR("application/tlsrpt+gzip"), .size = size }, content);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_RELAY_HELD, GREETING, 0, on_held },
	{ MSG_RELAY_UP, GREETING | UP, 0, on_up },
	{ MSG_RELAY_RESULT, UP, 0, on_result },
	{ MSG_RELAY_DONE, UP, 0, on_done },
	{ MSG_STS_POLICY, UP, 0, on_sts_policy },
	{ MSG_TLS_OUTCOME, UP, 0, on_tls_outcome },
	{ MSG_HTTPS_POSTED, UP, 0, on_posted },
};

/* ---- the link ---- */

/* Nobody knows what became of them but those that have a result. */
static void lose(struct relay_job *job)
{
	struct mail *mail = job->mail;
	struct destination *destination = TAKE(job->destination);
	enum standing standing = job->standing;
	bool was_busy = mail && mail->busy;
	if (mail)
		mail->busy = true;
	for (size_t i = 0; i < job->count; i++)
		if (job->members[i].open && mail)
			schedule_lost(&mail->deliveries[job->members[i].place]);
	job_free(job);
	if (destination)
		destination_job_ended(destination, standing, true, RELAY_UNREACHABLE);
	if (mail) {
		mail->busy = was_busy;
		mail_proceed(mail);
	}
}

static void relay_ended(struct ipc_peer *peer, const char *why)
{
	struct relay_link *link = peer->owner;
	struct queue *q = link->queue;
	struct relay_link **at = &q->relays.links;
	size_t position = 0;
	struct str key;
	void *value;
	log_event(LOG_WARNING, 0, "relay-channel-ended", LOG_TEXT("why", str_of(why ? why : "closed")),
	          LOG_NUMBER("jobs", map_count(link->jobs)));
	if (why)
		daemon_report(&q->daemon, ROLE_RELAY, 0);
	while (*at != link)
		at = &(*at)->next;
	*at = link->next;
	while (map_next(link->jobs, &position, &key, &value))
		lose(value);
	ipc_peer_release(peer);
	loop_stop_timer(q->loop, &link->noted_timer);
	buf_release(&link->noted);
	map_free(link->known);
	map_free(link->jobs);
	free(link);
	relay_dispatch_soon(q);
}

bool relay_wire(struct queue *q, const struct msg_wire *wire, int descriptor)
{
	struct relay_link *link = mem_alloc(sizeof *link);
	link->queue = q;
	link->jobs = map_new();
	link->noted = BUF_WITH_LIMIT(LIMIT_RELAY_NOTED_MAX * sizeof(uint64_t));
	link->next = q->relays.links;
	q->relays.links = link;
	link->peer = (struct ipc_peer){ .role = ROLE_RELAY, .id = wire->peer, .owner = link };
	ipc_peer_start(&link->peer, q->loop, descriptor, permits, COUNT_OF(permits), relay_ended);
	sts_tell(q, &link->peer.channel);
	return true;
}
