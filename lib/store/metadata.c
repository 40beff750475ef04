#include "metadata.h"

#include "limits.h"
#include "text.h"

#include <stdlib.h>

enum { PENDING_MAX = 1 << 30 };

void metadata_init(struct metadata *m)
{
	*m = (struct metadata){ .places = map_new(), .annotations = map_new(), .pending.limit = PENDING_MAX };
}

static void clear_lists(struct metadata *m)
{
	for (size_t i = 0; i < m->mailboxes.count; i++)
		free(m->mailboxes.items[i].name);
	for (size_t i = 0; i < m->subscribed.count; i++)
		free(m->subscribed.items[i]);
	for (size_t i = 0; i < m->keywords.count; i++)
		free(m->keywords.items[i]);
	m->mailboxes.count = m->segments.count = m->subscribed.count = m->keywords.count = 0;
}

static void free_place(struct metadata_place *place)
{
	if (place)
		free(place->keywords);
	free(place);
}

static void free_annotation(struct metadata_annotation *annotation)
{
	if (!annotation)
		return;
	free(annotation->entry);
	free(annotation->value);
	free(annotation);
}

static void clear_annotations(struct metadata *m)
{
	size_t position = 0;
	struct str key;
	for (void *annotation; map_next(m->annotations, &position, &key, &annotation);)
		free_annotation(annotation);
	map_free(m->annotations);
	m->annotations = map_new();
}

static void clear_places(struct metadata *m)
{
	size_t position = 0;
	struct str key;
	for (void *place; map_next(m->places, &position, &key, &place);)
		free_place(place);
	map_free(m->places);
	m->places = map_new();
}

void metadata_release(struct metadata *m)
{
	clear_lists(m);
	clear_places(m);
	clear_annotations(m);
	map_free(m->annotations);
	map_free(m->places);
	array_release(&m->mailboxes);
	array_release(&m->segments);
	array_release(&m->subscribed);
	array_release(&m->keywords);
	array_release(&m->by_id);
	buf_release(&m->pending);
}

/* ---- lines ---- */

/* Sticky: a word that is not what it should be makes the line nothing. */
struct line {
	struct str rest;
	bool bad;
};

static struct str word(struct line *line)
{
	struct str taken = { "", 0 };
	if (!str_take_until(&line->rest, ' ', &taken))
		line->bad = true;
	return taken;
}

static uint64_t number(struct line *line, uint64_t max)
{
	uint64_t value = 0;
	if (!str_to_u64(word(line), max, &value))
		line->bad = true;
	return value;
}

static int64_t date(struct line *line)
{
	struct str text = word(line);
	bool negative = str_starts(text, STR("-"));
	uint64_t value = 0;
	if (!str_to_u64(str_from_index(text, negative), INT64_MAX, &value))
		line->bad = true;
	return negative ? -(int64_t)value : (int64_t)value;
}

struct place_key {
	uint64_t mailbox;
	uint64_t uid;
};

static void read_place(struct metadata *m, struct line *line)
{
	struct metadata_place place = { .mailbox = number(line, INT64_MAX) };
	place.uid = (uint32_t)number(line, UINT32_MAX);
	if (!text_hex_decode(word(line), place.id.bytes, sizeof place.id.bytes))
		line->bad = true;
	place.flags = (uint32_t)number(line, STORE_FLAGS_ALL);
	place.modseq = number(line, INT64_MAX);
	place.received = date(line);
	place.saved = date(line);
	struct str keywords = word(line);
	if (line->bad || !place.uid)
		return;
	struct place_key key = { place.mailbox, place.uid };
	struct metadata_place *copy = mem_alloc(sizeof *copy);
	place.keywords = str_copy(keywords);
	*copy = place;
	free_place(map_set(m->places, MAP_KEY(key), copy));
}

