/*
 * A message with headers that are not ASCII, made readable for a client that knows only ASCII there: the surrogate
 * of RFC 6856 §2.1 and RFC 6855, made as RFC 6857 and 6858 say.
 *
 * Only fields with other bytes change: an address that is not ASCII becomes one under .invalid with the true one
 * in its name, names and unstructured text become encoded words, parameters take the form of RFC 2231, ids
 * are kept in a Downgraded- field; a Received field, a Date and what else has no such form is left out. Bodies stay
 * octet for octet. What is produced is ASCII in all headers.
 */
#ifndef POSTHORN_MAIL_DOWNGRADE_H
#define POSTHORN_MAIL_DOWNGRADE_H

#include "mime.h"

/* One header block; part says whose (its kind decides about message/global). */
void downgrade_header(struct buf *out, struct str header, const struct mime_part *part);

/* The whole message: needed when MESSAGE_HAS_8BIT_HEADER is set (message.h). */
void downgrade_message(struct buf *out, struct str text, const struct mime_part *root);

#endif
