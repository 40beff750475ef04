/*
 * struct mail_envelope: the fields of a message header that say what it is and whose, as the ENVELOPE of IMAP has
 * them (RFC 9051 §7.5.2).
 *
 * Texts are unfolded but keep their encoded words; an absent one has data NULL. The first field of a name
 * counts, but address fields that are repeated add up. Without Sender or Reply-To those lists are From's.
 */
#ifndef POSTHORN_MAIL_MAIL_ENVELOPE_H
#define POSTHORN_MAIL_MAIL_ENVELOPE_H

#include "address.h"
#include "header.h"

struct mail_envelope {
	struct str date;
	struct str subject;
	struct address_list from;
	struct address_list sender;
	struct address_list reply_to;
	struct address_list to;
	struct address_list cc;
	struct address_list bcc;
	struct str in_reply_to;
	struct str message_id;
};

/* Takes one field, if it is one of them. *addresses_left is how many addresses the message may still have. */
void mail_envelope_add(struct arena *a, struct mail_envelope *envelope, const struct header_field *field,
                       size_t *addresses_left);

/* After the last field. */
void mail_envelope_finish(struct mail_envelope *envelope);

#endif
