/*
 * The body of a mail, or of its beginning as TOP gives it (RFC 1939 §7), as plain text for people's eyes.
 *
 * The first text/plain part that is no attachment is decoded; where there is none, the first words of what text there
 * is, HTML without its tags. Nothing is ever loaded from elsewhere. What comes out is harmless: see display_lines.
 */
#ifndef POSTHORN_COMMON_MAIL_BODY_H
#define POSTHORN_COMMON_MAIL_BODY_H

#include "buf.h"

enum { MAIL_BODY_MAX = 1 << 20 }; /* octets of text that are looked at; out should take four times as many */

/* text: header and body, whole or cut off anywhere. */
void mail_body_add(struct buf *out, struct str text);

#endif
