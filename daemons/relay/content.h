/*
 * The content of a job's mail, for the dialogue with one host after another: read in pieces as it lies, or, where a
 * host does not take that, converted to 7 bits once and for all hosts that need it (RFC 6152 §3, RFC 3030 §3).
 *
 * A signed mail is never converted, nor one that cannot be: it goes as it is, and the dialogue refuses it with 5.6.3.
 * What came as binary never leaves so, since relay writes lines only. Embedded in its attempt; what is converted lies
 * in memory, for all jobs together at most CONTENT_CONVERTED_MAX octets before one more is begun.
 */
#ifndef POSTHORN_RELAY_CONTENT_H
#define POSTHORN_RELAY_CONTENT_H

#include "buf.h"
#include "smtp_sender.h"

struct job;

enum { CONTENT_CONVERTED_MAX = 128 << 20 };

struct content {
	struct job *job;
	char *piece;             /* in the job's arena */
	bool looked, is_binary;  /* has NUL, or CR or LF that are no line ends */
	bool parsed, has_utf8_header;
	bool tried;              /* to convert it */
	struct buf converted;    /* empty: it was not */
};

void content_init(struct content *c, struct job *job);
void content_release(struct content *c);

/* Fills in size, content and what is told of it, as this host is to have it. False when there is no room to convert
 * it now. */
bool content_fit(struct content *c, const struct smtp_ehlo *offers, struct smtp_sender_mail *mail);

#endif
