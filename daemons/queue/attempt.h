/*
 * What an attempt to deliver led to, and how it is kept: counted references, one per delivery that it stands for. An
 * attempt never changes after attempt_new, so that all recipients of a mail may share one, and is kept small, since
 * each mail that waits has one. Texts belong to the attempt. Nothing here fails: what is too long is cut, as
 * attempt_pack says.
 */
#ifndef POSTHORN_QUEUE_ATTEMPT_H
#define POSTHORN_QUEUE_ATTEMPT_H

#include "buf.h"
#include "services.h"
#include "spoolfile.h"

struct delivery;

struct attempt;

/* Texts are views. */
struct attempt_facts {
	enum relay_outcome outcome;
	unsigned code;      /* of SMTP, 0: none was given */
	struct str status;  /* "5.1.1", RFC 3463 */
	struct str reply;   /* of the other host, or our own words */
	struct str host;    /* who said so; empty: ourselves */
	struct str address;
	struct str tls;     /* as relay tells it; empty: none */
};

/* Copies the facts; one reference is the caller's. NULL is nothing. */
struct attempt *attempt_new(const struct attempt_facts *facts);
struct attempt *attempt_ref(struct attempt *attempt);
void attempt_unref(struct attempt *attempt);
bool attempt_is(const struct attempt *attempt, const struct attempt_facts *facts);

/* Of NULL: none. */
struct attempt_facts attempt_facts(const struct attempt *attempt);

/* For logs of files: at most SPOOLFILE_REPLY_MAX octets, of which the end of the reply is missing where it is too
 * long. */
void attempt_pack(struct buf *out, const struct attempt_facts *facts);

/* What attempt_pack wrote; any other text is a reply. Views. */
struct attempt_facts attempt_unpack(struct str packed, enum relay_outcome outcome);

/* It is the last one of d now, which takes the reference. */
void attempt_note(struct delivery *d, struct attempt *attempt, int64_t when);

/* What was answered, on one line, with the code if there was one. */
void attempt_text(struct buf *out, const struct attempt_facts *facts);

#endif
