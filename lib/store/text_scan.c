#include "text_files.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct text_scan {
	struct text_store *text;
	struct text_places *places;
	int directory; /* of its own: the store's may be opened anew meanwhile */
	struct text_wanted wanted;
	size_t at;    /* next of the wanted */
	size_t place; /* where it may be */
	int file;
	uint32_t file_number;
	struct text_group group;
	unsigned denied;  /* sections that have the key in no message of the group */
	bool ruled_out;   /* all that were asked for */
	bool unreadable;  /* the group at hand */
	const struct text_place *loaded; /* what group is of; NULL: none yet */
	size_t in_group;
	struct buf lead, block, memory[TEXT_SECTIONS];
	struct str texts[TEXT_SECTIONS][TEXT_GROUP_MESSAGES];
};

static struct text_places *share_places(struct text_store *t)
{
	pthread_mutex_lock(&t->places_lock);
	if (!t->shared) {
		size_t count = t->places.count;
		t->shared = mem_alloc(sizeof *t->shared + count * sizeof t->shared->items[0]);
		t->shared->users = 1;
		t->shared->count = count;
		if (count)
			memcpy(t->shared->items, t->places.items, count * sizeof t->shared->items[0]);
	}
	t->shared->users++;
	struct text_places *places = t->shared;
	pthread_mutex_unlock(&t->places_lock);
	return places;
}

static void unshare_places(struct text_store *t, struct text_places *places)
{
	pthread_mutex_lock(&t->places_lock);
	if (--places->users == 0)
		free(places);
	pthread_mutex_unlock(&t->places_lock);
}

static struct text_scan *scan_new(struct text_store *t, const struct text_wanted *wanted)
{
	struct text_scan *s = mem_alloc(sizeof *s);
	s->text = t;
	s->wanted = *wanted;
	s->file = -1;
	s->directory = fcntl(t->directory, F_DUPFD_CLOEXEC, 0);
	buf_init(&s->lead, TEXT_LEAD_MAX);
	buf_init(&s->block, TEXT_SECTION_MAX);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		buf_init(&s->memory[i], TEXT_SECTION_MAX);
	return s;
}

struct text_scan *text_scan_begin(struct text_store *t, const struct text_wanted *wanted, struct fail **fail)
{
	struct text_scan *s = NULL;
	pthread_mutex_lock(&t->lock);
	if (text_files_open(t, fail)) {
		s = scan_new(t, wanted);
		s->places = share_places(t);
	}
	pthread_mutex_unlock(&t->lock);
	return s;
}

void text_scan_end(struct text_scan **scan)
{
	struct text_scan *s = TAKE(*scan);
	if (!s)
		return;
	if (s->places)
		unshare_places(s->text, s->places);
	if (s->file >= 0)
		close(s->file);
	if (s->directory >= 0)
		close(s->directory);
	buf_release(&s->lead);
	buf_release(&s->block);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		buf_release(&s->memory[i]);
	free(s);
}

/* ---- reading a group ---- */

