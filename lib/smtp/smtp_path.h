/*
 * Paths of MAIL and RCPT, mailboxes, domains and address literals (RFC 5321 §4.1.2, §4.1.3; UTF-8 by RFC 6531 §3.3).
 *
 * Strict grammar; what comes out is canonical, so that equal mailboxes are equal octets but for the local part, which
 * keeps its case: quotes only where needed, source routes dropped (§4.1.1.3), domains in lower case and as A-labels,
 * literals as inet_ntop writes them. Results live in the caller's arena. Lengths: LIMIT_LOCAL_PART_MAX as written by
 * the client, LIMIT_DOMAIN_MAX, 63 octets for a label.
 */
#ifndef POSTHORN_SMTP_PATH_H
#define POSTHORN_SMTP_PATH_H

#include "arena.h"
#include "limits.h"
#include "smtp_reply.h"

enum smtp_path_flags {
	SMTP_PATH_REVERSE = 1 << 0, /* MAIL: <> is allowed; else RCPT: <postmaster> without domain is */
	SMTP_PATH_UTF8 = 1 << 1,    /* UTF-8 in local part and domain */
	SMTP_PATH_SLOPPY = 1 << 2,  /* for submission: spaces before the path, no <>, a dot behind the domain, "_" in it */
};

struct smtp_path {
	struct str local;   /* unquoted content */
	struct str domain;  /* canonical; empty for <> and <postmaster> */
	struct str mailbox; /* local@domain, canonical, quoted where needed; empty for <>, "postmaster" for that */
	bool is_utf8;       /* the client wrote something outside ASCII: the transaction needs SMTPUTF8 */
	bool is_literal;    /* the domain is an address in brackets */
};

/* Reads the path at the front of *rest, which then begins behind it: at the end or at the space before parameters.
 * NULL for success; else 501 5.1.7 (MAIL) or 501 5.1.3 (RCPT), or 553 5.6.7 for UTF-8 where it is not allowed. */
const struct smtp_reply *smtp_path_parse(struct arena *a, struct str *rest, unsigned flags, struct smtp_path *path);

/* That 553 5.6.7. */
const struct smtp_reply *smtp_path_needs_utf8(void);

/* A whole text that is one mailbox, local@domain without <>. */
bool smtp_mailbox_parse(struct arena *a, struct str text, unsigned flags, struct smtp_path *path);

/* A domain name; canonical is in lower case and has A-labels. Of the flags UTF8 and SLOPPY count. */
bool smtp_domain_parse(struct str text, unsigned flags, char canonical[LIMIT_DOMAIN_MAX + 1]);

/* "[1.2.3.4]" or "[IPv6:2001:db8::1]". */
bool smtp_literal_parse(struct str text, char canonical[LIMIT_DOMAIN_MAX + 1]);

/* The local part as it is written: with quotes where the grammar asks for them. */
void smtp_local_part_write(struct buf *out, struct str local);

#endif
