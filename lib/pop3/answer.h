/*
 * Reading what a POP3 server answers, for clients. The server is not trusted: endless lines, endless listings, NUL
 * bytes and numbers that are none end in a clear fail, with memory bounded by one line.
 *
 * struct pop3_answer is fed with chunks as they come and gives events; it works on any cutting of the bytes alike.
 * After POP3_BROKEN nothing on the connection can be relied on: close it.
 */
#ifndef POSTHORN_POP3_ANSWER_H
#define POSTHORN_POP3_ANSWER_H

#include "buf.h"
#include "reply.h"
#include "stuff.h"

enum pop3_answer_kind {
	POP3_ONE_LINE, /* a status line; in AUTH also a challenge */
	POP3_LISTING,  /* if +OK, lines and a dot: LIST, UIDL, CAPA, LANG */
	POP3_BODY,     /* if +OK, a mail and a dot: RETR, TOP */
};

enum pop3_event {
	POP3_NEEDS_MORE, /* the input is used up */
	POP3_STATUS,     /* *piece is the status line without its end */
	POP3_LINE,       /* *piece is a line of a listing, without its end and stuffing */
	POP3_PIECE,      /* *piece is the next part of the mail */
	POP3_ANSWERED,   /* all was read; *input begins behind it */
	POP3_BROKEN,     /* *fail says why */
};

struct pop3_answer {
	enum pop3_answer_kind kind;
	enum { POP3_AT_STATUS, POP3_AT_CONTENT, POP3_AT_END } at;
	struct buf line;  /* the part of a line that came in earlier chunks */
	bool line_given;  /* line was given out and is to be emptied */
	uint64_t left;    /* lines or octets that are still accepted */
	struct pop3_unstuffer unstuffer;
};

/* body_max: octets of the largest mail that is accepted. */
void pop3_answer_init(struct pop3_answer *a, enum pop3_answer_kind kind, uint64_t body_max);
void pop3_answer_release(struct pop3_answer *a);

/* Moves *input forward to the next event. Pieces die with the next call or with the input. */
enum pop3_event pop3_answer_next(struct pop3_answer *a, struct str *input, struct str *piece, struct fail **fail);

struct pop3_status {
	bool ok;
	enum pop3_code code;  /* POP3_NO_CODE also for one that is unknown */
	struct str code_text; /* as given, without brackets */
	struct str text;      /* behind the code */
};

/* "+OK …" or "-ERR …". */
bool pop3_status_parse(struct str line, struct pop3_status *status, struct fail **fail);

/* The timestamp for APOP in a greeting, with its angle brackets; empty when there is none (RFC 1939 §7). */
struct str pop3_greeting_timestamp(struct str greeting);

/* "+ base64" in an AUTH exchange; bytes gets what it encodes (RFC 5034 §4). */
bool pop3_challenge_parse(struct str line, struct buf *bytes, struct fail **fail);

/* Two numbers, as STAT, LIST and its lines have them; what follows behind a space is passed over (RFC 1939 §5). */
bool pop3_numbers_parse(struct str text, uint64_t *first, uint64_t *second, struct fail **fail);

/* A number and a unique id of 1 to LIMIT_POP3_UID_MAX printable characters (RFC 1939 §7). */
bool pop3_uid_parse(struct str text, uint64_t *number, struct str *uid, struct fail **fail);

#endif
