#include "uidmap.h"

#include "check.h"

/*
 * As stored, each page is
 *
 *	number   its first UID / UIDMAP_PAGE_BITS, less that of the page before, less 1 (of the first: its number)
 *	runs     how many runs of UIDs follow; 0: PAGE_BYTES octets of bitmap do, lowest bit first
 *	gap run  UIDs that are missing, UIDs that are there; of all gaps but the first at least one
 *
 * with numbers in base 128, lowest digits first, the high bit says that more follow. The shorter form is taken.
 */

enum {
	PAGE_WORDS = UIDMAP_PAGE_BITS / 64,
	PAGE_BYTES = UIDMAP_PAGE_BITS / 8,
	BLOCK_WORDS = 8,
	PAGE_BLOCKS = PAGE_WORDS / BLOCK_WORDS,
	NUMBER_BYTES_MAX = 5,
};

struct uidmap_page {
	uint32_t number;            /* first UID / UIDMAP_PAGE_BITS */
	uint32_t before;            /* UIDs in the pages before it, unless the map is stale */
	uint32_t count;             /* UIDs in it */
	uint16_t rank[PAGE_BLOCKS]; /* UIDs in it before each block */
	uint64_t words[PAGE_WORDS];
};

static uint32_t page_of(uint32_t uid)
{
	return uid / UIDMAP_PAGE_BITS;
}

static size_t bits_in(uint64_t word)
{
	return (size_t)__builtin_popcountll(word);
}

