#include "imap_search_text.h"

#include "encoded_word.h"
#include "search_text.h"

enum {
	FEW = 100,                   /* so few mails are rather read than all taken up into the search text */
	UPDATE_STEP = 2 << 20,       /* octets of mail taken up between looks at the clock */
	PROGRESS_STEP = 1024,        /* messages between signs of life */
};

/* ---- mails ---- */

struct walk {
	struct imap_search_run *run;
	struct imap_search_messages list;
	struct text_scan *scan;
};

/* A search text that can't be brought up to date is no failure: mails are read instead. */
static void update_text(struct imap_search_run *run, struct text_store *text, size_t wanted)
{
	bool more = wanted >= FEW;
	while (more && imap_search_goes_on(run, 0, wanted) && text_store_update(text, UPDATE_STEP, &more, NULL))
		;
}

static bool begin_walk(struct walk *w, const struct imap_bits *candidates, enum text_kind kind,
                       const struct text_wanted *what, struct fail **fail)
{
	struct text_store *text = w->run->s->session->account->texts[kind];
	if (!imap_search_list_messages(w->run, candidates, &w->list, fail))
		return false;
	update_text(w->run, text, w->list.count);
	struct text_wanted wanted = *what;
	wanted.messages = w->list.numbers;
	wanted.count = w->list.count;
	w->scan = text_scan_begin(text, &wanted, fail);
	return w->scan;
}

static void end_walk(struct walk *w)
{
	text_scan_end(&w->scan);
	imap_search_messages_release(&w->list);
}

/* The mail itself, in run->mail. False: it is gone or can't be read, and so matches nothing. */
static bool read_mail(struct imap_search_run *run, uint64_t message)
{
	struct store_reader *reader = imap_search_reader(run, NULL);
	if (run->mail_message == message)
		return true;
	run->mail_message = 0;
	if (!reader || !text_read_mail(reader, message, &run->mail, NULL))
		return false;
	run->mail_message = message;
	return true;
}

static bool make_entry(struct imap_search_run *run, uint64_t message, struct text_entry *entry)
{
	if (!read_mail(run, message))
		return false;
	if (!run->make)
		run->make = text_make_new();
	text_make(run->make, buf_str(&run->mail), entry);
	return true;
}

static bool client_gone(struct fail **fail)
{
	return fail_set(fail, FAIL_UNAVAILABLE, "nobody waits for the answer any more");
}

/* ---- texts ---- */

static bool ascii_header_matches(struct imap_search_run *run, const struct imap_search_node *node,
                                 const struct imap_search_text_key *key)
{
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(4 * LIMIT_HEADER_SIZE_MAX);
	CLEANUP(buf_release) struct buf folded = BUF_WITH_LIMIT(4 * LIMIT_HEADER_SIZE_MAX);
	struct header_reader reader;
	struct header_field field;
	bool found = false;
	header_begin(&reader, buf_str(&run->mail));
	while (!found && header_next(&reader, &field)) {
		bool blank = false;
		if (!str_equal_nocase(field.name, node->name))
			continue;
		buf_clear(&value);
		buf_clear(&folded);
		encoded_word_decode(&value, field.value);
		search_text_fold(&folded, buf_str(&value), true, &blank);
		found = str_find(buf_str(&folded), key->ascii) < folded.length || !key->ascii.length;
	}
	return found;
}

static bool mail_has(struct imap_search_run *run, enum imap_search_op op, struct str key, bool ascii_only)
{
	struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	const struct mime_part *root = mime_parse(arena, buf_str(&run->mail), NULL);
	const struct search_text_question question = { key, ascii_only, op == IMAP_KEY_TEXT, true };
	bool found = search_text_has(&question, buf_str(&run->mail), root);
	arena_free(arena);
	return found;
}

static bool entry_matches(const struct imap_search_node *node, const struct imap_search_text_key *key,
                          const struct text_entry *entry)
{
	const struct str *sections = entry->sections;
	const struct text_needle *needle = &key->key.needle;
	if (node->op == IMAP_KEY_HEADER)
		return key->is_often ? text_fields_have(sections[TEXT_FIELDS], key->field, needle)
		                     : text_headers_have(sections[TEXT_FIELDS], sections[TEXT_HEADERS], key->folded_name,
		                                         needle);
	return text_find(needle, sections[TEXT_BODIES]) || (node->op == IMAP_KEY_TEXT && text_find(needle,
	                                                                                           sections[TEXT_HEADERS]));
}

