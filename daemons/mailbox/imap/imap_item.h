/*
 * What FETCH tells of one message: each data item with its value (RFC 9051 §7.5.2 and the extensions of
 * imap_fetch_items.h).
 *
 * An item is written whole or not at all; its label and its value stand or fall together. Large ones go out while
 * they are written (imap_output.send). What comes from the mail never breaks out of its element.
 *
 * Headers with octets over 0x7f are told as they stand in the mail, whether the client has enabled UTF8=ACCEPT or
 * not: octets of a mail never change, sizes and signatures hold, and a message number names one text for all clients.
 * Strings that are not ASCII go in literals to those who have not enabled it (RFC 3501 §9 CHAR8), which is what other
 * servers do.
 */
#ifndef POSTHORN_MAILBOX_IMAP_ITEM_H
#define POSTHORN_MAILBOX_IMAP_ITEM_H

#include "imap_mail.h"
#include "store_index.h"

/* Where answers go. */
struct imap_output {
	struct buf *out;
	bool utf8;
	/* Sends what is there if it is much; false: the client is gone. NULL: everything stays in out. */
	bool (*send)(void *context);
	void *context;
};

/* A message of the mailbox, with what is asked for often in the form in which it is told. */
struct imap_row {
	struct store_row row;
	uint32_t number;
	struct str flags; /* "FLAGS (\Seen)" */
	uint64_t thread;  /* 0: none */
};

enum imap_item_result {
	IMAP_ITEM_WRITTEN,
	IMAP_ITEM_FAILED,      /* nothing was written: mail->fail */
	IMAP_ITEM_UNKNOWN_CTE, /* nothing was written */
	IMAP_ITEM_BROKEN,      /* it broke off in the middle: the connection must end */
};

/* What an item needs beside the row. */
enum imap_item_need {
	IMAP_NEEDS_STRUCTURE = 1 << 0,
	IMAP_NEEDS_HEADERS = 1 << 1,
	IMAP_NEEDS_MORE = 1 << 2, /* octets, or a look-up of its own */
	IMAP_NEEDS_THREAD = 1 << 3,
};

/* fields: of the item's section, made ready. */
unsigned imap_item_needs(const struct imap_fetch_item *item, const struct imap_fields *fields);

enum imap_item_result imap_item_write(const struct imap_output *o, const struct imap_fetch_item *item,
                                      const struct imap_fields *fields, const struct imap_row *row,
                                      struct imap_mail *mail);

#endif
