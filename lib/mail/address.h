/*
 * Address lists of header fields: RFC 5322 §3.4 with the obsolete syntax of §4.4 and UTF-8 (RFC 6532), as
 * the ENVELOPE of IMAP wants them (RFC 9051 §7.5.2).
 *
 * Lenient: there is no failure, what cannot be an address becomes one without a host, and the rest of the
 * list is still read. Names keep their encoded words (encoded_word.h decodes them); quotes and comments
 * are taken off. Linear in the value; its whole text is held in one piece of the arena. At most max
 * addresses (groups count their begin and end) are given.
 */
#ifndef POSTHORN_MAIL_ADDRESS_H
#define POSTHORN_MAIL_ADDRESS_H

#include "arena.h"

/*
 * An absent string has data NULL. A mailbox has mailbox and host; host is empty, not absent, where the
 * text had none. A group begins with an entry that has its name in mailbox and no host, and ends with
 * one that has neither.
 */
struct address {
	struct address *next;
	struct str name;
	struct str route; /* RFC 5322 §4.4 obs-route: "@a,@b" */
	struct str mailbox;
	struct str host;
};

struct address_list {
	struct address *first;
	size_t count;
};

/* Adds the addresses of a field's value (folded as it came) behind those that *list has. */
void address_parse(struct arena *a, struct str value, size_t max, struct address_list *list);

static inline bool address_is_mailbox(const struct address *address)
{
	return address->host.data != NULL;
}

static inline bool address_is_group_begin(const struct address *address)
{
	return !address->host.data && address->mailbox.data;
}

static inline bool address_is_group_end(const struct address *address)
{
	return !address->host.data && !address->mailbox.data;
}

#endif
