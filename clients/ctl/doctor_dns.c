#include "clock.h"
#include "dns_unbound.h"
#include "doctor_check.h"

#include <poll.h>
#include <unistd.h>

enum { QUESTION_MS = 10000, SILENT_AFTER = 3 };

struct doctor_dns {
	struct doctor *doctor;
	struct ub_ctx *unbound;
	struct dns_source source;
	bool validates;
	bool was_answered;
	unsigned unanswered; /* in a row */
};

/* One question under way. */
struct waiting {
	struct ub_result *result;
	bool is_over;
};

static void take_result(void *context, int status, struct ub_result *result)
{
	struct waiting *waiting = context;
	waiting->is_over = true;
	if (status == 0)
		waiting->result = result;
	else
		ub_resolve_free(result);
}

static void wait_for(struct doctor_dns *dns, struct waiting *waiting, int64_t deadline_ms)
{
	struct pollfd ready = { .fd = ub_fd(dns->unbound), .events = POLLIN };
	while (!waiting->is_over) {
		int64_t left = deadline_ms - clock_monotonic_ms();
		if (left <= 0)
			return;
		if (poll(&ready, 1, (int)left) > 0)
			ub_process(dns->unbound);
	}
}

static void note_silence(struct doctor_dns *dns, bool answered)
{
	dns->was_answered |= answered;
	dns->unanswered = answered ? 0 : dns->unanswered + 1;
}

/* The result lives as long as the context does: an answer's records are copied. */
static void copy_records(struct arena *a, struct dns_answer *answer)
{
	answer->canonical = arena_copy(a, answer->canonical);
	for (size_t i = 0; i < answer->count; i++)
		answer->records[i] = arena_copy(a, answer->records[i]);
}

static void ask_unbound(void *context, struct arena *a, struct str name, enum dns_type type, struct dns_answer *answer)
{
	struct doctor_dns *dns = context;
	struct waiting waiting = {};
	int number = 0;
	*answer = (struct dns_answer){ .status = DNS_FAILED };
	int64_t now = clock_monotonic_ms(), deadline = now + QUESTION_MS;
	if (doctor_dns_is_silent(dns) || now >= dns->doctor->deadline_ms)
		return;
	struct str text = arena_copy(a, name);
	if (ub_resolve_async(dns->unbound, text.data, (int)type, 1, &waiting, take_result, &number) != 0)
		return;
	wait_for(dns, &waiting, deadline < dns->doctor->deadline_ms ? deadline : dns->doctor->deadline_ms);
	if (!waiting.is_over)
		ub_cancel(dns->unbound, number);
	dns_unbound_answer(a, waiting.result, answer);
	note_silence(dns, answer->status != DNS_FAILED);
	copy_records(a, answer);
	ub_resolve_free(waiting.result);
}

struct doctor_dns *doctor_dns_begin(struct doctor *d, struct fail **fail)
{
	struct endpoint given;
	struct dns_unbound_options options = { .forward = d->config.dns_forward.items,
		.forward_count = d->config.dns_forward.count };
	const char *anchor = d->config.dns_trust_anchor;
	if (anchor[0] && access(anchor, R_OK) == 0)
		options.trust_anchor = anchor;
	if (d->call->dns) {
		if (!endpoint_parse(str_of(d->call->dns), &given, fail) || !endpoint_is_ip(&given))
			return fail_set(fail, FAIL_INVALID, "--dns %s: an address with a port, as 127.0.0.1:53", d->call->dns),
			       NULL;
		options = (struct dns_unbound_options){ .forward = &given, .forward_count = 1 };
	}
	struct ub_ctx *unbound = dns_unbound_new(&options, fail);
	if (!unbound)
		return NULL;
	struct doctor_dns *dns = mem_alloc(sizeof *dns);
	*dns = (struct doctor_dns){ .doctor = d, .unbound = unbound, .validates = options.trust_anchor };
	dns->source = (struct dns_source){ .ask = ask_unbound, .context = dns };
	return dns;
}

void doctor_dns_end(struct doctor_dns *dns)
{
	if (dns)
		ub_ctx_delete(dns->unbound);
	free(dns);
}

const struct dns_source *doctor_dns_source(const struct doctor_dns *dns)
{
	return &dns->source;
}

bool doctor_dns_is_silent(const struct doctor_dns *dns)
{
	return !dns->was_answered && dns->unanswered >= SILENT_AFTER;
}

bool doctor_dns_validates(const struct doctor_dns *dns)
{
	return dns->validates;
}

bool doctor_ask(struct doctor *d, struct str name, enum dns_type type, struct dns_answer *answer)
{
	dns_ask(&d->dns->source, d->arena, name, type, answer);
	if (answer->status == DNS_BOGUS)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "the %s records of %.*s are refused by DNSSEC", dns_type_name(type),
				STR_ARG(name)),
			.advice = STR("The zone's signatures have expired or do not fit its DS record; who validates gets no answer at all") });
	else if (answer->status == DNS_FAILED)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "no answer to the question for the %s records of %.*s", dns_type_name(type),
				STR_ARG(name)),
			.advice = STR("See whether the zone's name servers are up and delegated to") });
	return answer->status != DNS_BOGUS && answer->status != DNS_FAILED;
}

bool doctor_ask_text(struct doctor *d, struct str name, bool (*is_wanted)(struct str text), size_t *count,
                     struct str *text)
{
	struct dns_answer answer;
	*count = 0;
	*text = STR("");
	if (!doctor_ask(d, name, DNS_TXT, &answer))
		return false;
	for (size_t i = 0; i < answer.count; i++) {
		struct str one;
		if (dns_read_txt(d->arena, answer.records[i], &one) && (!is_wanted || is_wanted(one)) && ++*count == 1)
			*text = one;
	}
	return true;
}

struct str doctor_stray_text(struct doctor *d, struct str name)
{
	size_t count;
	struct str text;
	return doctor_ask_text(d, name, NULL, &count, &text) ? text : STR("");
}

void doctor_ask_addresses(struct doctor *d, struct str name, struct doctor_addresses *addresses)
{
	static const enum dns_type types[] = { DNS_A, DNS_AAAA };
	addresses->answered = true;
	for (size_t t = 0; t < COUNT_OF(types) && addresses->answered; t++) {
		struct dns_answer answer;
		addresses->answered = doctor_ask(d, name, types[t], &answer);
		addresses->is_alias |= answer.canonical.length > 0;
		for (size_t i = 0; i < answer.count; i++) {
			struct endpoint address;
			if (dns_read_address(answer.records[i], types[t], &address))
				*array_add(&addresses->list) = address;
		}
	}
}

void doctor_addresses_release(struct doctor_addresses *addresses)
{
	array_release(&addresses->list);
}

bool doctor_is_among(const struct endpoint *list, size_t count, const struct endpoint *address)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_equal(&list[i], address))
			return true;
	return false;
}
