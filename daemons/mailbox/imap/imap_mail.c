#include "imap_mail.h"

#include "limits.h"

#include <stdlib.h>

enum { PIECE = 65536, TEXT_KEPT = 2 * IMAP_MAIL_SMALL, COLUMNS_MAX = 64 << 20, STRUCTURE_MAX = 64 << 20 };

void imap_mail_init(struct imap_mail *mail, struct store_reader *reader)
{
	*mail = (struct imap_mail){ .reader = reader, .memory = BUF_WITH_LIMIT(COLUMNS_MAX),
		                        .text = BUF_WITH_LIMIT(LIMIT_IMPORT_MAIL_MAX) };
	mail->arena = arena_new(MESSAGE_ARENA_SIZE + STRUCTURE_MAX);
}

void imap_mail_release(struct imap_mail *mail)
{
	arena_cleanup(&mail->arena);
	buf_release(&mail->memory);
	buf_release(&mail->text);
	fail_free(&mail->fail);
}

void imap_mail_begin(struct imap_mail *mail, uint64_t message, uint64_t size)
{
	mail->message = message;
	mail->size = size;
	mail->has_columns = mail->has_envelope = mail->has_text = false;
	mail->structure = mail->headers = mail->preview = (struct str){};
	mail->root = NULL;
	if (arena_used(mail->arena))
		arena_reset(mail->arena);
	if (mail->text.capacity > TEXT_KEPT)
		buf_release(&mail->text);
	fail_free(&mail->fail);
	mail->fail = NULL;
}

void imap_mail_give_columns(struct imap_mail *mail, const struct store_message_columns *columns)
{
	mail->has_columns = true;
	mail->structure = columns->structure;
	mail->headers = columns->headers;
	mail->preview = columns->preview;
}

/* Memory that is ours: text has no NUL any more. */
static void show_nul(char *at, size_t length)
{
	char *end = at + length;
	while (at < end && (at = memchr(at, '\0', (size_t)(end - at))))
		*at++ = (char)0x80;
}

void imap_mail_give_text(struct imap_mail *mail, struct str text)
{
	buf_clear(&mail->text);
	buf_add_str(&mail->text, text);
	show_nul(mail->text.data, mail->text.length);
	mail->has_text = true;
	mail->size = mail->text.length;
}

bool imap_mail_columns(struct imap_mail *mail)
{
	struct store_message_columns columns;
	if (mail->has_columns || !mail->reader)
		return true;
	if (!store_read_columns(mail->reader, mail->message, &columns, &mail->memory, &mail->fail))
		return false;
	imap_mail_give_columns(mail, &columns);
	return true;
}

/* ---- octets ---- */

bool imap_mail_add_text(struct imap_mail *mail, struct buf *out)
{
	size_t start = out->length;
	if (mail->has_text)
		return buf_add_str(out, buf_str(&mail->text));
	if (store_read_body(mail->reader, mail->message, out, &mail->fail)) {
		show_nul(out->data + start, out->length - start);
		if (out->length - start == mail->size)
			return true;
		fail_set(&mail->fail, FAIL_CORRUPT, "message %llu has another size than its placement",
		         (unsigned long long)mail->message);
	}
	buf_truncate(out, start);
	return false;
}

bool imap_mail_text(struct imap_mail *mail, struct str *text)
{
	if (!mail->has_text) {
		buf_clear(&mail->text);
		mail->has_text = imap_mail_add_text(mail, &mail->text);
	}
	*text = buf_str(&mail->text);
	return mail->has_text;
}

bool imap_pieces_begin(struct imap_pieces *p, struct imap_mail *mail, struct imap_place place)
{
	uint64_t size;
	struct str text;
	*p = (struct imap_pieces){ .mail = mail, .left = place.size };
	if (mail->has_text || mail->size <= IMAP_MAIL_SMALL) {
		if (!imap_mail_text(mail, &text))
			return false;
		p->rest = str_first(str_from_index(text, place.offset), place.size);
		p->left = p->rest.length;
		return true;
	}
	p->stream = store_stream_open(mail->reader, mail->message, &size, &mail->fail);
	if (!p->stream || !store_stream_skip(p->stream, place.offset, &mail->fail))
		return false;
	if (place.offset + place.size > size)
		return fail_set(&mail->fail, FAIL_CORRUPT, "message %llu is shorter than its structure",
		                (unsigned long long)mail->message);
	p->room = mem_alloc(PIECE);
	return true;
}

bool imap_pieces_next(struct imap_pieces *p, struct str *piece)
{
	if (p->left == 0)
		return false;
	if (!p->stream) {
		*piece = p->rest;
		p->left = 0;
		return true;
	}
	int64_t got = store_stream_read(p->stream, p->room, p->left < PIECE ? (size_t)p->left : PIECE, &p->mail->fail);
	if (got <= 0)
		return false;
	show_nul(p->room, (size_t)got);
	p->left -= (uint64_t)got;
	*piece = str_from(p->room, (size_t)got);
	return true;
}

void imap_pieces_release(struct imap_pieces *p)
{
	store_stream_close(&p->stream);
	free(p->room);
	p->room = NULL;
}

bool imap_mail_beginning(struct imap_mail *mail, size_t length, struct buf *out)
{
	CLEANUP(imap_pieces_release) struct imap_pieces p = {};
	struct str piece;
	uint64_t wanted = length < mail->size ? length : mail->size;
	if (!imap_pieces_begin(&p, mail, (struct imap_place){ .size = wanted }))
		return false;
	while (imap_pieces_next(&p, &piece))
		buf_add_str(out, piece);
	return p.left == 0;
}

/* ---- what is in it ---- */

/* Too many parts for a blob, or a damaged one: all of it is found again. */
static bool parse_text(struct imap_mail *mail)
{
	struct message message;
	struct str text;
	if (!imap_mail_text(mail, &text))
		return false;
	message_parse(mail->arena, text, &message);
	mail->root = message.root;
	mail->envelope = message.envelope;
	mail->has_envelope = true;
	return true;
}

/* Without columns the octets will do, where they can be read. */
static struct str known_structure(struct imap_mail *mail)
{
	if (!imap_mail_columns(mail)) {
		fail_free(&mail->fail);
		mail->fail = NULL;
	}
	return mail->structure;
}

/* What was stored must fit the mail it is of. */
static bool fits(const struct imap_mail *mail, const struct mime_part *root)
{
	return root && root->header_offset == 0 && root->body_offset + root->body_size == mail->size;
}

struct mime_part *imap_mail_root(struct imap_mail *mail)
{
	if (mail->root)
		return mail->root;
	struct str blob = known_structure(mail);
	struct mime_part *root = blob.length ? message_unpack_structure(mail->arena, blob, NULL) : NULL;
	if (fits(mail, root))
		mail->root = root;
	else if (!parse_text(mail))
		return NULL;
	return mail->root;
}

const struct mail_envelope *imap_mail_envelope(struct imap_mail *mail)
{
	if (mail->has_envelope)
		return &mail->envelope;
	struct str blob = known_structure(mail);
	mail->has_envelope = blob.length && message_unpack_envelope(mail->arena, blob, &mail->envelope, NULL);
	return mail->has_envelope || parse_text(mail) ? &mail->envelope : NULL;
}