/* Index of the first page whose number is >= number. */
static size_t find_page(const struct uidmap *m, uint32_t number)
{
	size_t low = 0;
	size_t high = m->pages.count;
	/* most often pages are without a gap */
	if (high && m->pages.items[0]->number + high - 1 == m->pages.items[high - 1]->number)
		return number <= m->pages.items[0]->number                ? 0
		       : number > m->pages.items[high - 1]->number ? high
		                                                   : number - m->pages.items[0]->number;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (m->pages.items[middle]->number < number)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct uidmap_page *page_at(const struct uidmap *m, uint32_t number)
{
	size_t i = find_page(m, number);
	return i < m->pages.count && m->pages.items[i]->number == number ? m->pages.items[i] : NULL;
}

static struct uidmap_page *insert_page(struct uidmap *m, size_t at, uint32_t number)
{
	struct uidmap_page *page = mem_alloc(sizeof *page);
	page->number = number;
	page->before = m->count;
	if (at < m->pages.count)
		m->stale = true;
	array_add(&m->pages);
	memmove(&m->pages.items[at + 1], &m->pages.items[at], (m->pages.count - 1 - at) * sizeof m->pages.items[0]);
	m->pages.items[at] = page;
	return page;
}

static void remove_page(struct uidmap *m, size_t at)
{
	free(m->pages.items[at]);
	array_remove(&m->pages, at);
}

/* UIDs of a page that are below a bit of it. */
static uint32_t rank_in(const struct uidmap_page *page, uint32_t bit)
{
	uint32_t word = bit / 64;
	uint32_t rank = page->rank[word / BLOCK_WORDS];
	for (uint32_t i = word / BLOCK_WORDS * BLOCK_WORDS; i < word; i++)
		rank += (uint32_t)bits_in(page->words[i]);
	return rank + (uint32_t)bits_in(page->words[word] & ((UINT64_C(1) << bit % 64) - 1));
}

static void count_page(struct uidmap_page *page)
{
	page->count = 0;
	for (size_t i = 0; i < PAGE_WORDS; i++) {
		if (i % BLOCK_WORDS == 0)
			page->rank[i / BLOCK_WORDS] = (uint16_t)page->count;
		page->count += (uint32_t)bits_in(page->words[i]);
	}
}

static void count_pages(struct uidmap *m)
{
	uint32_t before = 0;
	for (size_t i = 0; m->stale && i < m->pages.count; i++) {
		m->pages.items[i]->before = before;
		before += m->pages.items[i]->count;
	}
	m->stale = false;
}

/* ---- as a whole ---- */

void uidmap_release(struct uidmap *m)
{
	for (size_t i = 0; i < m->pages.count; i++)
		free(m->pages.items[i]);
	array_release(&m->pages);
	*m = (struct uidmap){};
}

void uidmap_copy(struct uidmap *to, const struct uidmap *from)
{
	uidmap_release(to);
	for (size_t i = 0; i < from->pages.count; i++)
		*insert_page(to, i, 0) = *from->pages.items[i];
	to->count = from->count;
	to->stale = from->stale;
}

bool uidmap_equal(const struct uidmap *a, const struct uidmap *b)
{
	if (a->count != b->count || a->pages.count != b->pages.count)
		return false;
	for (size_t i = 0; i < a->pages.count; i++)
		if (a->pages.items[i]->number != b->pages.items[i]->number ||
		    memcmp(a->pages.items[i]->words, b->pages.items[i]->words, PAGE_BYTES) != 0)
			return false;
	return true;
}

void uidmap_minus(const struct uidmap *a, const struct uidmap *b, struct uidmap *out)
{
	uidmap_release(out);
	for (size_t i = 0; i < a->pages.count; i++) {
		const struct uidmap_page *other = page_at(b, a->pages.items[i]->number);
		struct uidmap_page *page = insert_page(out, out->pages.count, a->pages.items[i]->number);
		for (size_t w = 0; w < PAGE_WORDS; w++)
			page->words[w] = a->pages.items[i]->words[w] & ~(other ? other->words[w] : 0);
		count_page(page);
		out->count += page->count;
		if (!page->count)
			remove_page(out, out->pages.count - 1);
	}
}

/* ---- look ---- */

uint32_t uidmap_count(const struct uidmap *m)
{
	return m->count;
}

uint32_t uidmap_last(const struct uidmap *m)
{
	if (!m->pages.count)
		return 0;
	const struct uidmap_page *page = m->pages.items[m->pages.count - 1];
	size_t word = PAGE_WORDS - 1;
	while (!page->words[word])
		word--;
	uint32_t bit = 63 - (uint32_t)__builtin_clzll(page->words[word]);
	return page->number * UIDMAP_PAGE_BITS + (uint32_t)word * 64 + bit;
}

bool uidmap_has(const struct uidmap *m, uint32_t uid)
{
	const struct uidmap_page *page = page_at(m, page_of(uid));
	uint32_t bit = uid % UIDMAP_PAGE_BITS;
	return page && page->words[bit / 64] >> bit % 64 & 1;
}

uint32_t uidmap_rank(struct uidmap *m, uint32_t uid)
{
	count_pages(m);
	size_t i = find_page(m, page_of(uid));
	if (i == m->pages.count)
		return m->count;
	const struct uidmap_page *page = m->pages.items[i];
	uint32_t bit = uid % UIDMAP_PAGE_BITS;
	if (page->number != page_of(uid))
		return page->before;
	return page->before + rank_in(page, bit) + (uint32_t)(page->words[bit / 64] >> bit % 64 & 1);
}

/* Index of the n-th bit (from 0) that is set. */
static uint32_t select_bit(uint64_t word, uint32_t n)
{
	uint32_t at = 0;
	for (uint32_t half = 32; half; half /= 2) {
		uint32_t low = (uint32_t)bits_in(word >> at & ((UINT64_C(1) << half) - 1));
		if (n >= low) {
			n -= low;
			at += half;
		}
	}
	return at;
}

static uint32_t select_in(const struct uidmap_page *page, uint32_t n)
{
	size_t block = PAGE_BLOCKS - 1;
	while (page->rank[block] > n)
		block--;
	n -= page->rank[block];
	size_t word = block * BLOCK_WORDS;
	for (size_t bits; n >= (bits = bits_in(page->words[word])); word++)
		n -= (uint32_t)bits;
	return page->number * UIDMAP_PAGE_BITS + (uint32_t)word * 64 + select_bit(page->words[word], n);
}

uint32_t uidmap_uid(struct uidmap *m, uint32_t number)
{
	if (!number || number > m->count)
		return 0;
	count_pages(m);
	/* the last page with fewer before it */
	size_t low = 0;
	size_t high = m->pages.count;
	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;
		if (m->pages.items[middle]->before < number)
			low = middle;
		else
			high = middle;
	}
	return select_in(m->pages.items[low], number - 1 - m->pages.items[low]->before);
}

