#include "imap_search.h"

#include "annotation.h"
#include "charset.h"
#include "imap_context.h"

/* ---- filters: RFC 5466 §3.1 ---- */

struct filter_source {
	struct imap_session *s;
	struct arena *arena;
};

static bool find_filter(void *context, struct str name, struct str *criteria)
{
	static const char *const places[] = { "/private/filters/values/", "/shared/filters/values/" };
	const struct filter_source *source = context;
	struct imap_session *s = source->s;
	struct store_annotations annotations = {};
	bool found = false;
	if (!s->reader)
		s->reader = store_reader_acquire(s->session->account->store, NULL);
	bool ok = s->reader && store_read_annotations(s->reader, 0, &annotations, NULL);
	for (size_t place = 0; ok && !found && place < COUNT_OF(places); place++) {
		struct str entry = arena_printf(source->arena, "%s%.*s", places[place], STR_ARG(name));
		for (size_t i = 0; !found && i < annotations.list.count; i++) {
			found = str_equal_nocase(annotations.list.items[i].entry, entry) && annotations.list.items[i].value.data;
			if (found)
				*criteria = arena_copy(source->arena, annotations.list.items[i].value);
		}
	}
	store_annotations_release(&annotations);
	return found;
}

struct imap_search_filters imap_search_filters(struct imap_session *s, struct arena *arena)
{
	struct filter_source *source = arena_alloc(arena, sizeof *source);
	*source = (struct filter_source){ s, arena };
	return (struct imap_search_filters){ find_filter, source };
}

/* ---- what is refused ---- */

static void forget_saved(struct imap_session *s)
{
	imap_numbers_release(&s->kept.view.saved);
	s->kept.view.saved_valid = true;
}

static bool is_known_charset(struct str name)
{
	struct charset charset;
	/* names that mail has for what nobody knows */
	if (str_equal_nocase(name, STR("x-unknown")) || str_equal_nocase(name, STR("unknown-8bit")))
		return false;
	bool known = charset_init(&charset, name);
	charset_release(&charset);
	return known;
}

static bool is_unicode(struct str charset)
{
	return str_is_empty(charset) || str_equal_nocase(charset, STR("utf-8")) || str_equal_nocase(charset,
	                                                                                            STR("us-ascii"));
}

#define BAD_CHARSET "BADCHARSET (US-ASCII UTF-8 ISO-8859-1 ISO-8859-2 ISO-8859-15 WINDOWS-1250 WINDOWS-1252 KOI8-R)"

bool imap_search_accept(struct imap_session *s, const struct imap_search_program *program,
                        const struct imap_search_return *options)
{
	bool saves = options->options & IMAP_RETURN_SAVE;
	if (program->unknown_filter.data) {
		const char *code = arena_printf(s->arena, "UNDEFINED-FILTER %.*s", STR_ARG(program->unknown_filter)).data;
		imap_no(s, code, IMAP_SAY_NO_FILTER, &(struct imap_values){ .text = program->unknown_filter });
	} else if (!imap_arguments_end(s)) {
		return false;
	} else if (program->uses_filters && !is_unicode(program->charset)) {
		imap_bad(s, "BADCHARSET (US-ASCII UTF-8)", IMAP_SAY_BAD_CHARSET, NULL); /* RFC 5466 §3.1 */
		return false;
	} else if (s->command.verb == IMAP_SEARCH && program->charset.length && imap_is_enabled(s,
	                                                                                        IMAP_ENABLE_UTF8_ACCEPT)) {
		imap_bad(s, "", IMAP_SAY_NO_CHARSET_HERE, NULL); /* RFC 6855 §3 */
		return false;
	} else if (!is_known_charset(program->charset)) {
		imap_no(s, BAD_CHARSET, IMAP_SAY_BAD_CHARSET, NULL);
	} else {
		return true;
	}
	if (saves)
		forget_saved(s);
	return false;
}

void imap_search_fail(struct imap_session *s, const struct imap_search_return *options, const struct fail *fail)
{
	if (options->options & IMAP_RETURN_SAVE)
		forget_saved(s);
	imap_no_fail(s, fail);
}

/* ---- answers ---- */

uint32_t imap_search_number(const struct imap_search_run *run, uint32_t position)
{
	return run->s->command.uid ? run->uids[position] : position + 1;
}

