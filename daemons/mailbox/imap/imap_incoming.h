/*
 * struct imap_incoming: the octets of a message that a client brings, while it brings them.
 *
 * Small ones gather in memory, large ones and what comes on top of many small ones in a nameless file of the account's directory, so that a
 * session's memory is bounded whatever a command holds, and a client that vanishes leaves nothing.
 */
#ifndef POSTHORN_MAILBOX_IMAP_INCOMING_H
#define POSTHORN_MAILBOX_IMAP_INCOMING_H

#include "imap.h"

struct imap_incoming {
	struct buf text; /* while it is small */
	int file;        /* else; -1: none */
	uint64_t size;
};

void imap_incoming_init(struct imap_incoming *in, uint64_t size_max);
void imap_incoming_release(struct imap_incoming *in);

/* What a command may still keep in memory, shared by its messages. FAIL_TOO_BIG, FAIL_IO, FAIL_NO_SPACE. */
bool imap_incoming_add(struct imap_session *s, struct imap_incoming *in, struct str octets, size_t *memory, struct fail **fail);

/* Makes room for so many octets more; whatever can be refused is refused here. */
bool imap_incoming_prepare(struct imap_session *s, struct imap_incoming *in, uint64_t more, size_t *memory, struct fail **fail);

/* The literal that the client sends next, for which room was made. False with *fail NULL: the client is gone. *taken says whether
 * the octets came, though they could not be kept. */
bool imap_incoming_literal(struct imap_session *s, struct imap_incoming *in, uint64_t size, size_t *memory, bool *taken, struct fail **fail);

/* All octets in in->text. */
bool imap_incoming_load(struct imap_incoming *in, struct fail **fail);

/* The file gets what in->text has now, which is then let go; nothing happens without a file. */
bool imap_incoming_unload(struct imap_incoming *in, bool changed, struct fail **fail);

#endif
