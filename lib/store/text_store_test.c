#include "text_store.h"

#include "mail_check.h"
#include "search_text.h"
#include "store_test_help.h"
#include "text_files.h"

/* ---- help ---- */

static void update(struct text_store *text)
{
	bool more = true;
	for (unsigned i = 0; more && i < 1000; i++)
		assert_true(text_store_update(text, 1 << 20, &more, NULL));
	assert_false(more);
}

static void care(struct text_store *text, unsigned rounds)
{
	bool more = false;
	while (rounds--)
		do {
			assert_true(text_store_care(text, 1 << 20, &more, NULL));
		} while (more);
}

struct extent {
	uint64_t octets;           /* of all files */
	uint64_t messages, groups; /* in force */
};

static struct extent measure(struct text_store *text)
{
	struct extent extent = {};
	uint64_t octets = 0;
	pthread_mutex_lock(&text->lock);
	assert_true(text_files_open(text, NULL));
	for (uint32_t file = 0; (file = text_files_after(text, file)) != 0; extent.octets += octets)
		assert_true(text_files_size(text, file, &octets, NULL));
	for (size_t i = 0; i < text->places.count; i++)
		extent.messages += text->places.items[i].count;
	extent.groups = text->places.count;
	pthread_mutex_unlock(&text->lock);
	return extent;
}

struct hits {
	ARRAY(uint64_t) found, missing;
};

static void hits_release(struct hits *hits)
{
	array_release(&hits->found);
	array_release(&hits->missing);
}

/* Which of the messages have the key in their headers or bodies, as the text has it. */
static struct hits hits_of(struct text_store *text, const uint64_t *messages, size_t count, struct str folded)
{
	struct hits hits = {};
	struct text_key key = text_key_make(folded);
	const unsigned both = TEXT_BIT(TEXT_HEADERS) | TEXT_BIT(TEXT_BODIES);
	struct text_wanted wanted = { messages, count, both, both, &key };
	CLEANUP(text_scan_end) struct text_scan *scan = text_scan_begin(text, &wanted, NULL);
	assert_non_null(scan);
	struct text_entry entry;
	size_t index;
	enum text_scanned scanned;
	while ((scanned = text_scan_next(scan, &index, &entry)) != TEXT_SCAN_END) {
		if (scanned == TEXT_SCAN_MISSING)
			*array_add(&hits.missing) = messages[index];
		else if (text_find(&key.needle, entry.sections[TEXT_HEADERS]) ||
		         text_find(&key.needle, entry.sections[TEXT_BODIES]))
			*array_add(&hits.found) = messages[index];
		assert_true(scanned == TEXT_SCAN_MISSING || entry.message == messages[index]);
	}
	return hits;
}

enum { MAILS = 100 };

struct mails {
	uint64_t messages[MAILS];
	uint32_t uids[MAILS];
};

static struct mails deliver_mails(struct account *account, unsigned count)
{
	struct mails mails = {};
	for (unsigned i = 0; i < count; i++) {
		char text[200];
		snprintf(text, sizeof text, "Subject: mail %u\r\n\r\nNumber%u, %s\r\n", i, i,
		         i % 10 == 3 ? "zanzibar" : "none");
		struct store_placed placed = deliver_text(account, 0, 0, text);
		mails.messages[i] = placed.message;
		mails.uids[i] = placed.uid;
	}
	return mails;
}

static void assert_hits(struct text_store *text, const struct mails *mails, size_t count, const char *key, size_t found,
                        size_t missing)
{
	struct hits hits = hits_of(text, mails->messages, count, str_of(key));
	assert_int_equal(hits.found.count, found);
	assert_int_equal(hits.missing.count, missing);
	hits_release(&hits);
}

/* ---- tests ---- */

static void mail_is_taken_up(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_WHOLE);
	struct mails mails = deliver_mails(account, MAILS);
	assert_hits(text, &mails, MAILS, "ZANZIBAR", 0, MAILS);
	update(text);
	assert_int_equal(measure(text).messages, MAILS);
	assert_hits(text, &mails, MAILS, "ZANZIBAR", 10, 0);
	assert_hits(text, &mails, MAILS, "NUMBER42,", 1, 0);
	assert_hits(text, &mails, MAILS, "SUBJECT: MAIL 9", 11, 0);
	assert_hits(text, &mails, MAILS, "", MAILS, 0);
	assert_hits(text, &mails, MAILS, "NOWHERE", 0, 0);
	text_store_free(&text);
	text = text_store_new(account->store, TEXT_WHOLE);
	assert_hits(text, &mails, MAILS, "ZANZIBAR", 10, 0);
	text_store_free(&text);
}

