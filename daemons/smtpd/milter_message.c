/* The message as filters see it, and what they change. Each sees what the one before it left. */
#include "milter.h"
#include "milter_envelope.h"

#include "file.h"
#include "header.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

enum { MESSAGE_ARENA_MAX = 64 << 20, HEADER_MAX = 8 << 20, PIECE_MAX = 1 << 20,
	VALUE_SHOWN_MAX = LIMIT_MILTER_PACKET_MAX / 2 };

struct field {
	struct str text; /* as it is, with its line end */
	bool is_removed;
};

struct message {
	struct session *s;
	struct content *content;
	struct arena *arena;
	ARRAY(struct field) fields; /* those that were removed are still counted */
	struct str blank;         /* what stands between header and body */
	unsigned changes;         /* by the filter at hand */
	bool is_changed;
	/* the body: octets in memory, or of a file from offset on */
	struct str body;
	struct buf replaced;
	int file;
	bool owns_file;
	uint64_t offset, size;
	bool is_replacing;        /* by the filter at hand */
	struct milter_envelope envelope;
	enum verdict_kind verdict;
};

/* ---- taking it apart ---- */

/* Lines that are no field stay with the one above. */
static void add_fields(struct message *m, struct str text)
{
	struct header_reader reader;
	struct header_field field;
	size_t start = 0;
	size_t end = 0;
	header_begin(&reader, text);
	for (size_t i = 0; header_next(&reader, &field); i++) {
		if (i > 0)
			*array_add(&m->fields) = (struct field){ .text = str_from(text.data + start, field.offset - start) };
		start = field.offset;
		end = field.offset + field.length;
	}
	if (end)
		*array_add(&m->fields) = (struct field){ .text = str_from(text.data + start, end - start) };
	m->blank = str_from_index(text, end);
}

static bool read_header(struct message *m, struct str *header)
{
	struct content *content = m->content;
	if (content->file < 0) {
		*header = str_first(buf_str(&content->body), content->header_length);
		return true;
	}
	char *text = arena_alloc(m->arena, content->header_length + 1);
	*header = str_from(text, content->header_length);
	return file_read_at(content->file, text, content->header_length, 0, NULL);
}

static bool open_message(struct message *m)
{
	struct content *content = m->content;
	struct str header;
	m->arena = arena_new(MESSAGE_ARENA_MAX);
	m->file = content->file;
	m->replaced = BUF_WITH_LIMIT(LIMIT_INLINE_BODY_MAX);
	if (!read_header(m, &header))
		return false;
	add_fields(m, arena_copy(m->arena, str_from_index(buf_str(&content->front), content->trace_length)));
	add_fields(m, header);
	m->offset = content->header_length;
	if (m->file >= 0)
		m->size = content->size - m->offset;
	else
		m->body = str_from_index(buf_str(&content->body), content->header_length);
	return true;
}

static void close_message(struct message *m)
{
	if (m->owns_file)
		file_close(&m->file);
	buf_release(&m->replaced);
	milter_envelope_release(&m->envelope);
	array_release(&m->fields);
	arena_free(m->arena);
}

/* ---- showing it ---- */

static struct str name_of(struct str field)
{
	return str_trim(str_first(field, str_find_char(field, ':')));
}

/* Lines end with LF there; the blank behind the colon is shown to those who ask for it. */
static struct str value_of(struct message *m, struct str field, bool leading_space)
{
	struct str raw = str_first(str_from_index(field, str_find_char(field, ':') + 1), VALUE_SHOWN_MAX);
	while (raw.length && strchr("\r\n", raw.data[raw.length - 1]))
		raw.length--;
	if (!leading_space && raw.length && raw.data[0] == ' ')
		raw = str_from_index(raw, 1);
	char *value = arena_alloc(m->arena, raw.length + 1);
	size_t length = 0;
	for (size_t i = 0; i < raw.length; i++)
		if (raw.data[i] != '\r')
			value[length++] = raw.data[i];
	return str_from(value, length);
}

