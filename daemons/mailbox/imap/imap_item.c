#include "imap_item.h"

#include "imap_binary.h"
#include "imap_objectid.h"
#include "imap_structure.h"
#include "imap_write.h"
#include "preview.h"
#include "store_date.h"

enum { FIELDS_MAX = INT32_MAX, PREVIEW_LOOKS_AT = 1 << 20, PREVIEW_DELAYS = 1 << 18 };

/* ---- what is needed ---- */

unsigned imap_item_needs(const struct imap_fetch_item *item, const struct imap_fields *fields)
{
	switch (item->kind) {
	case IMAP_FETCH_ENVELOPE:
	case IMAP_FETCH_STRUCTURE:
	case IMAP_FETCH_BODYSTRUCTURE: return IMAP_NEEDS_STRUCTURE;
	case IMAP_FETCH_SECTION: return fields->kept ? IMAP_NEEDS_HEADERS : IMAP_NEEDS_MORE;
	case IMAP_FETCH_PREVIEW:
	case IMAP_FETCH_BINARY:
	case IMAP_FETCH_BINARY_SIZE: return IMAP_NEEDS_MORE;
	case IMAP_FETCH_THREADID: return IMAP_NEEDS_THREAD;
	default: return 0;
	}
}

/* ---- literals ---- */

static void begin_literal(struct buf *out, bool binary, uint64_t size)
{
	if (binary)
		buf_add_char(out, '~');
	buf_add_char(out, '{');
	buf_add_u64(out, size);
	buf_append(out, "}\r\n", 3);
}

static void put_label(struct buf *out, const struct imap_fetch_item *item)
{
	buf_add_str(out, item->label);
	buf_add_char(out, ' ');
}

static enum imap_item_result put_nil(struct buf *out, const struct imap_fetch_item *item)
{
	put_label(out, item);
	buf_append(out, "NIL", 3);
	return IMAP_ITEM_WRITTEN;
}

static bool send_some(const struct imap_output *o)
{
	return !o->send || o->send(o->context);
}

/* A piece of the mail as a literal. */
static enum imap_item_result put_place(const struct imap_output *o, const struct imap_fetch_item *item,
                                       struct imap_mail *mail, struct imap_place place)
{
	CLEANUP(imap_pieces_release) struct imap_pieces p = {};
	struct str piece;
	if (!imap_pieces_begin(&p, mail, place))
		return IMAP_ITEM_FAILED;
	put_label(o->out, item);
	begin_literal(o->out, false, p.left);
	while (imap_pieces_next(&p, &piece)) {
		buf_add_str(o->out, piece);
		if (!send_some(o))
			return IMAP_ITEM_BROKEN;
	}
	return p.left ? IMAP_ITEM_BROKEN : IMAP_ITEM_WRITTEN;
}

static struct imap_place cut(const struct imap_fetch_item *item, struct imap_place place)
{
	return item->is_partial ? imap_place_cut(place, item->offset, item->length) : place;
}

/* All of a small mail, from the store into the answer without a copy between. */
static enum imap_item_result put_whole(const struct imap_output *o, const struct imap_fetch_item *item,
                                       struct imap_mail *mail)
{
	size_t start = o->out->length;
	put_label(o->out, item);
	begin_literal(o->out, false, mail->size);
	if (imap_mail_add_text(mail, o->out))
		return IMAP_ITEM_WRITTEN;
	buf_truncate(o->out, start);
	return IMAP_ITEM_FAILED;
}

/* ---- BODY[…] ---- */

/* Written behind its place first, because its size stands before it. */
static enum imap_item_result put_fields(const struct imap_output *o, const struct imap_fetch_item *item,
                                        const struct imap_fields *fields, struct str header, bool before_body)
{
	struct buf *out = o->out;
	put_label(out, item);
	size_t start = out->length;
	imap_fields_add(out, header, fields, before_body);
	struct imap_place subset = cut(item, (struct imap_place){ .size = out->length - start });
	size_t end = out->length;
	begin_literal(out, false, subset.size);
	char brace[32];
	size_t length = out->length - end;
	if (out->overflowed)
		return IMAP_ITEM_BROKEN;
	memcpy(brace, out->data + end, length);
	memmove(out->data + start + length, out->data + start + subset.offset, subset.size);
	memcpy(out->data + start, brace, length);
	buf_truncate(out, start + length + subset.size);
	return IMAP_ITEM_WRITTEN;
}

/* The octets of one header, in memory. */
static bool read_header(struct imap_pieces *p, struct imap_mail *mail, struct imap_place place, struct buf *room,
                        struct str *header)
{
	struct str piece;
	if (!imap_pieces_begin(p, mail, place))
		return false;
	*header = p->rest;
	if (!p->stream)
		return true;
	while (imap_pieces_next(p, &piece))
		buf_add_str(room, piece);
	*header = buf_str(room);
	return p->left == 0;
}

