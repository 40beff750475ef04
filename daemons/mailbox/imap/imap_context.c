#include "imap_context.h"

#include "imap_fetch.h"
#include "imap_sort.h"
#include "mem.h"

enum { CONTEXT_ARENA_MAX = 256 << 20 };

struct imap_context {
	struct imap_context *next;
	struct str tag;
	bool uid;              /* told in UIDs */
	bool is_sorted;
	struct arena *arena;   /* of all that is text here */
	struct imap_search_program program;
	struct imap_sort_criteria criteria;
	struct imap_numbers *sets; /* of imap_search_set_stays, as of the moment of the command, in the order of the nodes */
	size_t set_count;
	struct str items;      /* FETCH items of UPDATE (…), RFC 5465 §7 */
	uint64_t modseq;       /* evaluated as of this */
	uint32_t last_uid;     /* and for the UIDs up to this */
	struct uids {
		ARRAY(uint32_t) list;
	} results;             /* UIDs in the order in which the client has them */
};

static void context_free(struct imap_context *c)
{
	for (size_t i = 0; i < c->set_count; i++)
		imap_numbers_release(&c->sets[i]);
	free(c->sets);
	array_release(&c->results.list);
	arena_free(c->arena);
	free(c);
}

void imap_context_free_all(struct imap_session *s)
{
	while (s->kept.contexts) {
		struct imap_context *next = s->kept.contexts->next;
		context_free(s->kept.contexts);
		s->kept.contexts = next;
	}
}

/* ---- making ---- */

bool imap_context_may_add(struct imap_session *s, const struct imap_search_return *options)
{
	if (!(options->options & IMAP_RETURN_UPDATE))
		return true;
	for (const struct imap_context *c = s->kept.contexts; c; c = c->next)
		if (str_equal(c->tag, s->command.tag)) {
			imap_bad(s, "", IMAP_SAY_TAG_IN_USE, NULL);
			return false;
		}
	return true;
}

static bool is_room(const struct imap_session *s, size_t results)
{
	size_t contexts = 0;
	for (const struct imap_context *c = s->kept.contexts; c; c = c->next) {
		results += c->results.list.count;
		contexts++;
	}
	return contexts < LIMIT_IMAP_CONTEXTS_MAX && results <= LIMIT_IMAP_CONTEXT_MESSAGES_MAX;
}

static void refuse(struct imap_session *s)
{
	buf_add_str(&s->out, STR("* NO [NOUPDATE "));
	imap_write_string(&s->out, s->command.tag, false);
	buf_add_str(&s->out, STR("] "));
	imap_text_add(&s->out, s->kept.language, IMAP_SAY_TOO_MANY_CONTEXTS, NULL);
	buf_add_str(&s->out, STR("\r\n"));
}

/* It was parsed once already, so it can be parsed again; but a filter may have gone in between. */
static bool parse_criteria(struct imap_session *s, struct imap_context *c, struct str criteria)
{
	struct imap_parser p;
	const struct imap_search_filters filters = imap_search_filters(s, c->arena);
	imap_parser_init(&p, c->arena, arena_copy(c->arena, criteria), imap_is_utf8(s));
	if (c->is_sorted)
		imap_parse_sort_search(&p, &filters, &c->program);
	else
		imap_parse_search(&p, &filters, &c->program);
	return imap_parse_end(&p);
}

static void copy_sets(struct imap_context *c, const struct imap_search_run *run)
{
	c->sets = mem_alloc((run->program.count + 1) * sizeof *c->sets);
	for (size_t i = 0; i < run->program.count; i++) {
		if (!imap_search_set_stays(&run->program.nodes[i]))
			continue;
		const struct imap_numbers *set = &run->sets[i];
		for (size_t r = 0; r < set->ranges.count; r++)
			imap_numbers_append_range(&c->sets[c->set_count], set->ranges.items[r].first, set->ranges.items[r].last);
		c->set_count++;
	}
}

static bool same_sets(const struct imap_context *c)
{
	size_t count = 0;
	for (size_t i = 0; i < c->program.count; i++)
		count += imap_search_set_stays(&c->program.nodes[i]);
	return count == c->set_count;
}

