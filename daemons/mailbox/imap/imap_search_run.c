#include "imap_search_run.h"

#include "charset.h"
#include "clock.h"
#include "imap_limit.h"
#include "imap_objectid.h"
#include "imap_search_text.h"
#include "search_text.h"
#include "store_date.h"

enum {
	KEY_MAX = 1 << 24,           /* octets of a folded key: a command is shorter */
	DAY = 86400,
	THREADS_STEP = 1000,         /* messages whose threads one transaction finds */
};

bool imap_search_goes_on(struct imap_search_run *run, size_t done, size_t all)
{
	return run->silent ? !run->s->over : imap_still_working(run->s, done, all) && !run->s->over;
}

/* ---- beginning ---- */

static struct str fold(struct arena *arena, struct str utf8, bool ascii_only)
{
	CLEANUP(buf_release) struct buf folded = BUF_WITH_LIMIT(KEY_MAX);
	bool blank = false;
	search_text_fold(&folded, utf8, ascii_only, &blank);
	return arena_copy(arena, buf_str(&folded));
}

static struct str to_utf8(struct arena *arena, struct str charset, struct str octets)
{
	CLEANUP(buf_release) struct buf utf8 = BUF_WITH_LIMIT(KEY_MAX);
	if (str_is_empty(charset) || str_equal_nocase(charset, STR("us-ascii")))
		charset_guess_to_utf8(&utf8, octets);
	else
		charset_to_utf8(&utf8, charset, octets);
	return arena_copy(arena, buf_str(&utf8));
}

static void make_key(struct imap_search_run *run, const struct imap_search_node *node, struct imap_search_text_key *key)
{
	struct str utf8 = to_utf8(run->arena, run->program.charset, node->text);
	key->key = text_key_make(fold(run->arena, utf8, false));
	key->ascii = fold(run->arena, utf8, true);
	if (node->op != IMAP_KEY_HEADER)
		return;
	struct str name = arena_printf(run->arena, "%.*s:", STR_ARG(node->name));
	key->folded_name = fold(run->arena, name, false);
	key->is_often = text_field_find(node->name, &key->field);
}

static bool has_text(enum imap_search_op op)
{
	return op == IMAP_KEY_HEADER || op == IMAP_KEY_BODY || op == IMAP_KEY_TEXT;
}

static bool has_set(enum imap_search_op op)
{
	return op == IMAP_KEY_NUMBERS || op == IMAP_KEY_UIDS;
}

static void list_uids(struct imap_search_run *run)
{
	struct uidmap *view = &run->s->view.uids;
	size_t position = 0;
	run->count = uidmap_count(view);
	run->uids = mem_alloc((run->count + 1) * sizeof *run->uids);
	for (uint32_t uid = uidmap_next(view, 1); uid && position < run->count; uid = uidmap_next(view, uid + 1))
		run->uids[position++] = uid;
	must(position == run->count);
}

static void begin(struct imap_search_run *run, struct imap_session *s, const struct imap_search_program *program,
                  struct arena *arena)
{
	*run = (struct imap_search_run){ .s = s, .program = *program, .arena = arena, .now = clock_wall_seconds(),
		                             .mail = BUF_WITH_LIMIT(LIMIT_SEARCH_MAIL_MAX) };
	list_uids(run);
	run->sets = mem_alloc(program->count * sizeof *run->sets);
	run->keys = mem_alloc(program->count * sizeof *run->keys);
	for (size_t i = 0; i < program->count; i++)
		if (has_text(program->nodes[i].op))
			make_key(run, &program->nodes[i], &run->keys[i]);
}

/* Asking for a number that is too high finds nothing: clients do, and not only in an empty mailbox. */
static bool resolve_set(struct imap_search_run *run, size_t i)
{
	const struct imap_search_node *node = &run->program.nodes[i];
	if (!run->count && !node->sequence.saved)
		return true;
	if (node->op == IMAP_KEY_NUMBERS && !node->sequence.saved)
		return imap_view_resolve_known(run->s, &node->sequence, &run->sets[i]);
	return imap_view_resolve(run->s, &node->sequence, node->op == IMAP_KEY_UIDS, &run->sets[i]);
}

bool imap_search_begin(struct imap_search_run *run, struct imap_session *s, const struct imap_search_program *program)
{
	begin(run, s, program, s->arena);
	for (size_t i = 0; i < program->count; i++)
		if (has_set(program->nodes[i].op) && !resolve_set(run, i))
			return false;
	return true;
}

