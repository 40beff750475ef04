#include "imap_sequence.h"

#include "limits.h"

/* The largest number of all, which no message ever has (UIDNEXT could not follow it), is no "*". */
static uint32_t parse_seq_number(struct imap_parser *p)
{
	if (imap_parse_skip(p, '*'))
		return IMAP_STAR;
	uint64_t number = imap_parse_nz_number(p, UINT32_MAX);
	return number == IMAP_STAR ? IMAP_STAR - 1 : (uint32_t)number;
}

static size_t count_ranges(const struct imap_parser *p)
{
	size_t count = 1;
	for (size_t i = p->at; i < p->text.length && p->text.data[i] != ' ' && p->text.data[i] != ')'; i++)
		count += p->text.data[i] == ',';
	return count;
}

void imap_parse_sequence(struct imap_parser *p, struct imap_sequence *sequence)
{
	*sequence = (struct imap_sequence){};
	if (imap_parse_skip(p, '$')) {
		sequence->saved = true;
		return;
	}
	size_t most = p->failed ? 0 : count_ranges(p);
	if (most > LIMIT_IMAP_RANGES_MAX) {
		p->too_much = true;
		imap_parse_fail(p, "fewer ranges of numbers");
	}
	if (p->failed)
		return;
	sequence->ranges = arena_alloc_array(p->arena, most, sizeof *sequence->ranges);
	do {
		struct imap_range *range = &sequence->ranges[sequence->count++];
		range->first = range->last = parse_seq_number(p);
		if (imap_parse_skip(p, ':'))
			range->last = parse_seq_number(p);
	} while (imap_parse_skip(p, ','));
	if (p->failed)
		*sequence = (struct imap_sequence){};
}

static int by_first(const void *a, const void *b)
{
	const struct imap_range *x = a, *y = b;
	return x->first < y->first ? -1 : x->first > y->first;
}

static uint32_t number_or(uint32_t number, uint32_t star)
{
	return number == IMAP_STAR ? star : number;
}

/* Ranges in any order become ascending ones with first <= last; 0 (a "*" that is nothing) falls away. */
static void put_in_order(const struct imap_sequence *sequence, uint32_t star, struct imap_numbers *out)
{
	bool sorted = true;
	for (size_t i = 0; i < sequence->count; i++) {
		uint32_t a = number_or(sequence->ranges[i].first, star), b = number_or(sequence->ranges[i].last, star);
		struct imap_range range = { a < b ? a : b, a < b ? b : a };
		if (range.first == 0)
			continue;
		size_t count = out->ranges.count;
		sorted = sorted && (count == 0 || out->ranges.items[count - 1].first <= range.first);
		*array_add(&out->ranges) = range;
	}
	if (!sorted)
		qsort(out->ranges.items, out->ranges.count, sizeof *out->ranges.items, by_first);
}

void imap_sequence_resolve(const struct imap_sequence *sequence, uint32_t star, struct imap_numbers *out)
{
	size_t kept = 0;
	out->ranges.count = 0;
	put_in_order(sequence, star, out);
	struct imap_range *ranges = out->ranges.items;
	for (size_t i = 0; i < out->ranges.count; i++) {
		if (kept && ranges[i].first <= ranges[kept - 1].last + 1) {
			if (ranges[i].last > ranges[kept - 1].last)
				ranges[kept - 1].last = ranges[i].last;
		} else {
			ranges[kept++] = ranges[i];
		}
	}
	out->ranges.count = kept;
}

void imap_numbers_append_range(struct imap_numbers *n, uint32_t first, uint32_t last)
{
	struct imap_range *end = n->ranges.count ? &n->ranges.items[n->ranges.count - 1] : NULL;
	must(first <= last && (!end || first > end->last));
	if (end && end->last + 1 == first)
		end->last = last;
	else
		*array_add(&n->ranges) = (struct imap_range){ first, last };
}

void imap_numbers_append(struct imap_numbers *n, uint32_t number)
{
	imap_numbers_append_range(n, number, number);
}

bool imap_numbers_has(const struct imap_numbers *n, uint32_t number)
{
	size_t low = 0, high = n->ranges.count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (n->ranges.items[middle].last < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n->ranges.count && n->ranges.items[low].first <= number;
}

uint64_t imap_numbers_count(const struct imap_numbers *n)
{
	uint64_t count = 0;
	for (size_t i = 0; i < n->ranges.count; i++)
		count += (uint64_t)n->ranges.items[i].last - n->ranges.items[i].first + 1;
	return count;
}

void imap_numbers_release(struct imap_numbers *n)
{
	array_release(&n->ranges);
}

void imap_numbers_write(struct buf *out, const struct imap_numbers *n)
{
	for (size_t i = 0; i < n->ranges.count; i++) {
		struct imap_range range = n->ranges.items[i];
		if (i)
			buf_add_char(out, ',');
		buf_add_u64(out, range.first);
		if (range.last != range.first) {
			buf_add_char(out, ':');
			buf_add_u64(out, range.last);
		}
	}
}