/* By looking at the mail. */
static bool mail_matches(struct imap_search_run *run, uint32_t number, uint64_t message)
{
	const struct imap_search_node *node = &run->program.nodes[number];
	const struct imap_search_text_key *key = &run->keys[number];
	struct text_entry entry;
	if (node->op == IMAP_KEY_HEADER)
		return make_entry(run, message, &entry) && entry_matches(node, key, &entry);
	return read_mail(run, message) && mail_has(run, node->op, key->key.needle.key, false);
}

/* RFC 5255 §4.6: what i;ascii-casemap finds is among what was found, and fewer. */
static bool ascii_matches(struct imap_search_run *run, uint32_t number, uint64_t message)
{
	const struct imap_search_node *node = &run->program.nodes[number];
	const struct imap_search_text_key *key = &run->keys[number];
	if (!read_mail(run, message))
		return false;
	return node->op == IMAP_KEY_HEADER ? ascii_header_matches(run, node, key) : mail_has(run, node->op, key->ascii,
	                                                                                     true);
}

static struct text_wanted sections_for(const struct imap_search_node *node, const struct imap_search_text_key *key)
{
	struct text_wanted wanted = { .key = &key->key, .filters = TEXT_BIT(TEXT_HEADERS) };
	if (node->op == IMAP_KEY_HEADER)
		wanted.sections = TEXT_BIT(TEXT_FIELDS) | (key->is_often ? 0 : TEXT_BIT(TEXT_HEADERS));
	else if (node->op == IMAP_KEY_TEXT)
		wanted.sections = wanted.filters = TEXT_BIT(TEXT_HEADERS) | TEXT_BIT(TEXT_BODIES);
	else
		wanted.sections = wanted.filters = TEXT_BIT(TEXT_BODIES);
	return wanted;
}

static bool scanned_matches(struct imap_search_run *run, uint32_t number, uint64_t message, enum text_scanned scanned,
                            const struct text_entry *entry)
{
	bool matches = scanned == TEXT_SCAN_FOUND && entry_matches(&run->program.nodes[number], &run->keys[number], entry);
	if (!matches && (scanned == TEXT_SCAN_MISSING || entry->cut))
		matches = mail_matches(run, number, message);
	return matches && (run->s->kept.unicode_casemap || ascii_matches(run, number, message));
}

bool imap_search_evaluate_text(struct imap_search_run *run, uint32_t number, const struct imap_bits *candidates,
                          struct imap_bits *hits,
                          struct fail **fail)
{
	struct walk w = { .run = run };
	const struct imap_search_node *node = &run->program.nodes[number];
	if (node->op != IMAP_KEY_HEADER && !run->keys[number].key.needle.key.length) {
		imap_bits_add(hits, candidates); /* nothing is part of everything */
		return true;
	}
	const struct text_wanted wanted = sections_for(node, &run->keys[number]);
	bool ok = begin_walk(&w, candidates, run->keys[number].is_often ? TEXT_LISTED : TEXT_WHOLE, &wanted, fail);
	struct text_entry entry;
	size_t index, looked = 0;
	enum text_scanned scanned;
	while (ok && (scanned = text_scan_next(w.scan, &index, &entry)) != TEXT_SCAN_END) {
		if (scanned_matches(run, number, w.list.numbers[index], scanned, &entry))
			imap_bits_set(hits, imap_search_position(&w.list, index));
		if (scanned == TEXT_SCAN_MISSING || ++looked % PROGRESS_STEP == 0)
			ok = imap_search_goes_on(run, index, w.list.count) || client_gone(fail);
	}
	end_walk(&w);
	return ok;
}

/* ---- orders ---- */

bool imap_search_read_orders(struct imap_search_run *run, const struct imap_bits *positions,
                             const struct imap_order_visitor *visitor,
                             struct fail **fail)
{
	struct walk w = { .run = run };
	bool ok = begin_walk(&w, positions, TEXT_LISTED, &(struct text_wanted){ .sections = TEXT_BIT(TEXT_ORDER) }, fail);
	struct text_entry entry;
	struct text_order order;
	size_t index;
	enum text_scanned scanned;
	while (ok && (scanned = text_scan_next(w.scan, &index, &entry)) != TEXT_SCAN_END) {
		bool there = scanned == TEXT_SCAN_FOUND && text_order_read(&order, entry.sections[TEXT_ORDER]);
		if (!there && make_entry(run, w.list.numbers[index], &entry))
			there = text_order_read(&order, entry.sections[TEXT_ORDER]);
		if (there)
			visitor->order(visitor->context, imap_search_position(&w.list, index), &order);
		if (scanned == TEXT_SCAN_MISSING || index % PROGRESS_STEP == 0)
			ok = imap_search_goes_on(run, index, w.list.count) || client_gone(fail);
	}
	end_walk(&w);
	return ok;
}
