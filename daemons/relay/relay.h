/*
 * relay: the SMTP client to the world. queue gives it jobs (one mail, recipients of one destination) and hears what became of each
 * recipient; it has sockets to other hosts, the channels to queue and resolver, and nothing else: no file, no key, no account.
 *
 * Invariants
 *  1. Every recipient of a job gets exactly one result that a queue notes; then one RELAY_DONE follows. A job lives until RELAY_NOTED:
 *     when queue's channel ends it goes on, and the next queue is told of it (RELAY_HELD) and gets all its results again.
 *  2. A result that says delivered was read from a server as the positive answer to the content. Where that answer was lost nothing
 *     but "deferred" is said.
 *  3. A job holds at most one connection, and ends within JOB_SECONDS_MAX and a second per OCTETS_PER_SECOND_MIN (attempt.c); what
 *     a server sends is bounded by the dialogue's limits.
 *
 *	job: routing (route.h, ask.h) → for each address of each host in order (attempt.c): waiting (host.h) → a connection
 *	(connection.h) → results → done
 */
#ifndef POSTHORN_RELAY_RELAY_H
#define POSTHORN_RELAY_RELAY_H

#include "arena.h"
#include "array.h"
#include "ask.h"
#include "daemon.h"
#include "hash.h"
#include "own.h"
#include "services.h"

struct attempt;
struct connection;
struct relay;
struct job;
struct sasl;
struct tls_client;

/* The channel to queue; during a change of queue there may be two for a moment, of which the newest counts. */
struct queue_link {
	struct relay *relay;
	struct ipc_peer peer;
};

/* What is kept of a result until it is noted; as msg_relay_result. */
struct result {
	enum relay_outcome outcome;
	struct buf places;
	unsigned code;
	struct str status, reply, host, address, tls; /* in the job's arena */
};

struct recipient {
	struct relay_recipient as_given; /* in the job's arena */
	bool has_result;
};

struct job {
	struct relay *relay;
	struct job *previous, *next;
	struct arena *arena;
	uint64_t number;    /* on the link that it belongs to now */
	struct msg_relay_job ask; /* texts in the arena */
	int content;        /* -1 when the message is in memory, or not needed any more */
	char *text;         /* the message, or NULL */
	struct attempt *attempt; /* in the arena; NULL when it is done */
	struct recipient *recipients;
	size_t count, open; /* open: without a result */
	ARRAY(struct result) results;
	size_t told;        /* results that queue was sent */
	struct timer timer; /* runs while some are not */
	bool done;
	enum relay_reach reach;
};

struct relay {
	struct daemon daemon;
	struct asker asker;
	struct queue_link *queue; /* or NULL */
	struct job *jobs;
	size_t job_count;
	struct map *by_number;
	uint64_t held_numbers;    /* given so far to jobs of earlier queues */
	struct map *hosts;        /* struct host by address */
	struct connection *newest_resting, *oldest_resting;
	size_t connection_count;
	struct map *socket_requests; /* connections that wait for a Unix socket of master's, by number, */
	uint64_t last_socket_request;
	struct attempt *first_waiting, *last_waiting; /* for a connection */
	struct timer wake;        /* those that wait look again */
	struct own *own;
	struct tls_client *tls;
	size_t https_count;       /* requests under way */
	uint64_t converted_octets; /* of mail, content.h */
	struct map *sts;          /* struct sts_entry by domain */
	size_t sts_count;         /* policies remembered */
	char *password;           /* of smarthost_user, or NULL: nobody logs in, and there is no */
	struct sasl *sasl;
	bool draining;
};

/* ---- queue_link.c ---- */

/* Takes the descriptor; tells the queue at the other end of all jobs that are held. */
void queue_link_wire(struct relay *r, int descriptor);

/* Nothing when there is no queue now: the next one gets it. is_last: the job is done, and no queue_link_done
 * follows. */
void queue_link_result(struct relay *r, const struct job *job, const struct result *result, bool is_last);
void queue_link_done(struct relay *r, const struct job *job);

/* relay takes no more jobs. */
void queue_link_say_no_more(struct relay *r);

/* ---- job.c ---- */

/* False when the message makes no sense; takes the descriptor, if there is one, in any case. */
bool job_begin(struct relay *r, uint64_t number, const struct msg_relay_job *ask, int content);
struct job *job_find(struct relay *r, uint64_t number);
void job_renumber(struct job *job, uint64_t number);

/* All its results, and whether it is done, to a queue that has heard nothing of them. */
void job_tell(struct job *job);

/* A result for these recipients, of which none has one yet; the texts are copied. Queue hears it when this round
 * ends, or the job. */
struct job_result {
	enum relay_outcome outcome;
	unsigned code;
	struct str status, reply, host, address, tls;
};
void job_settle(struct job *job, const size_t *which, size_t count, const struct job_result *result);

/* For all that have none yet. */
void job_settle_rest(struct job *job, const struct job_result *result);

/* Every recipient has its result. */
void job_end(struct job *job, enum relay_reach reach);

/* Its results are noted. */
void job_free(struct job *job);

/* ---- attempt.c ---- */

/* Works on the job until it ends by job_end. */
void attempt_begin(struct job *job);

/* A connection ended or rests: those that wait for one look again, at the end of this round. */
void attempt_wake_waiting(struct relay *r);

/* ---- post.c ---- */

/* Takes the descriptor of the content; answers by HTTPS_POSTED. */
void relay_post(struct relay *r, uint64_t request, const struct msg_https_post *message, int descriptor);

/* ---- relay.c ---- */

/* As many as connections: queue keeps destinations that it knows nothing good of to a part of the jobs, so the others
 * always find a connection. */
size_t relay_jobs_max(const struct relay *r);

/* Milliseconds of a time to wait for others, as relay_timeout_percent has it; at least 1. */
int64_t relay_scale_ms(const struct relay *r, int64_t seconds);

/* A random number, for lots. */
uint32_t relay_random(void);

/* After a queue or resolver that sent what it may not, and stays: no other channel to it comes, so master is asked
 * for a fresh relay. This one takes no new job. */
void relay_retire(struct relay *r);

/* Ends the process when it drains and nothing is left. */
void relay_end_if_drained(struct relay *r);

#endif