static void read_gone(struct metadata *m, struct line *line)
{
	struct place_key key = { number(line, INT64_MAX), 0 };
	key.uid = number(line, UINT32_MAX);
	if (!line->bad)
		free_place(map_remove(m->places, MAP_KEY(key)));
}

static void read_annotation(struct metadata *m, struct line *line)
{
	CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX + LIMIT_ANNOTATION_SIZE_MAX);
	uint64_t mailbox = number(line, INT64_MAX);
	struct str hex = word(line);
	bool there = str_starts(hex, STR("."));
	hex = str_from_index(hex, 1);
	buf_printf(&key, "%llu ", (unsigned long long)mailbox);
	buf_add_str(&key, line->rest);
	if (line->bad || hex.length > 2 * LIMIT_ANNOTATION_SIZE_MAX || key.overflowed)
		return;
	struct metadata_annotation *annotation = mem_alloc(sizeof *annotation);
	*annotation = (struct metadata_annotation){ mailbox, str_copy(line->rest), mem_alloc(hex.length / 2),
		                                        hex.length / 2 };
	bool whole = text_hex_decode(hex, annotation->value, annotation->length);
	if (there && whole) {
		free_annotation(map_set(m->annotations, buf_str(&key), annotation));
		return;
	}
	free_annotation(annotation);
	free_annotation(map_remove(m->annotations, buf_str(&key)));
}

static void read_mailbox(struct metadata *m, struct line *line)
{
	struct metadata_mailbox mailbox = { .id = number(line, INT64_MAX) };
	mailbox.uidvalidity = (uint32_t)number(line, UINT32_MAX);
	mailbox.uidnext = (uint32_t)number(line, UINT32_MAX);
	mailbox.modseq = number(line, INT64_MAX);
	mailbox.use = (unsigned)number(line, STORE_USE_IMPORTANT);
	if (line->bad)
		return;
	mailbox.name = str_copy(line->rest);
	*array_add(&m->mailboxes) = mailbox;
}

static void read_account(struct metadata *m, struct line *line)
{
	uint64_t uidvalidity = number(line, UINT32_MAX);
	uint64_t modseq = number(line, INT64_MAX);
	uint64_t message_next = number(line, INT64_MAX);
	if (line->bad)
		return;
	m->uidvalidity = (uint32_t)uidvalidity;
	m->modseq = modseq;
	m->message_next = message_next;
}

static void read_segment(struct metadata *m, struct line *line)
{
	struct metadata_segment segment = { .number = number(line, INT64_MAX) };
	segment.end = number(line, INT64_MAX);
	if (!line->bad)
		*array_add(&m->segments) = segment;
}

static void read_line(struct metadata *m, struct str text)
{
	struct line line = { .rest = text };
	struct str kind = word(&line);
	if (str_equal(kind, STR("place")))
		read_place(m, &line);
	else if (str_equal(kind, STR("gone")))
		read_gone(m, &line);
	else if (str_equal(kind, STR("annotation")))
		read_annotation(m, &line);
	else if (str_equal(kind, STR("mailbox")))
		read_mailbox(m, &line);
	else if (str_equal(kind, STR("segment")))
		read_segment(m, &line);
	else if (str_equal(kind, STR("account")))
		read_account(m, &line);
	else if (str_equal(kind, STR("subscribed")))
		*array_add(&m->subscribed) = str_copy(line.rest);
	else if (str_equal(kind, STR("keyword")) && number(&line, UINT16_MAX) == m->keywords.count)
		*array_add(&m->keywords) = str_copy(line.rest);
}

/* ---- parts and chains ---- */

static void apply(struct metadata *m)
{
	if (!m->pending_since) {
		clear_places(m);
		clear_annotations(m);
		m->doubtful = false;
	} else if (!m->there || m->pending_since != m->modseq) {
		m->doubtful = true;
	}
	clear_lists(m);
	m->there = true;
	struct str rest = buf_str(&m->pending);
	for (struct str line; str_take_until(&rest, '\n', &line);)
		read_line(m, line);
	m->modseq = m->pending_modseq;
}

