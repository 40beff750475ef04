#include "host.h"

#include "mem.h"
#include "milter.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { NAMES_MAX = 10, ANSWERS_MAX = 100, HOST_ARENA_MAX = 16 << 20, LIST_PATIENCE_MS = 10000 };

struct host {
	struct arena *arena;
	struct dns_source dns;
	struct endpoint client;
	bool is_listed_somewhere; /* lists are looked at */
	bool has_name, has_black, has_white; /* asked already */
	enum iprev_result iprev;
	struct str name;
	struct host_listing black, white;
	struct smtp_reply refusal;
};

static bool looks_for_name(const struct session *s)
{
	return session_config(s)->sender_checks & CONFIG_CHECK_IPREV || milter_is_wanted(s);
}

/* 2.0.0.127.bl.example.org, RFC 5782 §2.1, §2.4. */
static void list_name(struct buf *out, const struct host *h, const struct config_dns_list *list)
{
	dns_reverse_name(out, &h->client);
	buf_truncate(out,
	             out->length - (h->client.any.sa_family == AF_INET ? STR("in-addr.arpa") : STR("ip6.arpa")).length);
	buf_add_str(out, str_of(list->zone));
}

static void ask_list_ahead(struct host *h, const struct config_dns_lists *lists)
{
	for (size_t i = 0; i < lists->count; i++) {
		CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(400);
		list_name(&name, h, &lists->items[i]);
		dns_ask_ahead(&h->dns, h->arena, buf_str(&name), DNS_A);
	}
}

void host_begin(struct session *s)
{
	const struct config *config = session_config(s);
	bool stranger = s->protocol == SMTP_ON_MX && !(s->flags & (SESSION_LOGGED_IN | SESSION_TRUSTED));
	bool lists = (config->dnsbl.count || config->dnswl.count) && !(s->flags & SESSION_EXEMPT);
	struct host *h;
	if (s->host || !stranger || (!lists && !looks_for_name(s)))
		return;
	h = s->host = mem_alloc(sizeof *h);
	h->arena = arena_new(HOST_ARENA_MAX);
	h->dns = dns_link_source(&s->smtpd->resolver);
	bool has_address = endpoint_parse_ip(str_of(s->peer), 0, &h->client, NULL);
	h->is_listed_somewhere = lists && has_address;
	h->has_name = !has_address || !looks_for_name(s);
	if (!h->has_name) {
		CLEANUP(buf_release) struct buf reverse = BUF_WITH_LIMIT(100);
		dns_reverse_name(&reverse, &h->client);
		dns_ask_ahead(&h->dns, h->arena, buf_str(&reverse), DNS_PTR);
	}
	if (h->is_listed_somewhere) {
		ask_list_ahead(h, &config->dnswl);
		ask_list_ahead(h, &config->dnsbl);
	}
}

void host_free(struct host *h)
{
	if (!h)
		return;
	arena_free(h->arena);
	free(h);
}

/* ---- iprev ---- */

static bool resolves_to_client(struct host *h, struct str name, bool *failed)
{
	struct dns_answer answer;
	enum dns_type type = h->client.any.sa_family == AF_INET ? DNS_A : DNS_AAAA;
	dns_ask(&h->dns, h->arena, name, type, &answer);
	*failed |= answer.status == DNS_FAILED;
	for (size_t i = 0; i < answer.count && i < ANSWERS_MAX; i++) {
		struct endpoint address;
		if (dns_read_address(answer.records[i], type, &address) && endpoint_equal(&address, &h->client))
			return true;
	}
	return false;
}

/* RFC 8601 §3 */
static void look_for_name(struct host *h)
{
	CLEANUP(buf_release) struct buf reverse = BUF_WITH_LIMIT(100);
	struct dns_answer answer;
	bool failed = false;
	dns_reverse_name(&reverse, &h->client);
	dns_ask(&h->dns, h->arena, buf_str(&reverse), DNS_PTR, &answer);
	h->iprev = answer.status == DNS_FOUND                                  ? IPREV_FAIL
	           : answer.status == DNS_FAILED || answer.status == DNS_BOGUS ? IPREV_TEMPERROR
	                                                                       : IPREV_PERMERROR;
	for (size_t i = 0; i < answer.count && i < NAMES_MAX; i++) {
		struct str name;
		if (!dns_read_name(h->arena, answer.records[i], &name) || !resolves_to_client(h, name, &failed))
			continue;
		h->iprev = IPREV_PASS;
		h->name = name;
		return;
	}
	if (failed && h->iprev == IPREV_FAIL)
		h->iprev = IPREV_TEMPERROR;
}