bool imap_search_set_stays(const struct imap_search_node *node)
{
	return node->op == IMAP_KEY_NUMBERS || (node->op == IMAP_KEY_UIDS && node->sequence.saved);
}

void imap_search_begin_again(struct imap_search_run *run, struct imap_session *s,
                             const struct imap_search_program *program,
                             struct arena *arena, const struct imap_numbers *sets, size_t set_count)
{
	size_t next = 0;
	begin(run, s, program, arena);
	run->silent = true;
	for (size_t i = 0; i < program->count; i++) {
		if (program->nodes[i].op == IMAP_KEY_UIDS && !program->nodes[i].sequence.saved)
			imap_sequence_resolve(&program->nodes[i].sequence, uidmap_last(&s->view.uids), &run->sets[i]);
		if (!imap_search_set_stays(&program->nodes[i]))
			continue;
		must(next < set_count);
		const struct imap_numbers *set = &sets[next++];
		for (size_t r = 0; r < set->ranges.count; r++)
			imap_numbers_append_range(&run->sets[i], set->ranges.items[r].first, set->ranges.items[r].last);
	}
}

void imap_search_end(struct imap_search_run *run)
{
	for (size_t i = 0; run->sets && i < run->program.count; i++)
		imap_numbers_release(&run->sets[i]);
	free(run->sets);
	free(run->keys);
	free(run->uids);
	text_make_free(&run->make);
	buf_release(&run->mail);
	*run = (struct imap_search_run){};
}

/* ---- rows ---- */

struct store_reader *imap_search_reader(struct imap_search_run *run, struct fail **fail)
{
	struct imap_session *s = run->s;
	if (!s->reader)
		s->reader = store_reader_acquire(s->session->account->store, fail);
	return s->reader;
}

bool imap_search_read_rows(struct imap_search_run *run, const struct imap_bits *positions,
                           const struct imap_row_visitor *visitor,
                           struct fail **fail)
{
	struct store_index *index = run->s->view.index;
	struct store_reader *reader = imap_search_reader(run, fail);
	size_t hint = 0;
	if (!reader || !store_index_lock(index, reader, fail))
		return false;
	for (size_t i = imap_bits_next(positions, 0); i < positions->count; i = imap_bits_next(positions, i + 1)) {
		const struct store_row *row = store_index_find(index, run->uids[i], &hint);
		if (row)
			visitor->row(visitor->context, i, row);
	}
	store_index_unlock(index);
	return true;
}

struct wanted {
	uint64_t message;
	uint32_t position;
};

static int by_message(const void *a, const void *b)
{
	const struct wanted *x = a, *y = b;
	return x->message < y->message ? -1 : x->message > y->message;
}

static void sort_messages(struct imap_search_messages *list)
{
	struct wanted *wanted = mem_alloc(list->count * sizeof *wanted);
	for (size_t i = 0; i < list->count; i++)
		wanted[i] = (struct wanted){ list->numbers[i], list->positions[i] };
	qsort(wanted, list->count, sizeof *wanted, by_message);
	for (size_t i = 0; i < list->count; i++) {
		list->numbers[i] = wanted[i].message;
		list->positions[i] = wanted[i].position;
	}
	free(wanted);
}

static void add_message(void *context, size_t position, const struct store_row *row)
{
	struct imap_search_messages *list = context;
	if (list->positions)
		list->positions[list->count] = (uint32_t)position;
	list->numbers[list->count++] = row->message;
}

static bool ascend(const struct imap_search_messages *list)
{
	for (size_t i = 1; i < list->count; i++)
		if (list->numbers[i - 1] > list->numbers[i])
			return false;
	return true;
}

bool imap_search_list_messages(struct imap_search_run *run, const struct imap_bits *positions,
                               struct imap_search_messages *list, struct fail **fail)
{
	const struct imap_row_visitor visitor = { add_message, list };
	size_t most = imap_bits_number(positions);
	*list = (struct imap_search_messages){ .numbers = mem_alloc((most + 1) * sizeof *list->numbers) };
	if (most == run->count) {
		if (!imap_search_read_rows(run, positions, &visitor, fail))
			return false;
		if (list->count == most && ascend(list))
			return true;
		list->count = 0;
	}
	list->positions = mem_alloc((most + 1) * sizeof *list->positions);
	if (!imap_search_read_rows(run, positions, &visitor, fail))
		return false;
	if (!ascend(list))
		sort_messages(list);
	return true;
}