static enum imap_item_result put_fields_at(const struct imap_output *o, const struct imap_fetch_item *item,
                                           const struct imap_fields *fields, struct imap_mail *mail,
                                           struct imap_place place)
{
	CLEANUP(imap_pieces_release) struct imap_pieces p = {};
	CLEANUP(buf_release) struct buf room = BUF_WITH_LIMIT(FIELDS_MAX);
	struct str header;
	return read_header(&p, mail, place, &room, &header) ? put_fields(o, item, fields, header, place.before_body)
	                                                    : IMAP_ITEM_FAILED;
}

/* The fields that lists ask for lie beside the message, with the blank line behind them if none is missing. */
static bool has_kept_fields(const struct imap_fields *fields, struct imap_mail *mail)
{
	return fields->kept && imap_mail_columns(mail) && str_ends_nocase(mail->headers, STR("\r\n\r\n"));
}

/* A small mail is read in any case: its own header is found faster there than in what is stored of its structure. */
static bool find_place(const struct imap_fetch_item *item, struct imap_mail *mail, struct imap_place *place,
                       bool *exists)
{
	const struct imap_section *section = &item->section;
	struct str text;
	*exists = true;
	if (section->depth == 0 && mail->size <= IMAP_MAIL_SMALL && !mail->root) {
		if (!imap_mail_text(mail, &text))
			return false;
		size_t header = header_size(text);
		*place = section->text == IMAP_SECTION_TEXT ? (struct imap_place){ .offset = header, .size = text.length - header }
			: (struct imap_place){ .size = header, .before_body = header < text.length };
		return true;
	}
	struct mime_part *root = imap_mail_root(mail);
	if (root)
		*exists = imap_section_find(root, section, place);
	return root;
}

static bool is_of_fields(const struct imap_section *section)
{
	return section->text == IMAP_SECTION_FIELDS || section->text == IMAP_SECTION_FIELDS_NOT;
}

static enum imap_item_result put_section(const struct imap_output *o, const struct imap_fetch_item *item,
                                         const struct imap_fields *fields, struct imap_mail *mail)
{
	const struct imap_section *section = &item->section;
	struct imap_place place;
	bool exists;
	if (section->text == IMAP_SECTION_ALL && !section->depth) {
		place = (struct imap_place){ .size = mail->size };
		bool whole = !item->is_partial && mail->size <= IMAP_MAIL_SMALL;
		return whole ? put_whole(o, item, mail) : put_place(o, item, mail, cut(item, place));
	}
	if (has_kept_fields(fields, mail))
		return put_fields(o, item, fields, mail->headers, true);
	if (!find_place(item, mail, &place, &exists))
		return IMAP_ITEM_FAILED;
	if (!exists)
		return put_nil(o->out, item);
	if (is_of_fields(section))
		return put_fields_at(o, item, fields, mail, place);
	return put_place(o, item, mail, cut(item, place));
}

/* ---- BINARY ---- */

/* The decoded part goes by piece by piece: all of it is counted, what lies in the window is written to out (NULL:
 * none). */
struct decoding {
	uint64_t total;
	uint64_t offset, length; /* the window */
	bool has_nul;            /* in the window */
	const struct imap_output *output;
};

static bool take_decoded(struct decoding *d, struct str piece)
{
	uint64_t begin = d->total, end = begin + piece.length, stop = d->offset + d->length;
	d->total = end;
	if (end <= d->offset || begin >= stop)
		return true;
	uint64_t from = d->offset > begin ? d->offset - begin : 0, to = stop < end ? stop - begin : piece.length;
	d->has_nul |= memchr(piece.data + from, '\0', to - from) != NULL;
	if (!d->output)
		return true;
	buf_append(d->output->out, piece.data + from, to - from);
	return send_some(d->output);
}

static bool decode_part(struct decoding *d, struct imap_mail *mail, const struct mime_part *part,
                        struct imap_place place)
{
	CLEANUP(imap_pieces_release) struct imap_pieces p = {};
	CLEANUP(imap_binary_release) struct imap_binary b;
	struct str piece;
	imap_binary_begin(&b, part);
	if (!imap_pieces_begin(&p, mail, place))
		return false;
	while (imap_pieces_next(&p, &piece))
		if (!take_decoded(d, imap_binary_take(&b, piece)))
			return false;
	return p.left == 0 && take_decoded(d, imap_binary_end(&b)) && !b.decoded.overflowed;
}

/* The part that a TEXT section is the body of. */
static struct mime_part *text_part(const struct imap_section *section, struct mime_part *part)
{
	if (section->text != IMAP_SECTION_TEXT || section->depth == 0 || !part)
		return part;
	return part->kind == MIME_MESSAGE ? part->first : NULL;
}

