/*
 * For tests and fuzz targets of FETCH: what the items tell of a mail in memory is read back and held against the
 * mail. Misfits abort.
 */
#ifndef POSTHORN_MAILBOX_IMAP_ITEM_CHECK_H
#define POSTHORN_MAILBOX_IMAP_ITEM_CHECK_H

#include "imap_item.h"

/* A value of a response, as the grammar of RFC 9051 §9 has it. */
struct imap_value {
	enum imap_value_kind { IMAP_VALUE_NIL, IMAP_VALUE_STRING, IMAP_VALUE_ATOM, IMAP_VALUE_LIST } kind;
	struct str text;
	bool binary; /* literal8 */
	struct imap_value *first, *next;
	size_t count;
};

/* Writes the item of the mail and reads it back; NULL when it was not written. What comes behind the label is given. */
struct imap_value *imap_check_item(struct arena *arena, struct imap_mail *mail, const struct imap_fetch_item *item,
                                   bool utf8);

/* The same for the one item that the text asks for. */
struct imap_value *imap_check_asked(struct arena *arena, struct imap_mail *mail, struct str asked, bool utf8);

/* All parts of the mail: numbers, sizes and lines of BODYSTRUCTURE against BODY[n], BODY[n.MIME] and BINARY[n]. */
void imap_check_structure(struct arena *arena, struct imap_mail *mail, bool utf8);

#endif
