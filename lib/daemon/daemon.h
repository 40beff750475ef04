/*
 * The life of every program but master, in one order: inherited descriptors, configuration, what
 * libraries open lazily, privileges, sandbox, then HELLO to master and serving. A program describes itself as data
 * (struct daemon_spec); its main stays on one screen. The process ends when master's channel closes.
 */
#ifndef POSTHORN_DAEMON_DAEMON_H
#define POSTHORN_DAEMON_DAEMON_H

#include "config.h"
#include "ipc.h"
#include "log.h"

struct daemon_spec {
	const char *program; /* in log lines */
	enum ipc_role role;  /* names its user, its folder (made and given to the user if missing) and its sandbox: role.h */
	/* Loads what cannot be loaded inside the sandbox; may be NULL. */
	void (*preload)(const struct config *config);
	/* What it takes from master, besides PING, which is answered here. */
	const struct ipc_permit *permits;
	size_t permit_count;
};

struct daemon {
	const struct daemon_spec *spec;
	struct config config;
	struct loop *loop;
	struct ipc_peer master;
	char *folder; /* absolute, or NULL */
	void *owner;  /* for the program */
};

/* All up to the sandbox and HELLO; ends the process with a logged error when anything fails. */
void daemon_begin(struct daemon *d, const struct daemon_spec *spec, void *owner);

/* Says READY. */
void daemon_ready(struct daemon *d);

/* The same for a process whose control socket is not descriptor 3 (one forked by the zygote): enters the sandbox for
 * folder only and says HELLO. */
void daemon_become(struct daemon *d, int control, const char *folder);

/* Replaces the configuration by the one in frame (RECONFIGURE); keeps the old one and says so when it cannot be
 * read. */
bool daemon_reconfigure(struct daemon *d, struct ipc_frame *frame);

/* To be called where a peer was ended for what it sent: tells master, which ends the process behind it and starts a
 * fresh one. peer is its number in WIRE, 0 for auth and queue. Only auth, queue and resolver may. */
void daemon_report(struct daemon *d, enum ipc_role role, uint64_t peer);

/* Logs and ends the process; status 1. */
__attribute__((noreturn)) void daemon_die(const char *event, const struct fail *fail);

/* Of the daemon that a message from master is for. */
struct daemon *daemon_of(struct ipc_peer *peer);

#endif
