#include "message.h"

#include "ascii.h"
#include "limits.h"
#include "subject.h"

struct reading {
	struct arena *arena;
	struct str text;
	struct message *message;
	struct header_field references;
	size_t addresses_left;
	size_t subset_size;
	struct subset_piece {
		size_t offset, length;
	} pieces[64];
	size_t piece_count;
};

/* What clients ask for with BODY[HEADER.FIELDS (…)] when they list messages. */
static bool keeps(enum header_name id)
{
	switch (id) {
	case HEADER_OTHER:
	case HEADER_COMMENTS:
	case HEADER_RECEIVED:
	case HEADER_CONTENT_BASE:
	case HEADER_CONTENT_MD5:
	case HEADER_RESENT_BCC: return false;
	default: return true;
	}
}

bool message_keeps_field(struct str name)
{
	return keeps(header_name_find(name));
}

static void keep_field(struct reading *r, const struct header_field *field)
{
	if (!keeps(field->id))
		return;
	if (r->piece_count == COUNT_OF(r->pieces) || r->subset_size + field->length > LIMIT_HEADER_SUBSET_MAX) {
		r->message->flags &= ~(unsigned)MESSAGE_SUBSET_COMPLETE;
		return;
	}
	r->pieces[r->piece_count++] = (struct subset_piece){ field->offset, field->length };
	r->subset_size += field->length;
}

static void take_field(void *context, const struct header_field *field)
{
	struct reading *r = context;
	mail_envelope_add(r->arena, &r->message->envelope, field, &r->addresses_left);
	r->message->received_count += field->id == HEADER_RECEIVED;
	if (field->id == HEADER_REFERENCES && !r->references.length)
		r->references = *field;
	keep_field(r, field);
}

/* One copy of all pieces; neighbours in the text are common, so often it is few. */
static void join_subset(struct reading *r)
{
	char *copy = arena_alloc(r->arena, r->subset_size);
	size_t used = 0;
	for (size_t i = 0; i < r->piece_count; i++) {
		memcpy(copy + used, r->text.data + r->pieces[i].offset, r->pieces[i].length);
		used += r->pieces[i].length;
	}
	r->message->subset = str_from(copy, used);
}

/* RFC 5256 §3: <"a"@b> and <a@b> are the same id. */
static struct str normal_id(struct arena *a, struct str id)
{
	if (str_find_char(id, '"') == id.length && str_find_char(id, ' ') == id.length)
		return id;
	char *text = arena_alloc(a, id.length);
	size_t length = 0;
	for (size_t i = 0; i < id.length; i++)
		if (id.data[i] != '"' && id.data[i] != ' ' && id.data[i] != '\t')
			text[length++] = id.data[i];
	return str_from(text, length);
}

/* The next "<…>" that has an "@"; ids without one are made by no program but mean nothing (RFC 5256 §3). */
static bool next_id(struct str *rest, struct str *id)
{
	while (rest->length) {
		*rest = str_from_index(*rest, str_find_char(*rest, '<') + 1);
		size_t end = str_find_char(*rest, '>');
		if (end == rest->length)
			return false;
		*id = str_first(*rest, end);
		size_t again = str_find_last_char(*id, '<');
		if (again < id->length)
			*id = str_from_index(*id, again + 1);
		*rest = str_from_index(*rest, end + 1);
		if (str_find_char(*id, '@') < id->length)
			return true;
	}
	return false;
}

static void read_references(struct arena *a, struct message *m, struct str text, size_t max)
{
	struct str rest = text, id;
	size_t count = 0;
	while (count < max && next_id(&rest, &id))
		count++;
	if (count == 0)
		return;
	m->references = arena_alloc_array(a, count, sizeof *m->references);
	for (rest = text; m->reference_count < count && next_id(&rest, &id);)
		m->references[m->reference_count++] = normal_id(a, id);
}

static void read_ids(struct reading *r)
{
	struct message *m = r->message;
	struct str rest = m->envelope.message_id, id;
	if (next_id(&rest, &id))
		m->id = normal_id(r->arena, id);
	read_references(r->arena, m, header_unfold(r->arena, r->references.value), LIMIT_MESSAGE_IDS_MAX);
	if (!m->reference_count)
		read_references(r->arena, m, m->envelope.in_reply_to, 1);
}

static void read_subject(struct reading *r)
{
	struct message *m = r->message;
	bool is_reply;
	CLEANUP(buf_release) struct buf base = BUF_WITH_LIMIT(LIMIT_SUBJECT_MAX * 3 + 1);
	subject_base(&base, m->envelope.subject, &is_reply);
	m->base_subject = arena_copy(r->arena, buf_str(&base));
	m->flags |= is_reply ? MESSAGE_IS_REPLY : 0;
}

static void look_at_parts(struct reading *r)
{
	struct message *m = r->message;
	for (const struct mime_part *part = m->root; part; part = mime_next(part)) {
		if (mime_is_attachment(part))
			m->flags |= MESSAGE_HAS_ATTACHMENT;
		if (!ascii_only(mime_header(part, r->text)))
			m->flags |= MESSAGE_HAS_8BIT_HEADER;
	}
}

void message_parse(struct arena *a, struct str text, struct message *message)
{
	struct reading r = { .arena = a, .message = message, .addresses_left = LIMIT_MESSAGE_ADDRESSES_MAX };
	r.text = text.data ? text : STR("");
	*message = (struct message){ .flags = MESSAGE_SUBSET_COMPLETE };
	message->root = mime_parse(a, r.text, &(struct mime_visitor){ take_field, &r });
	if (message->root->body_offset > LIMIT_HEADER_SIZE_MAX)
		message->flags &= ~(unsigned)MESSAGE_SUBSET_COMPLETE;
	mail_envelope_finish(&message->envelope);
	if (date_parse(message->envelope.date, &message->date))
		message->flags |= MESSAGE_HAS_DATE;
	join_subset(&r);
	read_ids(&r);
	read_subject(&r);
	look_at_parts(&r);
}