void metadata_add(struct metadata *m, struct str text)
{
	struct str first;
	struct str rest = text;
	if (!str_take_until(&rest, '\n', &first))
		return;
	struct line line = { .rest = first };
	line.bad = !str_equal(word(&line), STR("checkpoint"));
	uint64_t modseq = number(&line, INT64_MAX);
	line.bad = line.bad || !str_equal(word(&line), STR("since"));
	uint64_t since = number(&line, INT64_MAX);
	line.bad = line.bad || !str_equal(word(&line), STR("part"));
	uint64_t part = number(&line, UINT32_MAX);
	if (part == 0) {
		buf_clear(&m->pending);
		m->pending_modseq = modseq;
		m->pending_since = since;
		m->pending_parts = 0;
	}
	if (line.bad || part != m->pending_parts || modseq != m->pending_modseq || since != m->pending_since)
		return;
	m->pending_parts++;
	buf_add_str(&m->pending, rest);
	if (!str_equal(line.rest, STR("last")))
		return;
	apply(m);
	buf_clear(&m->pending);
	m->pending_parts = UINT64_MAX;
}

/* ---- answers ---- */

static int compare_ids(const void *a, const void *b)
{
	const struct metadata_place *left = *(struct metadata_place *const *)a;
	const struct metadata_place *right = *(struct metadata_place *const *)b;
	return memcmp(&left->id, &right->id, sizeof left->id);
}

/* Both lists are written in the order of their numbers. */
static int compare_mailboxes(const void *a, const void *b)
{
	uint64_t left = ((const struct metadata_mailbox *)a)->id;
	uint64_t right = ((const struct metadata_mailbox *)b)->id;
	return left < right ? -1 : left > right;
}

const struct metadata_mailbox *metadata_mailbox(const struct metadata *m, uint64_t id)
{
	struct metadata_mailbox wanted = { .id = id };
	if (!m->mailboxes.count)
		return NULL;
	return bsearch(&wanted, m->mailboxes.items, m->mailboxes.count, sizeof wanted, compare_mailboxes);
}

static int compare_segments(const void *a, const void *b)
{
	uint64_t left = ((const struct metadata_segment *)a)->number;
	uint64_t right = ((const struct metadata_segment *)b)->number;
	return left < right ? -1 : left > right;
}

void metadata_finish(struct metadata *m)
{
	size_t position = 0;
	struct str key;
	for (void *place; map_next(m->places, &position, &key, &place);)
		if (metadata_mailbox(m, ((struct metadata_place *)place)->mailbox))
			*array_add(&m->by_id) = place;
	if (m->by_id.count)
		qsort(m->by_id.items, m->by_id.count, sizeof m->by_id.items[0], compare_ids);
}

struct metadata_place *const *metadata_places(const struct metadata *m, const struct store_id *id, size_t *count)
{
	struct metadata_place wanted = { .id = *id };
	struct metadata_place *pointer = &wanted;
	struct metadata_place **found =
		m->by_id.count ? bsearch(&pointer, m->by_id.items, m->by_id.count, sizeof m->by_id.items[0], compare_ids)
					   : NULL;
	if (!found)
		return NULL;
	while (found > m->by_id.items && compare_ids(found - 1, &pointer) == 0)
		found--;
	struct metadata_place **end = m->by_id.items + m->by_id.count;
	for (*count = 0; found + *count < end && compare_ids(found + *count, &pointer) == 0;)
		++*count;
	return found;
}

bool metadata_covers(const struct metadata *m, uint64_t segment, uint64_t offset)
{
	struct metadata_segment wanted = { .number = segment };
	const struct metadata_segment *found =
		m->segments.count ? bsearch(&wanted, m->segments.items, m->segments.count, sizeof wanted, compare_segments)
						  : NULL;
	return found && offset < found->end;
}
