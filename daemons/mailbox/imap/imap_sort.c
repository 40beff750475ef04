#include "imap_sort.h"

#include "imap_context.h"
#include "imap_search_text.h"
#include "store_date.h"

enum { STRINGS_MAX = 1 << 30, RADIX = 256, PREFIX = 8, TAIL_MAX = UINT16_MAX };

/*
 * What one criterion compares: a number for each message, that orders as the criterion does. That of a text is at
 * first its first octets, then its rank among all. What a text has beyond them lies in tails, behind its length; a
 * mailbox may have a million.
 */
struct column {
	struct imap_sort_criterion criterion;
	uint64_t *numbers;
	struct buf tails;
	uint32_t *tail_of; /* of a text: 1 + where its tail begins; 0: it has none */
};

struct sorter {
	struct imap_search_run *run;
	struct column columns[IMAP_SORT_KEYS];
	size_t column_count;
	uint32_t *index_of; /* by position: its place in the arrays. NULL: all positions are sorted, each at its own place */
	uint32_t *positions; /* by place; NULL as well */
	struct imap_bits there;
	size_t count;
	struct buf folded;
};

static bool is_text(enum imap_sort_key key)
{
	return key != IMAP_SORT_ARRIVAL && key != IMAP_SORT_DATE && key != IMAP_SORT_SIZE;
}

static bool needs_order(const struct sorter *sorter)
{
	for (size_t i = 0; i < sorter->column_count; i++)
		if (sorter->columns[i].criterion.key == IMAP_SORT_DATE || is_text(sorter->columns[i].criterion.key))
			return true;
	return false;
}

static void number_places(struct sorter *sorter, const struct imap_bits *hits)
{
	uint32_t index = 0;
	sorter->positions = mem_alloc((sorter->count + 1) * sizeof *sorter->positions);
	sorter->index_of = mem_alloc((hits->count + 1) * sizeof *sorter->index_of);
	for (size_t i = imap_bits_next(hits, 0); i < hits->count; i = imap_bits_next(hits, i + 1)) {
		sorter->index_of[i] = index;
		sorter->positions[index++] = (uint32_t)i;
	}
}

static uint32_t place_of(const struct sorter *sorter, size_t position)
{
	return sorter->index_of ? sorter->index_of[position] : (uint32_t)position;
}

static uint32_t position_at(const struct sorter *sorter, uint32_t place)
{
	return sorter->positions ? sorter->positions[place] : place;
}

static void begin(struct sorter *sorter, struct imap_search_run *run, const struct imap_sort_criteria *criteria,
                  const struct imap_bits *hits)
{
	size_t count = imap_bits_number(hits);
	*sorter = (struct sorter){ .run = run, .column_count = criteria->count, .count = count,
	                          .folded = BUF_WITH_LIMIT(1 << 20) };
	sorter->there = imap_bits_none(count);
	if (count < run->count)
		number_places(sorter, hits);
	for (size_t i = 0; i < criteria->count; i++) {
		struct column *column = &sorter->columns[i];
		column->criterion = criteria->list[i];
		column->numbers = mem_alloc((count + 1) * sizeof *column->numbers);
		buf_init(&column->tails, STRINGS_MAX);
		if (is_text(column->criterion.key))
			column->tail_of = mem_alloc((count + 1) * sizeof *column->tail_of);
	}
}

static void end(struct sorter *sorter)
{
	for (size_t i = 0; i < sorter->column_count; i++) {
		free(sorter->columns[i].numbers);
		free(sorter->columns[i].tail_of);
		buf_release(&sorter->columns[i].tails);
	}
	free(sorter->positions);
	imap_bits_release(&sorter->there);
	free(sorter->index_of);
	buf_release(&sorter->folded);
}

/* ---- values ---- */

/* Order of signed numbers as that of unsigned ones. */
static uint64_t biased(int64_t number)
{
	return (uint64_t)number ^ (uint64_t)1 << 63;
}

static void take_row(void *context, size_t position, const struct store_row *row)
{
	struct sorter *sorter = context;
	uint32_t index = place_of(sorter, position);
	imap_bits_set(&sorter->there, index);
	for (size_t i = 0; i < sorter->column_count; i++) {
		struct column *column = &sorter->columns[i];
		if (column->criterion.key == IMAP_SORT_SIZE)
			column->numbers[index] = row->size;
		else if (!is_text(column->criterion.key)) /* RFC 5256 §2.2: without a date, that of its arrival */
			column->numbers[index] = biased(store_date_seconds(row->received));
	}
}