static void small_groups_are_joined(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_WHOLE);
	struct mails mails = {};
	for (unsigned i = 0; i < MAILS; i++) {
		char one[60];
		snprintf(one, sizeof one, "Subject: single %u\r\n\r\nx\r\n", i);
		mails.messages[i] = deliver_text(account, 0, 0, one).message;
		update(text);
	}
	assert_in_range(measure(text).groups, 4, 9);
	assert_hits(text, &mails, MAILS, "SINGLE 7", 11, 0);
	text_store_free(&text);
	text = text_store_new(account->store, TEXT_WHOLE); /* read back in spite of the groups that were replaced */
	assert_int_equal(measure(text).messages, MAILS);
	assert_hits(text, &mails, MAILS, "SINGLE 7", 11, 0);
	text_store_free(&text);
}

static void what_is_gone_leaves(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_WHOLE);
	CLEANUP(buf_release) struct buf large = BUF_WITH_LIMIT(1 << 20);
	struct mails mails = {};
	for (unsigned i = 0; i < MAILS; i++) {
		buf_clear(&large);
		buf_printf(&large, "Subject: large %u\r\n\r\n", i);
		while (large.length < 20000)
			buf_printf(&large, "%08x%08x\r\n", (unsigned)rand(), (unsigned)rand());
		struct store_placed placed = deliver_text(account, 0, 0, buf_text(&large));
		mails.messages[i] = placed.message;
		mails.uids[i] = placed.uid;
	}
	update(text);
	uint64_t before = measure(text).octets;
	for (unsigned i = 0; i < MAILS; i++)
		if (i % 4)
			expunge_uid(account, inbox_of(account), mails.uids[i]);
	care_for(account, 2000000000, 0);
	care(text, 3);
	assert_int_equal(measure(text).messages, MAILS / 4);
	assert_true(measure(text).octets < before / 2);
	assert_hits(text, &mails, MAILS, "LARGE 4", 4, MAILS - MAILS / 4); /* 4, 40, 44, 48 */
	text_store_free(&text);
	text = text_store_new(account->store, TEXT_WHOLE);
	assert_int_equal(measure(text).messages, MAILS / 4);
	text_store_free(&text);
}

/* Else each step of a long round would list all messages of a file again. */
static void care_looks_at_one_file_for_a_change(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_LISTED);
	deliver_mails(account, MAILS);
	care(text, 1);
	assert_int_equal(text->looked_at, 1);
	care(text, 3);
	assert_int_equal(text->looked_at, 1);
	deliver_text(account, 0, MAILS + 1, "one more");
	care(text, 1);
	assert_int_equal(text->looked_at, 0); /* the turn is over */
	text_store_free(&text);
}

/* A thousand accounts whose processes wait have a thousand times what one keeps. */
static void care_keeps_no_memory(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_WHOLE);
	deliver_mails(account, MAILS);
	update(text);
	assert_true(text->make && text->packed.capacity && text->group.block.capacity);
	care(text, 1);
	assert_true(!text->make && !text->packed.capacity && !text->group.block.capacity);
	for (size_t i = 0; i < TEXT_SECTIONS; i++)
		assert_int_equal(text->group.sections[i].capacity, 0);
	deliver_text(account, 0, MAILS + 1, "one more");
	care(text, 1);
	assert_int_equal(measure(text).messages, MAILS + 1);
	text_store_free(&text);
}

/* Whatever happens to the files: what is found is right, and the next update makes them anew. */
static void damage_is_survived(void **state)
{
	struct account *account = *state;
	struct mails mails = deliver_mails(account, MAILS);
	static const struct {
		long offset, truncate;
		bool remove;
	} cases[] = { { 0, -1, false }, { 50, -1, false }, { 300, -1, false },  { 10000, -1, false },
		          { -1, 0, false }, { -1, 5000, false }, { -1, 111, false }, { -1, -1, true } };
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		for (unsigned opened = 0; opened < 2; opened++) {
			struct text_store *text = text_store_new(account->store, TEXT_WHOLE);
			update(text);
			assert_int_equal(measure(text).messages, MAILS);
			if (!opened)
				text_store_free(&text);
			if (cases[i].offset >= 0)
				account_overwrite(account, "text/0001", cases[i].offset, STR("\x13\x37\x13\x37"));
			else if (cases[i].truncate >= 0)
				account_truncate(account, "text/0001", cases[i].truncate);
			else
				assert_true(text_store_remove(account->directory, NULL));
			if (!opened)
				text = text_store_new(account->store, TEXT_WHOLE);
			struct hits hits = hits_of(text, mails.messages, MAILS, STR("ZANZIBAR"));
			assert_true(hits.found.count <= 10 && hits.found.count + hits.missing.count >= 10);
			hits_release(&hits);
			update(text);
			assert_hits(text, &mails, MAILS, "ZANZIBAR", 10, 0);
			text_store_free(&text);
			assert_true(text_store_remove(account->directory, NULL));
		}
}

