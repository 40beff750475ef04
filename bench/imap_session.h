/*
 * The client's side of an IMAP session: commands are queued with a tag, sent together, and
 * their answers read with all literals; numbers of what came untagged are kept per command.
 */
#ifndef POSTHORN_BENCH_IMAP_SESSION_H
#define POSTHORN_BENCH_IMAP_SESSION_H

#include "conn.h"

struct imap {
	struct conn c;
	unsigned tag;
	bool literal_plus, multiappend;
	uint64_t exists, fetches, expunges, hits, untagged; /* of the last command; exists stays */
	char status[300];
};

enum imap_result { IMAP_BROKEN, IMAP_OK, IMAP_NO, IMAP_CONTINUE, IMAP_UNTAGGED };

bool imap_login(struct imap *im, long user);

/* Logs in and selects the mailbox, unless it is NULL. */
bool imap_open(struct imap *im, long user, const char *mailbox);
void imap_close(struct imap *im);

void imap_queue(struct imap *im, const char *format, ...) FORMAT(2, 3);
bool imap_send(struct imap *im);

/* Reads one answer with its literals. */
enum imap_result imap_answer(struct imap *im);

/* Reads on to the tagged answer or "+". */
enum imap_result imap_result(struct imap *im);

/* Queues, sends and waits for OK. */
bool imap_command(struct imap *im, const char *format, ...) FORMAT(2, 3);

/* Creates a mailbox that may exist already. */
void imap_create(struct imap *im, const char *mailbox);

/* Prints the line of one timed command. */
void imap_print_timed(struct imap *im, const char *what, uint64_t ops, int pass);

/* Runs a command as a measurement of its own; what: its name in the output, or NULL. */
bool imap_timed(struct imap *im, int pass, const char *what, const char *command);

/* APPEND of messages first .. first + n - 1 in one command. */
bool imap_append(struct imap *im, const char *mailbox, long first, long n, struct buf *message);

#endif
