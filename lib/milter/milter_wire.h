/*
 * The milter protocol, version 6, as a mail server speaks it with a filter: packets, what they say, and the order of
 * things.
 *
 * There is no RFC: the protocol is that of Sendmail's libmilter (mfdef.h, "libmilter/docs"). No I/O: what is to be
 * sent gathers in a buffer, what came is given in. Bounded: a packet has LIMIT_MILTER_PACKET_MAX octets at most, and
 * whatever breaks the form or the order is MILTER_BAD, after which the connection is of no use. Views in an answer
 * live until the next call.
 */
#ifndef POSTHORN_MILTER_MILTER_WIRE_H
#define POSTHORN_MILTER_MILTER_WIRE_H

#include "buf.h"
#include "endpoint.h"

enum { MILTER_VERSION = 6, MILTER_CHUNK_MAX = 65535, MILTER_ARGUMENTS_MAX = 64 };

/* What the server says: the first octet of a packet. */
enum milter_command {
	MILTER_ABORT = 'A',
	MILTER_BODY = 'B',
	MILTER_CONNECT = 'C',
	MILTER_MACROS = 'D',
	MILTER_END = 'E',
	MILTER_HELO = 'H',
	MILTER_HEADER = 'L',
	MILTER_MAIL = 'M',
	MILTER_END_OF_HEADER = 'N',
	MILTER_OPTIONS = 'O',
	MILTER_QUIT = 'Q',
	MILTER_RCPT = 'R',
	MILTER_DATA = 'T',
	MILTER_UNKNOWN = 'U', /* a command that nobody knows */
};

/* What the filter answers. */
enum milter_answer_kind {
	MILTER_ADD_RECIPIENT = '+',
	MILTER_ADD_RECIPIENT_WITH = '2',
	MILTER_DELETE_RECIPIENT = '-',
	MILTER_SHUTDOWN = '4',
	MILTER_ACCEPT = 'a',
	MILTER_REPLACE_BODY = 'b',
	MILTER_CONTINUE = 'c',
	MILTER_DISCARD = 'd',
	MILTER_CHANGE_SENDER = 'e',
	MILTER_CONNECTION_FAILED = 'f',
	MILTER_ADD_HEADER = 'h',
	MILTER_INSERT_HEADER = 'i',
	MILTER_MACROS_WANTED = 'l',
	MILTER_CHANGE_HEADER = 'm',
	MILTER_PROGRESS = 'p',
	MILTER_QUARANTINE = 'q',
	MILTER_REJECT = 'r',
	MILTER_SKIP = 's',
	MILTER_TEMPFAIL = 't',
	MILTER_REPLY_CODE = 'y',
};

/* Of the option negotiation: what the filter may change, */
enum milter_actions {
	MILTER_MAY_ADD_HEADERS = 0x1,
	MILTER_MAY_CHANGE_BODY = 0x2,
	MILTER_MAY_ADD_RECIPIENTS = 0x4,
	MILTER_MAY_DELETE_RECIPIENTS = 0x8,
	MILTER_MAY_CHANGE_HEADERS = 0x10,
	MILTER_MAY_QUARANTINE = 0x20,
	MILTER_MAY_CHANGE_SENDER = 0x40,
	MILTER_MAY_ADD_RECIPIENTS_WITH = 0x80, /* parameters of RCPT */
	MILTER_MAY_CHOOSE_MACROS = 0x100,
};

/* and what it does not want to hear of, or does not answer. */
enum milter_protocol {
	MILTER_NO_CONNECT = 0x1,
	MILTER_NO_HELO = 0x2,
	MILTER_NO_MAIL = 0x4,
	MILTER_NO_RCPT = 0x8,
	MILTER_NO_BODY = 0x10,
	MILTER_NO_HEADERS = 0x20,
	MILTER_NO_END_OF_HEADER = 0x40,
	MILTER_SILENT_HEADER = 0x80,
	MILTER_NO_UNKNOWN = 0x100,
	MILTER_NO_DATA = 0x200,
	MILTER_CAN_SKIP = 0x400,
	MILTER_SILENT_CONNECT = 0x1000,
	MILTER_SILENT_HELO = 0x2000,
	MILTER_SILENT_MAIL = 0x4000,
	MILTER_SILENT_RCPT = 0x8000,
	MILTER_SILENT_DATA = 0x10000,
	MILTER_SILENT_UNKNOWN = 0x20000,
	MILTER_SILENT_END_OF_HEADER = 0x40000,
	MILTER_SILENT_BODY = 0x80000,
	MILTER_LEADING_SPACE = 0x100000, /* a header's value comes with the blank behind its colon */
};

struct milter_options {
	uint32_t version, actions, protocol;
};

struct milter_answer {
	enum milter_answer_kind kind;
	struct milter_options options; /* of MILTER_OPTIONS, which both sides send */
	struct str macros;             /* likewise: stages and the names that are wanted there, as they came */
	uint32_t index;                /* of INSERT_HEADER, CHANGE_HEADER */
	struct str name, value;        /* of headers; value: reason, address, replaced body */
	int code;                      /* of REPLY_CODE: 4yz or 5yz, */
	struct str status;             /* "5.7.1", or empty, */
	struct str text;               /* its lines, joined by blanks */
};

struct milter_request {
	enum milter_command command;
	struct milter_options options;
	enum milter_command macros_for;
	char family;                   /* of CONNECT: '4', '6', 'L', 'U' */
	uint16_t port;
	struct str arguments[MILTER_ARGUMENTS_MAX]; /* host and address; HELO name; path and parameters; header's name and value; macros;
	                                                    the unknown command's line */
	size_t argument_count;
	struct str body;
};

enum milter_event { MILTER_MORE, MILTER_ANSWER, MILTER_BAD };

/* The next packet at the start of input, which is a filter's; *used: its octets. text: room for the lines of a
 * REPLY_CODE. */
enum milter_event milter_answer_read(struct str input, size_t *used, struct buf *text, struct milter_answer *answer);

/* The same for what a server says. */
enum milter_event milter_request_read(struct str input, size_t *used, struct milter_request *request);

/* Adds a packet. */
void milter_request_write(struct buf *out, const struct milter_request *request);
void milter_answer_write(struct buf *out, const struct milter_answer *answer);

/* ---- the server's side of a connection ---- */

struct milter_client {
	struct buf out;                /* to be sent; the caller empties it */
	struct milter_options agreed;
	enum milter_command asked;     /* whose answer is awaited, */
	bool awaits;                   /* if any is */
	bool negotiated;
	struct buf macros;             /* that the filter chose, as they came */
	struct buf text;
};

void milter_client_init(struct milter_client *c);
void milter_client_release(struct milter_client *c);

/* Adds the request if the filter wants to hear of it, and says whether an answer has to be awaited before the next
 * one. The first one is MILTER_OPTIONS, whose options are ours. */
bool milter_client_ask(struct milter_client *c, const struct milter_request *request);

/* The names of the macros that it chose for what it is told, with blanks between them. False: it did not, and gets
 * the usual ones. */
bool milter_client_macros(const struct milter_client *c, enum milter_command command, struct str *names);

/* Does the filter want to hear of it? */
bool milter_client_wants(const struct milter_client *c, enum milter_command command);

/* Reads on. MILTER_ANSWER: one that may stand here; those that are final for what was asked end the waiting. */
enum milter_event milter_client_read(struct milter_client *c, struct str input, size_t *used,
                                     struct milter_answer *answer);

#endif
