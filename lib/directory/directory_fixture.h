/*
 * For the tests of lib/directory only: a directory in a new folder, with two domains and three
 * accounts, and short forms for what the tests say again and again.
 */
#ifndef POSTHORN_DIRECTORY_FIXTURE_H
#define POSTHORN_DIRECTORY_FIXTURE_H

#include "directory_account.h"
#include "directory_alias.h"
#include "directory_credential.h"
#include "directory_domain.h"
#include "directory_resolve.h"
#include "directory_secret.h"
#include "directory_sender.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* The smallest that libsodium takes, so that tests are quick. */
static const struct directory_credential_cost cheap = { 1, 8192, 4096 };

struct fixture {
	char folder[200];
	char path[256];
	char copy[256]; /* not there at first */
	struct directory *d;
	int64_t alice; /* alice@example.test: the first account */
	int64_t bob;
	int64_t carol; /* carol@münchen.example */
};

/* Fails the test with the text, unless the result is true. */
#define good(call)                                                                                                   \
	do {                                                                                                             \
		struct fail *fail_ = NULL;                                                                                   \
		struct fail **fail = &fail_;                                                                                 \
		if (!(call))                                                                                                 \
			fail_msg("%s: %s", #call, fail_text(fail_));                                                             \
	} while (0)

/* Expects the call to fail with that kind and a text that contains part. */
#define bad(kind_, part, call)                                                                                       \
	do {                                                                                                             \
		CLEANUP(fail_free) struct fail *fail_ = NULL;                                                                \
		struct fail **fail = &fail_;                                                                                 \
		assert_false(call);                                                                                          \
		assert_non_null(fail_);                                                                                      \
		if (fail_->kind != (kind_) || !strstr(fail_->text, part))                                                    \
			fail_msg("%s: %s: %s", #call, fail_kind_name(fail_->kind), fail_->text);                                 \
	} while (0)

static inline int fixture_open(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	directory_credential_init();
	const char *temporary = getenv("TMPDIR");
	snprintf(f->folder, sizeof f->folder, "%s/directory-XXXXXX", temporary ? temporary : P_tmpdir);
	assert_non_null(mkdtemp(f->folder));
	snprintf(f->path, sizeof f->path, "%s/directory.db", f->folder);
	snprintf(f->copy, sizeof f->copy, "%s/copy.db", f->folder);
	f->d = directory_open(f->path, NULL);
	assert_non_null(f->d);
	good(directory_domain_add(f->d, STR("example.test"), fail));
	good(directory_domain_add(f->d, STR("M\u00fcnchen.example"), fail));
	good(directory_account_add(f->d, STR("Alice@Example.TEST"), STR("Alice"), STR(""), &f->alice, fail));
	good(directory_account_add(f->d, STR("bob@example.test"), STR("Bob"), STR("sk"), &f->bob, fail));
	good(directory_account_add(f->d, STR("carol@xn--mnchen-3ya.example"), STR(""), STR("it"), &f->carol, fail));
	*state = f;
	return 0;
}

static inline int fixture_close(void **state)
{
	struct fixture *f = *state;
	directory_close(f->d);
	unlink(f->path);
	unlink(f->copy);
	assert_int_equal(rmdir(f->folder), 0);
	free(f);
	return 0;
}

static inline void fixture_reopen(struct fixture *f)
{
	directory_close(f->d);
	f->d = directory_open(f->path, NULL);
	assert_non_null(f->d);
}

#define fixture_test(function) cmocka_unit_test_setup_teardown(function, fixture_open, fixture_close)

#endif
