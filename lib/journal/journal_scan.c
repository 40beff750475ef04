#include "journal_scan.h"

#include "disk.h"
#include "mem.h"

#include <stdlib.h>

enum { WINDOW_SIZE = LIMIT_JOURNAL_RECORD_MAX + 2 * JOURNAL_BLOCK };

void journal_scan_init(struct journal_scan *s, int file, const struct journal_identity *identity, uint64_t size,
                       uint64_t offset, uint64_t floor)
{
	*s = (struct journal_scan){ .file = file, .identity = identity, .size = size, .offset = offset, .floor = floor };
	s->window_capacity = size < WINDOW_SIZE ? (size_t)size : WINDOW_SIZE;
	s->window = mem_resize(NULL, s->window_capacity, 1);
}

void journal_scan_release(struct journal_scan *s)
{
	free(s->window);
	s->window = NULL;
}

void journal_scan_read(int file, void *data, size_t length, uint64_t offset, uint64_t *unreadable)
{
	char *at = data;
	size_t got = 0;
	if (disk_read(file, at, length, JOURNAL_RING_OFFSET + offset, &got)) {
		memset(at + got, 0, length - got);
		return;
	}
	for (size_t done = 0; done < length; done += JOURNAL_BLOCK) {
		size_t part = length - done < JOURNAL_BLOCK ? length - done : JOURNAL_BLOCK;
		bool good = disk_read(file, at + done, part, JOURNAL_RING_OFFSET + offset + done, &got);
		memset(at + done + (good ? got : 0), 0, part - (good ? got : 0));
		*unreadable += !good;
	}
}

/* The bytes at an offset, which must not reach beyond the ring. */
static const uint8_t *view(struct journal_scan *s, uint64_t offset, size_t length)
{
	must(length <= s->window_capacity && offset + length <= s->size);
	if (offset < s->window_offset || offset + length > s->window_offset + s->window_length) {
		uint64_t rest = s->size - offset;
		s->window_offset = offset;
		s->window_length = rest < s->window_capacity ? (size_t)rest : s->window_capacity;
		journal_scan_read(s->file, s->window, s->window_length, offset, &s->unreadable);
	}
	return s->window + (offset - s->window_offset);
}

static bool payload_is_whole(struct journal_scan *s, const struct journal_head *head)
{
	if (head->length == 0)
		return true;
	const uint8_t *bytes = view(s, s->offset, JOURNAL_HEAD_SIZE + head->length) + JOURNAL_HEAD_SIZE;
	struct str payload = str_from((const char *)bytes, head->length);
	return journal_payload_check(s->identity, payload, (struct str){}) == head->payload_check;
}

/* A whole record at the present offset? */
static bool look(struct journal_scan *s, struct journal_head *head)
{
	if (!journal_head_decode(view(s, s->offset, JOURNAL_HEAD_SIZE), s->identity, s->offset, s->size, head) ||
	    head->sequence < s->floor)
		return false;
	if (payload_is_whole(s, head))
		return true;
	s->torn++;
	return false;
}

static void step(struct journal_scan *s, uint64_t length)
{
	s->walked += length;
	s->offset = (s->offset + length) % s->size;
}

bool journal_scan_next(struct journal_scan *s, struct journal_head *head, uint64_t *offset)
{
	while (s->walked < s->size) {
		if (!look(s, head)) {
			step(s, JOURNAL_ALIGN);
			continue;
		}
		*offset = s->offset;
		if (!s->any_order)
			s->floor = head->sequence + 1;
		step(s, head->span);
		return true;
	}
	return false;
}
