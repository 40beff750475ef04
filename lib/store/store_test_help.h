/*
 * For the tests of the store: an account in a directory of its own that goes with the test, and the
 * shortest ways to deliver and look. Every helper asserts that it worked.
 */
#ifndef POSTHORN_STORE_TEST_HELP_H
#define POSTHORN_STORE_TEST_HELP_H

#include "store_internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct account {
	char path[256];
	int directory;
	struct store *store;
};

/* For cmocka's setup and teardown: *state is a struct account with an open store. */
int account_setup(void **state);
int account_teardown(void **state);

/* A new empty directory. */
void account_make_directory(struct account *account);

/* Closes cleanly, or as a crash would leave it: without the last words. */
void account_close(struct account *account);
void account_crash(struct account *account);
void account_open(struct account *account);

/* A file below the account. */
void account_overwrite(struct account *account, const char *name, long offset, struct str bytes);
void account_truncate(struct account *account, const char *name, long length);
void account_delete(struct account *account, const char *name);

void commit(struct store_txn **txn);
uint64_t inbox_of(struct account *account);
uint64_t make_mailbox(struct account *account, const char *name);
struct store_mailbox mailbox_now(struct account *account, const char *name);
struct store_entries entries_of(struct account *account, uint64_t mailbox);

/* Into a mailbox (0: INBOX), deferred; seq 0: without an origin. */
struct store_placed deliver_text(struct account *account, uint64_t mailbox, uint64_t seq, const char *text);

/* Same for a body in a file of its own. */
struct store_placed deliver_file(struct account *account, uint64_t seq, struct str bytes);
struct store_origin origin_of(uint64_t seq);
void expunge_uid(struct account *account, uint64_t mailbox, uint32_t uid);

/* The body must be this / must fail so. */
void assert_body(struct account *account, uint64_t message, struct str expected);
void assert_body_fails(struct account *account, uint64_t message, enum fail_kind kind);

/* What the database says to a query that gives one number. */
int64_t number_of(struct account *account, const char *sql);

/* Counters equal what counting gives: invariant 13. */
void assert_counters(struct account *account);

/* Runs maintenance as of a time until there is nothing left to do. recompress_age 0: no recompression. */
void care_for(struct account *account, int64_t now, int64_t recompress_age);

#define store_test(name) cmocka_unit_test_setup_teardown(name, account_setup, account_teardown)

#endif
