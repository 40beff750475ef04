/*
 * NOTIFY (RFC 5465), parsed: which events of which mailboxes a client wants to hear of.
 *
 * The rules of §5 and §6.1 are checked here: MessageNew and MessageExpunge go together, FlagChange needs both,
 * SELECTED stands once and for message events only, and FETCH items go with it only.
 */
#ifndef POSTHORN_IMAP_NOTIFY_COMMAND_H
#define POSTHORN_IMAP_NOTIFY_COMMAND_H

#include "imap_parse.h"

enum imap_notify_event {
	IMAP_EVENT_MESSAGE_NEW = 1 << 0,
	IMAP_EVENT_MESSAGE_EXPUNGE = 1 << 1,
	IMAP_EVENT_FLAG_CHANGE = 1 << 2,
	IMAP_EVENT_MAILBOX_NAME = 1 << 3,
	IMAP_EVENT_SUBSCRIPTION = 1 << 4,
	IMAP_EVENT_MAILBOX_METADATA = 1 << 5,
	IMAP_EVENT_SERVER_METADATA = 1 << 6,
	IMAP_EVENTS_OF_MESSAGES = IMAP_EVENT_MESSAGE_NEW | IMAP_EVENT_MESSAGE_EXPUNGE | IMAP_EVENT_FLAG_CHANGE,
};

/* All of them, as BADEVENT lists them. */
extern const char imap_notify_event_names[];

enum imap_notify_filter {
	IMAP_NOTIFY_SELECTED,
	IMAP_NOTIFY_SELECTED_DELAYED,
	IMAP_NOTIFY_INBOXES,
	IMAP_NOTIFY_PERSONAL,
	IMAP_NOTIFY_SUBSCRIBED,
	IMAP_NOTIFY_SUBTREE,
	IMAP_NOTIFY_MAILBOXES,
};

struct imap_notify_group {
	enum imap_notify_filter filter;
	const struct str *names; /* of the last two filters */
	size_t name_count;
	unsigned events;
	struct str items;        /* MessageNew's FETCH items with their parentheses, as written; empty: none */
};

struct imap_notify_command {
	bool none;
	bool status;
	bool bad_event; /* one that is not known here was asked for: NO [BADEVENT (…)] */
	const struct imap_notify_group *groups;
	size_t group_count;
};

/* What follows "NOTIFY". */
void imap_parse_notify(struct imap_parser *p, struct imap_notify_command *command);

#endif
