#include "database.h"
#include "wal_vfs.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 40, ROUNDS = 12, FRAME_SIZE = 24 + 1024 };

struct place {
	char directory[200];
	char path[220];
};

static int setup(void **state)
{
	static struct place place;
	const char *where = getenv("TMPDIR");
	snprintf(place.directory, sizeof place.directory, "%s/wal-test.XXXXXX", where ? where : P_tmpdir);
	assert_non_null(mkdtemp(place.directory));
	snprintf(place.path, sizeof place.path, "%s/meta.db", place.directory);
	*state = &place;
	return 0;
}

static int teardown(void **state)
{
	struct place *place = *state;
	static const char *const ends[] = { "", "-wal", "-shm" };
	for (size_t i = 0; i < 3; i++) {
		char name[240];
		snprintf(name, sizeof name, "%s%s", place->path, ends[i]);
		unlink(name);
	}
	assert_int_equal(rmdir(place->directory), 0);
	return 0;
}

static void run(struct database *db, const char *sql)
{
	struct fail *fail = NULL;
	if (!database_execute(db, sql, &fail))
		fail_msg("%s", fail_text(fail));
}

static void open_database(const struct place *place, struct database *db)
{
	struct fail *fail = NULL;
	if (!database_open(db, place->path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &fail))
		fail_msg("%s", fail_text(fail));
	run(db, "PRAGMA page_size=1024; PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0");
}

/* Rows of about a page each, all with the same number. */
static void make_table(struct database *db)
{
	run(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, number INTEGER CHECK(number > -1000000), fill BLOB)");
	run(db, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)"
	        " INSERT INTO t SELECT i, 0, zeroblob(700) FROM n");
}

static int64_t number_of(struct database *db, const char *sql)
{
	sqlite3_stmt *query = database_query(db, sql);
	struct fail *fail = NULL;
	if (database_step(db, query, &fail) != DATABASE_ROW)
		fail_msg("%s", fail_text(fail));
	int64_t number = (int64_t)column_u64(query, 0);
	database_done(query);
	return number;
}

/* ---- the system's pwrite under SQLite ---- */

static ssize_t (*system_write)(int, const void *, size_t, off_t);
static atomic_int writes;
static atomic_int write_that_fails; /* the how many-th from now; 0: none */

static ssize_t counted_write(int file, const void *data, size_t length, off_t offset)
{
	atomic_fetch_add(&writes, 1);
	int left = atomic_load(&write_that_fails);
	if (left && atomic_fetch_sub(&write_that_fails, 1) == 1) {
		errno = ENOSPC;
		return -1;
	}
	return system_write(file, data, length, offset);
}

static int count_writes(void **state)
{
	(void)state;
	wal_vfs_name();
	sqlite3_vfs *vfs = sqlite3_vfs_find("unix-excl");
	system_write = (ssize_t(*)(int, const void *, size_t, off_t))vfs->xGetSystemCall(vfs, "pwrite64");
	return vfs->xSetSystemCall(vfs, "pwrite64", (sqlite3_syscall_ptr)counted_write) != SQLITE_OK;
}

/* ---- tests ---- */

static void a_commit_is_one_write_and_in_the_file(void **state)
{
	struct place *place = *state;
	struct database db;
	struct stat before;
	struct stat after;
	char name[240];
	open_database(place, &db);
	make_table(&db);
	snprintf(name, sizeof name, "%s-wal", place->path);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(stat(name, &before), 0);
		atomic_store(&writes, 0);
		run(&db, "UPDATE t SET number = number + 1");
		assert_int_equal(atomic_load(&writes), 1);
		assert_int_equal(stat(name, &after), 0);
		assert_true(after.st_size - before.st_size >= ROWS * FRAME_SIZE);
		assert_int_equal((after.st_size - 32) % FRAME_SIZE, 0);
	}
	database_close(&db);
}

static int64_t wal_length(const struct place *place)
{
	struct stat facts;
	char name[240];
	snprintf(name, sizeof name, "%s-wal", place->path);
	assert_int_equal(stat(name, &facts), 0);
	return facts.st_size;
}

/* Commits that are synced one after the other find room; whoever commits once makes none. */
static void durable_commits_write_into_room(void **state)
{
	struct place *place = *state;
	struct database db;
	int grown = 0;
	open_database(place, &db);
	make_table(&db);
	run(&db, "PRAGMA synchronous=FULL; PRAGMA wal_checkpoint(TRUNCATE); UPDATE t SET number = 1 WHERE id = 1");
	assert_int_equal((wal_length(place) - 32) % FRAME_SIZE, 0);
	for (int i = 2; i <= 1000; i++) {
		int64_t before = wal_length(place);
		run(&db, "UPDATE t SET number = number + 1 WHERE id = 1");
		grown += wal_length(place) > before;
		assert_true(wal_length(place) <= 32 + (int64_t)i * FRAME_SIZE + WAL_VFS_ROOM_MAX);
	}
	assert_in_range(grown, 2, 20);
	run(&db, "PRAGMA wal_checkpoint(TRUNCATE)");
	assert_int_equal(wal_length(place), 0);
	run(&db, "UPDATE t SET number = number + 1 WHERE id = 1");
	assert_int_equal((wal_length(place) - 32) % FRAME_SIZE, 0);
	database_close(&db);
}

