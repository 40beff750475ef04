/*
 * Contexts (RFC 5267): searches and sorts whose results a client has and whose changes it is told, by ADDTO and
 * REMOVEFROM, at the moment when it is told of what changed them. CANCELUPDATE.
 *
 * A context lives as long as its mailbox is selected. It keeps its program, with numbers and filters as they were
 * when the command came, and its results; a change costs a look at what changed, and for a sorted one a sort of the
 * results. There are at most LIMIT_IMAP_CONTEXTS_MAX with LIMIT_IMAP_CONTEXT_MESSAGES_MAX results in a session.
 */
#ifndef POSTHORN_MAILBOX_IMAP_CONTEXT_H
#define POSTHORN_MAILBOX_IMAP_CONTEXT_H

#include "imap_search.h"

void imap_cancelupdate(struct imap_session *s);

/* Before a search is carried out: false, with BAD written, when a context has its tag already (RFC 5267 §4.3). */
bool imap_context_may_add(struct imap_session *s, const struct imap_search_return *options);

/* Of a search that was just answered: its criteria (with charset) as they were written, and its results. sort NULL:
 * SEARCH. Writes NOUPDATE when there are too many. */
void imap_context_add(struct imap_search_run *run, const struct imap_search_return *options, struct str criteria,
                      const struct imap_sort_criteria *sort, const struct imap_search_found *found);

/* From the view: these UIDs are about to be told as gone. */
void imap_context_gone(struct imap_session *s, const struct store_uids *gone);

/* From the view: all that changed was told. */
void imap_context_tell(struct imap_session *s);

/* The mailbox is no longer selected. */
void imap_context_free_all(struct imap_session *s);

#endif