/* A mail that is not durable must not be taken up: a power loss would give its number to another one. */
static void only_durable_mail(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_WHOLE);
	deliver_mails(account, 5);
	assert_true(atomic_load(&account->store->deferred));
	update(text);
	assert_false(atomic_load(&account->store->deferred));
	text_store_free(&text);
}

static void unreadable_mail_is_passed_over(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_WHOLE);
	struct mails mails = deliver_mails(account, 10);
	struct body_place place;
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	assert_true(body_find(&reader->database, mails.messages[3], &place, NULL));
	char name[40];
	snprintf(name, sizeof name, "seg/%04u", (unsigned)place.segment);
	account_overwrite(account, name, (long)(place.offset + place.header + 3), STR("DAMAGED"));
	update(text);
	assert_int_equal(measure(text).messages, 10);
	assert_hits(text, &mails, 10, "ZANZIBAR", 0, 0);
	assert_hits(text, &mails, 10, "NUMBER9", 1, 0);
	text_store_free(&text);
}

/* ---- what is made of columns ---- */

/* With what the store keeps beside a mail, as a delivery has it, and then without its octets. */
static void list_sample(const char *path, struct str sample)
{
	(void)path;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(1 << 24), headers = BUF_WITH_LIMIT(1 << 20);
	struct text_make *listing = text_make_new(), *whole = text_make_new();
	struct message message;
	struct text_entry listed, made;
	message_parse(arena, sample, &message);
	assert_true(message_pack(&message, &packed));
	buf_add_str(&headers, message.subset);
	struct store_message_columns columns = { .structure = buf_str(&packed), .headers = buf_str(&headers) };
	assert_false(text_make_listed(listing, &columns, &listed)); /* it may lack fields */
	buf_add_str(&headers, STR("\r\n"));
	columns.headers = buf_str(&headers);
	if (message.flags & MESSAGE_SUBSET_COMPLETE && str_ends_nocase(message.subset, STR("\r\n"))) {
		text_make(whole, sample, &made);
		assert_true(text_make_listed(listing, &columns, &listed));
		assert_true(str_equal(listed.sections[TEXT_ORDER], made.sections[TEXT_ORDER]));
		assert_true(str_starts(made.sections[TEXT_FIELDS], listed.sections[TEXT_FIELDS]));
		assert_int_equal(listed.sections[TEXT_HEADERS].length + listed.sections[TEXT_BODIES].length, 0);
		columns.structure = str_first(columns.structure, 5);
		assert_false(text_make_listed(listing, &columns, &listed));
	}
	text_make_free(&listing);
	text_make_free(&whole);
}

static void what_is_listed_is_what_the_mail_says(void **state)
{
	(void)state;
	list_sample("", STR("From: a\r\n\r\nb\r\n"));
	if (!check_samples(list_sample))
		skip();
}

/* From the columns where there are some, else from the mail; a key that is in no field rules groups out. */
static void fields_are_listed(void **state)
{
	struct account *account = *state;
	struct text_store *text = text_store_new(account->store, TEXT_LISTED);
	struct mails mails = deliver_mails(account, MAILS);
	static const struct { const char *key; size_t found, scanned; } cases[] = {
		{ "MAIL 42", 1, 32 }, { "MAIL", MAILS, MAILS }, { "ZANZIBAR", 0, 0 },
	};
	update(text);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct text_key key = text_key_make(str_of(cases[i].key));
		struct text_wanted wanted = { mails.messages, MAILS, TEXT_BIT(TEXT_FIELDS), TEXT_BIT(TEXT_HEADERS), &key };
		CLEANUP(text_scan_end) struct text_scan *scan = text_scan_begin(text, &wanted, NULL);
		struct text_entry entry;
		size_t index, found = 0, scanned = 0;
		for (; text_scan_next(scan, &index, &entry) == TEXT_SCAN_FOUND; scanned++)
			found += text_fields_have(entry.sections[TEXT_FIELDS], TEXT_FIELD_SUBJECT, &key.needle);
		assert_int_equal(found, cases[i].found);
		assert_true(scanned <= cases[i].scanned);
	}
	text_store_free(&text);
}

