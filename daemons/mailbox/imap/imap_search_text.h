/*
 * The part of a search (imap_search_run.h) that looks at texts: of the search text (text_store.h), which is brought
 * up to date first where many mails are wanted, or of the mails themselves. Also what both parts need of the run.
 */
#ifndef POSTHORN_MAILBOX_IMAP_SEARCH_TEXT_H
#define POSTHORN_MAILBOX_IMAP_SEARCH_TEXT_H

#include "imap_search_run.h"

/* What HEADER, BODY and TEXT look for. */
struct imap_search_text_key {
	struct text_key key;         /* folded as the search text is */
	struct str ascii;            /* folded for i;ascii-casemap */
	struct str folded_name;      /* of HEADER, with its colon */
	bool is_often;               /* field is valid */
	enum text_field field;
};

/* Those of the candidates in which the key of this node is. FAIL_UNAVAILABLE: nobody waits for the answer any more. */
bool imap_search_evaluate_text(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                               struct imap_bits *hits, struct fail **fail);

/* ---- for SORT and THREAD ---- */

/* What a look at the ORDER section of each of these positions is told, in any order; a message that is gone is left
 * out. */
struct imap_order_visitor {
	void (*order)(void *context, size_t position, const struct text_order *order);
	void *context;
};
bool imap_search_read_orders(struct imap_search_run *run, const struct imap_bits *positions,
                             const struct imap_order_visitor *visitor,
                             struct fail **fail);

/* ---- imap_search_run.c ---- */

/* A sign of life, where the client waits for an answer (RFC 9585). */
bool imap_search_goes_on(struct imap_search_run *run, size_t done, size_t all);

struct store_reader *imap_search_reader(struct imap_search_run *run, struct fail **fail);

/* The messages at these positions that are there still, in the order of the search text. */
struct imap_search_messages {
	uint64_t *numbers;
	uint32_t *positions; /* of them; NULL: that of each is its index, which spares a million of them */
	size_t count;
};
bool imap_search_list_messages(struct imap_search_run *run, const struct imap_bits *positions,
                               struct imap_search_messages *list, struct fail **fail);
void imap_search_messages_release(struct imap_search_messages *list);

static inline uint32_t imap_search_position(const struct imap_search_messages *list, size_t index)
{
	return list->positions ? list->positions[index] : (uint32_t)index;
}

#endif
