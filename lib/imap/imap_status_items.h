/*
 * The items of STATUS (RFC 9051 §6.3.11, RFC 3501 §6.3.10, RFC 7162 §3.1.7, RFC 7889 §3, RFC 8438, RFC 8474 §4.3,
 * RFC 9208 §4.1.4): one set of bits for the command, LIST's RETURN (STATUS (…)) and NOTIFY.
 */
#ifndef POSTHORN_IMAP_STATUS_ITEMS_H
#define POSTHORN_IMAP_STATUS_ITEMS_H

#include "imap_parse.h"

enum imap_status_item {
	IMAP_STATUS_MESSAGES = 1 << 0,
	IMAP_STATUS_RECENT = 1 << 1,
	IMAP_STATUS_UIDNEXT = 1 << 2,
	IMAP_STATUS_UIDVALIDITY = 1 << 3,
	IMAP_STATUS_UNSEEN = 1 << 4,
	IMAP_STATUS_DELETED = 1 << 5,
	IMAP_STATUS_DELETED_STORAGE = 1 << 6,
	IMAP_STATUS_SIZE = 1 << 7,
	IMAP_STATUS_HIGHESTMODSEQ = 1 << 8,
	IMAP_STATUS_APPENDLIMIT = 1 << 9,
	IMAP_STATUS_MAILBOXID = 1 << 10,
};

enum { IMAP_STATUS_ITEM_COUNT = 11 };

/* "MESSAGES" and so on for bit number i, in the order in which they are answered. */
const char *imap_status_item_name(unsigned i);

/* A list of one or more; the bits. */
unsigned imap_parse_status_items(struct imap_parser *p);

#endif
