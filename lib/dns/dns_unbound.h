/*
 * libunbound as Posthorn uses it, for the one program that answers all others (resolver) and for tools that the
 * administrator runs: so both see the same DNS, validated in the same way.
 *
 * The context is the caller's (ub_ctx_delete). It reads files when it is made and never again; questions are worked
 * on in a thread of its own. What it says becomes a dns_answer by dns_unbound_answer.
 */
#ifndef POSTHORN_DNS_DNS_UNBOUND_H
#define POSTHORN_DNS_DNS_UNBOUND_H

#include "dns.h"
#include "fail.h"

#include <unbound.h>

/* Octets of the records of an answer, about: it has to fit into a frame. */
enum { DNS_UNBOUND_ANSWER_MAX = 120000 };

struct dns_unbound_options {
	const struct endpoint *forward; /* that are asked; none: the servers of each domain, from the root down */
	size_t forward_count;
	const char *trust_anchor; /* a file with the root's keys; NULL: nothing is validated, and nothing secure */
};

/* FAIL_INVALID when libunbound refuses an option or the file. */
struct ub_ctx *dns_unbound_new(const struct dns_unbound_options *options, struct fail **fail);

/* result NULL: it failed. The records are views of the result. */
void dns_unbound_answer(struct arena *a, const struct ub_result *result, struct dns_answer *answer);

#endif
