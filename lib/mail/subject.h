/*
 * The base subject by which IMAP sorts and threads: RFC 5256 §2.1, exactly.
 */
#ifndef POSTHORN_MAIL_SUBJECT_H
#define POSTHORN_MAIL_SUBJECT_H

#include "buf.h"

/* Adds the base subject of an unfolded subject, in UTF-8, its case kept, of which LIMIT_SUBJECT_MAX octets
 * are looked at. *is_reply: something said that it answers or forwards (RFC 5256 §2.1, end). */
void subject_base(struct buf *out, struct str subject, bool *is_reply);

#endif
