#include "annotation.h"
#include "store_test_help.h"

struct told {
	size_t count;
};

static void count_report(void *context, enum fail_kind kind, const char *what)
{
	(void)kind;
	(void)what;
	((struct told *)context)->count++;
}

static void parse(void *context, struct str mail, struct store_message_columns *columns)
{
	(void)context;
	columns->subject = str_first(mail, 7);
}

static struct store_rebuilt rebuild(struct account *account, size_t *told_count)
{
	struct told told = {};
	struct store_rebuilt rebuilt;
	struct fail *fail = NULL;
	struct store_options options = { .path = account->path };
	struct store_parser parser = { .parse = parse };
	struct store_report report = { count_report, &told };
	if (!store_rebuild(account->directory, &options, &parser, &report, &rebuilt, &fail))
		fail_msg("rebuild: %s", fail_text(fail));
	*told_count = told.count;
	account_open(account);
	assert_true(store_needs_recovery(account->store));
	return rebuilt;
}

static void lose_database(struct account *account)
{
	account_close(account);
	account_delete(account, "meta.db");
}

static void a_lost_database_is_told_not_replaced(void **state)
{
	struct account *account = *state;
	deliver_text(account, 0, 1, "one");
	lose_database(account);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct store_options options = { .path = account->path, .create = true };
	assert_null(store_open(account->directory, &options, &fail));
	assert_int_equal(fail->kind, FAIL_CORRUPT);
}

static void without_a_checkpoint_mails_go_where_they_were_delivered(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	uint64_t work = make_mailbox(account, "Work/2024 % done");
	struct store_placed first = deliver_text(account, 0, 1, "mail number one\r\n");
	struct store_placed second = deliver_text(account, work, 2, "mail number two\r\n");
	uint32_t uidvalidity = mailbox_now(account, "Work/2024 % done").uidvalidity;
	lose_database(account);
	struct store_rebuilt rebuilt = rebuild(account, &told);
	assert_int_equal(rebuilt.messages, 2);
	assert_int_equal(rebuilt.recovered, 0);
	assert_int_equal(rebuilt.damaged, 0);
	assert_int_equal(told, 0);
	assert_true(mailbox_now(account, "INBOX").uidvalidity > uidvalidity);
	assert_true(mailbox_now(account, "Work/2024 % done").uidvalidity > uidvalidity);
	struct store_entries entries = entries_of(account, mailbox_now(account, "Work/2024 % done").id);
	assert_int_equal(entries.list.count, 1);
	assert_int_equal(entries.list.items[0].uid, second.uid);
	assert_int_equal(entries.list.items[0].message, second.message);
	assert_int_equal(entries.list.items[0].received, 1700000000);
	store_entries_release(&entries);
	assert_body(account, first.message, STR("mail number one\r\n"));
	assert_int_equal(number_of(account, "SELECT count(*) FROM message WHERE CAST(subject AS TEXT) = 'mail nu'"), 2);
	assert_counters(account);
	/* the journal gives its records once more: nothing is doubled */
	assert_true(deliver_text(account, 0, 1, "mail number one\r\n").replayed);
	assert_true(store_finish_recovery(account->store, NULL));
	assert_int_equal(mailbox_now(account, "INBOX").messages, 1);
	assert_true(deliver_text(account, 0, 3, "later").message > second.message);
}

/* The journal's mark may be older than what its queue has had done: what it does not give after the rebuild, it may
 * still give after a loss of power. */
static void what_the_journal_gives_later_is_known_too(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	deliver_text(account, 0, 1, "one");
	struct store_placed expunged = deliver_text(account, 0, 2, "two");
	deliver_text(account, 0, 3, "three");
	expunge_uid(account, inbox_of(account), expunged.uid);
	care_for(account, 0, 0);
	lose_database(account);
	assert_int_equal(rebuild(account, &told).messages, 2);
	assert_true(store_finish_recovery(account->store, NULL));
	expunge_uid(account, inbox_of(account), 3);
	account_crash(account);
	account_open(account);
	assert_true(deliver_text(account, 0, 1, "one").replayed);
	assert_true(deliver_text(account, 0, 2, "two").replayed);
	assert_true(deliver_text(account, 0, 3, "three").replayed);
	assert_true(store_finish_recovery(account->store, NULL));
	assert_int_equal(mailbox_now(account, "INBOX").messages, 1);
	/* nor when a queue that was killed gives it to a store that was not */
	assert_true(deliver_text(account, 0, 1, "one").replayed);
}