/* The numbers of a part of them as a sequence-set in this order: "5,7:9,1". */
static void write_set(struct imap_search_run *run, const uint32_t *positions, size_t count)
{
	struct imap_session *s = run->s;
	for (size_t i = 0; i < count;) {
		uint32_t first = imap_search_number(run, positions[i]), last = first;
		size_t next = i + 1;
		while (next < count && imap_search_number(run, positions[next]) == last + 1) {
			last++;
			next++;
		}
		if (i)
			buf_add_char(&s->out, ',');
		buf_add_u64(&s->out, first);
		if (last > first) {
			buf_add_char(&s->out, ':');
			buf_add_u64(&s->out, last);
		}
		i = next;
		imap_send_some(s);
	}
}

static void note_modseq(void *context, size_t position, const struct store_row *row)
{
	uint64_t *highest = context;
	(void)position;
	if (row->modseq > *highest)
		*highest = row->modseq;
}

/* The highest of these; RFC 7162 §3.1.5, RFC 4731 §3.2. 0: none. */
static bool highest_modseq(struct imap_search_run *run, const uint32_t *positions, size_t count, uint64_t *highest,
                           struct fail **fail)
{
	CLEANUP(imap_bits_release) struct imap_bits bits = imap_bits_none(run->count);
	for (size_t i = 0; i < count; i++)
		imap_bits_set(&bits, positions[i]);
	return imap_search_read_rows(run, &bits, &(struct imap_row_visitor){ note_modseq, highest }, fail);
}

/* The results that PARTIAL asks for. RFC 9394 §3.1 */
static struct imap_search_found part_of(const struct imap_search_found *found, const struct imap_partial *partial)
{
	size_t first = partial->first - 1, end = partial->last < found->count ? partial->last : found->count;
	if (first >= end)
		return (struct imap_search_found){};
	size_t begin = partial->from_end ? found->count - end : first;
	return (struct imap_search_found){ found->positions + begin, end - first };
}

static void write_partial(struct imap_search_run *run, const struct imap_partial *partial,
                          const struct imap_search_found *found)
{
	struct imap_session *s = run->s;
	const char *sign = partial->from_end ? "-" : "";
	struct imap_search_found part = part_of(found, partial);
	buf_printf(&s->out, " PARTIAL (%s%u:%s%u ", sign, partial->first, sign, partial->last);
	if (part.count)
		write_set(run, part.positions, part.count);
	else
		buf_add_str(&s->out, STR("NIL"));
	buf_add_char(&s->out, ')');
}

/* The results that MIN, MAX and PARTIAL tell, when nothing else is asked for: what SAVE keeps and MODSEQ is of. RFC
 * 5182 §2.4, RFC 9394 §3.2. The caller frees positions. */
static struct imap_search_found told_results(const struct imap_search_return *options,
                                             const struct imap_search_found *found)
{
	struct imap_search_found told = {};
	bool some = options->options & (IMAP_RETURN_MIN | IMAP_RETURN_MAX | IMAP_RETURN_PARTIAL);
	if (!some || options->options & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT)) {
		told.positions = mem_resize(NULL, found->count + 1, sizeof *told.positions);
		told.count = found->count;
		if (found->count)
			memcpy(told.positions, found->positions, found->count * sizeof *told.positions);
		return told;
	}
	struct imap_search_found part = {};
	if (options->options & IMAP_RETURN_PARTIAL)
		part = part_of(found, &options->partial);
	told.positions = mem_resize(NULL, part.count + 2, sizeof *told.positions);
	if (part.count)
		memcpy(told.positions, part.positions, part.count * sizeof *told.positions);
	told.count = part.count;
	if (found->count && options->options & IMAP_RETURN_MIN)
		told.positions[told.count++] = found->positions[0];
	if (found->count && options->options & IMAP_RETURN_MAX)
		told.positions[told.count++] = found->positions[found->count - 1];
	return told;
}

static void save(struct imap_search_run *run, const struct imap_search_found *told)
{
	struct imap_session *s = run->s;
	CLEANUP(imap_bits_release) struct imap_bits bits = imap_bits_none(run->count);
	forget_saved(s);
	for (size_t i = 0; i < told->count; i++)
		imap_bits_set(&bits, told->positions[i]);
	for (size_t i = imap_bits_next(&bits, 0); i < bits.count; i = imap_bits_next(&bits, i + 1))
		imap_numbers_append(&s->kept.view.saved, run->uids[i]);
}

static void write_items(struct imap_search_run *run, const struct imap_search_return *options,
                        const struct imap_search_found *found)
{
	struct imap_session *s = run->s;
	unsigned wanted = options->options;
	if (found->count && wanted & IMAP_RETURN_MIN)
		buf_printf(&s->out, " MIN %u", imap_search_number(run, found->positions[0]));
	if (found->count && wanted & IMAP_RETURN_MAX)
		buf_printf(&s->out, " MAX %u", imap_search_number(run, found->positions[found->count - 1]));
	if (wanted & IMAP_RETURN_COUNT)
		buf_printf(&s->out, " COUNT %zu", found->count);
	if (wanted & IMAP_RETURN_PARTIAL)
		write_partial(run, &options->partial, found);
	if (found->count && wanted & IMAP_RETURN_ALL) {
		buf_add_str(&s->out, STR(" ALL "));
		write_set(run, found->positions, found->count);
	}
}

