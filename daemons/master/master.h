/*
 * master: binds, spawns, watches, passes descriptors. It runs as root, so it reads no byte from
 * the network and decodes nothing but fixed-size messages; a SESSION is passed on unread.
 *
 * Invariants
 *  1. At most one mailbox process per account is alive; a new one is forked only after the old one's
 *     control channel closed (and the account's lock is the second fence).
 *  2. A SESSION for an account is passed on only after auth, not porter, named the account for that
 *     very connection of that very porter.
 *  3. Every process but master has a control channel; a process whose channel ended is killed and reaped.
 */
#ifndef POSTHORN_MASTER_MASTER_H
#define POSTHORN_MASTER_MASTER_H

#include "array.h"
#include "config.h"
#include "hash.h"
#include "ipc.h"
#include "services.h"

#include <sys/types.h>

enum process_state { PROCESS_STARTING, PROCESS_READY, PROCESS_DRAINING };

struct mailbox;

struct process {
	struct master *master;
	struct process *next, **link; /* of its role */
	struct ipc_peer peer; /* peer.id names it in WIRE, peer.kind is its pool */
	pid_t pid;                /* 0: not known yet, or reaped */
	enum process_state state; /* process_set_state */
	bool has_said_hello;
	bool busy;               /* smtpd: serves this session: */
	uint64_t session_porter;
	uint64_t session_connection;
	uint64_t account;        /* mailbox */
	struct map *sessions;    /* mailbox: the porter's sessions that it has */
	bool answered_ping;      /* mailbox */
	unsigned pings_missed;   /* in a row */
	uint64_t ticks;          /* of processor time, when it missed the last one */
	unsigned joining;        /* porter: its connections in master.joining */
	int64_t started_ms;
};

/* Processes of a role and kind that do not drain. */
struct tally {
	unsigned all;
	unsigned idle;
};

struct listener {
	enum service service;
	char *text; /* as configured, to find it again at a reload */
	int descriptor;
};

/* A SESSION and who it belongs to, until both are known; see session.c. */
struct joining;

/* Sealed memory with PEM text. */
struct certificate {
	int chain, key;
};

struct certificates {
	struct certificate *items;
	size_t count, capacity;
};

struct master {
	struct loop *loop;
	struct config config;
	struct certificates certificates; /* of the configuration, as they were when it was read */
	int config_memory; /* the configuration as every child gets it */
	char *config_path;
	char **overrides; /* --set */
	size_t override_count;
	char *program_folder;
	struct process *processes[ROLE_COUNT];
	struct tally tallies[ROLE_COUNT][KIND_COUNT];
	struct map *by_id;  /* peer.id → struct process */
	struct map *by_pid; /* pid → struct process */
	ARRAY(struct listener) listeners;
	int pool_write[KIND_COUNT];
	int pool_read[KIND_COUNT];
	bool pool_full[KIND_COUNT];
	unsigned pool_least_idle[KIND_COUNT]; /* smtpds, since the pool timer last fired */
	struct map *mailboxes; /* account → struct mailbox */
	struct map *joining;   /* porter and connection → struct joining */
	struct timer restart_timer;
	struct timer heartbeat_timer;
	struct timer stop_timer;
	struct timer ballast_timer;
	struct timer pool_timer;
	struct back_off {
		unsigned crashes; /* in a row, each soon after its start */
		int64_t until_ms; /* no new one before */
	} back_off[ROLE_COUNT][KIND_COUNT];
	bool stopping;
	struct watch signals;
	int signal_descriptor;
	struct watch control_watch;
	int control_listener;
	int auth_control_listener, queue_control_listener, password_listener;
};

/* ---- proc.c: what the kernel says of a process ------------------------------------------------- */

bool proc_is_child_of(pid_t pid, pid_t parent);

/* Has it used more processor time than *ticks, or does one of its threads wait for the disk? *ticks is then what it
 * has used. A process that is stopped does not. */
bool proc_moves(pid_t pid, uint64_t *ticks);

/* ---- ballast.c: room to remove mail on a full disk ---------------------------------------------- */

/* Looks after it from now on; owner is the master. */
void ballast_keep(void *owner);

/* ---- process.c: starting, ending, how many -------------------------------------------------- */

/* Starts what should run and does not: one auth, queue, resolver, relay and zygote, the porters, enough smtpds. */
void process_start_missing(struct master *m);

/* Changes of what is counted in master.tallies. */
void process_set_state(struct process *p, enum process_state state);
void process_set_busy(struct process *p, bool busy);

/* Ends the process: closes its channel, kills it, tells those who must know; frees it. */
void process_end(struct process *p, const char *why);

