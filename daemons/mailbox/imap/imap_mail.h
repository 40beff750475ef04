/*
 * struct imap_mail: the mail that FETCH has at hand. It is read as far as the items need it and no further: stored
 * columns, then octets.
 *
 * One object serves all messages of a command: imap_mail_begin makes it stand for the next one. What it gives out is
 * valid until then. Octets come from the store, or were given (imap_mail_give_text); NUL, which no literal may have,
 * is shown as 0x80 (RFC 9051 §4.3). What is stored may be damaged: then it is found again from the octets. Failures
 * stay in `fail` until the next begin.
 */
#ifndef POSTHORN_MAILBOX_IMAP_MAIL_H
#define POSTHORN_MAILBOX_IMAP_MAIL_H

#include "imap_section.h"
#include "message.h"
#include "store.h"

/* Mails above this are read in pieces where a piece of them will do. */
enum { IMAP_MAIL_SMALL = 1 << 20 };

struct imap_mail {
	struct store_reader *reader; /* NULL: everything is given */
	struct arena *arena;         /* of what was found in this mail */
	uint64_t message;
	uint64_t size;
	bool has_columns;
	struct str structure, headers, preview; /* columns; empty: not known */
	struct buf memory;           /* of columns */
	struct mime_part *root;      /* NULL: not found yet */
	bool has_envelope;
	struct mail_envelope envelope;
	bool has_text;
	struct buf text;
	struct fail *fail;
};

void imap_mail_init(struct imap_mail *mail, struct store_reader *reader);
void imap_mail_release(struct imap_mail *mail);

void imap_mail_begin(struct imap_mail *mail, uint64_t message, uint64_t size);

/* Columns that the caller has read; they live longer than the mail is at hand. */
void imap_mail_give_columns(struct imap_mail *mail, const struct store_message_columns *columns);
void imap_mail_give_text(struct imap_mail *mail, struct str text);

/* NULL or false: see mail->fail. */
bool imap_mail_columns(struct imap_mail *mail);
struct mime_part *imap_mail_root(struct imap_mail *mail);
const struct mail_envelope *imap_mail_envelope(struct imap_mail *mail);

/* The whole mail in memory. */
bool imap_mail_text(struct imap_mail *mail, struct str *text);

/* Its first octets, without a look at the checksum. */
bool imap_mail_beginning(struct imap_mail *mail, size_t length, struct buf *out);

/* Adds the whole mail, which has to have the size that was told; on failure nothing is added. */
bool imap_mail_add_text(struct imap_mail *mail, struct buf *out);

/* A part of the mail piece by piece; zeroed pieces are nothing. */
struct imap_pieces {
	struct imap_mail *mail;
	struct store_stream *stream; /* NULL: the mail is in memory */
	uint64_t left;
	struct str rest;
	char *room;
};
bool imap_pieces_begin(struct imap_pieces *p, struct imap_mail *mail, struct imap_place place);

/* The next octets; false at the end or on failure (left is not 0 then). */
bool imap_pieces_next(struct imap_pieces *p, struct str *piece);
void imap_pieces_release(struct imap_pieces *p); /* for CLEANUP too */

#endif
