/*
 * struct imap_parser: a sticky reader of one command's text (RFC 9051 §9, RFC 4466), used by servers, clients, tests
 * and fuzzers alike.
 *
 * Each function takes one element. The first misfit is remembered with its place and what was expected there; from
 * then on every function does nothing and gives an empty value, so a handler parses all its arguments and looks once,
 * with imap_parse_end. Values are views of the text where that is possible, else copies in the arena; they die with
 * them. Depth, counts and lengths are bounded by limits.h (LIMIT_IMAP_…); a misfit by limit sets too_much. A mailbox
 * name that is well written as a string, but in an encoding that no name has, sets bad_name: that is no client at
 * odds with the grammar.
 */
#ifndef POSTHORN_IMAP_PARSE_H
#define POSTHORN_IMAP_PARSE_H

#include "arena.h"
#include "buf.h"

struct imap_parser {
	struct str text;
	size_t at;
	unsigned depth;        /* of lists */
	size_t list_began_at;  /* behind the last "(" of imap_parse_list_begin */
	struct arena *arena;
	bool utf8;             /* RFC 9051 or UTF8=ACCEPT is enabled: quoted strings may hold UTF-8, names are UTF-8 */
	bool failed;
	bool too_much;         /* it failed by a limit, not by its form */
	bool bad_name;         /* it failed by a mailbox name that is not in modified UTF-7, RFC 3501 §5.1.3 */
	size_t failed_at;
	const char *expected;  /* "a number", for the text of BAD */
};

void imap_parser_init(struct imap_parser *p, struct arena *arena, struct str text, bool utf8);

/* Remembers the misfit unless there is one already; returns false. */
bool imap_parse_fail(struct imap_parser *p, const char *expected);

/* True when all was right and the text is at its end. */
bool imap_parse_end(struct imap_parser *p);

/* Looks without taking: the next byte, or '\0' at the end or after a misfit. */
char imap_parse_peek(const struct imap_parser *p);

/* Takes this byte if it is next. */
bool imap_parse_skip(struct imap_parser *p, char c);

/* This byte has to be next. */
void imap_parse_char(struct imap_parser *p, char c);
void imap_parse_space(struct imap_parser *p);

/* True when a space is next, which is taken: for optional arguments. */
bool imap_parse_more(struct imap_parser *p);

/* Takes the keyword (any case) if it is next and ends there: at a byte that no atom has, at "[" ("BODY[…]") or at the
 * end. */
bool imap_parse_word(struct imap_parser *p, const char *word);

/* 1*ATOM-CHAR; RFC 9051 §9. */
struct str imap_parse_atom(struct imap_parser *p);
struct str imap_parse_tag(struct imap_parser *p);

/* Digits up to max: number (32 bits), number64 (63 bits), nz-number. */
uint64_t imap_parse_number(struct imap_parser *p, uint64_t max);
uint64_t imap_parse_nz_number(struct imap_parser *p, uint64_t max);

/* astring, string, nstring (data NULL for NIL), list-mailbox. Octets come back without quotes and escapes. NUL is
 * refused except in literal8. */
struct str imap_parse_astring(struct imap_parser *p);
struct str imap_parse_string(struct imap_parser *p);
struct str imap_parse_nstring(struct imap_parser *p);
struct str imap_parse_list_mailbox(struct imap_parser *p);
struct str imap_parse_literal8_or_string(struct imap_parser *p, bool *binary);

/* What ends the text at IMAP_MESSAGE (imap_collect.h): "{310}", "~{310+}". Gives its size. */
uint64_t imap_parse_message_literal(struct imap_parser *p, bool *literal8);

/* A mailbox name in UTF-8 as the store has it: "INBOX" in that case whatever was written, modified UTF-7 decoded
 * unless p->utf8 (RFC 9051 §5.1, RFC 3501 §5.1.3). "INBOX" at the top of a longer name likewise. A name that is not
 * well-formed is a misfit; it may be empty or end with the separator. */
struct str imap_parse_mailbox(struct imap_parser *p);

/* flag: "\Seen", keywords. Without the check whether the name is known. */
struct str imap_parse_flag(struct imap_parser *p);

/* date and date-time (RFC 9051 §9): days since 1970-01-01; seconds since 1970 UTC, and the zone in minutes east of
 * it. */
int64_t imap_parse_date(struct imap_parser *p);
int64_t imap_parse_date_time(struct imap_parser *p, int *zone_minutes);

/* A list: `(` … `)`. Use: for (imap_parse_list_begin(p); imap_parse_list_next(p);) take one element. Between elements
 * stands one space. Empty lists are taken; look at the count where the RFC wants one or more. */
void imap_parse_list_begin(struct imap_parser *p);
bool imap_parse_list_next(struct imap_parser *p);

#endif
