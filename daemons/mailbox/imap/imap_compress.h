/*
 * COMPRESS=DEFLATE (RFC 4978): a transport of the session's stream that deflates what goes out and inflates what comes
 * in.
 *
 * Memory: about 150 KB a session, most of it zlib's; the window of what goes out is 8 KB. What comes in is inflated
 * into the reader's own buffer, never further than it has room. A client that sends data which grows out of all
 * proportion loses its connection: a million octets of command cost it a thousand.
 *
 * Who watches the line sees lengths, and a text that somebody sent to the user would, deflated next to another's, tell
 * by its length what the other says (CRIME, 2012). So what comes from different mails never shares a dictionary:
 * before each mail's data, and after the last, the dictionary is dropped at that very octet (imap_compress_boundary),
 * though answers still leave together.
 */
#ifndef POSTHORN_MAILBOX_IMAP_COMPRESS_H
#define POSTHORN_MAILBOX_IMAP_COMPRESS_H

#include "imap.h"

void imap_compress(struct imap_session *s);

/* After the stream's last write; NULL is nothing. */
void imap_deflate_free(struct imap_deflate **deflate);

/* What is added to s->out from here on has nothing to do with what went before. */
void imap_compress_boundary(struct imap_session *s);

/* ---- the transport itself ---- */

struct imap_deflate *imap_deflate_new(void);
struct stream_transport imap_deflate_transport(struct imap_deflate *deflate);

/* Nothing came that was not read yet. */
bool imap_deflate_is_idle(const struct imap_deflate *deflate);

/* The dictionary is dropped before this octet of all that goes out; positions rise. */
void imap_deflate_boundary(struct imap_deflate *deflate, uint64_t position);

#endif