static void the_checkpoint_knows_flags_moves_and_the_dead(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	uint64_t inbox = inbox_of(account);
	struct store_placed placed[4];
	char text[40];
	for (uint64_t i = 0; i < 4; i++) {
		snprintf(text, sizeof text, "mail number %llu", (unsigned long long)i);
		placed[i] = deliver_text(account, 0, i + 1, text);
	}
	uint16_t keyword = 0;
	uint64_t archive = make_mailbox(account, "Archive");
	struct store_range ranges[] = { { 1, 1 }, { 2, 2 } };
	struct store_selection flagged = { inbox, &ranges[0], 1 };
	struct store_selection moved = { inbox, &ranges[1], 1 };
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_keyword(txn, STR("$Important"), &keyword));
	struct store_change change = { .how = STORE_FLAGS_ADD,
		                           .flags = STORE_SEEN | STORE_FLAGGED,
		                           .keywords = { &keyword, 1 },
		                           .unchanged_since = UINT64_MAX };
	assert_true(store_flags(txn, &flagged, &change, NULL, NULL));
	assert_true(store_move(txn, &moved, archive, NULL));
	assert_true(store_subscribe(txn, STR("Archive"), true));
	commit(&txn);
	expunge_uid(account, inbox, 3);
	care_for(account, 10000, 0);
	/* a delta: another flag, another expunge, and a mail after it */
	change.flags = STORE_ANSWERED;
	txn = store_begin(account->store);
	assert_true(store_flags(txn, &flagged, &change, NULL, NULL));
	commit(&txn);
	care_for(account, 20000, 0);
	struct store_placed later = deliver_text(account, 0, 9, "later");
	lose_database(account);
	struct store_rebuilt rebuilt = rebuild(account, &told);
	assert_int_equal(rebuilt.messages, 4);
	assert_int_equal(rebuilt.recovered, 0);
	struct store_entries entries = entries_of(account, inbox_of(account));
	assert_int_equal(entries.list.count, 3);
	assert_int_equal(entries.list.items[0].uid, 1);
	assert_int_equal(entries.list.items[0].flags, STORE_SEEN | STORE_FLAGGED | STORE_ANSWERED);
	assert_int_equal(entries.list.items[0].keyword_count, 1);
	assert_int_equal(entries.list.items[1].uid, 4);
	assert_int_equal(entries.list.items[2].uid, later.uid);
	store_entries_release(&entries);
	assert_int_equal(mailbox_now(account, "Archive").messages, 1);
	assert_true(mailbox_now(account, "Archive").subscribed);
	assert_body(account, placed[1].message, STR("mail number 1"));
	assert_body_fails(account, placed[2].message, FAIL_NOT_FOUND);
	assert_counters(account);
}

static void a_broken_chain_drops_nothing(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	deliver_text(account, 0, 1, "mail number one");
	care_for(account, 10000, 0);
	uint64_t end = account->store->tail.end;
	deliver_text(account, 0, 2, "mail number two");
	uint64_t delta = account->store->tail.end;
	care_for(account, 20000, 0);
	deliver_text(account, 0, 3, "mail number three");
	care_for(account, 30000, 0);
	account_close(account);
	assert_true(delta > end);
	account_overwrite(account, "seg/0001", (long)delta + 400, STR("damage"));
	account_delete(account, "meta.db");
	struct store_rebuilt rebuilt = rebuild(account, &told);
	assert_int_equal(rebuilt.messages, 3);
	assert_int_equal(rebuilt.recovered, 1);
	assert_int_equal(told, 1);
	assert_int_equal(mailbox_now(account, "Recovered").messages, 1);
}