void imap_context_add(struct imap_search_run *run, const struct imap_search_return *options, struct str criteria,
                      const struct imap_sort_criteria *sort, const struct imap_search_found *found)
{
	struct imap_session *s = run->s;
	if (!is_room(s, found->count)) {
		refuse(s);
		return;
	}
	struct imap_context *c = mem_alloc(sizeof *c);
	c->arena = arena_new(CONTEXT_ARENA_MAX);
	c->tag = arena_copy(c->arena, s->command.tag);
	c->items = arena_copy(c->arena, options->update_items);
	c->uid = s->command.uid;
	c->is_sorted = sort;
	if (sort)
		c->criteria = *sort;
	c->modseq = s->kept.view.told_modseq;
	c->last_uid = uidmap_last(&s->view.uids);
	copy_sets(c, run);
	for (size_t i = 0; i < found->count; i++)
		*array_add(&c->results.list) = run->uids[found->positions[i]];
	if (!parse_criteria(s, c, criteria) || !same_sets(c)) {
		context_free(c);
		refuse(s);
		return;
	}
	struct imap_context **end = &s->kept.contexts;
	while (*end)
		end = &(*end)->next;
	*end = c;
}

void imap_cancelupdate(struct imap_session *s)
{
	struct imap_parser *p = &s->parser;
	ARRAY(struct str) tags = {};
	imap_parse_space(p);
	do
		*array_add(&tags) = imap_parse_string(p);
	while (imap_parse_more(p));
	bool good = imap_arguments_end(s);
	for (size_t i = 0; good && i < tags.count; i++)
		for (struct imap_context **at = &s->kept.contexts; *at; at = &(*at)->next)
			if (str_equal((*at)->tag, tags.items[i])) {
				struct imap_context *gone = *at;
				*at = gone->next;
				context_free(gone);
				break;
			}
	array_release(&tags);
	if (good)
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

/* ---- telling ---- */

static void begin_answer(struct imap_session *s, const struct imap_context *c, bool *begun)
{
	if (*begun)
		return;
	*begun = true;
	buf_add_str(&s->out, STR("* ESEARCH (TAG "));
	imap_write_string(&s->out, c->tag, false);
	buf_add_char(&s->out, ')');
	if (c->uid)
		buf_add_str(&s->out, STR(" UID"));
}

static void end_answer(struct imap_session *s, bool begun)
{
	if (begun)
		buf_add_str(&s->out, STR("\r\n"));
}

static uint32_t number_of(struct imap_session *s, const struct imap_context *c, uint32_t uid)
{
	return c->uid ? uid : imap_view_number(s, uid);
}

/* " ADDTO (0 5:7)": in the order of the mailbox, where position 0 says so. */
static void tell_unsorted(struct imap_session *s, const struct imap_context *c, const char *item,
                          const struct uids *uids)
{
	struct imap_numbers numbers = {};
	for (size_t i = 0; i < uids->list.count; i++) {
		uint32_t number = number_of(s, c, uids->list.items[i]);
		if (number)
			imap_numbers_append(&numbers, number);
	}
	buf_printf(&s->out, " %s (0 ", item);
	imap_numbers_write(&s->out, &numbers);
	buf_add_char(&s->out, ')');
	imap_numbers_release(&numbers);
}

static int by_uid(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	return x < y ? -1 : x > y;
}

static bool contains(const struct uids *ascending, uint32_t uid)
{
	return ascending->list.count &&
	       bsearch(&uid, ascending->list.items, ascending->list.count, sizeof uid, by_uid) != NULL;
}

/* Takes those out of the results that are in gone (ascending), and tells it; for a sorted context from the end on, so
 * that no position moves before it is told. */
static void remove_results(struct imap_session *s, struct imap_context *c, const struct uids *gone, bool *begun)
{
	struct uids removed = {};
	struct uids *results = &c->results;
	for (size_t i = 0; i < results->list.count; i++)
		if (contains(gone, results->list.items[i]))
			*array_add(&removed.list) = results->list.items[i];
	if (!removed.list.count)
		return;
	begin_answer(s, c, begun);
	if (!c->is_sorted) {
		tell_unsorted(s, c, "REMOVEFROM", &removed);
	} else {
		buf_add_str(&s->out, STR(" REMOVEFROM ("));
		bool first = true;
		for (size_t i = results->list.count; i-- > 0;)
			if (contains(gone, results->list.items[i])) {
				buf_printf(&s->out, "%s%zu %u", first ? "" : " ", i + 1, number_of(s, c, results->list.items[i]));
				first = false;
			}
		buf_add_char(&s->out, ')');
	}
	size_t kept = 0;
	for (size_t i = 0; i < results->list.count; i++)
		if (!contains(gone, results->list.items[i]))
			results->list.items[kept++] = results->list.items[i];
	results->list.count = kept;
	array_release(&removed.list);
}

void imap_context_gone(struct imap_session *s, const struct store_uids *gone)
{
	struct uids sorted = {};
	if (!s->kept.contexts || !gone->uids.count)
		return;
	for (size_t i = 0; i < gone->uids.count; i++)
		*array_add(&sorted.list) = gone->uids.items[i];
	qsort(sorted.list.items, sorted.list.count, sizeof(uint32_t), by_uid);
	for (struct imap_context *c = s->kept.contexts; c; c = c->next) {
		bool begun = false;
		remove_results(s, c, &sorted, &begun);
		end_answer(s, begun);
	}
	array_release(&sorted.list);
}

/* The results of a sorted context anew, in `now`. */
static bool sort_anew(struct imap_search_run *run, const struct imap_context *c, const struct uids *members,
                      struct uids *now)
{
	CLEANUP(imap_bits_release) struct imap_bits hits = imap_bits_none(run->count);
	struct imap_search_found found = {};
	for (size_t i = 0; i < members->list.count; i++) {
		uint32_t number = imap_view_number(run->s, members->list.items[i]);
		if (number)
			imap_bits_set(&hits, number - 1);
	}
	bool ok = imap_sort_found(run, &c->criteria, &hits, &found, NULL);
	for (size_t i = 0; ok && i < found.count; i++)
		*array_add(&now->list) = run->uids[found.positions[i]];
	free(found.positions);
	return ok;
}

static bool follows(struct imap_session *s, const struct imap_context *c, const struct uids *now,
                    const struct uids *added, size_t i, uint32_t last)
{
	return contains(added, now->list.items[i]) && number_of(s, c, now->list.items[i]) == last + 1;
}

/* Each at the position that it has when those before it have been added. Neighbours that ascend are one set. */
static void tell_sorted(struct imap_session *s, const struct imap_context *c, const struct uids *now,
                        const struct uids *added)
{
	bool first = true;
	for (size_t i = 0; i < now->list.count;) {
		if (!contains(added, now->list.items[i])) {
			i++;
			continue;
		}
		uint32_t begin = number_of(s, c, now->list.items[i]), last = begin;
		buf_printf(&s->out, " %s%zu %u", first ? "ADDTO (" : "", i + 1, begin);
		for (i++; i < now->list.count && follows(s, c, now, added, i, last); i++)
			last++;
		if (last > begin)
			buf_printf(&s->out, ":%u", last);
		first = false;
	}
	if (!first)
		buf_add_char(&s->out, ')');
}

static void merge_results(struct imap_context *c, const struct uids *added)
{
	for (size_t i = 0; i < added->list.count; i++)
		*array_add(&c->results.list) = added->list.items[i];
	if (c->results.list.count)
		qsort(c->results.list.items, c->results.list.count, sizeof(uint32_t), by_uid);
}

/* What another session expunged cannot be sorted, though EXPUNGE may have to wait: it goes before positions are told
 * that do not count it. */
static void remove_lost(struct imap_session *s, struct imap_context *c, const struct uids *now, bool *begun)
{
	struct uids there = {}, lost = {};
	for (size_t i = 0; i < now->list.count; i++)
		*array_add(&there.list) = now->list.items[i];
	if (there.list.count)
		qsort(there.list.items, there.list.count, sizeof(uint32_t), by_uid);
	for (size_t i = 0; i < c->results.list.count; i++)
		if (!contains(&there, c->results.list.items[i]))
			*array_add(&lost.list) = c->results.list.items[i];
	if (lost.list.count)
		qsort(lost.list.items, lost.list.count, sizeof(uint32_t), by_uid);
	remove_results(s, c, &lost, begun);
	array_release(&there.list);
	array_release(&lost.list);
}

static void add_results(struct imap_search_run *run, struct imap_context *c, const struct uids *added, bool *begun)
{
	if (!added->list.count)
		return;
	if (!c->is_sorted) {
		begin_answer(run->s, c, begun);
		tell_unsorted(run->s, c, "ADDTO", added);
		merge_results(c, added);
		return;
	}
	struct uids now = {}, members = {};
	for (size_t i = 0; i < c->results.list.count; i++)
		*array_add(&members.list) = c->results.list.items[i];
	for (size_t i = 0; i < added->list.count; i++)
		*array_add(&members.list) = added->list.items[i];
	if (sort_anew(run, c, &members, &now)) {
		if (now.list.count < members.list.count)
			remove_lost(run->s, c, &now, begun);
		begin_answer(run->s, c, begun);
		tell_sorted(run->s, c, &now, added);
		array_release(&c->results.list);
		c->results = now;
	} else {
		array_release(&now.list);
	}
	array_release(&members.list);
}

/* RFC 5465 §7: of messages that are new, not of those that changed. */
static void tell_items(struct imap_session *s, const struct imap_context *c, const struct uids *added, uint32_t known)
{
	struct imap_numbers uids = {};
	for (size_t i = 0; c->items.length && i < added->list.count; i++)
		if (added->list.items[i] > known && !imap_is_own(s, added->list.items[i]))
			imap_numbers_append(&uids, added->list.items[i]);
	if (uids.ranges.count)
		imap_fetch_new(s, c->items, &uids);
	imap_numbers_release(&uids);
}

/* Positions of what changed since the context was last evaluated. */
static bool list_changed(struct imap_search_run *run, const struct imap_context *c, struct imap_bits *changed)
{
	struct imap_session *s = run->s;
	struct store_positions positions = {};
	if (!store_index_lock(s->view.index, s->reader, NULL))
		return false;
	store_index_changed(s->view.index, c->modseq, &positions);
	const struct store_row *rows = store_index_rows(s->view.index);
	for (size_t i = 0; i < positions.list.count; i++) {
		uint32_t number = imap_view_number(s, rows[positions.list.items[i]].uid);
		if (number)
			imap_bits_set(changed, number - 1);
	}
	store_index_unlock(s->view.index);
	store_positions_release(&positions);
	for (size_t i = run->count; i > 0 && run->uids[i - 1] > c->last_uid; i--)
		imap_bits_set(changed, i - 1);
	return true;
}

static void compare_results(struct imap_search_run *run, struct imap_context *c, const struct imap_bits *changed,
                            const struct imap_bits *hits)
{
	struct uids added = {}, gone = {}, before = {};
	bool begun = false;
	for (size_t i = 0; i < c->results.list.count; i++)
		*array_add(&before.list) = c->results.list.items[i];
	if (c->is_sorted && before.list.count)
		qsort(before.list.items, before.list.count, sizeof(uint32_t), by_uid);
	for (size_t i = imap_bits_next(changed, 0); i < changed->count; i = imap_bits_next(changed, i + 1)) {
		bool was = contains(&before, run->uids[i]), is = imap_bits_has(hits, i);
		if (is != was)
			*(is ? array_add(&added.list) : array_add(&gone.list)) = run->uids[i];
	}
	tell_items(run->s, c, &added, c->last_uid);
	remove_results(run->s, c, &gone, &begun);
	add_results(run, c, &added, &begun);
	end_answer(run->s, begun);
	array_release(&added.list);
	array_release(&gone.list);
	array_release(&before.list);
}

static void evaluate_again(struct imap_session *s, struct imap_context *c)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(CONTEXT_ARENA_MAX);
	CLEANUP(imap_search_end) struct imap_search_run run = {};
	imap_search_begin_again(&run, s, &c->program, arena, c->sets, c->set_count);
	CLEANUP(imap_bits_release) struct imap_bits changed = imap_bits_none(run.count), hits = {};
	if (!list_changed(&run, c, &changed))
		return;
	if (imap_bits_next(&changed, 0) < changed.count && imap_search_evaluate(&run, &changed, &hits, NULL))
		compare_results(&run, c, &changed, &hits);
}

void imap_context_tell(struct imap_session *s)
{
	for (struct imap_context *c = s->kept.contexts; c; c = c->next) {
		uint32_t last = uidmap_last(&s->view.uids);
		if (c->modseq == s->kept.view.told_modseq && c->last_uid == last)
			continue;
		evaluate_again(s, c);
		c->modseq = s->kept.view.told_modseq;
		c->last_uid = last;
	}
}
