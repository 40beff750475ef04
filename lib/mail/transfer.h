/*
 * Content-Transfer-Encoding (RFC 2045 §6): decoders and encoders that take a body in pieces of any size.
 *
 * The decoders never fail: what the RFC forbids is passed over or kept as it stands, as §6.7 and §6.8 advise.
 * Memory is constant; output goes to a buf, whose limit bounds it.
 */
#ifndef POSTHORN_MAIL_TRANSFER_H
#define POSTHORN_MAIL_TRANSFER_H

#include "buf.h"

enum transfer_encoding {
	TRANSFER_7BIT,
	TRANSFER_8BIT,
	TRANSFER_BINARY,
	TRANSFER_BASE64,
	TRANSFER_QUOTED_PRINTABLE,
	TRANSFER_UUENCODE,
	TRANSFER_UNKNOWN,
	TRANSFER_ENCODING_COUNT
};

/* The value of the field, comments and blanks around it ignored; empty is 7bit (RFC 2045 §6.1). */
enum transfer_encoding transfer_find(struct str value);

/* "base64" and so on; empty for TRANSFER_UNKNOWN. */
struct str transfer_name(enum transfer_encoding encoding);

/* True when a body of that encoding is its own content: no decoder changes it. */
bool transfer_is_identity(enum transfer_encoding encoding);

struct transfer_decoder {
	enum transfer_encoding encoding;
	int state;
	uint32_t bits;
	int sextets;
	char kept[128]; /* bytes whose meaning is not known before more of them are seen */
	size_t kept_length;
};

/* An unknown encoding is passed through. */
void transfer_decode_begin(struct transfer_decoder *d, enum transfer_encoding encoding);
void transfer_decode(struct transfer_decoder *d, struct str bytes, struct buf *out);
void transfer_decode_finish(struct transfer_decoder *d, struct buf *out);

/* A whole body. */
void transfer_decode_all(enum transfer_encoding encoding, struct str bytes, struct buf *out);

struct transfer_encoder {
	enum transfer_encoding encoding;
	bool text; /* quoted-printable: CRLF and LF in the content are line breaks, else bytes */
	size_t column;
	char kept[3];
	size_t kept_length;
};

/* encoding: base64 or quoted-printable. Lines have at most 76 characters and end with CRLF. */
void transfer_encode_begin(struct transfer_encoder *e, enum transfer_encoding encoding, bool text);
void transfer_encode(struct transfer_encoder *e, struct str bytes, struct buf *out);
void transfer_encode_finish(struct transfer_encoder *e, struct buf *out);

#endif