static void damage_costs_one_mail_only(void **state)
{
	static const struct {
		const char *column; /* where the damage begins, from the second record */
		size_t length;
		uint64_t recovered;
	} cases[] = {
		{ "start", 4, 1 },            /* the magic: the mail is found behind what is left of the header */
		{ "start + 100", 4, 1 },      /* inside the header */
		{ "start + header", 6, 1 },   /* the octets */
		{ "start + header", 600, 0 }, /* zeros where the mail was */
	};
	static char zeros[600];
	struct account *account = *state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct store_placed placed[3];
		size_t told = 0;
		static char text[601];
		memset(text, 'x', 600);
		for (uint64_t n = 0; n < 3; n++)
			placed[n] = deliver_text(account, 0, 100 * i + n + 1, text);
		char query[100];
		snprintf(query, sizeof query, "SELECT %s FROM body WHERE message = %llu", cases[i].column,
		         (unsigned long long)placed[1].message);
		int64_t at = number_of(account, query);
		snprintf(query, sizeof query, "SELECT segment FROM body WHERE message = %llu",
		         (unsigned long long)placed[1].message);
		char name[40];
		snprintf(name, sizeof name, "seg/%04d", (int)number_of(account, query));
		account_close(account);
		account_overwrite(account, name, at, str_from(zeros, cases[i].length));
		account_delete(account, "meta.db");
		struct store_rebuilt rebuilt = rebuild(account, &told);
		assert_true(told >= 1);
		assert_int_equal(rebuilt.recovered, cases[i].recovered);
		assert_body(account, placed[0].message, str_of(text));
		assert_body(account, placed[2].message, str_of(text));
		assert_true(store_finish_recovery(account->store, NULL));
		assert_counters(account);
		account_teardown(state);
		account_setup(state);
		account = *state;
	}
}

/* A mail that contains a record header, with the header before it damaged: it must not become a mail of its own. */
static void a_forged_header_is_not_believed(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	CLEANUP(buf_release) struct buf forged = BUF_WITH_LIMIT(10000);
	struct segment_header header = { .stored = 5, .size = 5, .uid = 77, .message = 9, .mailbox = STR("INBOX") };
	struct segment_key key = { { 1, 2 } };
	buf_add_str(&forged, STR("Subject: nasty\r\n\r\n"));
	segment_header_encode(&forged, &header, &key, 0);
	buf_add_str(&forged, STR("evil!"));
	struct store_placed placed = deliver_text(account, 0, 1, buf_text(&forged));
	struct store_placed next = deliver_text(account, 0, 2, "good mail after it");
	assert_body(account, placed.message, buf_str(&forged));
	account_close(account);
	account_overwrite(account, "seg/0001", SEGMENT_START_SIZE + 60, STR("damage"));
	account_delete(account, "meta.db");
	struct store_rebuilt rebuilt = rebuild(account, &told);
	assert_int_equal(rebuilt.messages, 1);
	assert_int_equal(rebuilt.recovered, 1);
	assert_body(account, next.message, STR("good mail after it"));
	struct store_entries entries = entries_of(account, mailbox_now(account, "Recovered").id);
	assert_int_equal(entries.list.count, 1);
	assert_body(account, entries.list.items[0].message, buf_str(&forged));
	store_entries_release(&entries);
}

static void a_lost_version_file_is_made_again(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	struct store_placed placed = deliver_text(account, 0, 1, "mail number one");
	struct segment_key key = account->store->segments.key;
	lose_database(account);
	account_delete(account, "version");
	assert_int_equal(rebuild(account, &told).messages, 1);
	assert_memory_equal(&account->store->version.key, &key, sizeof key);
	assert_body(account, placed.message, STR("mail number one"));
}

