/*
 * Flags and keywords that a client gives (RFC 9051 §2.3.2), for STORE, APPEND and REPLACE.
 */
#ifndef POSTHORN_MAILBOX_IMAP_FLAGS_H
#define POSTHORN_MAILBOX_IMAP_FLAGS_H

#include "imap.h"

/* Lives in the command's arena. */
struct imap_flags {
	uint32_t flags; /* enum store_flag */
	struct str *keywords;
	size_t keyword_count;
	size_t keyword_room;
};

/* One flag, or `(flag …)`, which may be empty. A system flag that does not exist and \Recent are misfits. */
void imap_parse_flag_into(struct imap_session *s, struct imap_flags *flags);
void imap_parse_flag_list(struct imap_session *s, struct imap_flags *flags);

/* Leaves the keywords that the account has: only those can be on a message to be taken off. */
bool imap_flags_keep_known(struct imap_session *s, struct imap_flags *flags, struct fail **fail);

/* The numbers of the keywords, ascending, new ones made; empty when the transaction failed (FAIL_LIMIT,
 * FAIL_INVALID). */
struct store_keywords imap_flags_keywords(struct imap_session *s, const struct imap_flags *flags,
                                          struct store_txn *txn);

#endif
