/*
 * An IMAP session after log-in (RFC 9051, RFC 3501 and the extensions of lib/imap/imap_capability.h); see docs/imap.md.
 *
 * One thread per session, blocking code. A handler parses, checks, acts in a transaction, tells, answers. The
 * dispatcher (imap_session.c) has checked state and traits before, and after the handler tells the client what others
 * changed.
 */
#ifndef POSTHORN_MAILBOX_IMAP_H
#define POSTHORN_MAILBOX_IMAP_H

#include "imap_capability.h"
#include "imap_collect.h"
#include "imap_command.h"
#include "imap_language.h"
#include "imap_sequence.h"
#include "imap_view.h"
#include "imap_write.h"
#include "mailbox.h"
#include "stream.h"

/* What a session is, apart from its connection and caches: all that would have to be written down to let it sleep and
 * wake up elsewhere. Flat but for what imap_view_state and registrations hold. */
struct imap_state_kept {
	unsigned enabled;            /* enum imap_enable */
	enum imap_language language;
	bool compressed;
	bool unicode_casemap;        /* COMPARATOR: i;unicode-casemap, else i;ascii-casemap; RFC 5255 §4 */
	struct imap_view_state view;
	struct imap_notify *notify;  /* registrations of NOTIFY; NULL: none. imap_notify.c */
	struct imap_context *contexts; /* registrations of CONTEXT (RFC 5267) by tag. imap_context.c */
};

/* Messages that a command put into a mailbox: no news to its client (RFC 5465 §5). */
struct imap_own {
	uint64_t mailbox;            /* 0: none */
	uint32_t first_uid, last_uid;
	uint64_t before, modseq;     /* HIGHESTMODSEQ of the mailbox before, and of the change */
};

struct imap_session {
	struct session *session;
	struct stream *stream;
	struct imap_collector collector;
	struct imap_parser parser;
	struct imap_command command;  /* the one that is carried out */
	struct arena *arena;          /* dies with the command */
	struct buf out;               /* answers, before they go to the stream */
	struct buf tagged;            /* the command's tagged answer: what others changed is told before it */
	struct store_reader *reader;  /* taken for a command, given back before waiting: imap_reader() */
	struct imap_state_kept kept;
	struct imap_view view;        /* of the selected mailbox; view.index NULL: none is */
	struct imap_deflate *deflate; /* COMPRESS; NULL: off */
	uint64_t plain_octets;        /* written before it began */
	struct store_listener listener;
	void (*after_answer)(struct imap_session *s); /* run once the tagged answer was sent; NULL: nothing */
	unsigned errors;              /* bad commands since the last good one */
	int64_t spoke_ms;             /* when imap_still_working spoke last; 0: not yet for this command */
	struct imap_own own;          /* by the command at hand */
	bool keeps_numbers;           /* the command at hand has message numbers though it is a UID form (UID SEARCH 1:3) */
	bool over;
};

/* ---- imap_session.c ---- */

bool imap_is_enabled(const struct imap_session *s, enum imap_enable bit);

/* UTF-8 in quoted strings and mailbox names: IMAP4rev2 or UTF8=ACCEPT is enabled. */
bool imap_is_utf8(const struct imap_session *s);

/* The session's reader, NULL with the tagged NO written. Given back by the dispatcher. */
struct store_reader *imap_reader(struct imap_session *s);

/* Sends what s->out has if it is much, so that a long answer needs bounded memory; false when the client is gone. */
bool imap_send_some(struct imap_session *s);
bool imap_send(struct imap_session *s);

/* The next thing that the collector has, waiting for it; continuation requests are sent. False when nothing more will
 * come. */
bool imap_collect_next(struct imap_session *s, enum imap_collected *got);

/* "+ OK": the client may send its literal. What was gathered goes out with it. */
void imap_ask_for_more(struct imap_session *s);

/* CONDSTORE from now on, because of a command that implies it (RFC 7162 §3.1); the first time in a selected mailbox
 * "* OK [HIGHESTMODSEQ n]" is written. */
void imap_enable_condstore(struct imap_session *s);

/* The command at hand put messages into a mailbox, whose HIGHESTMODSEQ was `before`, by one transaction: stored->to
 * from `first` on. */
void imap_note_own(struct imap_session *s, uint64_t mailbox, uint64_t before, const struct store_uids *stored,
                   size_t first);

/* Whether a message of the selected mailbox is one that the command at hand put there. */
bool imap_is_own(const struct imap_session *s, uint32_t uid);

/* Tells what others changed; false when the session is over because the mailbox is gone. */
bool imap_tell_changes(struct imap_session *s, bool may_expunge);

/* ---- imap_answer.c: tagged answers and the table from enum fail_kind to them. They wait in s->tagged until what others changed
 * was told. ---- */

/* code is without brackets, "" for none: imap_ok(s, "APPENDUID 1 2", IMAP_SAY_DONE, &values). The command's tag and
 * name are known; IMAP_SAY_DONE fills {text} with the name when values is NULL. */
void imap_ok(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values);
void imap_no(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values);
void imap_bad(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values);

/* NO with the response code that RFC 5530 has for the kind of failure. */
void imap_no_fail(struct imap_session *s, const struct fail *fail);

/* BAD for what the parser did not understand (or NO [LIMIT]/[TOOBIG] where a limit stood in the way). */
void imap_bad_syntax(struct imap_session *s);

/* * OK [code] text */
void imap_untagged_ok(struct imap_session *s, const char *code, enum imap_text text, const struct imap_values *values);
void imap_bye(struct imap_session *s, const char *code, enum imap_text text);

/* Parses nothing more; false, with BAD written, when the arguments were wrong. For the end of each handler's
 * parsing. */
bool imap_arguments_end(struct imap_session *s);

/* ---- imap_commands.c: one table verb → handler; a handler stands in the file of its subject ---- */
void imap_carry_out(struct imap_session *s);

#endif
