/*
 * The parts of a mail that BODY[section] names (RFC 9051 §6.4.5.1): where they lie, and the subsets of headers.
 *
 * A section that is a piece of the mail is a place in its octets; the mail itself need not be in memory for that.
 * HEADER.FIELDS and HEADER.FIELDS.NOT are made from such a piece.
 */
#ifndef POSTHORN_MAILBOX_IMAP_SECTION_H
#define POSTHORN_MAILBOX_IMAP_SECTION_H

#include "hash.h"
#include "imap_fetch_items.h"
#include "mime.h"

struct imap_place {
	uint64_t offset, size;
	bool before_body; /* a header, with something behind it */
};

/* False when the message has no such section. For the two kinds of FIELDS the place is that of the whole header. */
bool imap_section_find(struct mime_part *root, const struct imap_section *section, struct imap_place *place);

/* The first length octets of what is behind offset, as far as they are there. */
struct imap_place imap_place_cut(struct imap_place place, uint64_t offset, uint64_t length);

/* The names of a FIELDS section, made ready for many messages. */
struct imap_fields {
	const struct str *names;
	size_t count;
	bool without;   /* HEADER.FIELDS.NOT */
	bool kept;      /* fields of the message itself, of names that the store keeps beside it (message_keeps_field) */
	struct map *set; /* of names in small letters; NULL: there are few */
};
void imap_fields_init(struct imap_fields *fields, const struct imap_section *section);
void imap_fields_release(struct imap_fields *fields);

/* Adds the fields of the header that are wanted, whole and in order, and a blank line, which is left out only if the
 * message has neither that line nor a body (RFC 9051 §6.4.5). Linear in the header, whatever its size. */
void imap_fields_add(struct buf *out, struct str header, const struct imap_fields *fields, bool before_body);

#endif
