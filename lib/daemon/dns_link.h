/*
 * A dns_source whose answers come from the resolver process, for programs that may wait: one question, one answer.
 *
 * When the resolver goes away, or does not answer in time, the answer is DNS_FAILED and the link is lost: master wires a new one.
 */
#ifndef POSTHORN_DAEMON_DNS_LINK_H
#define POSTHORN_DAEMON_DNS_LINK_H

#include "dns.h"
#include "ipc.h"

struct dns_link {
	struct ipc_channel channel;
	bool there;
	uint64_t requests;
};

/* Takes the descriptor; one that was there is closed. */
void dns_link_wire(struct dns_link *link, int descriptor);
void dns_link_lose(struct dns_link *link);

/* Lives as long as the link. */
struct dns_source dns_link_source(struct dns_link *link);

#endif