uint32_t uidmap_next(const struct uidmap *m, uint32_t uid)
{
	uint32_t bit = uid % UIDMAP_PAGE_BITS;
	for (size_t i = find_page(m, page_of(uid)); i < m->pages.count; i++, bit = 0) {
		const struct uidmap_page *page = m->pages.items[i];
		if (page->number != page_of(uid))
			bit = 0;
		uint64_t first = page->words[bit / 64] & UINT64_MAX << bit % 64;
		for (size_t word = bit / 64; word < PAGE_WORDS; first = ++word < PAGE_WORDS ? page->words[word] : 0)
			if (first)
				return page->number * UIDMAP_PAGE_BITS + (uint32_t)word * 64 + (uint32_t)__builtin_ctzll(first);
	}
	return 0;
}

/* ---- change ---- */

static void set_bit(struct uidmap *m, struct uidmap_page *page, uint32_t bit)
{
	page->words[bit / 64] |= UINT64_C(1) << bit % 64;
	for (size_t i = bit / 64 / BLOCK_WORDS + 1; i < PAGE_BLOCKS; i++)
		page->rank[i]++;
	page->count++;
	m->count++;
}

void uidmap_append(struct uidmap *m, uint32_t uid)
{
	struct uidmap_page *last = m->pages.count ? m->pages.items[m->pages.count - 1] : NULL;
	uint32_t bit = uid % UIDMAP_PAGE_BITS;
	must(uid && (!last || last->number <= page_of(uid)));
	if (!last || last->number < page_of(uid))
		last = insert_page(m, m->pages.count, page_of(uid));
	must(rank_in(last, bit) == last->count && !(last->words[bit / 64] >> bit % 64 & 1));
	set_bit(m, last, bit);
}

bool uidmap_add(struct uidmap *m, uint32_t uid)
{
	must(uid);
	size_t i = find_page(m, page_of(uid));
	uint32_t bit = uid % UIDMAP_PAGE_BITS;
	if (i == m->pages.count || m->pages.items[i]->number != page_of(uid))
		insert_page(m, i, page_of(uid));
	if (m->pages.items[i]->words[bit / 64] >> bit % 64 & 1)
		return false;
	if (i + 1 < m->pages.count)
		m->stale = true;
	set_bit(m, m->pages.items[i], bit);
	return true;
}

bool uidmap_remove(struct uidmap *m, uint32_t uid)
{
	if (!uidmap_has(m, uid))
		return false;
	size_t at = find_page(m, page_of(uid));
	struct uidmap_page *page = m->pages.items[at];
	uint32_t bit = uid % UIDMAP_PAGE_BITS;
	page->words[bit / 64] &= ~(UINT64_C(1) << bit % 64);
	for (size_t i = bit / 64 / BLOCK_WORDS + 1; i < PAGE_BLOCKS; i++)
		page->rank[i]--;
	m->count--;
	if (at + 1 < m->pages.count)
		m->stale = true;
	if (!--page->count)
		remove_page(m, at);
	return true;
}

/* ---- as stored ---- */

static void add_number(struct buf *out, uint32_t number)
{
	for (; number >= 128; number /= 128)
		buf_add_char(out, (char)(number % 128 | 128));
	buf_add_char(out, (char)number);
}

/* The first bit from one on that is set, or clear; UIDMAP_PAGE_BITS when there is none. */
static uint32_t find_bit(const struct uidmap_page *page, uint32_t bit, bool set)
{
	for (; bit < UIDMAP_PAGE_BITS; bit = bit / 64 * 64 + 64) {
		uint64_t word = set ? page->words[bit / 64] : ~page->words[bit / 64];
		word &= UINT64_MAX << bit % 64;
		if (word)
			return bit / 64 * 64 + (uint32_t)__builtin_ctzll(word);
	}
	return UIDMAP_PAGE_BITS;
}

static uint32_t count_runs(const struct uidmap_page *page)
{
	uint32_t runs = 0;
	for (uint32_t bit = 0; (bit = find_bit(page, bit, true)) < UIDMAP_PAGE_BITS; runs++)
		bit = find_bit(page, bit, false);
	return runs;
}

static void pack_runs(const struct uidmap_page *page, uint32_t runs, struct buf *out)
{
	add_number(out, runs);
	for (uint32_t bit = 0; runs--;) {
		uint32_t first = find_bit(page, bit, true);
		uint32_t end = find_bit(page, first, false);
		add_number(out, first - bit);
		add_number(out, end - first);
		bit = end;
	}
}

