#include "store_test_help.h"

#include <sys/eventfd.h>

enum { LONG_AGO = 1000, DAY = 86400 };

/* Twenty mails and the tail sealed, so that maintenance may touch it. */
static void fill_and_seal(struct account *account, struct store_placed placed[20], char texts[20][5000])
{
	for (uint64_t i = 0; i < 20; i++) {
		snprintf(texts[i], sizeof texts[i], "Subject: %llu\r\n\r\n%04900llu\r\n", (unsigned long long)i,
		         (unsigned long long)i);
		placed[i] = deliver_text(account, 0, i + 1, texts[i]);
	}
	struct store_origin origin = origin_of(0);
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_trim(txn, origin.journal, 1000));
	assert_true(segment_seal(txn, &account->store->tail));
	commit(&txn);
}

static bool has_file(struct account *account, const char *name)
{
	return faccessat(account->directory, name, F_OK, 0) == 0;
}

static void a_sparse_segment_is_rewritten_and_unlinked(void **state)
{
	struct account *account = *state;
	struct store_placed placed[20];
	static char texts[20][5000];
	fill_and_seal(account, placed, texts);
	care_for(account, 0, 0);
	assert_true(has_file(account, "seg/0001"));
	for (uint32_t uid = 1; uid <= 12; uid++)
		expunge_uid(account, inbox_of(account), uid);
	care_for(account, 0, 0);
	assert_false(has_file(account, "seg/0001"));
	assert_int_equal(number_of(account, "SELECT count(*) FROM segment WHERE number = 1"), 0);
	for (size_t i = 12; i < 20; i++)
		assert_body(account, placed[i].message, str_of(texts[i]));
	assert_body_fails(account, placed[0].message, FAIL_NOT_FOUND);
	account_close(account);
	account_open(account);
	assert_body(account, placed[19].message, str_of(texts[19]));
	assert_counters(account);
}

static void old_mail_is_recompressed(void **state)
{
	struct account *account = *state;
	struct store_placed placed[20];
	static char texts[20][5000];
	fill_and_seal(account, placed, texts);
	int64_t now = number_of(account, "SELECT since FROM segment WHERE number = 1");
	care_for(account, now + DAY, 2 * DAY);
	assert_true(has_file(account, "seg/0001"));
	care_for(account, now + 3 * DAY, 2 * DAY);
	assert_false(has_file(account, "seg/0001"));
	assert_int_equal(number_of(account, "SELECT count(*) FROM body WHERE codec = 1"), 20);
	assert_true(number_of(account, "SELECT sum(stored) * 10 < sum(size) FROM body"));
	for (size_t i = 0; i < 20; i++)
		assert_body(account, placed[i].message, str_of(texts[i]));
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	CLEANUP(buf_release) struct buf all = BUF_WITH_LIMIT(10000);
	uint64_t size = 0;
	CLEANUP(store_stream_close) struct store_stream *stream = store_stream_open(reader, placed[3].message, &size, NULL);
	char piece[700];
	for (int64_t got; (got = store_stream_read(stream, piece, sizeof piece, NULL)) > 0;)
		buf_append(&all, piece, (size_t)got);
	assert_true(str_equal(buf_str(&all), str_of(texts[3])));
}

/* zstd -dc prints what is in a compressed segment: headers are frames that it skips. */
static void a_compressed_segment_is_plain_zstd(void **state)
{
	struct account *account = *state;
	struct store_placed placed[20];
	static char texts[20][5000];
	if (system("command -v zstd >/dev/null") != 0) {
		print_message("zstd is missing\n");
		skip();
	}
	fill_and_seal(account, placed, texts);
	care_for(account, INT64_MAX / 2, DAY);
	char command[400];
	snprintf(command, sizeof command, "zstd -dc < %s/seg/%04d", account->path,
	         (int)number_of(account, "SELECT segment FROM body LIMIT 1"));
	FILE *output = popen(command, "r");
	for (size_t i = 0; i < 20; i++) {
		static char read[5000];
		size_t length = strlen(texts[i]);
		assert_int_equal(fread(read, 1, length, output), length);
		assert_memory_equal(read, texts[i], length);
	}
	assert_int_equal(fgetc(output), EOF);
	assert_int_equal(pclose(output), 0);
}