static enum milter_outcome show_header(struct message *m, struct milter_link *link)
{
	static const struct milter_request data = { .command = MILTER_DATA }, end = { .command = MILTER_END_OF_HEADER };
	bool leading = link->client.agreed.protocol & MILTER_LEADING_SPACE;
	enum milter_outcome outcome = milter_tell(m->s, link, &data, NULL);
	if (!milter_client_wants(&link->client, MILTER_HEADER))
		return outcome == MILTER_GOES_ON ? milter_tell(m->s, link, &end, NULL) : outcome;
	for (size_t i = 0; outcome == MILTER_GOES_ON && i < m->fields.count; i++) {
		struct str field = m->fields.items[i].text;
		if (m->fields.items[i].is_removed)
			continue;
		const struct milter_request request = { .command = MILTER_HEADER, .argument_count = 2,
			                                    .arguments = { name_of(field), value_of(m, field, leading) } };
		outcome = milter_exchange(m->s, link, &request, NULL);
	}
	return outcome == MILTER_GOES_ON ? milter_tell(m->s, link, &end, NULL) : outcome;
}

static enum milter_outcome show_piece(struct message *m, struct milter_link *link, struct str piece)
{
	enum milter_outcome outcome = MILTER_GOES_ON;
	for (; piece.length && outcome == MILTER_GOES_ON; piece = str_from_index(piece, MILTER_CHUNK_MAX)) {
		const struct milter_request request = { .command = MILTER_BODY, .body = str_first(piece, MILTER_CHUNK_MAX) };
		outcome = milter_exchange(m->s, link, &request, NULL);
	}
	return outcome;
}

static enum milter_outcome show_file(struct message *m, struct milter_link *link)
{
	CLEANUP(mem_free) char *piece = mem_alloc(MILTER_CHUNK_MAX);
	enum milter_outcome outcome = MILTER_GOES_ON;
	for (uint64_t done = 0; done < m->size && outcome == MILTER_GOES_ON;) {
		size_t length = m->size - done < MILTER_CHUNK_MAX ? (size_t)(m->size - done) : MILTER_CHUNK_MAX;
		if (!file_read_at(m->file, piece, length, m->offset + done, NULL)) {
			m->verdict = VERDICT_TEMPORARY;
			return outcome;
		}
		outcome = show_piece(m, link, str_from(piece, length));
		done += length;
	}
	return outcome;
}

static enum milter_outcome show_body(struct message *m, struct milter_link *link)
{
	if (!milter_client_wants(&link->client, MILTER_BODY))
		return MILTER_GOES_ON;
	enum milter_outcome outcome = m->file >= 0 ? show_file(m, link) : show_piece(m, link, m->body);
	return outcome == MILTER_SKIPS ? MILTER_GOES_ON : outcome;
}

/* ---- changes of the header ---- */

/* A field of our own making: whatever the filter sent, it is one field. */
static bool make_field(struct message *m, const struct milter_answer *answer, struct str *field)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(2 * LIMIT_MILTER_PACKET_MAX);
	struct str line, rest = answer->value;
	for (size_t i = 0; i < answer->name.length; i++)
		if (answer->name.data[i] <= ' ' || answer->name.data[i] > '~' || answer->name.data[i] == ':')
			return false;
	buf_printf(&out, "%.*s:", STR_ARG(answer->name));
	if (rest.length && rest.data[0] != ' ' && rest.data[0] != '\t')
		buf_add_char(&out, ' ');
	for (bool first = true; str_take_until(&rest, '\n', &line); first = false) {
		line = str_first(line, str_find_char(line, '\r'));
		if (!first && str_trim(line).length == 0)
			continue; /* an empty line would end the header */
		if (!first)
			buf_add_str(&out, strchr(" \t", line.data[0]) ? STR("\r\n") : STR("\r\n\t"));
		buf_add_str(&out, line);
	}
	buf_add_str(&out, STR("\r\n"));
	*field = arena_copy(m->arena, buf_str(&out));
	return !out.overflowed;
}

static void insert_field(struct message *m, size_t place, struct str field)
{
	array_add(&m->fields);
	if (place >= m->fields.count)
		place = m->fields.count - 1;
	memmove(&m->fields.items[place + 1], &m->fields.items[place],
	        (m->fields.count - 1 - place) * sizeof *m->fields.items);
	m->fields.items[place] = (struct field){ .text = field };
}

/* The nth field of that name, counted from 1 and with those that were removed; or the count of all. */
static size_t find_field(const struct message *m, struct str name, uint32_t nth)
{
	for (size_t i = 0; i < m->fields.count; i++)
		if (str_equal_nocase(name_of(m->fields.items[i].text), name) && nth-- <= 1)
			return i;
	return m->fields.count;
}

