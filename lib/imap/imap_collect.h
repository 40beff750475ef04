/*
 * struct imap_collector: from a client's bytes to whole commands (RFC 9051 §2.2.1, §4.3, RFC 7888).
 *
 * A command is its line with all literals in it, as they came: `a LOGIN {4}\r\nuser secret`, without the CRLF at its
 * end. The collector keeps it in a buffer of its own with a limit, and knows when the client waits for a
 * continuation. Long message literals (APPEND, REPLACE) are not kept: the collector stops in front of them, the
 * caller takes their octets from the input itself, and collecting goes on behind them with an empty text.
 *
 * It takes bytes in pieces of any size and never looks further than the end of the command, so what is pipelined stays
 * in the caller's input. A bare LF ends a line as CRLF does. Memory is bounded by line_max + literals_max.
 */
#ifndef POSTHORN_IMAP_COLLECT_H
#define POSTHORN_IMAP_COLLECT_H

#include "buf.h"
#include "check.h"

struct imap_collect_limits {
	size_t line_max;       /* octets outside literals */
	uint64_t literals_max; /* octets in all literals of one command that are kept */
	uint64_t message_max;  /* of a message literal: APPENDLIMIT */
	uint64_t plus_max;     /* largest literal taken without asking: 4096 with LITERAL- (RFC 7888 §5), message_max with LITERAL+ */
	uint64_t discard_max;  /* octets of a refused command that are passed over; more ends the connection */
};

enum imap_collected {
	IMAP_MORE,         /* all bytes were taken and there is no whole command yet */
	IMAP_CONTINUE,     /* send a continuation request, then go on */
	IMAP_COMMAND,      /* a whole command, or what follows a message literal up to the end of the line */
	IMAP_MESSAGE,      /* a message literal begins: message_size octets follow, after a continuation request if message_waits.
	                    * The text ends with the literal's "{…}" (imap_parse_message_literal) */
	IMAP_LINE_TOO_LONG, /* the line was dropped with its end; text has its beginning, for the tag */
	IMAP_TOO_BIG,      /* a literal was refused; text has the command up to it, for the tag. Nothing of it will come, or it
	                    * was passed over with the rest of its command (without asking: RFC 7888 §4) */
	IMAP_TAKES_TOO_LONG, /* what was refused is so long that passing over it is not worth while: end the connection. too_big
	                    * says whether it was a literal; text as above */
};

enum imap_collect_part {
	IMAP_COLLECT_LINE,
	IMAP_COLLECT_LITERAL,
	IMAP_COLLECT_MESSAGE,         /* the caller has the word */
	IMAP_COLLECT_DISCARD_LINE,    /* of a refused command */
	IMAP_COLLECT_DISCARD_LITERAL,
	IMAP_COLLECT_HOPELESS,        /* nothing but IMAP_TAKES_TOO_LONG any more */
};

enum { IMAP_COLLECT_TAIL = 32 };

struct imap_collector {
	struct imap_collect_limits limits;
	struct buf text;         /* the command so far */
	enum imap_collect_part part;
	bool fresh;              /* the text has been given out: the next byte begins a new one */
	bool silent;             /* what is discarded was answered already */
	bool after_message;      /* text goes on behind a message literal */
	size_t line_octets;      /* outside literals */
	size_t line_began_at;    /* so many of them stood before the line at hand */
	uint64_t literal_octets; /* in all literals so far that are kept */
	unsigned literals;       /* so many */
	uint64_t left;           /* octets of the literal at hand */
	uint64_t discarded;      /* octets of the refused command */
	char tail[IMAP_COLLECT_TAIL]; /* end of the line that is discarded: it may announce a literal */
	size_t tail_length;
	bool too_big;            /* it was refused for a literal, not for its line */
	bool refused_plus;       /* that literal was sent without asking: BAD, not NO (RFC 7888 §5) */
	bool refused_message;    /* it was a message: [TOOBIG] of RFC 7889 §4 */
	uint64_t message_size;   /* with IMAP_MESSAGE */
	bool message_waits;      /* it is a synchronizing literal */
	bool message_is_literal8; /* RFC 3516 §4.4: ~{…} */
};

void imap_collector_init(struct imap_collector *c, const struct imap_collect_limits *limits);
void imap_collector_release(struct imap_collector *c);

/* Takes bytes from the front of *input. Called again with what is left, and with more input after IMAP_MORE. After
 * IMAP_COMMAND, IMAP_LINE_TOO_LONG and IMAP_TOO_BIG the text is valid until the next call, which begins a new
 * command. */
enum imap_collected imap_collect(struct imap_collector *c, struct str *input);

/* After IMAP_MESSAGE: the caller has taken (or passed over) the octets; what follows is collected into an empty
 * text. */
void imap_collect_after_message(struct imap_collector *c);

/* After IMAP_MESSAGE: the command is over, the caller answers it now. A message that comes unasked is passed over
 * with the rest of its command, without another word unless that takes too long. */
void imap_collect_drop_message(struct imap_collector *c);

/* The tag of a command text of any quality; empty when it has none that may be repeated (RFC 9051 §2.2.1). */
struct str imap_tag_of(struct str text);

#endif
