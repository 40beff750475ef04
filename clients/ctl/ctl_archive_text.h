/*
 * Mails as files have them (lines end with LF) and as the post office has them (CRLF).
 */
#ifndef POSTHORN_CTL_ARCHIVE_TEXT_H
#define POSTHORN_CTL_ARCHIVE_TEXT_H

#include "buf.h"

/* Adds text with each LF as CRLF; a CR before it is not doubled, a CR elsewhere stays. The last line gets its end. */
void ctl_text_to_mail(struct buf *mail, struct str text);

/* Adds mail with LF, when ctl_text_to_mail would bring it back octet for octet, else as it is. */
void ctl_text_of_mail(struct buf *text, struct str mail);

#endif
