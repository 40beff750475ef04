/*
 * struct imap_view: what the client of a session believes of its selected mailbox, and how it learns the rest.
 *
 * Invariants (RFC 9051 §7.5.1, RFC 7162 §3.2.5)
 *  1. The view changes only in imap_view_update (and in the answers of the session's own commands), at which moment the client is told.
 *  2. A message number means what the client was last told. With IMAP_NO_EXPUNGE commands no number moves.
 *  3. New messages are announced by EXISTS before anything else of them is said.
 *  4. HIGHESTMODSEQ is never told above a change that was not told.
 */
#ifndef POSTHORN_MAILBOX_IMAP_VIEW_H
#define POSTHORN_MAILBOX_IMAP_VIEW_H

#include "imap_sequence.h"
#include "store_index.h"

struct imap_session;

/* Flat: what is needed to resume. */
struct imap_view_state {
	uint64_t mailbox;          /* 0: none selected */
	uint32_t uidvalidity;
	bool read_only;
	uint64_t told_modseq;      /* all changes of flags and all new messages up to here were told */
	uint64_t complete_modseq;  /* so were all removals, which may have to wait: what HIGHESTMODSEQ may say at most */
	uint64_t told_removals;    /* of this image, see store_index.h */
	bool saved_valid;
	struct imap_numbers saved; /* "$": UIDs, RFC 5182 */
};

struct imap_view {
	struct store_index *index; /* NULL: nothing selected */
	struct uidmap uids;        /* what the client knows */
	struct store_index_state counters;
	char *name;
	struct uidmap recent;      /* \Recent for rev1: UIDs that this session was first to see */
	struct store_mailboxes keywords; /* names of the account's keywords, as far as they were read */
	size_t known_keywords;     /* so many of them were told in FLAGS */
	bool untold_keyword;       /* flags were written with one that was not, since FLAGS was told last */
	uint64_t own_modseq;       /* of the change that the command at hand made and told itself; 0: none */
	uint32_t noticed;          /* NOTIFY's items were told of messages up to this UID, or were not to be told */
	uint32_t announced_after;  /* largest UID that was known before the last update */
};

/* ---- imap_view.c ---- */

/* The mailbox of that name becomes the selected one; nothing was told of it yet but that it is. None may be
 * selected. */
bool imap_view_open(struct imap_session *s, struct str name, bool read_only, struct fail **fail);
void imap_view_close(struct imap_session *s);

/* Tells what others changed: VANISHED or EXPUNGE (if allowed), EXISTS, RECENT, FETCH with flags. Writes to s->out. */
bool imap_view_update(struct imap_session *s, bool may_expunge, struct fail **fail);

/* "* FLAGS (…)" and, unless the mailbox is read-only, "* OK [PERMANENTFLAGS (…)]"; keywords that are new are read. */
bool imap_view_tell_flags(struct imap_session *s, struct fail **fail);

/* The same, if what changed since the last update has keywords that were not told: they come before the first message
 * that has them. */
bool imap_view_tell_keywords(struct imap_session *s, struct fail **fail);

/* VANISHED (RFC 7162, RFC 9586) instead of EXPUNGE. */
bool imap_view_says_vanished(const struct imap_session *s);

/* The UIDs that a command's set stands for, among those that the client knows: by number, or by UID (uid), or "$".
 * False, with the answer written, when a number is too high (BAD, RFC 9051 §9 seq-number) or under UIDONLY. Out is
 * cleared first. */
bool imap_view_resolve(struct imap_session *s, const struct imap_sequence *sequence, bool uid,
                       struct imap_numbers *uids);

/* By number, where a number that is too high stands for no message: in a search. Not for "$". */
bool imap_view_resolve_known(struct imap_session *s, const struct imap_sequence *sequence, struct imap_numbers *uids);

/* How many messages that the client knows are in the set. */
uint32_t imap_view_count(struct imap_session *s, const struct imap_numbers *uids);

/* Its message number; 0 when the client does not know it. */
uint32_t imap_view_number(struct imap_session *s, uint32_t uid);

/* The ranges as the store wants them; they live in the command's arena. */
struct store_selection imap_view_selection(struct imap_session *s, const struct imap_numbers *uids);

enum { IMAP_PART_MAX = 20000 };

/* A set in parts, for transactions that keep other writers waiting no longer than one part takes; zeroed but for
 * uids. */
struct imap_parts {
	const struct imap_numbers *uids;
	size_t range;
	uint64_t next; /* UID */
};

/* The next part, of at most so many messages that the client knows; empty when the set is. False: it is the last. */
bool imap_view_next_part(struct imap_session *s, struct imap_parts *parts, uint32_t most, struct imap_numbers *part);

/* Writes "* n FETCH (" or, under UIDONLY, "* uid UIDFETCH (" (RFC 9586 §3.3); UID stands first where it is asked
 * for. */
void imap_view_begin_fetch(struct imap_session *s, uint32_t uid, bool with_uid);

/* Whether what nobody asked for comes with its UID: RFC 7162 §3.2.4, RFC 9051 §7.5.2. */
bool imap_view_adds_uid(const struct imap_session *s);

/* FLAGS (…) of a row, with \Recent where it is due. */
void imap_view_write_flags(struct imap_session *s, const struct store_row *row);

#endif