/* An empty value removes it; one that is not there is added. */
static bool change_field(struct message *m, const struct milter_answer *answer)
{
	struct str field = {};
	size_t place = find_field(m, answer->name, answer->index);
	if (answer->value.length && !make_field(m, answer, &field))
		return false;
	if (place == m->fields.count && field.length)
		insert_field(m, place, field);
	else if (place < m->fields.count && field.length)
		m->fields.items[place] = (struct field){ .text = field };
	else if (place < m->fields.count)
		m->fields.items[place].is_removed = true;
	return true;
}

static bool add_field(struct message *m, const struct milter_answer *answer)
{
	struct str field;
	if (!make_field(m, answer, &field))
		return false;
	insert_field(m, answer->kind == MILTER_INSERT_HEADER ? answer->index : m->fields.count, field);
	return true;
}

/* ---- the body ---- */

static bool take_new_file(struct message *m)
{
	int file = link_file(m->s);
	if (file < 0)
		return false;
	if (m->owns_file)
		file_close(&m->file);
	m->file = file;
	m->owns_file = true;
	m->offset = m->size = 0;
	return true;
}

static bool write_on(struct message *m, struct str piece)
{
	if (!file_write_at(m->file, piece.data, piece.length, m->offset + m->size, NULL))
		return false;
	m->size += piece.length;
	return true;
}

/* In memory while it is small. */
static bool replace_body(struct message *m, struct str piece)
{
	if (!m->is_replacing) {
		if (m->owns_file)
			file_close(&m->file);
		m->is_replacing = true;
		m->owns_file = false;
		m->file = -1;
		buf_clear(&m->replaced);
	}
	if (m->file < 0 && m->replaced.length + piece.length <= LIMIT_INLINE_BODY_MAX) {
		buf_add_str(&m->replaced, piece);
		m->body = buf_str(&m->replaced);
		return true;
	}
	if (m->file < 0 && (!take_new_file(m) || !write_on(m, buf_str(&m->replaced))))
		return false;
	return m->size + piece.length <= session_config(m->s)->message_size_max && write_on(m, piece);
}

static bool take_change(void *owner, const struct milter_answer *answer)
{
	struct message *m = owner;
	switch (answer->kind) {
	case MILTER_QUARANTINE:
		m->content->quarantine = true;
		log_event(LOG_INFO, m->s->connection, "milter-quarantine", LOG_TEXT("why", answer->value));
		return true;
	case MILTER_REPLACE_BODY: m->is_changed = true; return replace_body(m, answer->value);
	case MILTER_ADD_HEADER:
	case MILTER_INSERT_HEADER:
	case MILTER_CHANGE_HEADER:
		m->is_changed = true;
		if (++m->changes > LIMIT_MILTER_CHANGES_MAX)
			return false;
		return answer->kind == MILTER_CHANGE_HEADER ? change_field(m, answer) : add_field(m, answer);
	default: /* recipients and the sender */
		if (++m->changes > LIMIT_MILTER_CHANGES_MAX)
			return false;
		milter_envelope_take(&m->envelope, answer);
		return true;
	}
}

/* ---- putting it together ---- */

static bool write_header(struct message *m, struct buf *out)
{
	buf_add_str(out, str_first(buf_str(&m->content->front), m->content->trace_length));
	for (size_t i = 0; i < m->fields.count; i++) {
		struct str field = m->fields.items[i].text;
		if (m->fields.items[i].is_removed)
			continue;
		buf_add_str(out, field);
		if (field.data[field.length - 1] != '\n')
			buf_add_str(out, STR("\r\n"));
	}
	buf_add_str(out, m->blank.length ? m->blank : STR("\r\n"));
	return !out->overflowed;
}

static bool fits_into_memory(const struct message *m, const struct buf *header)
{
	return m->content->file < 0 && m->file < 0 && header->length + m->body.length <= m->content->body.limit;
}

static void put_into_memory(struct message *m, struct buf *header)
{
	struct content *content = m->content;
	struct buf whole = BUF_WITH_LIMIT(content->body.limit);
	buf_add_str(&whole, buf_str(header));
	buf_add_str(&whole, m->body);
	buf_release(&content->body);
	content->body = whole;
	buf_clear(&content->front);
}

