/*
 * THREAD and UID THREAD (RFC 5256): ORDEREDSUBJECT, REFERENCES, REFS; see imap_thread_tree.h.
 */
#ifndef POSTHORN_MAILBOX_IMAP_THREAD_H
#define POSTHORN_MAILBOX_IMAP_THREAD_H

#include "imap_search.h"

void imap_thread(struct imap_session *s);

#endif
