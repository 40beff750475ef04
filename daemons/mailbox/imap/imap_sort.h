/*
 * SORT and UID SORT (RFC 5256) with DISPLAYFROM and DISPLAYTO (RFC 5957), ESORT and CONTEXT=SORT (RFC 5267).
 */
#ifndef POSTHORN_MAILBOX_IMAP_SORT_H
#define POSTHORN_MAILBOX_IMAP_SORT_H

#include "imap_search.h"

void imap_sort(struct imap_session *s);

/* The positions in the order of the criteria; those of equal ones stay in the order of the mailbox. Messages that are
 * gone are left out. The caller frees found->positions, whatever happened. */
bool imap_sort_found(struct imap_search_run *run, const struct imap_sort_criteria *criteria,
                     const struct imap_bits *hits,
                     struct imap_search_found *found, struct fail **fail);

#endif
