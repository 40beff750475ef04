/*
 * SEARCH and UID SEARCH (RFC 9051 §6.4.4, RFC 3501 §6.4.4) with ESEARCH (RFC 4731), SEARCHRES (RFC 5182), PARTIAL
 * (RFC 9394), FILTERS (RFC 5466) and CONTEXT=SEARCH (RFC 5267), and what SORT and THREAD share with them.
 */
#ifndef POSTHORN_MAILBOX_IMAP_SEARCH_H
#define POSTHORN_MAILBOX_IMAP_SEARCH_H

#include "imap_search_run.h"

void imap_search(struct imap_session *s);

/* The filters of the account, for parsing; their texts come into the arena. */
struct imap_search_filters imap_search_filters(struct imap_session *s, struct arena *arena);

/* After the arguments: charset, filters and limits. False with the answer written. */
bool imap_search_accept(struct imap_session *s, const struct imap_search_program *program,
                        const struct imap_search_return *options);

/* The command failed: the answer, and what RFC 5182 §2.1 says of a SEARCH that was to save its result. */
void imap_search_fail(struct imap_session *s, const struct imap_search_return *options, const struct fail *fail);

/* Found messages in the order in which they are told: positions of the view. */
struct imap_search_found {
	uint32_t *positions;
	size_t count;
};

/* The number or, in a UID command, the UID of a position. */
uint32_t imap_search_number(const struct imap_search_run *run, uint32_t position);

/* Writes ESEARCH as the options ask; saves what SAVE asks. False with the answer written. */
bool imap_search_answer(struct imap_search_run *run, const struct imap_search_return *options,
                        const struct imap_search_found *found,
                        struct fail **fail);

/* "* SEARCH 2 3 6 (MODSEQ 7)", or the same with SORT: RFC 3501 §7.2.5, RFC 5256 §4, RFC 7162 §3.1.6, §3.1.9. */
bool imap_search_answer_plainly(struct imap_search_run *run, const struct imap_search_found *found, struct fail **fail);

#endif