void imap_search_messages_release(struct imap_search_messages *list)
{
	free(list->numbers);
	free(list->positions);
	*list = (struct imap_search_messages){};
}

static int64_t day_of(int64_t seconds)
{
	return seconds >= 0 ? seconds / DAY : -((-seconds + DAY - 1) / DAY);
}

/* RFC 9051 §6.4.4: BEFORE, ON and SINCE disregard the time zone. */
static int64_t day_received(const struct store_row *row)
{
	return day_of(store_date_seconds(row->received) + (int64_t)store_date_zone(row->received) * 60);
}

struct row_key {
	struct imap_search_run *run;
	const struct imap_search_node *node;
	struct imap_bits *hits;
	unsigned flag;
	uint16_t keyword;
	bool keyword_known;
	size_t range; /* of a set, for UIDs that ascend */
	const struct imap_numbers *set;
};

static bool in_set(struct row_key *k, uint32_t uid)
{
	while (k->range < k->set->ranges.count && k->set->ranges.items[k->range].last < uid)
		k->range++;
	return k->range < k->set->ranges.count && k->set->ranges.items[k->range].first <= uid;
}

static bool has_keyword(const struct row_key *k, const struct store_row *row)
{
	if (!k->keyword_known || !row->keywords)
		return false;
	struct store_keywords keywords = store_index_keywords(k->run->s->view.index, row->keywords);
	for (size_t i = 0; i < keywords.count; i++)
		if (keywords.numbers[i] == k->keyword)
			return true;
	return false;
}

static bool row_matches(struct row_key *k, const struct store_row *row)
{
	int64_t number = k->node->number;
	switch (k->node->op) {
	case IMAP_KEY_FLAG:
		return number == IMAP_SEARCH_RECENT ? uidmap_has(&k->run->s->view.recent,
		                                                 row->uid) : (row->flags & k->flag) != 0;
	case IMAP_KEY_KEYWORD:
		return has_keyword(k, row);
	case IMAP_KEY_BEFORE:
		return day_received(row) < number;
	case IMAP_KEY_ON:
		return day_received(row) == number;
	case IMAP_KEY_SINCE:
		return day_received(row) >= number;
	case IMAP_KEY_SAVED_BEFORE:
		return day_of(row->saved) < number;
	case IMAP_KEY_SAVED_ON:
		return day_of(row->saved) == number;
	case IMAP_KEY_SAVED_SINCE:
		return day_of(row->saved) >= number;
	case IMAP_KEY_LARGER:
		return row->size > number;
	case IMAP_KEY_SMALLER:
		return row->size < number;
	case IMAP_KEY_OLDER: /* RFC 5032 §3: not younger */
		return k->run->now - store_date_seconds(row->received) >= number;
	case IMAP_KEY_YOUNGER:
		return k->run->now - store_date_seconds(row->received) <= number;
	case IMAP_KEY_MODSEQ:
		return row->modseq >= (uint64_t)number;
	case IMAP_KEY_UID_AFTER:
		return row->uid > number;
	case IMAP_KEY_UID_BEFORE:
		return row->uid < number;
	case IMAP_KEY_EMAILID:
		return row->message == (uint64_t)number;
	case IMAP_KEY_NUMBERS:
	case IMAP_KEY_UIDS:
		return in_set(k, row->uid);
	default:
		return false;
	}
}

static void look_at_row(void *context, size_t position, const struct store_row *row)
{
	struct row_key *k = context;
	if (row_matches(k, row))
		imap_bits_set(k->hits, position);
}

static unsigned store_flag_of(int64_t flag)
{
	static const unsigned flags[] = {
		[IMAP_SEARCH_ANSWERED] = STORE_ANSWERED, [IMAP_SEARCH_DELETED] = STORE_DELETED,
		[IMAP_SEARCH_DRAFT] = STORE_DRAFT,
		[IMAP_SEARCH_FLAGGED] = STORE_FLAGGED, [IMAP_SEARCH_SEEN] = STORE_SEEN, [IMAP_SEARCH_RECENT] = 0,
	};
	return flags[flag];
}