/* What is in the room is no frame to who reads the WAL after a kill. */
static void commits_before_room_outlive_a_kill(void **state)
{
	struct place *place = *state;
	struct database db;
	pid_t child = fork();
	if (child == 0) {
		open_database(place, &db);
		make_table(&db);
		run(&db, "PRAGMA synchronous=FULL");
		for (int i = 0; i < 5; i++)
			run(&db, "UPDATE t SET number = number + 1");
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_not_equal((wal_length(place) - 32) % FRAME_SIZE, 0);
	for (int round = 0; round < 2; round++) {
		open_database(place, &db);
		assert_int_equal(number_of(&db, "SELECT min(number) FROM t"), 5 + round);
		assert_int_equal(number_of(&db, "SELECT max(number) FROM t"), 5 + round);
		run(&db, "UPDATE t SET number = number + 1");
		database_close(&db);
	}
}

static void a_full_disk_only_ends_the_room(void **state)
{
	struct place *place = *state;
	struct database db;
	open_database(place, &db);
	make_table(&db);
	run(&db, "PRAGMA synchronous=FULL; UPDATE t SET number = 1; UPDATE t SET number = 2");
	for (int at = 2; at <= 3; at++)
		for (int i = 0; i < 30; i++) {
			atomic_store(&write_that_fails, at);
			run(&db, "UPDATE t SET number = number + 1");
		}
	atomic_store(&write_that_fails, 0);
	assert_int_equal(number_of(&db, "SELECT min(number) FROM t"), 62);
	assert_true(wal_length(place) - 32 < 64 * ROWS * FRAME_SIZE + WAL_VFS_ROOM_MAX);
	database_close(&db);
}

static void a_large_commit_is_few_writes(void **state)
{
	struct place *place = *state;
	struct database db;
	open_database(place, &db);
	make_table(&db);
	atomic_store(&writes, 0);
	run(&db, "UPDATE t SET fill = zeroblob(20000)");
	/* SQLite fills 800 pages; what does not fit is written when the next frame comes */
	assert_in_range(atomic_load(&writes), 800 * FRAME_SIZE / WAL_VFS_GATHER, 2 + 1000 * FRAME_SIZE / WAL_VFS_GATHER);
	assert_int_equal(number_of(&db, "SELECT sum(length(fill)) FROM t"), ROWS * 20000);
	database_close(&db);
	open_database(place, &db);
	assert_int_equal(number_of(&db, "SELECT sum(length(fill)) FROM t"), ROWS * 20000);
	database_close(&db);
}

/* A transaction larger than the cache writes frames before its end, reads them back and writes them again. */
static void update_with_spills(struct database *db)
{
	run(db, "PRAGMA cache_size=10; BEGIN; UPDATE t SET number = number - 7; UPDATE t SET number = number + 8");
	run(db, "COMMIT; PRAGMA cache_size=1000");
}

static void commit_and_be_killed(const struct place *place, int round)
{
	struct database db;
	open_database(place, &db);
	if (round == 0)
		make_table(&db);
	if (number_of(&db, "SELECT min(number) FROM t") != round)
		_exit(1);
	if (round % 2)
		update_with_spills(&db);
	else
		run(&db, "UPDATE t SET number = number + 1");
	/* and one that never ends */
	if (round % 3)
		run(&db, "PRAGMA cache_size=10; BEGIN; UPDATE t SET number = -1");
	kill(getpid(), SIGKILL);
}

/* Each goes on in the WAL that the one before left. */
static void what_was_committed_outlives_a_kill(void **state)
{
	struct place *place = *state;
	struct database db;
	for (int round = 0; round < ROUNDS; round++) {
		pid_t child = fork();
		if (child == 0)
			commit_and_be_killed(place, round);
		int status;
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
	}
	open_database(place, &db);
	assert_int_equal(number_of(&db, "SELECT min(number) FROM t"), ROUNDS);
	assert_int_equal(number_of(&db, "SELECT max(number) FROM t"), ROUNDS);
	database_close(&db);
}

static void a_write_that_fails_fails_the_commit(void **state)
{
	struct place *place = *state;
	struct database db;
	struct database other;
	open_database(place, &db);
	make_table(&db);
	open_database(place, &other);
	for (int round = 0; round < ROUNDS; round++) {
		struct fail *fail = NULL;
		atomic_store(&write_that_fails, 1);
		bool done = database_execute(&db, "UPDATE t SET number = number + 1", &fail);
		atomic_store(&write_that_fails, 0);
		assert_false(done);
		assert_int_equal(fail->kind, FAIL_NO_SPACE);
		fail_free(&fail);
		assert_int_equal(number_of(&other, "SELECT max(number) FROM t"), round);
		run(&db, "UPDATE t SET number = number + 1");
		assert_int_equal(number_of(&other, "SELECT min(number) FROM t"), round + 1);
	}
	database_close(&other);
	database_close(&db);
}

/* A transaction with spills one of whose writes fails; what SQLite did not roll back by itself is committed. True when
 * something is. Because of the CHECK a statement that fails on a full disk is undone alone. */
static bool update_with_failure(struct database *db, int at)
{
	run(db, "PRAGMA cache_size=10; BEGIN; UPDATE t SET number = number - 7");
	atomic_store(&write_that_fails, at);
	bool done = database_execute(db, "UPDATE t SET number = number + 8", NULL);
	if (done || !sqlite3_get_autocommit(db->handle)) {
		if (!done)
			atomic_store(&write_that_fails, 0);
		done = database_execute(db, "COMMIT", NULL);
	}
	atomic_store(&write_that_fails, 0);
	if (!sqlite3_get_autocommit(db->handle))
		run(db, "ROLLBACK");
	return done;
}

static void any_write_that_fails_leaves_a_whole_state(void **state)
{
	struct place *place = *state;
	struct database db;
	struct database other;
	int64_t number = 0;
	int failed = 0;
	open_database(place, &db);
	make_table(&db);
	for (int at = 1; at <= 60; at++) {
		bool done = update_with_failure(&db, at);
		/* its cache is empty */
		open_database(place, &other);
		int64_t now = number_of(&other, "SELECT min(number) FROM t");
		assert_int_equal(number_of(&other, "SELECT max(number) FROM t"), now);
		assert_int_equal(number_of(&other, "SELECT sum(length(fill)) FROM t"), ROWS * 700);
		assert_true(done ? now == number + 1 || now == number - 7 : now == number);
		failed += now != number + 1;
		number = now;
		database_close(&other);
	}
	assert_in_range(failed, 5, 60);
	database_close(&db);
	open_database(place, &db);
	assert_int_equal(number_of(&db, "SELECT min(number) FROM t"), number);
	database_close(&db);
}

/* ---- readers beside the writer ---- */

struct watcher {
	const struct place *place;
	atomic_bool *stop;
	atomic_int *watching;
	int64_t seen;
	bool failed;
};

/* No asserts outside the test's own thread. */
static bool look(struct watcher *w, struct database *db)
{
	sqlite3_stmt *query = database_query(db, "SELECT min(number), max(number) FROM t");
	struct fail *fail = NULL;
	if (database_step(db, query, &fail) != DATABASE_ROW) {
		print_error("%s\n", fail_text(fail));
		fail_free(&fail);
		return false;
	}
	int64_t least = (int64_t)column_u64(query, 0);
	int64_t most = (int64_t)column_u64(query, 1);
	database_done(query);
	bool whole = least == most && least >= w->seen;
	w->seen = least;
	return whole;
}

static void *watch(void *context)
{
	struct watcher *w = context;
	struct database db;
	w->failed = !database_open(&db, w->place->path, SQLITE_OPEN_READWRITE, NULL);
	atomic_fetch_add(w->watching, 1);
	if (w->failed)
		return NULL;
	while (!atomic_load(w->stop) && !w->failed)
		w->failed = !look(w, &db);
	database_close(&db);
	return NULL;
}

static void readers_see_whole_commits(void **state)
{
	struct place *place = *state;
	struct database db;
	struct watcher watchers[3];
	pthread_t threads[3];
	atomic_bool stop = false;
	atomic_int watching = 0;
	open_database(place, &db);
	make_table(&db);
	for (size_t i = 0; i < 3; i++) {
		watchers[i] = (struct watcher){ .place = place, .stop = &stop, .watching = &watching };
		assert_int_equal(pthread_create(&threads[i], NULL, watch, &watchers[i]), 0);
	}
	while (atomic_load(&watching) < 3)
		sched_yield();
	for (int i = 0; i < 300; i++) {
		if (i % 10 == 9)
			update_with_spills(&db);
		else
			run(&db, "UPDATE t SET number = number + 1");
		if (i % 50 == 49)
			run(&db, "PRAGMA wal_checkpoint(PASSIVE)");
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < 3; i++) {
		pthread_join(threads[i], NULL);
		assert_false(watchers[i].failed);
	}
	assert_int_equal(number_of(&db, "SELECT max(number) FROM t"), 300);
	database_close(&db);
}

#define file_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		file_test(a_commit_is_one_write_and_in_the_file),
		file_test(durable_commits_write_into_room),
		file_test(commits_before_room_outlive_a_kill),
		file_test(a_full_disk_only_ends_the_room),
		file_test(a_large_commit_is_few_writes),
		file_test(what_was_committed_outlives_a_kill),
		file_test(a_write_that_fails_fails_the_commit),
		file_test(any_write_that_fails_leaves_a_whole_state),
		file_test(readers_see_whole_commits),
	};
	return cmocka_run_group_tests(tests, count_writes, NULL);
}
