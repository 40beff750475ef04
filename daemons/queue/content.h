/*
 * What is looked at once in a message before it becomes durable: who wrote it, and what a way to other hosts must
 * respect.
 *
 * The only place in queue that reads header fields. Pure functions of the octets, for any thread. All that is told
 * lies in the arena that was given. Nothing fails: a header that makes no sense tells nothing. Linear in the message.
 */
#ifndef POSTHORN_QUEUE_CONTENT_H
#define POSTHORN_QUEUE_CONTENT_H

#include "arena.h"
#include "str.h"

struct content_author {
	struct content_author *next;
	struct str address;  /* "local@domain" as From has it, without name, quotes and comments */
};

struct content_facts {
	struct content_author *authors; /* of all From fields, in order */
	struct str author_domain;       /* of the first author: A-labels, lower case; empty without one */
	bool tls_optional;              /* "TLS-Required: No", RFC 8689 §5 */
	bool is_signed;                 /* a change of its content breaks a signature: DKIM, ARC, S/MIME or OpenPGP */
	bool has_8bit;                  /* octets beyond ASCII */
};

/* text: the message from its beginning on, with its header whole. has_8bit is of this text; of a message that comes
 * in pieces look at the first one here and add content_is_8bit of the others. */
void content_look(struct arena *arena, struct str text, struct content_facts *facts);

bool content_is_8bit(struct str piece);

#endif