static void what_the_journal_may_rewrite_stays(void **state)
{
	struct account *account = *state;
	struct store_placed placed[20];
	static char texts[20][5000];
	fill_and_seal(account, placed, texts);
	struct store_origin origin = origin_of(500);
	struct store_txn *txn = store_begin(account->store);
	/* as if the record of the last mail were not trimmed */
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO applied(journal, seq, recipient, message) VALUES(1, 500, 1, ?)");
	bind_u64(query, 1, placed[19].message);
	assert_true(txn_run(txn, query));
	commit(&txn);
	for (uint32_t uid = 1; uid <= 19; uid++)
		expunge_uid(account, inbox_of(account), uid);
	care_for(account, INT64_MAX / 2, DAY);
	assert_true(has_file(account, "seg/0001"));
	txn = store_begin(account->store);
	assert_true(store_trim(txn, origin.journal, 501));
	commit(&txn);
	care_for(account, INT64_MAX / 2, DAY);
	assert_false(has_file(account, "seg/0001"));
	assert_body(account, placed[19].message, str_of(texts[19]));
}

static void a_maildrop_pins_its_bodies(void **state)
{
	struct account *account = *state;
	struct store_placed placed = deliver_text(account, 0, 1, "one");
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	CLEANUP(store_maildrop_unlock) struct store_maildrop drop;
	CLEANUP(store_maildrop_unlock) struct store_maildrop second = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_true(store_maildrop_lock(reader, inbox_of(account), &drop, NULL));
	assert_int_equal(drop.messages.count, 1);
	assert_memory_equal(&drop.messages.items[0].id, &placed.id, sizeof placed.id);
	assert_false(store_maildrop_lock(reader, inbox_of(account), &second, &fail));
	assert_int_equal(fail->kind, FAIL_BUSY);
	expunge_uid(account, inbox_of(account), placed.uid);
	care_for(account, 0, 0);
	assert_body(account, placed.message, STR("one"));
	/* DELE of what another session expunged */
	expunge_uid(account, inbox_of(account), placed.uid);
	store_maildrop_unlock(&drop);
	care_for(account, 0, 0);
	assert_body_fails(account, placed.message, FAIL_NOT_FOUND);
	assert_true(store_maildrop_lock(reader, inbox_of(account), &drop, NULL));
	assert_int_equal(drop.messages.count, 0);
}

static void a_damaged_body_keeps_its_segment(void **state)
{
	struct account *account = *state;
	struct store_placed placed[20];
	static char texts[20][5000];
	fill_and_seal(account, placed, texts);
	account_overwrite(account, "seg/0001", number_of(account, "SELECT start + header + 5 FROM body WHERE message = 20"),
	                  STR("damage"));
	for (uint32_t uid = 1; uid <= 18; uid++)
		expunge_uid(account, inbox_of(account), uid);
	care_for(account, 0, 0);
	assert_true(has_file(account, "seg/0001"));
	assert_int_equal(number_of(account, "SELECT state FROM segment WHERE number = 1"), SEGMENT_KEPT);
	assert_body(account, placed[18].message, str_of(texts[18]));
	assert_int_not_equal(number_of(account, "SELECT segment FROM body WHERE message = 19"), 1);
	assert_body_fails(account, placed[19].message, FAIL_CORRUPT);
}

static void an_abandoned_segment_is_rescued_before_a_barrier(void **state)
{
	struct account *account = *state;
	struct store_placed placed = deliver_text(account, 0, 1, "one");
	struct store_txn *txn = store_begin(account->store);
	assert_true(txn_run(txn, txn_query(txn, "UPDATE segment SET state = 2")));
	commit(&txn);
	account_close(account);
	account_open(account);
	assert_true(account->store->suspect);
	assert_true(store_barrier(account->store, NULL) && !atomic_load(&account->store->deferred));
	txn = store_begin(account->store);
	commit(&txn);
	assert_false(account->store->suspect);
	assert_int_equal(number_of(account, "SELECT count(*) FROM segment WHERE number = 1"), 0);
	assert_body(account, placed.message, STR("one"));
}

static void seal_tail(struct account *account)
{
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_trim(txn, origin_of(0).journal, 1000));
	assert_true(segment_seal(txn, &account->store->tail));
	commit(&txn);
}

/* One mail at 4096 places: what a rebuild needs to know of them is much longer than the mail. */
static void fill_with_places(struct account *account)
{
	const struct store_selection all = { inbox_of(account), &(struct store_range){ 1, UINT32_MAX }, 1 };
	deliver_text(account, 0, 1, "Subject: everywhere\r\n\r\nx\r\n");
	for (int i = 0; i < 12; i++) {
		struct store_txn *txn = store_begin(account->store);
		assert_true(store_copy(txn, &all, all.mailbox, NULL));
		commit(&txn);
	}
}

