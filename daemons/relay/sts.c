#include "sts.h"

#include "clock.h"
#include "https.h"
#include "mem.h"

#include <stdlib.h>

struct sts_entry {
	struct relay *relay;
	char domain[LIMIT_DOMAIN_MAX + 1];
	struct sts_wait *waiting;
	struct ask txt;
	struct https *fetch;           /* under way */
	char asked_id[MTASTS_ID_MAX + 1]; /* that the record names now */
	char failed_id[MTASTS_ID_MAX + 1];
	int64_t quiet_until;           /* wall clock, as all times here */
	struct sts_failure failure;    /* of the policy that the record names now */
	/* the policy, when text is not NULL */
	char *text;
	struct mtasts_policy policy;   /* views of text */
	char id[MTASTS_ID_MAX + 1];
	int64_t fetched, expires;
	bool remembered;               /* counts in relay->sts_count */
};

enum { NAME_PREFIX_MAX = 10, ARENA_MAX = 8 << 20 };

void sts_init(struct relay *r)
{
	r->sts = map_new();
}

/* ---- entries ---- */

static struct sts_entry *entry_get(struct relay *r, struct str domain)
{
	struct sts_entry *e = map_get(r->sts, domain);
	if (e)
		return e;
	e = mem_alloc(sizeof *e);
	e->relay = r;
	str_copy_to_array(domain, e->domain, sizeof e->domain);
	map_set(r->sts, str_of(e->domain), e);
	return e;
}

static void forget_policy(struct sts_entry *e)
{
	e->relay->sts_count -= e->remembered;
	e->remembered = false;
	free(e->text);
	e->text = NULL;
}

/* Nobody needs it, and there is nothing to remember. */
static void entry_free_if_idle(struct sts_entry *e)
{
	if (e->waiting || e->fetch || e->txt.asker || e->remembered || e->quiet_until > clock_wall_seconds())
		return;
	forget_policy(e);
	map_remove(e->relay->sts, str_of(e->domain));
	free(e);
}

static bool holds(const struct sts_entry *e)
{
	return e->text && e->expires > clock_wall_seconds();
}

/* False for what is no policy. */
static bool take_policy(struct sts_entry *e, struct str id, struct str text, int64_t fetched)
{
	struct mtasts_policy policy;
	char *copy = str_copy(text);
	if (!mtasts_policy_parse(str_from(copy, text.length), &policy)) {
		free(copy);
		return false;
	}
	forget_policy(e);
	e->text = copy;
	e->policy = policy;
	e->fetched = fetched;
	e->expires = fetched + policy.age_seconds;
	str_copy_to_array(id, e->id, sizeof e->id);
	e->remembered = e->relay->sts_count < STS_POLICIES_MAX && text.length <= STS_REMEMBERED_OCTETS_MAX;
	e->relay->sts_count += e->remembered;
	return true;
}

bool sts_remember(struct relay *r, const struct msg_sts_policy *message)
{
	struct sts_entry *e = entry_get(r, message->domain);
	bool newer = !e->text || e->fetched < message->fetched;
	bool good = !newer || take_policy(e, message->id, message->policy, message->fetched);
	entry_free_if_idle(e);
	return good;
}

/* ---- answers ---- */

void sts_stop(struct sts_wait *wait)
{
	struct sts_entry *e = wait->entry;
	if (!e)
		return;
	*(wait->previous ? &wait->previous->next : &e->waiting) = wait->next;
	if (wait->next)
		wait->next->previous = wait->previous;
	wait->entry = NULL;
}

/* One that was fetched this moment applies to the mail it was fetched for, however short its time. */
static void answer_all(struct sts_entry *e, bool is_fresh)
{
	bool applies = is_fresh || holds(e);
	if (!applies)
		forget_policy(e);
	for (struct sts_wait *wait; (wait = e->waiting) != NULL;) {
		sts_stop(wait);
		wait->ready(wait, applies ? &e->policy : NULL, &e->failure);
	}
	entry_free_if_idle(e);
}

/* ---- fetching, §3.3 ---- */

static void note_failure(struct sts_entry *e, enum tlsrpt_result result, const char *why)
{
	e->failure.result = result;
	str_copy_to_array(str_of(why), e->failure.why, sizeof e->failure.why);
}

static void take_answer(struct sts_entry *e, const struct https *https)
{
	if (!https->answered)
		note_failure(e, https->is_untrusted ? TLSRPT_STS_WEBPKI_INVALID : TLSRPT_STS_FETCH_ERROR, https->why);
	else if (https->response.status != 200)
		note_failure(e, TLSRPT_STS_FETCH_ERROR, "the server has none");
	else if (strcmp(https->response.type, "text/plain") != 0)
		note_failure(e, TLSRPT_STS_INVALID, "what the server sent is not text/plain");
	else if (!take_policy(e, str_of(e->asked_id), buf_str(&https->response.body), clock_wall_seconds()))
		note_failure(e, TLSRPT_STS_INVALID, "what the server sent is no policy");
	else
		note_failure(e, TLSRPT_SUCCESS, "");
}