enum iprev_result host_name(struct session *s, struct str *name)
{
	struct host *h = s->host;
	*name = (struct str){};
	if (!h)
		return IPREV_NONE;
	if (!h->has_name)
		look_for_name(h);
	h->has_name = true;
	*name = h->name;
	return h->iprev;
}

const char *iprev_result_name(enum iprev_result result)
{
	static const char *const names[IPREV_RESULT_COUNT] = { "none", "pass", "fail", "temperror", "permerror" };
	return names[result];
}

/* ---- lists ---- */

static bool is_in_list(struct host *h, const struct config_dns_list *list, struct host_listing *listing)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(400);
	struct dns_answer answer;
	list_name(&name, h, list);
	dns_ask(&h->dns, h->arena, buf_str(&name), DNS_A, &answer);
	for (size_t i = 0; i < answer.count && i < ANSWERS_MAX; i++) {
		struct endpoint address;
		uint32_t number;
		if (!dns_read_address(answer.records[i], DNS_A, &address))
			continue;
		number = ntohl(address.v4.sin_addr.s_addr);
		if (number < list->first || number > list->last)
			continue;
		listing->zone = list->zone;
		snprintf(listing->answer, sizeof listing->answer, "%u.%u.%u.%u", number >> 24, number >> 16 & 255,
		         number >> 8 & 255, number & 255);
		return true;
	}
	return false;
}

/* Which entries of a setting count. */
enum weighing { EVERY_LIST, WITHOUT_WEIGHT, WITH_WEIGHT };

static bool counts(const struct config_dns_list *list, enum weighing which)
{
	return which == EVERY_LIST || (list->weight > 0) == (which == WITH_WEIGHT);
}

/* The weights of those that have the host, until they are enough. listing: the last of them. */
static unsigned add_up(struct session *s, const struct config_dns_lists *lists, enum weighing which, unsigned enough,
                       struct host_listing *listing)
{
	unsigned points = 0;
	dns_link_set_patience(&s->smtpd->resolver, LIST_PATIENCE_MS);
	for (size_t i = 0; i < lists->count && points < enough; i++) {
		const struct config_dns_list *list = &lists->items[i];
		if (counts(list, which) && is_in_list(s->host, list, listing))
			points += list->weight ? list->weight : 1;
	}
	dns_link_set_patience(&s->smtpd->resolver, 0);
	return points;
}

/* What good lists of a weight take off counts against the bad ones. */
static void look_for_black(struct session *s, struct host_listing *black)
{
	const struct config *config = session_config(s);
	struct host_listing ignored;
	unsigned enough = config->dnsbl_threshold;
	if (config->dnsbl.count)
		enough += add_up(s, &config->dnswl, WITH_WEIGHT, UINT_MAX, &ignored);
	if (add_up(s, &config->dnsbl, EVERY_LIST, enough, black) < enough)
		*black = (struct host_listing){};
}

static const struct host_listing nowhere;

const struct host_listing *host_white(struct session *s)
{
	struct host *h = s->host;
	if (!h || !h->is_listed_somewhere)
		return &nowhere;
	if (!h->has_white)
		add_up(s, &session_config(s)->dnswl, WITHOUT_WEIGHT, 1, &h->white);
	h->has_white = true;
	return &h->white;
}

/* Good hosts are in no bad list. */
const struct host_listing *host_black(struct session *s)
{
	struct host *h = s->host;
	if (!h || !h->is_listed_somewhere || host_white(s)->zone)
		return &nowhere;
	if (!h->has_black)
		look_for_black(s, &h->black);
	h->has_black = true;
	return &h->black;
}

/* ---- what follows ---- */

static bool is_postmaster(struct str recipient)
{
	return str_equal_nocase(str_first(recipient, str_find_char(recipient, '@')), STR("postmaster"));
}

const struct smtp_reply *host_refusal(struct session *s, struct str recipient)
{
	if (!s->host || session_config(s)->dnsbl_action != CONFIG_DNSBL_REJECT || is_postmaster(recipient) ||
	    !host_black(s)->zone)
		return NULL;
	struct str text = arena_printf(s->txn->arena, "No mail is taken from [%s], which is listed at %s", s->peer,
	                               host_black(s)->zone);
	s->host->refusal = (struct smtp_reply){ 550, "5.7.1", text.data };
	return &s->host->refusal;
}

bool host_is_known(struct session *s)
{
	return s->flags & SESSION_EXEMPT || (session_config(s)->greylisting && host_white(s)->zone);
}