static void flip_all(struct account *account, enum store_flags_how how)
{
	const struct store_selection all = { inbox_of(account), &(struct store_range){ 1, UINT32_MAX }, 1 };
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_flags(txn, &all, &(struct store_change){ .how = how, .flags = STORE_SEEN,
	                                                           .unchanged_since = UINT64_MAX }, NULL, NULL));
	commit(&txn);
}

/* A segment of little but metadata is sparse; if it went for that alone, what stands in for it would be sparse next. */
static void metadata_is_written_again_for_what_it_frees(void **state)
{
	struct account *account = *state;
	fill_with_places(account);
	care_for(account, DAY, 0);
	assert_int_equal(number_of(account, "SELECT checkpoint_segment FROM account"), 1);
	seal_tail(account);
	assert_true(number_of(account, "SELECT size > 200000 AND dead * 10 > size * 9 FROM segment WHERE number = 1"));
	care_for(account, 2 * DAY, 0);
	assert_true(has_file(account, "seg/0001"));
	account_close(account);
	account_open(account);
	care_for(account, 3 * DAY, 0);
	assert_true(has_file(account, "seg/0001"));
	for (int i = 0; i < 4; i++) {
		flip_all(account, i % 2 ? STORE_FLAGS_REMOVE : STORE_FLAGS_ADD);
		care_for(account, (4 + i) * DAY, 0);
	}
	assert_false(has_file(account, "seg/0001"));
	assert_int_equal(number_of(account, "SELECT count(*) FROM segment"), 1);
	assert_counters(account);
}

static void a_large_mail_goes_without_new_metadata(void **state)
{
	struct account *account = *state;
	CLEANUP(buf_release) struct buf large = BUF_WITH_LIMIT(LIMIT_INLINE_BODY_MAX + 1000);
	for (int i = 0; large.length <= LIMIT_INLINE_BODY_MAX; i++)
		buf_printf(&large, "a line of a large mail, %d\r\n", i);
	deliver_text(account, 0, 1, "Subject: small\r\n\r\nx\r\n");
	care_for(account, DAY, 0);
	struct store_placed placed = deliver_file(account, 2, buf_str(&large));
	assert_true(has_file(account, "seg/0002"));
	struct store_txn *txn = store_begin(account->store);
	assert_true(store_trim(txn, origin_of(0).journal, 1000));
	commit(&txn);
	int64_t before = number_of(account, "SELECT checkpoint_modseq FROM account");
	expunge_uid(account, inbox_of(account), placed.uid);
	care_for(account, DAY + 1, 0);
	assert_false(has_file(account, "seg/0002"));
	assert_int_equal(number_of(account, "SELECT checkpoint_modseq FROM account"), before);
}

static void tombstones_are_pruned_to_a_floor(void **state)
{
	struct account *account = *state;
	uint64_t inbox = inbox_of(account);
	struct store_txn *txn = store_begin(account->store);
	assert_true(
		txn_run(txn, txn_query(txn, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100150)"
	                                " INSERT INTO tombstone(mailbox, modseq, uid) SELECT 1, i, i FROM n")));
	commit(&txn);
	care_for(account, 0, 0);
	assert_int_equal(number_of(account, "SELECT vanished_floor FROM mailbox"), 200);
	assert_int_equal(number_of(account, "SELECT min(modseq) FROM tombstone"), 201);
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(account->store, NULL);
	for (uint64_t since = 199; since <= 200; since++) {
		struct store_uids vanished = {};
		bool complete = false;
		assert_true(store_read_vanished(reader, inbox, since, &vanished, &complete, NULL));
		assert_int_equal(complete, since == 200);
		assert_int_equal(vanished.uids.count, 100150 - 200);
		store_uids_release(&vanished);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		store_test(a_sparse_segment_is_rewritten_and_unlinked),
		store_test(old_mail_is_recompressed),
		store_test(a_compressed_segment_is_plain_zstd),
		store_test(what_the_journal_may_rewrite_stays),
		store_test(a_maildrop_pins_its_bodies),
		store_test(a_damaged_body_keeps_its_segment),
		store_test(an_abandoned_segment_is_rescued_before_a_barrier),
		store_test(metadata_is_written_again_for_what_it_frees),
		store_test(a_large_mail_goes_without_new_metadata),
		store_test(tombstones_are_pruned_to_a_floor),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
