#include "imap_thread.h"

#include "imap_search_text.h"
#include "imap_thread_tree.h"
#include "store_date.h"

#include <sys/random.h>
#include <xxhash.h>

/* What THREAD compares, gathered in one pass over the messages. */
struct gathered {
	struct imap_search_run *run;
	struct imap_thread_message *list; /* by position */
	struct imap_bits there;
	ARRAY(uint64_t) references;
	struct buf folded;
	bool needs_references;
	uint64_t seed; /* of the hashes of subjects: secret, so that nobody can make two that agree */
	bool too_many;
};

static void take_row(void *context, size_t position, const struct store_row *row)
{
	struct gathered *g = context;
	imap_bits_set(&g->there, position);
	g->list[position].number = imap_search_number(g->run, (uint32_t)position);
	g->list[position].sent = g->list[position].received = store_date_seconds(row->received);
}

static uint64_t subject_hash(struct gathered *g, struct str subject)
{
	buf_clear(&g->folded);
	imap_search_collate(g->run->s, &g->folded, subject);
	return g->folded.length ? XXH3_64bits_withSeed(g->folded.data, g->folded.length, g->seed) | 1 : 0;
}

static void take_references(struct gathered *g, struct imap_thread_message *message, const struct text_order *order)
{
	message->first_reference = (uint32_t)g->references.count;
	g->too_many = g->too_many || g->references.count + order->reference_count > LIMIT_IMAP_THREAD_REFERENCES_MAX;
	for (size_t i = 0; !g->too_many && i < order->reference_count; i++) {
		uint64_t reference = text_order_reference(order, i);
		if (!reference)
			continue;
		*array_add(&g->references) = reference;
		message->reference_count++;
	}
}

static void take_order(void *context, size_t position, const struct text_order *order)
{
	struct gathered *g = context;
	struct imap_thread_message *message = &g->list[position];
	if (order->has_date)
		message->sent = order->sent;
	message->id = order->id;
	message->is_reply = order->is_reply;
	message->subject = subject_hash(g, order->subject);
	if (g->needs_references)
		take_references(g, message, order);
}

/* Those that are there, in the order of the mailbox. */
static size_t close_up(struct gathered *g)
{
	size_t kept = 0;
	for (size_t i = 0; i < g->run->count; i++)
		if (imap_bits_has(&g->there, i))
			g->list[kept++] = g->list[i];
	return kept;
}

static bool gather(struct gathered *g, const struct imap_bits *hits, struct fail **fail)
{
	size_t count = g->run->count;
	g->list = mem_alloc((count + 1) * sizeof *g->list);
	g->there = imap_bits_none(count);
	g->folded.limit = 1 << 20;
	must(getrandom(&g->seed, sizeof g->seed, 0) == sizeof g->seed);
	if (!imap_search_read_rows(g->run, hits, &(struct imap_row_visitor){ take_row, g }, fail) ||
	    !imap_search_read_orders(g->run, hits, &(struct imap_order_visitor){ take_order, g }, fail))
		return false;
	return !g->too_many || fail_set(fail, FAIL_LIMIT, "too many references to thread by");
}

static void release(struct gathered *g)
{
	free(g->list);
	imap_bits_release(&g->there);
	array_release(&g->references);
	buf_release(&g->folded);
}

static bool thread_and_answer(struct imap_search_run *run, enum imap_thread_algorithm algorithm, struct fail **fail)
{
	struct imap_session *s = run->s;
	struct gathered g = { .run = run, .needs_references = algorithm != IMAP_THREAD_ORDEREDSUBJECT };
	CLEANUP(imap_bits_release) struct imap_bits hits = {};
	bool ok = imap_search_evaluate(run, NULL, &hits, fail) && gather(&g, &hits, fail);
	if (ok) {
		const struct imap_thread_messages messages = { g.list, close_up(&g), g.references.items, g.references.count };
		buf_add_str(&s->out, messages.count ? STR("* THREAD ") : STR("* THREAD"));
		imap_thread_write(&s->out, algorithm, &messages);
		buf_add_str(&s->out, STR("\r\n"));
	}
	release(&g);
	return ok;
}

void imap_thread(struct imap_session *s)
{
	enum imap_thread_algorithm algorithm;
	struct imap_search_program program;
	const struct imap_search_return options = {};
	const struct imap_search_filters filters = imap_search_filters(s, s->arena);
	CLEANUP(imap_search_end) struct imap_search_run run = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	imap_parse_space(&s->parser);
	imap_parse_thread_algorithm(&s->parser, &algorithm);
	imap_parse_space(&s->parser);
	imap_parse_sort_search(&s->parser, &filters, &program);
	if (!imap_search_accept(s, &program, &options))
		return;
	s->keeps_numbers = program.uses_numbers;
	if (!imap_search_begin(&run, s, &program))
		return;
	if (program.uses_modseq)
		imap_enable_condstore(s);
	if (thread_and_answer(&run, algorithm, &fail))
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
	else
		imap_no_fail(s, fail);
}
