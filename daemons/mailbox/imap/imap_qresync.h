/*
 * Coming back to a mailbox that is known from before (RFC 7162 §3.2.5): the QRESYNC parameter of SELECT, and VANISHED
 * (EARLIER).
 */
#ifndef POSTHORN_MAILBOX_IMAP_QRESYNC_H
#define POSTHORN_MAILBOX_IMAP_QRESYNC_H

#include "imap.h"

struct imap_qresync {
	uint64_t uidvalidity;
	uint64_t modseq;
	bool has_known;
	struct imap_sequence known; /* UIDs */
	struct imap_sequence match_numbers, match_uids; /* a sample of what the client believes; may be empty */
};

/* What stands behind "QRESYNC". */
void imap_parse_qresync(struct imap_parser *p, struct imap_qresync *q);

/* After all that SELECT says in any case: what vanished and what changed. */
bool imap_qresync_tell(struct imap_session *s, const struct imap_qresync *q, struct fail **fail);

/* "* VANISHED (EARLIER) …" with those of the UIDs asked for, all below UIDNEXT, that went after a modseq; nothing is
 * written when there is none. When it is too long ago to know which went, all that are not there, but none up to
 * `matched`, which the client has right. What the client still counts is left for VANISHED without EARLIER. */
bool imap_tell_vanished_earlier(struct imap_session *s, const struct imap_numbers *asked, uint64_t since,
                                uint32_t matched, struct fail **fail);

#endif
