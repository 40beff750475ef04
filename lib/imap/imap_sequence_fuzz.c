/* Sequence sets against a model that counts each number of 0 to 255, and written again. */
#include "imap_sequence.h"

#include "limits.h"

enum { MODEL = 256 };

static void put(bool *model, uint32_t a, uint32_t b)
{
	uint32_t first = a < b ? a : b, last = a < b ? b : a;
	for (uint32_t number = first; first > 0 && number <= last && number < MODEL; number++)
		model[number] = true;
}

static uint32_t or_star(uint32_t number, uint32_t star)
{
	return number == IMAP_STAR ? star : number;
}

static void check_order(const struct imap_numbers *numbers)
{
	for (size_t i = 0; i < numbers->ranges.count; i++) {
		struct imap_range range = numbers->ranges.items[i];
		must(range.first > 0 && range.first <= range.last && range.last < IMAP_STAR);
		must(i == 0 || range.first > numbers->ranges.items[i - 1].last + 1);
	}
}

static void check_again(struct arena *arena, const struct imap_numbers *numbers)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 24);
	struct imap_parser p;
	struct imap_sequence sequence;
	struct imap_numbers again = {};
	if (numbers->ranges.count == 0)
		return;
	imap_numbers_write(&out, numbers);
	imap_parser_init(&p, arena, buf_str(&out), false);
	imap_parse_sequence(&p, &sequence);
	must(imap_parse_end(&p) && sequence.count == numbers->ranges.count);
	imap_sequence_resolve(&sequence, 1, &again);
	must(again.ranges.count == numbers->ranges.count && imap_numbers_count(&again) == imap_numbers_count(numbers));
	imap_numbers_release(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(64 << 20);
	struct imap_parser p;
	struct imap_sequence sequence;
	struct imap_numbers numbers = {};
	bool model[MODEL] = {};
	uint32_t star = data[0];
	imap_parser_init(&p, arena, str_from((const char *)data + 1, size - 1), false);
	imap_parse_sequence(&p, &sequence);
	must(p.failed || sequence.saved || sequence.count > 0);
	must(!p.failed || sequence.count == 0);
	must(sequence.count <= LIMIT_IMAP_RANGES_MAX);
	imap_sequence_resolve(&sequence, star, &numbers);
	check_order(&numbers);
	for (size_t i = 0; i < sequence.count; i++)
		put(model, or_star(sequence.ranges[i].first, star), or_star(sequence.ranges[i].last, star));
	for (uint32_t number = 0; number < MODEL; number++)
		must(imap_numbers_has(&numbers, number) == model[number]);
	check_again(arena, &numbers);
	imap_numbers_release(&numbers);
	return 0;
}
