/*
 * What sendmail submits: a message as Unix programs write it, made into one that may travel, and its envelope.
 *
 * LF becomes CRLF; the `From ` line of a mbox goes; a missing blank line behind the header and a missing From are
 * added (Date and Message-ID are the submission server's to add, RFC 6409 §8); with recipients from the header, Bcc
 * fields go. All memory is the arena's and the message's own.
 */
#ifndef POSTHORN_SENDMAIL_MESSAGE_H
#define POSTHORN_SENDMAIL_MESSAGE_H

#include "arena.h"
#include "array.h"
#include "buf.h"
#include "fail.h"

struct sendmail_message {
	struct arena *memory;
	const char *domain;     /* of addresses that have none */
	struct str sender;      /* of the envelope; empty for <> */
	const char *notify;     /* when each recipient's fate is to be reported, RFC 3461 §4.1; NULL: as usual */
	const char *returned;   /* how much of the mail comes back then: FULL or HDRS; NULL: as usual */
	const char *envelope_id; /* the report's, for the sender's own use; NULL: none */
	ARRAY(struct str) recipients;
	struct buf content;
	bool has_8bit;
	bool needs_utf8;        /* an address or the header has more than ASCII, RFC 6531 */
};

/* size_max: of the content. domain must outlive the message. */
void sendmail_message_init(struct sendmail_message *m, const char *domain, size_t size_max);
void sendmail_message_release(struct sendmail_message *m);

/* An address as typed: "alice", "<alice@example.org>"; "" and "<>" are the null sender. */
bool sendmail_set_sender(struct sendmail_message *m, struct str text, struct fail **fail);

/* One or more, as in a To field. */
bool sendmail_add_recipients(struct sendmail_message *m, struct str text, struct fail **fail);

/* Takes the message as it was written. from: the address for a missing From field, with the person's name, which may
 * be empty. recipients_too: those of To, Cc and Bcc, or of the Resent- fields where there are any, are added (RFC
 * 5322 §3.6.6). */
bool sendmail_take_text(struct sendmail_message *m, struct str text, struct str from, struct str name,
                        bool recipients_too, struct fail **fail);

#endif