static bool use_file(struct text_scan *s, uint32_t number)
{
	char name[16];
	if (s->file >= 0 && s->file_number == number)
		return true;
	if (s->file >= 0)
		close(s->file);
	text_files_name(number, name);
	s->file = openat(s->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	s->file_number = number;
	return s->file >= 0;
}

static bool read_octets(const struct text_scan *s, uint64_t offset, size_t length, struct buf *out)
{
	buf_clear(out);
	char *room = buf_reserve(out, length);
	if (!room || pread(s->file, room, length, (off_t)offset) != (ssize_t)length)
		return false;
	buf_claim(out, length);
	return true;
}

static void ask_filters(struct text_scan *s)
{
	s->denied = 0;
	for (enum text_section section = TEXT_HEADERS; section <= TEXT_BODIES; section++)
		if (s->wanted.filters & TEXT_BIT(section) && !text_group_may_have(&s->group, section, s->wanted.key))
			s->denied |= TEXT_BIT(section);
	s->ruled_out = s->wanted.filters && s->denied == s->wanted.filters;
}

static bool load_section(struct text_scan *s, const struct text_place *place, enum text_section section)
{
	const struct text_head *head = &s->group.head;
	memset(s->texts[section], 0, sizeof s->texts[section]);
	if (s->ruled_out || !(s->wanted.sections & TEXT_BIT(section) & ~s->denied))
		return true;
	uint64_t at = (uint64_t)place->offset + text_head_block(head, section);
	return read_octets(s, at, head->blocks[section].stored, &s->block) &&
	       text_group_unpack(&s->group, section, buf_str(&s->block), &s->memory[section], s->texts[section], NULL);
}

static bool load(struct text_scan *s, const struct text_place *place)
{
	if (!use_file(s, place->file) || !read_octets(s, place->offset, place->lead, &s->lead) ||
	    !text_group_read(&s->group, buf_str(&s->lead), NULL) || s->group.head.first != place->first ||
	    s->group.head.last != place->last)
		return false;
	ask_filters(s);
	for (enum text_section section = 0; section < TEXT_SECTIONS; section++)
		if (!load_section(s, place, section))
			return false;
	return true;
}

static bool is_in_force(struct text_store *t, const struct text_place *place)
{
	pthread_mutex_lock(&t->places_lock);
	bool found = false;
	for (size_t low = 0, high = t->places.count; !found && low < high;) {
		size_t middle = low + (high - low) / 2;
		const struct text_place *at = &t->places.items[middle];
		found = at->first == place->first && at->file == place->file && at->offset == place->offset;
		if (at->first < place->first)
			low = middle + 1;
		else
			high = middle;
	}
	pthread_mutex_unlock(&t->places_lock);
	return found;
}

/* What can't be read any more because it was written again elsewhere is no damage. */
static void load_or_give_up(struct text_scan *s, const struct text_place *place)
{
	s->loaded = place;
	s->in_group = 0;
	s->unreadable = !load(s, place);
	if (s->unreadable && is_in_force(s->text, place))
		atomic_store(&s->text->suspect, true);
}

/* ---- entries ---- */

static void entry_of(const struct text_scan *s, size_t i, struct text_entry *entry)
{
	entry->message = s->group.messages[i];
	entry->cut = s->group.cut[i];
	for (size_t section = 0; section < TEXT_SECTIONS; section++)
		entry->sections[section] = s->texts[section][i];
}

static enum text_scanned missing(struct text_scan *s, size_t *index)
{
	*index = s->at++;
	return TEXT_SCAN_MISSING;
}

/* The next wanted message is within the place: true when it is answered. */
static bool look_into(struct text_scan *s, enum text_scanned *answer, size_t *index, struct text_entry *entry)
{
	uint64_t message = s->wanted.messages[s->at];
	const struct text_place *place = &s->places->items[s->place];
	if (s->loaded != place)
		load_or_give_up(s, place);
	while (!s->unreadable && s->in_group < s->group.head.count && s->group.messages[s->in_group] < message)
		s->in_group++;
	if (s->unreadable || s->in_group == s->group.head.count || s->group.messages[s->in_group] != message) {
		*answer = missing(s, index);
		return true;
	}
	if (s->ruled_out && !s->group.cut[s->in_group]) {
		s->at++;
		return false;
	}
	*index = s->at++;
	entry_of(s, s->in_group, entry);
	*answer = TEXT_SCAN_FOUND;
	return true;
}

enum text_scanned text_scan_next(struct text_scan *s, size_t *index, struct text_entry *entry)
{
	enum text_scanned answer;
	while (s->at < s->wanted.count) {
		uint64_t message = s->wanted.messages[s->at];
		while (s->place < s->places->count && s->places->items[s->place].last < message)
			s->place++;
		if (s->place == s->places->count || s->places->items[s->place].first > message)
			return missing(s, index);
		if (look_into(s, &answer, index, entry))
			return answer;
	}
	return TEXT_SCAN_END;
}

struct text_scan *text_scan_place(struct text_store *t, const struct text_place *place,
                                  const struct text_wanted *wanted,
                                  struct fail **fail)
{
	struct text_scan *s = scan_new(t, wanted);
	load_or_give_up(s, place);
	if (!s->unreadable)
		return s;
	fail_set(fail, FAIL_CORRUPT, "a group of search text can't be read");
	text_scan_end(&s);
	return NULL;
}

bool text_scan_entry(struct text_scan *s, size_t index, struct text_entry *entry)
{
	if (index >= s->group.head.count)
		return false;
	entry_of(s, index, entry);
	return true;
}