static void pack_bitmap(const struct uidmap_page *page, struct buf *out)
{
	add_number(out, 0);
	for (size_t word = 0; word < PAGE_WORDS; word++)
		for (unsigned shift = 0; shift < 64; shift += 8)
			buf_add_char(out, (char)(page->words[word] >> shift & 255));
}

void uidmap_pack(const struct uidmap *m, struct buf *out)
{
	uint32_t next = 0;
	for (size_t i = 0; i < m->pages.count; i++) {
		const struct uidmap_page *page = m->pages.items[i];
		uint32_t runs = count_runs(page);
		add_number(out, page->number - next);
		/* a run takes two octets or more */
		if (2 * runs < PAGE_BYTES)
			pack_runs(page, runs, out);
		else
			pack_bitmap(page, out);
		next = page->number + 1;
	}
}

/* Sticky: after the first misfit all numbers are 0. */
struct unpacking {
	struct str rest;
	bool bad;
};

static uint32_t take_number(struct unpacking *u, uint32_t max)
{
	uint64_t number = 0;
	bool more = true;
	for (unsigned i = 0; more && i < NUMBER_BYTES_MAX && i < u->rest.length; i++) {
		unsigned char byte = (unsigned char)u->rest.data[i];
		number |= (uint64_t)(byte & 127) << 7 * i;
		more = byte & 128;
		if (!more)
			u->rest = str_from_index(u->rest, i + 1);
	}
	u->bad = u->bad || more || number > max;
	return u->bad ? 0 : (uint32_t)number;
}

static void set_run(struct uidmap_page *page, uint32_t first, uint32_t end)
{
	for (uint32_t bit = first; bit < end;) {
		uint32_t stop = bit / 64 * 64 + 64 < end ? bit / 64 * 64 + 64 : end;
		page->words[bit / 64] |= (UINT64_MAX >> (64 - (stop - bit))) << bit % 64;
		bit = stop;
	}
}

static void unpack_runs(struct unpacking *u, struct uidmap_page *page, uint32_t runs)
{
	for (uint32_t i = 0, bit = 0; i < runs && !u->bad; i++) {
		uint32_t gap = take_number(u, UIDMAP_PAGE_BITS - bit);
		uint32_t length = take_number(u, UIDMAP_PAGE_BITS - bit - gap);
		u->bad = u->bad || (i && !gap) || !length;
		set_run(page, bit + gap, bit + gap + length);
		bit += gap + length;
	}
}

static void unpack_bitmap(struct unpacking *u, struct uidmap_page *page)
{
	u->bad = u->bad || u->rest.length < PAGE_BYTES;
	for (size_t i = 0; !u->bad && i < PAGE_BYTES; i++)
		page->words[i / 8] |= (uint64_t)(unsigned char)u->rest.data[i] << 8 * (i % 8);
	u->rest = str_from_index(u->rest, PAGE_BYTES);
}

static void unpack_page(struct unpacking *u, struct uidmap_page *page)
{
	uint32_t runs = take_number(u, PAGE_BYTES / 2);
	if (runs)
		unpack_runs(u, page, runs);
	else
		unpack_bitmap(u, page);
	count_page(page);
	/* nothing has the UID 0 */
	u->bad = u->bad || !page->count || (page->number == 0 && page->words[0] & 1);
}

bool uidmap_unpack(struct uidmap *m, struct str packed, struct fail **fail)
{
	struct unpacking u = { .rest = packed };
	uint64_t next = 0;
	while (u.rest.length && !u.bad) {
		next += take_number(&u, UINT32_MAX);
		uint64_t above = m->pages.count ? m->pages.items[m->pages.count - 1]->number + UINT64_C(1) : 0;
		if (u.bad || next > page_of(UINT32_MAX) || next < above)
			return fail_set(fail, FAIL_CORRUPT, "a stored set of UIDs is out of order");
		struct uidmap_page *page = insert_page(m, m->pages.count, (uint32_t)next);
		unpack_page(&u, page);
		m->count += page->count;
		if (!page->count)
			remove_page(m, m->pages.count - 1);
		next++;
	}
	return !u.bad || fail_set(fail, FAIL_CORRUPT, "a stored set of UIDs is damaged");
}