static struct str text_of(enum imap_sort_key key, const struct text_order *order)
{
	switch (key) {
	case IMAP_SORT_CC:
		return order->cc;
	case IMAP_SORT_DISPLAYFROM:
		return order->display_from;
	case IMAP_SORT_DISPLAYTO:
		return order->display_to;
	case IMAP_SORT_FROM:
		return order->from;
	case IMAP_SORT_TO:
		return order->to;
	default:
		return order->subject;
	}
}

static uint64_t prefix_of(struct str text)
{
	uint64_t prefix = 0;
	for (size_t i = 0; i < PREFIX; i++)
		prefix = prefix << 8 | (i < text.length ? (uint8_t)text.data[i] : 0);
	return prefix;
}

/* U+FFFD, which stands for what was no text in its charset. */
static bool is_damaged(struct str text)
{
	return str_find(text, STR("\xef\xbf\xbd")) < text.length;
}

/* RFC 5255 §4.6: what could not be converted stands behind all that could. */
static void take_text(struct sorter *sorter, struct column *column, uint32_t index, struct str text)
{
	buf_clear(&sorter->folded);
	if (is_damaged(text))
		buf_add_char(&sorter->folded, (char)0xff);
	imap_search_collate(sorter->run->s, &sorter->folded, text);
	column->numbers[index] = prefix_of(buf_str(&sorter->folded));
	struct str rest = str_first(str_from_index(buf_str(&sorter->folded), PREFIX), TAIL_MAX);
	if (!rest.length)
		return;
	uint16_t length = (uint16_t)rest.length;
	column->tail_of[index] = 1 + (uint32_t)column->tails.length;
	buf_append(&column->tails, &length, sizeof length);
	buf_add_str(&column->tails, rest);
}

static void take_order(void *context, size_t position, const struct text_order *order)
{
	struct sorter *sorter = context;
	uint32_t index = place_of(sorter, position);
	for (size_t i = 0; i < sorter->column_count; i++) {
		struct column *column = &sorter->columns[i];
		if (is_text(column->criterion.key))
			take_text(sorter, column, index, text_of(column->criterion.key, order));
		else if (column->criterion.key == IMAP_SORT_DATE && order->has_date)
			column->numbers[index] = biased(order->sent);
	}
}

/* ---- order ---- */

/* One stable pass over the octet of the numbers at this shift; false: they are all the same there. */
static bool radix_pass(const uint64_t *numbers, uint64_t flip, unsigned shift, const uint32_t *from, uint32_t *to,
                       size_t count)
{
	size_t places[RADIX] = {};
	for (size_t i = 0; i < count; i++)
		places[(numbers[from[i]] ^ flip) >> shift & (RADIX - 1)]++;
	if (count == 0 || places[(numbers[from[0]] ^ flip) >> shift & (RADIX - 1)] == count)
		return false;
	size_t sum = 0;
	for (size_t i = 0; i < RADIX; i++) {
		size_t here = places[i];
		places[i] = sum;
		sum += here;
	}
	for (size_t i = 0; i < count; i++)
		to[places[(numbers[from[i]] ^ flip) >> shift & (RADIX - 1)]++] = from[i];
	return true;
}

/* Those that were in order stay so where the numbers are equal. *other is as long as *order. */
static void sort_by_numbers(const uint64_t *numbers, uint64_t flip, uint32_t **order, uint32_t **other, size_t count)
{
	for (unsigned shift = 0; shift < 64; shift += 8)
		if (radix_pass(numbers, flip, shift, *order, *other, count)) {
			uint32_t *swapped = *order;
			*order = *other;
			*other = swapped;
		}
}

static uint32_t *list_indexes(size_t count)
{
	uint32_t *list = mem_alloc((count + 1) * sizeof *list);
	for (size_t i = 0; i < count; i++)
		list[i] = (uint32_t)i;
	return list;
}

/* From the last criterion to the first, each pass keeping the order of the one before. REVERSE turns the numbers, not
 * the order of those that are equal. */
static uint32_t *sort_indexes(const struct sorter *sorter)
{
	size_t count = sorter->count;
	uint32_t *order = list_indexes(count), *other = mem_alloc((count + 1) * sizeof *other);
	for (size_t c = sorter->column_count; c-- > 0;) {
		const struct column *column = &sorter->columns[c];
		sort_by_numbers(column->numbers, column->criterion.reverse ? UINT64_MAX : 0, &order, &other, count);
	}
	free(other);
	return order;
}

/* ---- ranks of texts ---- */

static struct str tail(const struct column *column, uint32_t index)
{
	uint16_t length;
	if (!column->tail_of[index])
		return STR("");
	const char *at = column->tails.data + column->tail_of[index] - 1;
	memcpy(&length, at, sizeof length);
	return str_from(at + sizeof length, length);
}

