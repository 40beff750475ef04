/*
 * A dns_source whose answers come from the resolver process, for programs that may wait.
 *
 * Several questions may be under way: one that was told of ahead (dns_ask_ahead) is answered while the program does
 * something else. Answers are remembered for their time to live (a minute at most, failures for a second) or until
 * dns_link_forget, at most DNS_LINK_QUESTIONS_MAX of them. When the resolver goes away the answer is DNS_FAILED and
 * the link is lost: master wires a new one. When it sends what is no answer, or none in its time, likewise, but it is
 * still there and no new link comes by itself (failed).
 */
#ifndef POSTHORN_DAEMON_DNS_LINK_H
#define POSTHORN_DAEMON_DNS_LINK_H

#include "dns.h"
#include "ipc.h"

enum { DNS_LINK_QUESTIONS_MAX = 64 };

struct dns_link_question {
	uint64_t request;    /* 0: none */
	enum dns_type type;
	char name[256];
	char *packed;        /* the answer, or NULL while there is none */
	size_t length;
	int64_t until_ms;    /* it is remembered */
};

struct dns_link {
	struct ipc_channel channel;
	bool there;
	bool failed;         /* lost by what the resolver did: its owner sees to another one */
	uint64_t requests;
	int64_t until_ms;    /* clock_monotonic_ms(); 0: as long as the resolver takes */
	size_t next;         /* the place that is used next */
	struct dns_link_question questions[DNS_LINK_QUESTIONS_MAX];
};

/* Takes the descriptor; one that was there is closed. */
void dns_link_wire(struct dns_link *link, int descriptor);

/* From now on answers that have not come after so long are DNS_FAILED; the link stays. 0: as long as the resolver
 * takes. */
void dns_link_set_patience(struct dns_link *link, int patience_ms);

void dns_link_forget(struct dns_link *link);

/* Lives as long as the link. */
struct dns_source dns_link_source(struct dns_link *link);

#endif