static bool find_keyword(struct imap_search_run *run, struct row_key *k, struct fail **fail)
{
	struct store_mailboxes names = {};
	struct store_reader *reader = imap_search_reader(run, fail);
	bool ok = reader && store_read_keywords(reader, &names, fail);
	for (size_t i = 0; ok && i < names.names.count; i++)
		if (str_equal_nocase(str_of(names.names.items[i]), k->node->text)) {
			k->keyword = (uint16_t)i;
			k->keyword_known = true;
		}
	store_mailboxes_release(&names);
	return ok;
}

static bool evaluate_rows(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                          struct imap_bits *hits,
                          struct fail **fail)
{
	struct imap_search_node node = run->program.nodes[number];
	uint64_t email;
	struct row_key k = { .run = run, .node = &node, .hits = hits, .set = &run->sets[number] };
	if (node.op == IMAP_KEY_FLAG)
		k.flag = store_flag_of(node.number);
	if (node.op == IMAP_KEY_KEYWORD && !find_keyword(run, &k, fail))
		return false;
	if (node.op == IMAP_KEY_EMAILID && !imap_objectid_read(node.text, IMAP_EMAILID, &email))
		return true;
	if (node.op == IMAP_KEY_EMAILID)
		node.number = (int64_t)email;
	return imap_search_read_rows(run, candidates, &(struct imap_row_visitor){ look_at_row, &k }, fail);
}

/* ---- orders ---- */

struct sent_key {
	const struct imap_search_node *node;
	struct imap_bits *hits;
};

/* RFC 9051 §6.4.4: the date as it was written, its time and zone left aside. */
static void look_at_sent(void *context, size_t position, const struct text_order *order)
{
	struct sent_key *k = context;
	int64_t day = day_of(order->sent + (int64_t)order->zone_minutes * 60);
	bool matches = k->node->op == IMAP_KEY_SENT_BEFORE ? day < k->node->number
	             : k->node->op == IMAP_KEY_SENT_ON     ? day == k->node->number
	                                                   : day >= k->node->number;
	if (order->has_date && matches)
		imap_bits_set(k->hits, position);
}

/* ---- threads ---- */

/* Threads of mail that came lately may not have been found yet. */
static bool assign_threads(struct imap_search_run *run, struct fail **fail)
{
	bool more = true, ok = true;
	while (ok && more) {
		struct store_txn *txn = store_begin_deferred(run->s->session->account->store);
		store_assign_threads(txn, THREADS_STEP, &more);
		ok = store_commit(&txn, fail);
	}
	return ok;
}

static bool evaluate_thread(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                            struct imap_bits *hits,
                            struct fail **fail)
{
	uint64_t wanted, thread;
	CLEANUP(imap_search_messages_release) struct imap_search_messages list = {};
	struct store_reader *reader = imap_search_reader(run, fail);
	if (!reader || !imap_search_list_messages(run, candidates, &list, fail) || !assign_threads(run, fail))
		return false;
	if (!imap_objectid_read(run->program.nodes[number].text, IMAP_THREADID, &wanted))
		return true;
	for (size_t i = 0; i < list.count; i++)
		if (store_read_thread(reader, list.numbers[i], &thread, NULL) && thread == wanted)
			imap_bits_set(hits, imap_search_position(&list, i));
	return true;
}

/* ---- the program ---- */

enum cost { COST_ROWS, COST_COLUMNS, COST_HEADERS, COST_TEXTS, COSTS };

static enum cost cost_of(const struct imap_search_run *run, uint32_t number)
{
	const struct imap_search_node *node = &run->program.nodes[number];
	enum cost most = COST_ROWS;
	switch (node->op) {
	case IMAP_KEY_SENT_BEFORE:
	case IMAP_KEY_SENT_ON:
	case IMAP_KEY_SENT_SINCE:
	case IMAP_KEY_THREADID:
		return COST_COLUMNS;
	case IMAP_KEY_HEADER:
		return run->keys[number].is_often ? COST_COLUMNS : COST_HEADERS;
	case IMAP_KEY_BODY:
	case IMAP_KEY_TEXT:
		return COST_TEXTS;
	case IMAP_KEY_AND:
	case IMAP_KEY_OR:
		for (uint32_t child = node->first; child; child = run->program.nodes[child].next) {
			enum imap_search_op op = run->program.nodes[child].op;
			enum cost cost = op == IMAP_KEY_AND || op == IMAP_KEY_OR ? COST_HEADERS : cost_of(run, child);
			most = cost > most ? cost : most;
		}
		return most;
	default:
		return COST_ROWS;
	}
}

