/*
 * The text of a leaf part in UTF-8, its transfer encoding and charset undone, in pieces of bounded size. A part
 * without a charset, or with us-ascii and other bytes all the same, is read as UTF-8 or Windows-1252.
 */
#ifndef POSTHORN_MAIL_PART_READER_H
#define POSTHORN_MAIL_PART_READER_H

#include "charset.h"
#include "mime.h"

struct part_reader {
	struct str rest;
	struct transfer_decoder decoder;
	struct charset charset;
	struct buf bytes;
	bool guesses;
	bool ended;
};

void part_reader_begin(struct part_reader *r, const struct mime_part *part, struct str text);
void part_reader_release(struct part_reader *r);

/* Fills piece (cleared before) with whole characters of the text; false at its end. */
bool part_reader_next(struct part_reader *r, struct buf *piece);

#endif
