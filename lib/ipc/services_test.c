#include "services.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void targets_come_back(void **state)
{
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(100000);
	struct target target;
	(void)state;
	target_add(&targets, &(struct target){ 7, STR("bob@example.test"), STR("shop") });
	target_add(&targets, &(struct target){ 0, STR("far@elsewhere.test"), STR("") });
	struct str rest = buf_str(&targets);
	assert_true(target_next(&rest, &target) && target.account == 7);
	assert_true(str_equal(target.address, STR("bob@example.test")) && str_equal(target.detail, STR("shop")));
	assert_true(target_next(&rest, &target) && target.account == 0 && target.detail.length == 0);
	assert_false(target_next(&rest, &target));
	assert_int_equal(rest.length, 0);
}

static void a_cut_target_is_malformed(void **state)
{
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(1000);
	struct target target;
	(void)state;
	target_add(&targets, &(struct target){ 7, STR("bob@example.test"), STR("shop") });
	for (size_t length = 1; length < targets.length; length++) {
		struct str rest = str_first(buf_str(&targets), length);
		assert_false(target_next(&rest, &target));
		assert_int_equal(rest.length, length);
	}
}

static void mechanisms_fit_the_connection(void **state)
{
	static const struct {
		bool tls, password;
		const char *names;
	} cases[] = {
		{ true, true, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN" },
		{ false, true, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN" },
		{ false, false, "SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5" },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf names = BUF_WITH_LIMIT(1000);
		mechanism_list(&names, ~0u, cases[i].tls, cases[i].password);
		assert_string_equal(buf_text(&names), cases[i].names);
	}
	assert_int_equal(mechanism_find(STR("scram-sha-256")), MECHANISM_SCRAM_SHA_256);
	assert_int_equal(mechanism_find(STR("SCRAM-SHA-25")), 0);
	assert_true(mechanism_sends_password(MECHANISM_LOGIN) && !mechanism_sends_password(MECHANISM_CRAM_MD5));
}

/* Strangers and users never share a process; what begins with TLS is what its name says. */
static void services_have_their_kind(void **state)
{
	(void)state;
	for (enum service service = 0; service < SERVICE_CONTROL; service++) {
		bool world = service == SERVICE_SMTP || service == SERVICE_LMTP;
		const char *name = service_name(service);
		assert_int_equal(service_kind(service), world ? KIND_WORLD : KIND_USERS);
		assert_int_equal(service_is_tls(service), name[strlen(name) - 1] == 's');
	}
	assert_string_equal(service_name(SERVICE_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_come_back),
		cmocka_unit_test(a_cut_target_is_malformed),
		cmocka_unit_test(mechanisms_fit_the_connection),
		cmocka_unit_test(services_have_their_kind),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
