/*
 * From a mail to its entry in the search text (text_group.h), and what is in the sections ORDER and FIELDS of one.
 *
 * HEADERS and BODIES are those of search_text.h. Sections are octets of our own making with a check over them; all
 * the same reading never goes beyond them.
 *
 *	ORDER   varint flags (bit 0: it has a Date, bit 1: a reply or forward by its subject), varint seconds of the
 *	        date, varint minutes of its zone (both zigzag), u64 hash of the Message-ID (0: none), then texts, each
 *	        behind its varint length: base subject, first mailbox of From, To and Cc, display names of From and To; then
 *	        a varint count of references and their u64 hashes, oldest first
 *	FIELDS  a varint count of often searched fields; each: octet kind, varint length, folded value from behind
 *	        the colon; then for each field of the message's header the varint length of its part of HEADERS, if it is
 *	        made with HEADERS
 */
#ifndef POSTHORN_STORE_TEXT_MAKE_H
#define POSTHORN_STORE_TEXT_MAKE_H

#include "message.h"
#include "store.h"
#include "text_group.h"

struct text_make {
	struct arena *arena;
	struct buf sections[TEXT_SECTIONS];
};

struct text_make *text_make_new(void);
void text_make_free(struct text_make **m);

/* Fills all of the entry but the number; views live until the next call. */
void text_make(struct text_make *m, struct str mail, struct text_entry *entry);

/* Only ORDER and FIELDS, of what the store keeps beside the mail, which costs a tenth. False: that does not have all of
 * it. */
bool text_make_listed(struct text_make *m, const struct store_message_columns *columns, struct text_entry *entry);

/* ---- ORDER ---- */

struct text_order {
	bool has_date, is_reply;
	int64_t sent;         /* Date field, UTC */
	int zone_minutes;     /* of its clock */
	uint64_t id;          /* 0: none */
	struct str subject;   /* base subject, its case kept */
	struct str from, to, cc; /* RFC 5256 BASE.6.4.SORT: addr-mailbox of the first address */
	struct str display_from, display_to; /* RFC 5957 §3 */
	struct str references; /* hashes, see text_order_reference */
	size_t reference_count;
};

/* False: these octets are no such section. */
bool text_order_read(struct text_order *order, struct str section);
uint64_t text_order_reference(const struct text_order *order, size_t index);

/* ---- FIELDS ---- */

enum text_field { TEXT_FIELD_FROM, TEXT_FIELD_TO, TEXT_FIELD_CC, TEXT_FIELD_BCC, TEXT_FIELD_SUBJECT,
                 TEXT_FIELD_MESSAGE_ID, TEXT_FIELD_KINDS };

/* Whether fields of that name are in FIELDS; else they are found with HEADERS. */
bool text_field_find(struct str name, enum text_field *field);

/* Whether a value of this kind has the key; a key without octets: whether there is such a field. */
bool text_fields_have(struct str fields, enum text_field field, const struct text_needle *key);

/* The same for any field, whose folded name ends with ":". */
bool text_headers_have(struct str fields, struct str headers, struct str folded_name, const struct text_needle *key);

#endif
