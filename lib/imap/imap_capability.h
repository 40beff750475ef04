/*
 * What a server announces (RFC 9051 §7.2.2): one table of capability names with the states in which each stands, so
 * that the greeting, CAPABILITY and the code in the answer to a log-in never differ.
 */
#ifndef POSTHORN_IMAP_CAPABILITY_H
#define POSTHORN_IMAP_CAPABILITY_H

#include "imap_command.h"

struct imap_offer {
	enum imap_state state;
	bool tls;              /* the connection is protected */
	bool starttls;         /* it can be */
	bool password_allowed; /* LOGIN and AUTH=PLAIN in this connection; else LOGINDISABLED */
	struct str mechanisms; /* names separated by spaces; only before log-in */
	uint64_t append_limit; /* RFC 7889 */
	uint32_t message_limit, save_limit; /* RFC 9738; 0: not configured, not announced */
	bool compressed;       /* COMPRESS is active already, RFC 4978 §3 */
};

/* "IMAP4rev1 IMAP4rev2 …" without a space at either end. */
void imap_capability_write(struct buf *out, const struct imap_offer *offer);

/* Extensions of RFC 5161. */
enum imap_enable {
	IMAP_ENABLE_CONDSTORE = 1 << 0,
	IMAP_ENABLE_QRESYNC = 1 << 1,
	IMAP_ENABLE_UTF8_ACCEPT = 1 << 2,
	IMAP_ENABLE_IMAP4REV2 = 1 << 3,
	IMAP_ENABLE_UIDONLY = 1 << 4,
};

/* Its bit, or 0: unknown names are passed over (RFC 5161 §3.1). */
unsigned imap_enable_find(struct str name);
struct str imap_enable_name(enum imap_enable bit);

#endif