static bool evaluate(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                     struct imap_bits *hits,
                     struct fail **fail);

/* hits begins as the candidates, and each child takes away. */
static bool evaluate_and(struct imap_search_run *run, uint32_t number, struct imap_bits *hits, struct fail **fail)
{
	bool ok = true;
	for (enum cost cost = 0; ok && cost < COSTS; cost++)
		for (uint32_t child = run->program.nodes[number].first; ok && child; child = run->program.nodes[child].next) {
			if (cost_of(run, child) != cost || imap_bits_next(hits, 0) == hits->count)
				continue;
			struct imap_bits left = imap_bits_none(run->count);
			ok = evaluate(run, child, hits, &left, fail);
			imap_bits_release(hits);
			*hits = left;
		}
	return ok;
}

static bool evaluate_or(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                        struct imap_bits *hits,
                        struct fail **fail)
{
	CLEANUP(imap_bits_release) struct imap_bits rest = imap_bits_copy(candidates);
	bool ok = true;
	for (enum cost cost = 0; ok && cost < COSTS; cost++)
		for (uint32_t child = run->program.nodes[number].first; ok && child; child = run->program.nodes[child].next) {
			if (cost_of(run, child) != cost || imap_bits_next(&rest, 0) == rest.count)
				continue;
			CLEANUP(imap_bits_release) struct imap_bits more = imap_bits_none(run->count);
			ok = evaluate(run, child, &rest, &more, fail);
			imap_bits_add(hits, &more);
			imap_bits_remove(&rest, &more);
		}
	return ok;
}

static bool evaluate_positive(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                              struct imap_bits *hits,
                              struct fail **fail)
{
	const struct imap_search_node *node = &run->program.nodes[number];
	switch (node->op) {
	case IMAP_KEY_AND:
		imap_bits_add(hits, candidates);
		return evaluate_and(run, number, hits, fail);
	case IMAP_KEY_OR:
		return evaluate_or(run, number, candidates, hits, fail);
	case IMAP_KEY_HEADER:
	case IMAP_KEY_BODY:
	case IMAP_KEY_TEXT:
		return imap_search_evaluate_text(run, number, candidates, hits, fail);
	case IMAP_KEY_SENT_BEFORE:
	case IMAP_KEY_SENT_ON:
	case IMAP_KEY_SENT_SINCE:
		return imap_search_read_orders(run, candidates, &(struct imap_order_visitor){ look_at_sent,
		                                                                             &(struct sent_key){ node, hits } },
		                               fail);
	case IMAP_KEY_THREADID:
		return evaluate_thread(run, number, candidates, hits, fail);
	default:
		return evaluate_rows(run, number, candidates, hits, fail);
	}
}

/* The depth of the program bounds that of the calls: LIMIT_IMAP_SEARCH_DEPTH_MAX. */
static bool evaluate(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                     struct imap_bits *hits,
                     struct fail **fail)
{
	if (!evaluate_positive(run, number, candidates, hits, fail))
		return false;
	if (!run->program.nodes[number].negated)
		return true;
	for (size_t i = 0; i < imap_bits_words(hits); i++)
		hits->words[i] = candidates->words[i] & ~hits->words[i];
	return true;
}

static void note_there(void *context, size_t position, const struct store_row *row)
{
	(void)row;
	imap_bits_set(context, position);
}

bool imap_search_evaluate(struct imap_search_run *run, const struct imap_bits *candidates, struct imap_bits *hits,
                          struct fail **fail)
{
	CLEANUP(imap_bits_release) struct imap_bits all =
		candidates ? imap_bits_copy(candidates) : imap_bits_all(run->count);
	/* what others expunged since the client was told of it would match each NOT */
	CLEANUP(imap_bits_release) struct imap_bits there = imap_bits_none(run->count);
	*hits = imap_bits_none(run->count);
	return imap_search_read_rows(run, &all, &(struct imap_row_visitor){ note_there, &there }, fail) &&
	       evaluate(run, 0, &there, hits, fail);
}

void imap_search_collate(const struct imap_session *s, struct buf *out, struct str utf8)
{
	if (s->kept.unicode_casemap) {
		charset_fold(out, utf8);
		return;
	}
	for (size_t i = 0; i < utf8.length; i++)
		buf_add_char(out, char_upper(utf8.data[i]));
}