bool imap_search_answer(struct imap_search_run *run, const struct imap_search_return *options,
                        const struct imap_search_found *found,
                        struct fail **fail)
{
	struct imap_session *s = run->s;
	uint64_t modseq = 0;
	struct imap_search_found told = told_results(options, found);
	bool ok = !run->program.uses_modseq || highest_modseq(run, told.positions, told.count, &modseq, fail);
	if (ok && options->options & IMAP_RETURN_SAVE)
		save(run, &told);
	free(told.positions);
	/* RFC 5182 §2.1: SAVE alone says nothing */
	if (!ok || options->options == IMAP_RETURN_SAVE)
		return ok;
	buf_add_str(&s->out, STR("* ESEARCH (TAG "));
	imap_write_string(&s->out, s->command.tag, false);
	buf_add_char(&s->out, ')');
	if (s->command.uid)
		buf_add_str(&s->out, STR(" UID"));
	write_items(run, options, found);
	if (modseq)
		buf_printf(&s->out, " MODSEQ %llu", (unsigned long long)modseq);
	buf_add_str(&s->out, STR("\r\n"));
	return true;
}

bool imap_search_answer_plainly(struct imap_search_run *run, const struct imap_search_found *found, struct fail **fail)
{
	struct imap_session *s = run->s;
	uint64_t modseq = 0;
	if (run->program.uses_modseq && !highest_modseq(run, found->positions, found->count, &modseq, fail))
		return false;
	buf_printf(&s->out, "* %s", s->command.info->name);
	for (size_t i = 0; i < found->count; i++) {
		buf_add_char(&s->out, ' ');
		buf_add_u64(&s->out, imap_search_number(run, found->positions[i]));
		imap_send_some(s);
	}
	if (modseq)
		buf_printf(&s->out, " (MODSEQ %llu)", (unsigned long long)modseq);
	buf_add_str(&s->out, STR("\r\n"));
	return true;
}

/* ---- SEARCH ---- */

static struct imap_search_found list_found(const struct imap_bits *hits)
{
	struct imap_search_found found = { .positions = mem_resize(NULL, imap_bits_number(hits) + 1,
	                                                           sizeof *found.positions) };
	for (size_t i = imap_bits_next(hits, 0); i < hits->count; i = imap_bits_next(hits, i + 1))
		found.positions[found.count++] = (uint32_t)i;
	return found;
}

static bool find_and_answer(struct imap_search_run *run, const struct imap_search_return *options,
                            struct str criteria, struct fail **fail)
{
	CLEANUP(imap_bits_release) struct imap_bits hits = {};
	if (!imap_search_evaluate(run, NULL, &hits, fail))
		return false;
	struct imap_search_found found = list_found(&hits);
	bool ok = options->given ? imap_search_answer(run, options, &found, fail)
	                         : imap_search_answer_plainly(run, &found, fail);
	if (ok && options->options & IMAP_RETURN_UPDATE)
		imap_context_add(run, options, criteria, NULL, &found);
	free(found.positions);
	return ok;
}

void imap_search(struct imap_session *s)
{
	struct imap_search_return options;
	struct imap_search_program program;
	const struct imap_search_filters filters = imap_search_filters(s, s->arena);
	CLEANUP(imap_search_end) struct imap_search_run run = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	imap_parse_space(&s->parser);
	imap_parse_search_return(&s->parser, &options);
	struct str criteria = str_from_index(s->parser.text, s->parser.at);
	imap_parse_search(&s->parser, &filters, &program);
	if (!imap_search_accept(s, &program, &options) || !imap_context_may_add(s, &options))
		return;
	if (!options.given && imap_is_enabled(s, IMAP_ENABLE_IMAP4REV2))
		options = (struct imap_search_return){ .given = true, .options = IMAP_RETURN_ALL }; /* RFC 9051 §6.4.4 */
	s->keeps_numbers = program.uses_numbers;
	if (!imap_search_begin(&run, s, &program))
		return;
	if (program.uses_modseq)
		imap_enable_condstore(s); /* RFC 7162 §3.1 */
	if (find_and_answer(&run, &options, criteria, &fail))
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
	else
		imap_search_fail(s, &options, fail);
}