static struct mime_part *find_binary(const struct imap_section *section, struct mime_part *root,
                                     struct imap_place *place)
{
	struct mime_part *part = text_part(section, mime_find(root, section->numbers, section->depth));
	bool whole = section->depth == 0 && section->text == IMAP_SECTION_ALL;
	if (part)
		*place = whole ? (struct imap_place){ .size = part->body_offset + part->body_size }
			: (struct imap_place){ .offset = part->body_offset, .size = part->body_size };
	return part;
}

static enum imap_item_result put_no_part(const struct imap_output *o, const struct imap_fetch_item *item)
{
	if (item->kind == IMAP_FETCH_BINARY)
		return put_nil(o->out, item);
	put_label(o->out, item);
	buf_add_char(o->out, '0');
	return IMAP_ITEM_WRITTEN;
}

static bool size_of_fields(struct imap_mail *mail, const struct imap_fields *fields, struct imap_place place,
                           uint64_t *size)
{
	CLEANUP(imap_pieces_release) struct imap_pieces p = {};
	CLEANUP(buf_release) struct buf room = BUF_WITH_LIMIT(FIELDS_MAX), subset = BUF_WITH_LIMIT(FIELDS_MAX);
	struct str header;
	if (!read_header(&p, mail, place, &room, &header))
		return false;
	imap_fields_add(&subset, header, fields, place.before_body);
	*size = subset.length;
	return true;
}

/* Nothing in a header is encoded for transfer. */
static enum imap_item_result put_size_of_header(const struct imap_output *o, const struct imap_fetch_item *item,
                                                const struct imap_fields *fields, struct imap_mail *mail)
{
	struct imap_place place;
	bool exists;
	if (!find_place(item, mail, &place, &exists))
		return IMAP_ITEM_FAILED;
	if (!exists)
		return put_no_part(o, item);
	if (is_of_fields(&item->section) && !size_of_fields(mail, fields, place, &place.size))
		return IMAP_ITEM_FAILED;
	put_label(o->out, item);
	buf_add_u64(o->out, place.size);
	return IMAP_ITEM_WRITTEN;
}

/* Decoded twice, to know the size before: memory stays small however large the part is. */
static enum imap_item_result put_decoded(const struct imap_output *o, const struct imap_fetch_item *item,
                                         struct imap_mail *mail)
{
	struct imap_place place;
	struct mime_part *root = imap_mail_root(mail);
	if (!root)
		return IMAP_ITEM_FAILED;
	struct mime_part *part = find_binary(&item->section, root, &place);
	if (!part)
		return put_no_part(o, item);
	if (item->section.depth == 0 && item->section.text == IMAP_SECTION_ALL)
		part = NULL;
	if (!imap_binary_is_known(part))
		return IMAP_ITEM_UNKNOWN_CTE;
	struct decoding count = { .offset = item->offset, .length = item->is_partial ? item->length : INT64_MAX };
	if (!decode_part(&count, mail, part, place))
		return IMAP_ITEM_FAILED;
	put_label(o->out, item);
	if (item->kind == IMAP_FETCH_BINARY_SIZE) {
		buf_add_u64(o->out, count.total);
		return IMAP_ITEM_WRITTEN;
	}
	struct decoding send = { .offset = count.offset, .length = count.length, .output = o };
	begin_literal(o->out, count.has_nul,
		imap_place_cut((struct imap_place){ .size = count.total }, count.offset, count.length).size);
	return decode_part(&send, mail, part, place) ? IMAP_ITEM_WRITTEN : IMAP_ITEM_BROKEN;
}

static enum imap_item_result put_binary(const struct imap_output *o, const struct imap_fetch_item *item,
                                        const struct imap_fields *fields, struct imap_mail *mail)
{
	if (item->section.text == IMAP_SECTION_ALL || item->section.text == IMAP_SECTION_TEXT)
		return put_decoded(o, item, mail);
	return item->kind == IMAP_FETCH_BINARY ? put_section(o, item, fields, mail)
	                                       : put_size_of_header(o, item, fields, mail);
}

/* ---- PREVIEW ---- */

/* Of a large mail what its beginning says. */
static bool make_preview(struct buf *preview, struct imap_mail *mail)
{
	CLEANUP(buf_release) struct buf beginning = BUF_WITH_LIMIT(PREVIEW_LOOKS_AT);
	struct str text;
	if (mail->has_text || mail->size <= PREVIEW_LOOKS_AT) {
		struct mime_part *root = imap_mail_root(mail);
		if (!root || !imap_mail_text(mail, &text))
			return false;
		preview_add(preview, text, root);
		return true;
	}
	if (!imap_mail_beginning(mail, PREVIEW_LOOKS_AT, &beginning))
		return false;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	preview_add(preview, buf_str(&beginning), mime_parse(arena, buf_str(&beginning), NULL));
	return true;
}

