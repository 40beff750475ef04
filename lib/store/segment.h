/*
 * The format of a segment file: what a record looks like, and nothing that touches a file.
 *
 *	file   = start record*
 *	record = header stored-bytes
 *
 * start and header are lines of ASCII, so that `less` and `strings` show every mail with what
 * is needed to put it back; numbers are decimal with a fixed width:
 *
 *	%posthorn segment 1 0000000012 <32 hex: key>
 *
 *	%posthorn record 1 mail raw
 *	header 00448 stored 00000000000000012345
 *	size 00000000000000012345 check <16 hex: XXH3-64 of the mail's octets>
 *	id <32 hex> message 00000000000000000042
 *	received 1700000000 uidvalidity 0000000001 uid 0000000042 flags -A---
 *	mailbox INBOX
 *	<spaces up to a multiple of 64>
 *	seal <16 hex>
 *	<empty line>
 *
 * In a compressed segment start and header each travel in a zstd skippable frame and each
 * body is one zstd frame, so `zstd -dc` prints the mails.
 *
 * seal is SipHash-2-4 over the header before it, keyed with the account's key, and not a plain
 * checksum: a body may contain anything, also a record header, and a salvage that looks
 * for the next record behind a damaged one must not take a sender's words for ours. The key is
 * in `version` and at the start of every segment; whoever reads those reads all the mail anyway.
 *
 * Failures: decoding answers 0 for whatever is not exactly what encoding makes. Nothing is owned.
 */
#ifndef POSTHORN_STORE_SEGMENT_H
#define POSTHORN_STORE_SEGMENT_H

#include "buf.h"

enum {
	SEGMENT_START_SIZE = 64, /* raw; a skippable frame puts 8 bytes before it */
	SEGMENT_FRAME_SIZE = 8,  /* header of a zstd skippable frame, RFC 8878 §3.1.2 */
	SEGMENT_HEADER_MIN = 320,
	SEGMENT_HEADER_MAX = 8192,
};

enum segment_codec { SEGMENT_RAW, SEGMENT_ZSTD };
enum segment_kind { SEGMENT_MAIL, SEGMENT_META };

struct segment_key {
	uint64_t words[2];
};

struct segment_header {
	enum segment_kind kind;
	enum segment_codec codec;
	uint32_t length; /* of the header itself, with its frame */
	uint64_t stored; /* bytes behind the header */
	uint64_t size;   /* octets of the mail */
	uint64_t check;  /* XXH3-64 of the mail's octets */
	uint8_t id[16];
	uint64_t message;
	int64_t received;     /* store_date.h; the header has its seconds since 1970, before it 0 */
	uint32_t uidvalidity; /* placement at delivery; uid 0: none */
	uint32_t uid;
	uint32_t flags;
	struct str mailbox; /* escaped when encoded */
};

/* The first bytes of a segment file. */
void segment_start_encode(struct buf *out, uint64_t number, enum segment_codec codec, const struct segment_key *key);

/* Length of the start, or 0. */
size_t segment_start_decode(struct str bytes, uint64_t *number, enum segment_codec *codec, struct segment_key *key);

/* Adds the header. length is the room it must fill exactly (a record rewritten in its place), or 0 for what
 * it needs; a mailbox name that no longer fits is left out. Returns its length. */
uint32_t segment_header_encode(struct buf *out, const struct segment_header *header, const struct segment_key *key,
                               uint32_t length);

/* Length of the header that bytes begin with, or 0 when none does. The mailbox name is written to name, which is
 * cleared first. */
size_t segment_header_decode(struct str bytes, const struct segment_key *key, struct segment_header *header,
                             struct buf *name);

/* Index of the next place at or after from where a header may begin, or bytes.length. Candidates that touch the
 * end (fewer than SEGMENT_HEADER_MIN bytes left) count. */
size_t segment_find(struct str bytes, size_t from);

#endif
