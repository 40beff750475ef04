/*
 * The first words of a message for lists (RFC 8970 §3.3): plain text in one line, at most PREVIEW_CHARACTERS of
 * it, from the first text part that is no attachment, HTML without its tags. Quoted lines are left out.
 */
#ifndef POSTHORN_MAIL_PREVIEW_H
#define POSTHORN_MAIL_PREVIEW_H

#include "mime.h"

enum { PREVIEW_CHARACTERS = 200, PREVIEW_SIZE_MAX = PREVIEW_CHARACTERS * 4 };

/* Adds it; nothing when there is no readable text. */
void preview_add(struct buf *out, struct str text, const struct mime_part *root);

#endif
