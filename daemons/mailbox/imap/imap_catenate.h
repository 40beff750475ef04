/*
 * The parts of CATENATE that are not sent but pointed at (RFC 4469): relative IMAP URLs (RFC 5092 §7) of messages of
 * this account and of their sections.
 */
#ifndef POSTHORN_MAILBOX_IMAP_CATENATE_H
#define POSTHORN_MAILBOX_IMAP_CATENATE_H

#include "imap_incoming.h"

enum imap_url_result {
	IMAP_URL_DONE,
	IMAP_URL_BAD,    /* no URL of ours, or nothing there */
	IMAP_URL_FAILED, /* *fail says why */
};

/* Adds the octets that the URL means, as FETCH BODY.PEEK would give them. */
enum imap_url_result imap_catenate_url(struct imap_session *s, struct str url, struct imap_incoming *in,
                                       struct fail **fail);

#endif