/* A child ended, as the kernel says, or for ROLE_MAILBOX the zygote; its channel tells the rest. */
void process_reaped(struct master *m, enum ipc_role role, pid_t pid, int status);

/* Asks every process of these roles that was started before now to drain; used by a reload. */
void process_drain_all(struct master *m, enum ipc_role role);

/* By its number, or with 0 the one of its role that does not drain. NULL: there is none. */
struct process *process_find(struct master *m, enum ipc_role role, uint64_t id);

/* A mailbox process forked by the zygote begins here: its control channel is known, its pid comes later. */
struct process *process_adopt_mailbox(struct master *m, uint64_t account, int control);

/* Its number is known. */
void process_set_pid(struct process *p, pid_t pid);

/* Enough smtpds of that kind wait. */
void process_adjust_pool(struct master *m, unsigned kind);

/* The next one of its role and kind waits, if this one has not run long. */
void process_back_off(struct process *p);

/* A child of this zygote crashed: another one forks from now on. */
void process_renew_zygote(struct process *zygote);

/* ---- wire.c: who talks to whom ------------------------------------------------------------------ */

/* Are these two given a channel to each other? */
bool wire_joins(const struct process *a, const struct process *b);

/* Gives a process that has said HELLO its channels to all that are there, and its end of its pool's socket. */
void wire_to_all(struct process *p);
void wire_to_pool(struct process *p);

/* ---- request.c: what the children may ask ----------------------------------------------------- */

const struct ipc_permit *request_permits(enum ipc_role role, size_t *count);

/* ---- mailbox.c: which account runs where -------------------------------------------------------- */

/* Sees to it that the account's process runs; it is wired to queue as soon as it says HELLO. */
void mailbox_want(struct master *m, uint64_t account);

/* Passes the frame (SESSION, or CTL_ACCOUNT with porter NULL) and its descriptor to the account's process, now or
 * when it has started. */
void mailbox_pass_session(struct master *m, uint64_t account, struct process *porter, struct ipc_frame *frame);

/* A zygote is there (again). */
void mailbox_start_waiting(struct master *m);

bool mailbox_idle(struct process *p);
void mailbox_hello(struct process *p);
void mailbox_ended(struct process *p);
void mailbox_drop_sessions(struct master *m, uint64_t account);

/* The session that waits for its mailbox process, or is there. */
void mailbox_drop_session(struct master *m, uint64_t porter, uint64_t connection);
void mailbox_heartbeat(struct master *m);

/* A new auth hears of all sessions that one before it named the account of, after it has heard of their porters. */
void mailbox_tell_sessions(struct process *auth);

/* ---- session.c: joining connections to accounts, and where they then are ---------------------------- */

/* False for a second one of the same connection: porter replays. */
bool session_from_porter(struct process *porter, struct ipc_frame *frame);
void session_account_from_auth(struct master *m, uint64_t porter, uint64_t connection, uint64_t account);
void session_forget_old(struct master *m);

/* The mailbox process has it from now on. */
void session_passed(struct process *mailbox, uint64_t porter, uint64_t connection);
bool session_is_at(const struct process *mailbox, uint64_t porter, uint64_t connection);

/* It went back to its porter, which knows. */
void session_left(struct process *mailbox, uint64_t porter, uint64_t connection);

/* Tells a new auth of those that the mailbox process has. */
void session_tell_all(const struct process *mailbox, struct process *auth);

/* It is over: porter is told, and tells auth. */
void session_closed(struct process *mailbox, uint64_t porter, uint64_t connection);
void session_all_closed(struct process *mailbox);

/* smtpd has done with the one that it served, or ends. */
void session_left_smtpd(struct process *smtpd);

/* Ends it wherever it is. */
void session_drop(struct master *m, uint64_t porter, uint64_t connection);

/* ---- listener.c ------------------------------------------------------------------------------------- */

/* Binds what the configuration lists and is not bound yet; closes what is not listed any more. */
bool listener_open_all(struct master *m, const struct config *config, struct fail **fail);

/* Sends a porter its listening sockets and certificates. */
void listener_send_all(struct process *porter);

/* The control sockets in runtime_directory. */
bool control_open(struct master *m, struct fail **fail);

/* ---- certificate.c ---------------------------------------------------------------------------------- */

/* All that the configuration names, or none and why: a file that cannot be read, is no certificate, has another key. */
bool certificates_load(const struct config *config, struct certificates *fresh, struct fail **fail);
void certificates_release(struct certificates *certificates);
void certificates_send(struct process *porter);

/* ---- control.c: posthornctl ----------------------------------------------------------------------------- */

void control_accept(void *owner, uint32_t events);

/* Reads the configuration again; children that cannot change it while they run are replaced. */
bool master_reload(struct master *m, struct fail **fail);

#endif