static int by_tail(const void *a, const void *b, void *column)
{
	return str_compare(tail(column, *(const uint32_t *)a), tail(column, *(const uint32_t *)b));
}

/* Those from first on that have the same first octets. */
static size_t run_of_prefix(const struct column *column, const uint32_t *order, size_t first, size_t count)
{
	size_t end = first + 1;
	while (end < count && column->numbers[order[end]] == column->numbers[order[first]])
		end++;
	return end;
}

/* Sorted by their first octets first, then each run of those that share them by the rest. */
static void rank_texts(struct column *column, size_t count)
{
	if (!column->tail_of)
		return;
	uint64_t rank = 0;
	uint32_t *order = list_indexes(count), *other = mem_alloc((count + 1) * sizeof *other);
	sort_by_numbers(column->numbers, 0, &order, &other, count);
	free(other);
	for (size_t first = 0, end; first < count; first = end) {
		end = run_of_prefix(column, order, first, count);
		qsort_r(order + first, end - first, sizeof *order, by_tail, column);
		for (size_t i = first; i < end; i++) {
			rank += i == first || by_tail(&order[i - 1], &order[i], column) != 0;
			column->numbers[order[i]] = rank;
		}
	}
	free(order);
	buf_release(&column->tails);
}

static bool read_columns(struct sorter *sorter, const struct imap_bits *hits, struct fail **fail)
{
	return imap_search_read_rows(sorter->run, hits, &(struct imap_row_visitor){ take_row, sorter }, fail) &&
	       (!needs_order(sorter) ||
	        imap_search_read_orders(sorter->run, hits, &(struct imap_order_visitor){ take_order, sorter }, fail));
}

bool imap_sort_found(struct imap_search_run *run, const struct imap_sort_criteria *criteria,
                     const struct imap_bits *hits,
                     struct imap_search_found *found, struct fail **fail)
{
	struct sorter sorter;
	begin(&sorter, run, criteria, hits);
	*found = (struct imap_search_found){};
	bool ok = read_columns(&sorter, hits, fail);
	for (size_t i = 0; ok && i < sorter.column_count; i++) {
		ok = !sorter.columns[i].tails.overflowed || fail_set(fail, FAIL_LIMIT, "too many texts to sort");
		rank_texts(&sorter.columns[i], ok ? sorter.count : 0);
	}
	if (ok)
		found->positions = sort_indexes(&sorter);
	for (size_t i = 0; ok && i < sorter.count; i++)
		if (imap_bits_has(&sorter.there, found->positions[i]))
			found->positions[found->count++] = position_at(&sorter, found->positions[i]);
	end(&sorter);
	return ok;
}

/* ---- SORT ---- */

struct sort_command {
	struct imap_search_return options;
	struct imap_sort_criteria criteria;
	struct imap_search_program program;
	struct str keys; /* charset and search keys as they were written */
};

static bool parse(struct imap_session *s, struct sort_command *c)
{
	struct imap_parser *p = &s->parser;
	const struct imap_search_filters filters = imap_search_filters(s, s->arena);
	imap_parse_space(p);
	imap_parse_search_return(p, &c->options);
	imap_parse_sort_criteria(p, &c->criteria);
	imap_parse_space(p);
	c->keys = str_from_index(p->text, p->at);
	imap_parse_sort_search(p, &filters, &c->program);
	return imap_search_accept(s, &c->program, &c->options) && imap_context_may_add(s, &c->options);
}

static bool sort_and_answer(struct imap_search_run *run, const struct sort_command *c, struct fail **fail)
{
	CLEANUP(imap_bits_release) struct imap_bits hits = {};
	struct imap_search_found found = {};
	bool ok = imap_search_evaluate(run, NULL, &hits, fail) && imap_sort_found(run, &c->criteria, &hits, &found, fail);
	if (ok && c->options.given)
		ok = imap_search_answer(run, &c->options, &found, fail);
	else if (ok)
		ok = imap_search_answer_plainly(run, &found, fail);
	if (ok && c->options.options & IMAP_RETURN_UPDATE)
		imap_context_add(run, &c->options, c->keys, &c->criteria, &found);
	free(found.positions);
	return ok;
}

void imap_sort(struct imap_session *s)
{
	struct sort_command c;
	CLEANUP(imap_search_end) struct imap_search_run run = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!parse(s, &c))
		return;
	s->keeps_numbers = c.program.uses_numbers;
	if (!imap_search_begin(&run, s, &c.program))
		return;
	if (c.program.uses_modseq)
		imap_enable_condstore(s);
	if (sort_and_answer(&run, &c, &fail))
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
	else
		imap_search_fail(s, &c.options, fail);
}
