/*
 * struct imap_incoming: the octets of a message that a client brings, while it brings them.
 *
 * A small one gathers in memory, a large one in a nameless file of the account's directory. Small ones that wait for
 * the rest of their command take no more memory than the command has for them; those beyond it wait in one such file.
 * So a session's memory is bounded whatever a command holds, and a client that vanishes leaves nothing.
 */
#ifndef POSTHORN_MAILBOX_IMAP_INCOMING_H
#define POSTHORN_MAILBOX_IMAP_INCOMING_H

#include "imap.h"

struct imap_incoming {
	struct buf text; /* while it is small */
	int file;        /* else; -1: none */
	uint64_t size;
	bool waits;      /* in its command's file of them, at this offset */
	uint64_t offset;
};

/* Where the small messages of one command wait. */
struct imap_waiting {
	size_t memory; /* octets that may still do so in it */
	int file;      /* for the rest; -1: none yet */
	uint64_t end;
};

void imap_incoming_init(struct imap_incoming *in, uint64_t size_max);
void imap_incoming_release(struct imap_incoming *in);

void imap_waiting_init(struct imap_waiting *waiting, size_t memory);
void imap_waiting_release(struct imap_waiting *waiting);

/* FAIL_TOO_BIG, FAIL_IO, FAIL_NO_SPACE. */
bool imap_incoming_add(struct imap_session *s, struct imap_incoming *in, struct str octets, struct fail **fail);

/* Makes room for so many octets more; whatever can be refused is refused here. */
bool imap_incoming_prepare(struct imap_session *s, struct imap_incoming *in, uint64_t more, struct fail **fail);

/* The literal that the client sends next, for which room was made. False with *fail NULL: the client is gone. *taken
 * says whether the octets came, though they could not be kept. */
bool imap_incoming_literal(struct imap_session *s, struct imap_incoming *in, uint64_t size, bool *taken,
                           struct fail **fail);

/* Of a message that is whole: nobody looks at in->text until it is loaded again. */
bool imap_incoming_wait(struct imap_session *s, struct imap_incoming *in, struct imap_waiting *waiting,
                        struct fail **fail);

/* All octets in in->text. */
bool imap_incoming_load(struct imap_incoming *in, const struct imap_waiting *waiting, struct fail **fail);

/* The file gets what in->text has now, which is then let go; nothing happens without a file. */
bool imap_incoming_unload(struct imap_incoming *in, bool changed, struct fail **fail);

#endif
