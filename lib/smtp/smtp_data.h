/*
 * Message content on its way in and out: DATA with dot-stuffing (RFC 5321 §4.5.2) and BDAT chunks (RFC 3030).
 *
 * Reading is incremental and gives the same result however the bytes are cut into chunks. Only CRLF "." CRLF ends DATA;
 * only a "." behind a CRLF is a stuffed one. A bare CR or LF never ends anything: it is noted with its offset and, by
 * policy, makes the verdict a refusal or becomes CRLF. Beyond the size limit, and once a refusal is certain, content
 * is counted and drained but not stored. Time is linear in the input.
 *
 * A reader holds no memory of its own. What it stores goes to the caller's buffer, which the caller empties as it
 * likes; one call adds at most twice its input plus two octets. A buffer that is full counts as too big.
 */
#ifndef POSTHORN_SMTP_DATA_H
#define POSTHORN_SMTP_DATA_H

#include "smtp_reply.h"

enum smtp_data_form {
	SMTP_DATA_DOTTED, /* DATA */
	SMTP_DATA_TEXT,   /* BDAT with BODY=7BIT or 8BITMIME: octets as they are, but line ends are checked */
	SMTP_DATA_BINARY, /* BDAT with BODY=BINARYMIME: any octets */
};

enum smtp_data_policy {
	SMTP_DATA_REFUSE,    /* a bare CR or LF refuses the message */
	SMTP_DATA_NORMALISE, /* it becomes CRLF: an administrator's choice for submission and LMTP, never for port 25 */
};

struct smtp_data {
	enum smtp_data_form form;
	enum smtp_data_policy policy;
	uint64_t limit;       /* of octets */
	uint64_t octets;      /* content read: unstuffed, normalised, without the final dot */
	uint64_t lines;       /* CRLFs in it */
	uint64_t bare_offset; /* of the first bare CR or LF, in octets of input since the beginning */
	bool bare;            /* there was one */
	bool too_big;
	bool has_nul, has_8bit, has_long_line;
	/* private */
	enum smtp_data_state {
		SMTP_DATA_LINE_START, SMTP_DATA_MIDDLE, SMTP_DATA_AFTER_CR, SMTP_DATA_DOT, SMTP_DATA_DOT_CR, SMTP_DATA_END
	} state;
	uint64_t position;    /* octets of input so far */
	size_t column;        /* octets of the line so far, up to LIMIT_SMTP_TEXT_LINE_MAX */
};

void smtp_data_begin(struct smtp_data *d, enum smtp_data_form form, enum smtp_data_policy policy, uint64_t limit);

/* Reads content; *used says how many octets of the input were content (with DATA's final dot and CRLF). True when the
 * final dot was there: the rest of the input is commands. BDAT content has no end of its own: the caller cuts by chunk
 * size, chunk after chunk into the same reader, and calls smtp_data_finish behind the last one. */
bool smtp_data_read(struct smtp_data *d, struct str input, size_t *used, struct buf *out);
void smtp_data_finish(struct smtp_data *d, struct buf *out);

/* NULL when the content may be accepted, else the refusal: 550 5.5.2 for a bare CR or LF, 552 5.3.4 for too big. */
const struct smtp_reply *smtp_data_verdict(const struct smtp_data *d);

/*
 * Writing, for clients: dot-stuffs content given in any chunks. Octets pass unchanged but for the stuffing, so a caller
 * whose text has other line ends than CRLF converts them first. Zero-initialise; end adds the CRLF that may be missing
 * and the final dot, and makes it ready for the next message.
 */
struct smtp_stuffer {
	unsigned char state; /* how much of CRLF the content so far ends with */
	bool begun;
};

void smtp_stuff_add(struct smtp_stuffer *s, struct str content, struct buf *out);
void smtp_stuff_end(struct smtp_stuffer *s, struct buf *out);

#endif