static void truncated_and_empty_segments_cost_what_they_held(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	struct store_placed first = deliver_text(account, 0, 1, "mail number one");
	deliver_text(account, 0, 2, "mail number two");
	account_close(account);
	struct stat status;
	assert_int_equal(fstatat(account->directory, "seg/0001", &status, 0), 0);
	account_truncate(account, "seg/0001", status.st_size - 5);
	int empty = openat(account->directory, "seg/0002", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(empty >= 0);
	close(empty);
	account_delete(account, "meta.db");
	struct store_rebuilt rebuilt = rebuild(account, &told);
	assert_int_equal(rebuilt.messages, 1);
	assert_int_equal(rebuilt.recovered, 1);
	assert_body(account, first.message, STR("mail number one"));
}

static void recompressed_mail_is_rebuilt(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	struct store_placed first = deliver_text(account, 0, 1, "mail number one");
	deliver_text(account, 0, 2, "mail number two");
	struct store_origin origin = origin_of(0);
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_trim(txn, origin.journal, 1000) && segment_seal(txn, &account->store->tail));
	commit(&txn);
	care_for(account, INT64_MAX / 2, 1);
	assert_int_equal(number_of(account, "SELECT count(*) FROM body WHERE codec = 1"), 2);
	lose_database(account);
	struct store_rebuilt rebuilt = rebuild(account, &told);
	assert_int_equal(rebuilt.messages, 2);
	assert_int_equal(rebuilt.damaged, 0);
	assert_body(account, first.message, STR("mail number one"));
	assert_int_equal(mailbox_now(account, "INBOX").messages, 2);
}

static void annotate(struct account *account, uint64_t mailbox, const char *entry, struct str value)
{
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_annotation_set(txn, mailbox, str_of(entry), value));
	commit(&txn);
}

static void assert_annotation(struct account *account, uint64_t mailbox, const char *entry, struct str value)
{
	CLEANUP(store_annotations_release) struct store_annotations all = {};
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	assert_true(store_read_annotations(reader, mailbox, &all, NULL));
	assert_int_equal(all.list.count, 1);
	assert_true(str_equal(all.list.items[0].entry, str_of(entry)));
	assert_true(str_equal(all.list.items[0].value, value));
}

/* Of a full checkpoint and the delta after it. */
static void annotations_are_kept(void **state)
{
	struct account *account = *state;
	size_t told = 0;
	uint64_t work = make_mailbox(account, "work");
	uint64_t gone = make_mailbox(account, "gone");
	annotate(account, 0, "/shared/admin", STR("a line\r\nand \0 one more"));
	annotate(account, 0, "/private/empty", STR(""));
	annotate(account, work, "/private/comment", STR("old"));
	annotate(account, gone, "/private/comment", STR("gone"));
	deliver_text(account, work, 1, "mail number one\r\n");
	care_for(account, 1800000000, 0);
	annotate(account, 0, "/private/empty", str_from(NULL, 0));
	annotate(account, work, "/private/comment", STR(""));
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_mailbox_delete(txn, STR("gone"), &(uint64_t){ 0 }));
	commit(&txn);
	deliver_text(account, work, 2, "mail number two\r\n");
	care_for(account, 1800001000, 0);
	lose_database(account);
	rebuild(account, &told);
	assert_int_equal(told, 0);
	assert_annotation(account, 0, "/shared/admin", STR("a line\r\nand \0 one more"));
	assert_annotation(account, mailbox_now(account, "work").id, "/private/comment", STR(""));
	assert_int_equal(number_of(account, "SELECT count(*) FROM annotation"), 2);
	assert_true(store_finish_recovery(account->store, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(annotations_are_kept),
		store_test(a_lost_database_is_told_not_replaced),
		store_test(without_a_checkpoint_mails_go_where_they_were_delivered),
		store_test(what_the_journal_gives_later_is_known_too),
		store_test(the_checkpoint_knows_flags_moves_and_the_dead),
		store_test(a_broken_chain_drops_nothing),
		store_test(damage_costs_one_mail_only),
		store_test(a_forged_header_is_not_believed),
		store_test(a_lost_version_file_is_made_again),
		store_test(truncated_and_empty_segments_cost_what_they_held),
		store_test(recompressed_mail_is_rebuilt),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