/* The body's own file may be the one that ends with the new one: it is read by its descriptor. */
static bool copy_body(struct message *m, int to, uint64_t at)
{
	CLEANUP(mem_free) char *piece = mem_alloc(PIECE_MAX);
	if (m->file < 0)
		return file_write_at(to, m->body.data, m->body.length, at, NULL);
	for (uint64_t done = 0; done < m->size;) {
		size_t length = m->size - done < PIECE_MAX ? (size_t)(m->size - done) : PIECE_MAX;
		if (!file_read_at(m->file, piece, length, m->offset + done, NULL) ||
		    !file_write_at(to, piece, length, at + done, NULL))
			return false;
		done += length;
	}
	return true;
}

static bool put_into_file(struct message *m, struct buf *header)
{
	struct content *content = m->content;
	int file = link_file(m->s);
	if (file < 0 || !file_write_at(file, header->data, header->length, 0, NULL) || !copy_body(m, file, header->length)) {
		file_close(&file);
		return false;
	}
	content->size = header->length + (m->file < 0 ? m->body.length : m->size);
	file_close(&content->file);
	content->file = file;
	content->front_later = false;
	buf_clear(&content->front);
	buf_clear(&content->body);
	return true;
}

static bool put_together(struct message *m)
{
	CLEANUP(buf_release) struct buf header = BUF_WITH_LIMIT(HEADER_MAX);
	if (!write_header(m, &header))
		return false;
	if (!fits_into_memory(m, &header))
		return put_into_file(m, &header);
	put_into_memory(m, &header);
	return true;
}

static enum milter_outcome show_to(struct message *m, struct milter_link *link)
{
	static const struct milter_request end = { .command = MILTER_END };
	const struct milter_taker taker = { take_change, m };
	m->changes = 0;
	m->is_replacing = false;
	enum milter_outcome outcome = show_header(m, link);
	if (outcome == MILTER_GOES_ON)
		outcome = show_body(m, link);
	if (outcome == MILTER_GOES_ON && m->verdict == VERDICT_OK)
		outcome = milter_tell(m->s, link, &end, &taker);
	/* half of its changes are no message that anybody wanted */
	if (outcome == MILTER_AWAY && (m->changes || m->is_replacing))
		m->verdict = VERDICT_TEMPORARY;
	if (outcome != MILTER_AWAY)
		link->in_mail = false;
	return outcome;
}

static bool goes_on(const struct milter_link *link, enum milter_outcome outcome)
{
	return outcome == MILTER_GOES_ON || outcome == MILTER_ACCEPTS ||
	       (outcome == MILTER_AWAY && link->config->otherwise == CONFIG_MILTER_ACCEPT);
}

/* A new transaction has no file of the old one's: what lay there is written again. */
static enum milter_outcome keep_changes(struct message *m)
{
	if (m->envelope.is_changed && !milter_envelope_has_recipients(&m->envelope))
		return MILTER_DISCARDS;
	if (m->envelope.is_changed)
		m->verdict = milter_envelope_apply(&m->envelope);
	bool is_rewritten = m->is_changed || (m->envelope.is_changed && m->content->file >= 0);
	if (m->verdict == VERDICT_OK && is_rewritten && !put_together(m))
		m->verdict = VERDICT_TEMPORARY;
	return MILTER_GOES_ON;
}

enum milter_outcome milter_show(struct session *s, struct content *content, struct milter_link **last)
{
	struct message m = { .s = s, .content = content, .file = -1, .envelope = { .s = s } };
	enum milter_outcome outcome = MILTER_GOES_ON;
	bool whole = open_message(&m);
	if (!whole)
		m.verdict = VERDICT_TEMPORARY;
	for (size_t i = 0; whole && i < s->milters->count && m.verdict == VERDICT_OK; i++) {
		*last = &s->milters->links[i];
		outcome = (*last)->is_away ? MILTER_AWAY : (*last)->is_done ? MILTER_ACCEPTS : show_to(&m, *last);
		if (!goes_on(*last, outcome))
			break;
		outcome = MILTER_GOES_ON;
	}
	if (outcome == MILTER_GOES_ON && m.verdict == VERDICT_OK)
		outcome = keep_changes(&m);
	if (m.verdict != VERDICT_OK)
		content->verdict = m.verdict;
	close_message(&m);
	return outcome;
}
