/* Which programs talk to each other, and the sockets for it. */
#include "master.h"

#include "log.h"

#include <unistd.h>

enum { OF_ANY_KIND = 1 << KIND_WORLD | 1 << KIND_USERS };

/* Which two roles talk to each other; of the first only these kinds. */
static const struct {
	enum ipc_role roles[2];
	unsigned kinds;
} wired[] = {
	{ { ROLE_PORTER, ROLE_AUTH }, OF_ANY_KIND },
	{ { ROLE_QUEUE, ROLE_AUTH }, OF_ANY_KIND },
	{ { ROLE_SMTPD, ROLE_QUEUE }, OF_ANY_KIND },
	{ { ROLE_SMTPD, ROLE_RESOLVER }, 1 << KIND_WORLD },
	{ { ROLE_MAILBOX, ROLE_QUEUE }, OF_ANY_KIND },
	{ { ROLE_QUEUE, ROLE_RESOLVER }, OF_ANY_KIND },
	{ { ROLE_RELAY, ROLE_QUEUE }, OF_ANY_KIND },
	{ { ROLE_RELAY, ROLE_RESOLVER }, OF_ANY_KIND },
};

bool wire_joins(const struct process *a, const struct process *b)
{
	for (size_t i = 0; i < COUNT_OF(wired); i++)
		for (size_t k = 0; k < 2; k++) {
			const struct process *first = k ? b : a;
			const struct process *second = k ? a : b;
			if (first->peer.role == wired[i].roles[0] && second->peer.role == wired[i].roles[1])
				return wired[i].kinds >> first->peer.kind & 1;
		}
	return false;
}

static void wire_two(struct process *a, struct process *b)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	int pair[2];
	if (!ipc_pair(pair, &fail)) {
		log_event(LOG_ERROR, 0, "wire-failed", LOG_TEXT("why", str_of(fail_text(fail))));
		return;
	}
	struct msg_wire to_a = { .role = (uint32_t)b->peer.role, .kind = b->peer.kind, .peer = b->peer.id };
	struct msg_wire to_b = { .role = (uint32_t)a->peer.role, .kind = a->peer.kind, .peer = a->peer.id };
	/* An account's number is what queue knows a mailbox by. */
	if (a->peer.role == ROLE_MAILBOX)
		to_b.peer = a->account;
	if (b->peer.role == ROLE_MAILBOX)
		to_a.peer = b->account;
	msg_wire_send(&a->peer.channel, 0, &to_a, pair[0]);
	msg_wire_send(&b->peer.channel, 0, &to_b, pair[1]);
}

/* One that drains is not asked for new work. But porter, smtpd and relay go on with what they have, for which they
 * ask others, and those may have to be replaced meanwhile. */
static bool may_be_wired(const struct process *p)
{
	enum ipc_role role = p->peer.role;
	return p->has_said_hello &&
	       (p->state != PROCESS_DRAINING || role == ROLE_PORTER || role == ROLE_SMTPD || role == ROLE_RELAY);
}

void wire_to_all(struct process *p)
{
	for (enum ipc_role role = 0; role < ROLE_COUNT; role++)
		for (struct process *other = p->master->processes[role]; other; other = other->next)
			if (wire_joins(p, other) && may_be_wired(other))
				wire_two(p, other);
}

/* The pool's socket: porters of the kind write, its smtpds read. */
void wire_to_pool(struct process *p)
{
	struct master *m = p->master;
	struct msg_wire wire = { .kind = p->peer.kind };
	if (p->peer.role == ROLE_PORTER) {
		wire.role = ROLE_SMTPD;
		wire.peer = p->peer.id; /* its own number, which sessions carry so that they find back */
		msg_wire_send(&p->peer.channel, 0, &wire, dup(m->pool_write[p->peer.kind]));
		msg_pool_send(&p->peer.channel, 0, &(struct msg_pool){ .full = m->pool_full[p->peer.kind] }, -1);
	}
	if (p->peer.role == ROLE_SMTPD) {
		wire.role = ROLE_PORTER;
		msg_wire_send(&p->peer.channel, 0, &wire, dup(m->pool_read[p->peer.kind]));
	}
}
