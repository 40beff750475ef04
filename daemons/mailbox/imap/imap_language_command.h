/*
 * LANGUAGE (RFC 5255 §3) and COMPARATOR (§4.7): in which language the session is answered, and how SEARCH, SORT and
 * THREAD compare.
 */
#ifndef POSTHORN_MAILBOX_IMAP_LANGUAGE_COMMAND_H
#define POSTHORN_MAILBOX_IMAP_LANGUAGE_COMMAND_H

#include "imap.h"

void imap_language(struct imap_session *s);
void imap_comparator(struct imap_session *s);

#endif