/* RFC 8970 §3.2: LAZY is NIL where the text would have to be looked for. */
static enum imap_item_result put_preview(const struct imap_output *o, const struct imap_fetch_item *item,
                                         struct imap_mail *mail)
{
	CLEANUP(buf_release) struct buf made = BUF_WITH_LIMIT(PREVIEW_SIZE_MAX);
	imap_mail_columns(mail);
	struct str preview = mail->preview;
	if (!preview.length) {
		if (item->lazy && mail->size > PREVIEW_DELAYS)
			return put_nil(o->out, item);
		if (!make_preview(&made, mail))
			return IMAP_ITEM_FAILED;
		preview = buf_str(&made);
	}
	put_label(o->out, item);
	imap_write_string(o->out, preview, o->utf8);
	return IMAP_ITEM_WRITTEN;
}

/* ---- from the columns ---- */

static enum imap_item_result put_envelope(const struct imap_output *o, struct imap_mail *mail)
{
	const struct mail_envelope *envelope = imap_mail_envelope(mail);
	if (!envelope)
		return IMAP_ITEM_FAILED;
	buf_append(o->out, "ENVELOPE ", 9);
	imap_write_envelope(o->out, envelope, o->utf8);
	return IMAP_ITEM_WRITTEN;
}

static enum imap_item_result put_structure(const struct imap_output *o, const struct imap_fetch_item *item,
                                           struct imap_mail *mail)
{
	struct mime_part *root = imap_mail_root(mail);
	if (!root)
		return IMAP_ITEM_FAILED;
	put_label(o->out, item);
	imap_write_structure(o->out, root, item->kind == IMAP_FETCH_BODYSTRUCTURE, o->utf8);
	return IMAP_ITEM_WRITTEN;
}

/* ---- from the row ---- */

static void put_number(struct buf *out, const char *label, size_t length, uint64_t number)
{
	buf_append(out, label, length);
	buf_add_u64(out, number);
}

static void put_date(struct buf *out, const struct imap_fetch_item *item, int64_t date)
{
	put_label(out, item);
	imap_write_date_time(out, store_date_seconds(date), store_date_zone(date));
}

static void put_modseq(struct buf *out, const struct imap_row *row)
{
	put_number(out, "MODSEQ (", 8, row->row.modseq);
	buf_add_char(out, ')');
}

static void put_id(struct buf *out, const struct imap_fetch_item *item, enum imap_objectid kind, uint64_t number)
{
	if (!number) {
		put_nil(out, item);
		return;
	}
	put_label(out, item);
	buf_add_char(out, '(');
	imap_objectid_write(out, kind, number);
	buf_add_char(out, ')');
}

static enum imap_item_result put_from_row(struct buf *out, const struct imap_fetch_item *item,
                                          const struct imap_row *row)
{
	switch (item->kind) {
	case IMAP_FETCH_FLAGS: buf_add_str(out, row->flags); break;
	case IMAP_FETCH_UID: put_number(out, "UID ", 4, row->row.uid); break;
	case IMAP_FETCH_SIZE: put_number(out, "RFC822.SIZE ", 12, row->row.size); break;
	case IMAP_FETCH_INTERNALDATE: put_date(out, item, row->row.received); break;
	case IMAP_FETCH_SAVEDATE: put_date(out, item, row->row.saved); break;
	case IMAP_FETCH_MODSEQ: put_modseq(out, row); break;
	case IMAP_FETCH_EMAILID: put_id(out, item, IMAP_EMAILID, row->row.message); break;
	default: put_id(out, item, IMAP_THREADID, row->thread); break;
	}
	return IMAP_ITEM_WRITTEN;
}

enum imap_item_result imap_item_write(const struct imap_output *o, const struct imap_fetch_item *item,
                                      const struct imap_fields *fields, const struct imap_row *row,
                                      struct imap_mail *mail)
{
	switch (item->kind) {
	case IMAP_FETCH_ENVELOPE: return put_envelope(o, mail);
	case IMAP_FETCH_STRUCTURE:
	case IMAP_FETCH_BODYSTRUCTURE: return put_structure(o, item, mail);
	case IMAP_FETCH_SECTION: return put_section(o, item, fields, mail);
	case IMAP_FETCH_BINARY:
	case IMAP_FETCH_BINARY_SIZE: return put_binary(o, item, fields, mail);
	case IMAP_FETCH_PREVIEW: return put_preview(o, item, mail);
	default: return put_from_row(o->out, item, row);
	}
}