static void tell_queue(const struct sts_entry *e)
{
	const struct msg_sts_policy message = { .domain = str_of(e->domain), .id = str_of(e->id), .fetched = e->fetched,
	                                        .expires = e->expires,
		                                    .policy = str_of(e->text) };
	if (e->relay->queue && e->remembered)
		msg_sts_policy_send(&e->relay->queue->peer.channel, 0, &message, -1);
}

static void on_fetched(void *owner, struct https *https)
{
	struct sts_entry *e = owner;
	take_answer(e, https);
	e->fetch = NULL;
	if (e->failure.result != TLSRPT_SUCCESS) {
		log_event(LOG_WARNING, 0, "mta-sts-not-fetched", LOG_TEXT("domain", str_of(e->domain)),
		          LOG_TEXT("why", str_of(e->failure.why)),
		          LOG_NUMBER("status", https->response.status));
		memcpy(e->failed_id, e->asked_id, sizeof e->failed_id);
		if (map_count(e->relay->sts) < 2 * STS_POLICIES_MAX)
			e->quiet_until = clock_wall_seconds() + STS_QUIET_SECONDS;
	} else {
		log_event(LOG_INFO, 0, "mta-sts", LOG_TEXT("domain", str_of(e->domain)), LOG_TEXT("id", str_of(e->id)),
		          LOG_TEXT("mode", str_of(mtasts_mode_name(e->policy.mode))));
		tell_queue(e);
	}
	answer_all(e, e->failure.result == TLSRPT_SUCCESS);
}

static void fetch(struct sts_entry *e)
{
	CLEANUP(buf_release) struct buf host = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + NAME_PREFIX_MAX),
		request = BUF_WITH_LIMIT(4 * LIMIT_DOMAIN_MAX);
	struct relay *r = e->relay;
	buf_printf(&host, "mta-sts.%s", e->domain);
	buf_printf(&request,
	           "GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: %.*s\r\nAccept: text/plain\r\nUser-Agent: Posthorn\r\nConnection: close\r\n\r\n",
	           STR_ARG(buf_str(&host)));
	e->fetch = https_begin(r, buf_str(&host), r->daemon.config.relay_https_port, buf_str(&request),
	                       LIMIT_STS_POLICY_MAX, on_fetched, e);
}

/* ---- the record, §3.1 ---- */

static bool find_id(struct sts_entry *e, const struct dns_answer *answer)
{
	struct arena *a = arena_new(ARENA_MAX);
	struct str *texts = arena_alloc_array(a, answer->count, sizeof *texts), id;
	size_t count = 0;
	for (size_t i = 0; i < answer->count; i++)
		count += dns_read_txt(a, answer->records[i], &texts[count]);
	bool found = mtasts_find_id(texts, count, &id);
	if (found)
		str_copy_to_array(id, e->asked_id, sizeof e->asked_id);
	arena_free(a);
	return found;
}

static bool must_fetch(const struct sts_entry *e)
{
	int64_t now = clock_wall_seconds();
	if (e->quiet_until > now && strcmp(e->failed_id, e->asked_id) == 0)
		return false;
	return !holds(e) || strcmp(e->id, e->asked_id) != 0 || now - e->fetched >= STS_REFRESH_SECONDS;
}

static void on_txt(struct ask *ask, const struct dns_answer *answer)
{
	struct sts_entry *e = ask->owner;
	bool found = answer->status == DNS_FOUND && find_id(e, answer);
	if (found && must_fetch(e)) {
		fetch(e);
		return;
	}
	if (!found || strcmp(e->failed_id, e->asked_id) != 0)
		note_failure(e, TLSRPT_SUCCESS, "");
	answer_all(e, false);
}

void sts_ask(struct relay *r, struct sts_wait *wait, struct str domain,
             void (*ready)(struct sts_wait *wait, const struct mtasts_policy *policy,
                           const struct sts_failure *failure),
             void *owner)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + NAME_PREFIX_MAX);
	struct sts_entry *e = entry_get(r, domain);
	*wait = (struct sts_wait){ .entry = e, .next = e->waiting, .ready = ready, .owner = owner };
	if (e->waiting)
		e->waiting->previous = wait;
	e->waiting = wait;
	if (e->fetch || e->txt.asker)
		return;
	buf_printf(&name, "_mta-sts.%s", e->domain);
	ask_start(&r->asker, &e->txt, buf_str(&name), DNS_TXT, on_txt, e);
}