/* ---- the samples ---- */

struct sample {
	struct buf folded[2]; /* headers, bodies */
	uint64_t message;
};

enum { SAMPLES_MAX = 10000 };

static struct {
	struct account *account;
	struct store_txn *txn;
	uint64_t inbox;
	unsigned pass;
	ARRAY(struct sample) list;
} samples;

/* Each time they are walked over they are other mails: a field is put in front. */
static void deliver_sample(const char *path, struct str sample_text)
{
	(void)path;
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(1 << 28);
	if (samples.list.count == SAMPLES_MAX || sample_text.length == 0)
		return;
	if (samples.pass)
		buf_printf(&memory, "X-Pass: %u\r\n", samples.pass);
	buf_add_str(&memory, sample_text);
	struct str text = buf_str(&memory);
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	struct sample *sample = array_add(&samples.list);
	const struct mime_part *root = mime_parse(arena, text, NULL);
	for (size_t i = 0; i < 2; i++)
		buf_init(&sample->folded[i], 16 << 20);
	search_text_headers(&sample->folded[0], text, root, NULL);
	search_text_bodies(&sample->folded[1], text, root);
	struct store_delivery delivery = { .body = { .bytes = text, .size = text.length }, .mailbox = samples.inbox };
	struct store_placed placed;
	assert_true(store_deliver(samples.txn, &delivery, &placed));
	sample->message = placed.message;
}

/* Keys from the mails themselves, of all lengths, and some that are nowhere. */
static struct str choose_key(unsigned round, char memory[64])
{
	const struct sample *sample = &samples.list.items[(size_t)rand() % samples.list.count];
	struct str text = buf_str(&sample->folded[round % 2]);
	size_t length = 1 + (size_t)rand() % 24;
	if (text.length <= length)
		return STR("NOT A SINGLE MAIL HAS THIS");
	memcpy(memory, text.data + (size_t)rand() % (text.length - length), length);
	if (round % 7 == 0)
		memory[length / 2] = '\x7f';
	return str_from(memory, length);
}

static bool brute_force(const struct sample *sample, struct str key)
{
	for (size_t i = 0; i < 2; i++)
		if (str_find(buf_str(&sample->folded[i]), key) < sample->folded[i].length)
			return true;
	return false;
}

static void compare(struct text_store *text, const uint64_t *messages, struct str key)
{
	struct hits hits = hits_of(text, messages, samples.list.count, key);
	size_t at = 0;
	assert_int_equal(hits.missing.count, 0);
	for (size_t i = 0; i < samples.list.count; i++) {
		bool found = at < hits.found.count && hits.found.items[at] == messages[i];
		assert_int_equal(found, brute_force(&samples.list.items[i], key));
		at += found;
	}
	hits_release(&hits);
}

static void hits_equal_a_brute_force_scan(void **state)
{
	enum { KEYS = 60 };
	samples.account = *state;
	samples.inbox = inbox_of(samples.account);
	samples.txn = store_begin_deferred(samples.account->store);
	bool any = check_samples(deliver_sample);
	for (samples.pass = 1; any && samples.list.count < SAMPLES_MAX; samples.pass++)
		any = check_samples(deliver_sample);
	commit(&samples.txn);
	if (!any) {
		print_message("no sample mails\n");
		skip();
	}
	struct text_store *text = text_store_new(samples.account->store, TEXT_WHOLE);
	update(text);
	uint64_t *messages = mem_alloc(samples.list.count * sizeof *messages);
	for (size_t i = 0; i < samples.list.count; i++)
		messages[i] = samples.list.items[i].message;
	srand(7);
	for (unsigned round = 0; round < KEYS; round++) {
		char memory[64];
		compare(text, messages, choose_key(round, memory));
	}
	print_message("%zu mails, %llu octets of text\n", samples.list.count, (unsigned long long)measure(text).octets);
	text_store_free(&text);
	free(messages);
	for (size_t i = 0; i < samples.list.count; i++) {
		buf_release(&samples.list.items[i].folded[0]);
		buf_release(&samples.list.items[i].folded[1]);
	}
	array_release(&samples.list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(mail_is_taken_up),
		store_test(small_groups_are_joined),
		store_test(what_is_gone_leaves),
		store_test(care_looks_at_one_file_for_a_change),
		store_test(care_keeps_no_memory),
		store_test(damage_is_survived),
		store_test(only_durable_mail),
		store_test(unreadable_mail_is_passed_over),
		cmocka_unit_test(what_is_listed_is_what_the_mail_says),
		store_test(fields_are_listed),
		store_test(hits_equal_a_brute_force_scan),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
