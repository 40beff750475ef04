/*
 * NOTIFY (RFC 5465): the session hears of what happens in the account's mailboxes, between commands too.
 *
 * The registrations hold the state of all names that the client was told (or knows by its SELECT), and compare it
 * with the newest one when the store says that something changed: nothing polls. What the session itself did with
 * names, subscriptions and metadata is not told to it (imap_notify_absorb), nor are the messages that it put into
 * mailboxes itself (struct imap_own), but for EXISTS. What EXPUNGE, MOVE and REPLACE remove is told as their answer,
 * whichever events were asked for. An account with more than LIMIT_IMAP_NOTIFY_MAILBOXES_MAX mailboxes is refused or
 * given up with NOTIFICATIONOVERFLOW (§5.8).
 */
#ifndef POSTHORN_MAILBOX_IMAP_NOTIFY_H
#define POSTHORN_MAILBOX_IMAP_NOTIFY_H

#include "imap.h"

void imap_notify(struct imap_session *s);

/* Nothing for NULL. At the end of the session, and when the account changes. */
void imap_notify_free(struct imap_notify **notify);

/* An eventfd to wait on beside the connection; -1: nothing is to be told unasked. */
int imap_notify_descriptor(const struct imap_session *s);

/* What may be told of the selected mailbox; all but AT_ONCE when NOTIFY was never given. */
enum imap_tell {
	IMAP_TELL_NEW = 1 << 0,     /* EXISTS, RECENT */
	IMAP_TELL_EXPUNGE = 1 << 1, /* EXPUNGE, VANISHED */
	IMAP_TELL_FLAGS = 1 << 2,   /* FETCH, FLAGS */
};
unsigned imap_notify_selected(const struct imap_session *s);

/* Tells what happened in the selected mailbox (imap_tell_changes, and what MessageNew asks for) and in others. Between
 * commands a removal in the selected mailbox waits if SELECTED-DELAYED says so (§6.1.2). False when the session is
 * over. */
bool imap_notify_tell(struct imap_session *s, bool may_expunge);

/* Before a command: tells what others did outside of the selected mailbox, so that it is not taken for what the command
 * did. */
void imap_notify_catch_up(struct imap_session *s);

/* Names, subscriptions and metadata are as this session just made them: that is no news to it (§5). */
void imap_notify_absorb(struct imap_session *s);

#endif
