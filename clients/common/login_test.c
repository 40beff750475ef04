#include "login.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define ALL "PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 SCRAM-SHA-256-PLUS"

static const struct {
	struct login_offer offer;
	enum login_method method;
	const char *tries[LOGIN_TRIES_MAX + 1]; /* none: refused */
	bool reveals;
} choices[] = {
	{ { STR(ALL), true, true, true, true }, LOGIN_BEST, { "SCRAM-SHA-256-PLUS", "PLAIN" }, false },
	{ { STR(ALL), true, true, true, false }, LOGIN_BEST, { "SCRAM-SHA-256", "PLAIN" }, false },
	{ { STR(ALL), true, true, false, false }, LOGIN_BEST, { "SCRAM-SHA-256" }, false },
	{ { STR("scram-sha-1 plain"), true, true, false, false }, LOGIN_BEST, { "SCRAM-SHA-1" }, false },
	{ { STR("CRAM-MD5 PLAIN"), true, true, false, false }, LOGIN_BEST, { "APOP" }, false },
	{ { STR("CRAM-MD5 PLAIN"), false, true, false, false }, LOGIN_BEST, { "CRAM-MD5" }, false },
	{ { STR("PLAIN LOGIN"), false, true, false, false }, LOGIN_BEST, { "PLAIN" }, true },
	{ { STR("PLAIN LOGIN"), false, true, true, true }, LOGIN_BEST, { "PLAIN" }, false },
	{ { STR("LOGIN"), false, true, true, true }, LOGIN_BEST, { "LOGIN" }, false },
	{ { STR(""), false, true, true, false }, LOGIN_BEST, { "USER" }, false },
	{ { STR(""), true, true, true, false }, LOGIN_BEST, { "APOP", "USER" }, false },
	{ { STR("XPLAIN PLAINX"), false, false, true, true }, LOGIN_BEST, {}, false },
	{ { STR("SCRAM-SHA-256-PLUS"), false, false, true, false }, LOGIN_BEST, {}, false },
	{ { STR(ALL), true, true, true, true }, LOGIN_SCRAM_SHA_256, { "SCRAM-SHA-256-PLUS" }, false },
	{ { STR(ALL), true, true, true, true }, LOGIN_CRAM_MD5, { "CRAM-MD5" }, false },
	{ { STR(ALL), true, true, true, true }, LOGIN_USER, { "USER" }, false },
	{ { STR(ALL), true, true, false, false }, LOGIN_PLAIN, { "PLAIN" }, true },
	{ { STR("PLAIN"), false, true, true, true }, LOGIN_SCRAM_SHA_256, {}, false },
};

static void test_choices(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(choices); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct login_plan plan;
		bool good = login_choose(&choices[i].offer, choices[i].method, &plan, &fail);
		assert_int_equal(good, choices[i].tries[0] != NULL);
		assert_int_equal(!good, fail != NULL && fail->kind == FAIL_DENIED);
		assert_int_equal(plan.reveals, choices[i].reveals);
		for (size_t n = 0; n < plan.count; n++)
			assert_string_equal(plan.tries[n], choices[i].tries[n]);
		assert_null(choices[i].tries[plan.count]);
	}
}

/* The example of RFC 1939 §7. */
static void test_apop(void **state)
{
	CLEANUP(buf_release) struct buf digest = BUF_WITH_LIMIT(100);
	(void)state;
	login_apop_digest(&digest, STR("<1896.697170952@dbc.mtview.ca.us>"), STR("tanstaaf"));
	assert_string_equal(buf_text(&digest), "c4c9334bac560ecc979e58001b3e22fb");
}

static void test_timestamps(void **state)
{
	static const struct {
		const char *text;
		bool good;
	} cases[] = {
		{ "<1896.697170952@dbc.mtview.ca.us>", true },
		{ "<a@b>", true },
		{ "<1.2@[127.0.0.1]>", true },
		{ "", false },
		{ "<>", false },
		{ "<@b>", false },
		{ "<a@>", false },
		{ "<ab>", false },
		{ "<a@b@c>", false },
		{ "<a\x80@b>", false },
		{ "<a\x01@b>", false },
		{ "a@b", false },
		{ "<a@b", false },
		{ "<a \"@b>", false },
		{ "<a@b\xff\xfe>", false },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(login_is_apop_timestamp(str_of(cases[i].text)), cases[i].good);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < LOGIN_METHOD_COUNT; i++) {
		enum login_method found;
		assert_true(login_method_find(str_of(login_method_name((enum login_method)i)), &found) && found == i);
	}
	assert_false(login_method_find(STR("external"), &(enum login_method){ 0 }));
}

/* ---- exchanges, with a server that reads from a script ---- */

struct script {
	struct buf sent;
	const struct {
		enum login_answer answer;
		const char *challenge;
	} *answers;
};

static void take(void *context, struct str line)
{
	struct script *s = context;
	buf_add_str(&s->sent, line);
	buf_add_char(&s->sent, '\n');
}

static enum login_answer give(void *context, struct buf *challenge, struct fail **fail)
{
	struct script *s = context;
	enum login_answer answer = s->answers->answer;
	buf_add_str(challenge, str_of(s->answers->challenge));
	s->answers++;
	if (answer == LOGIN_REFUSED || answer == LOGIN_BROKEN)
		fail_set(fail, FAIL_DENIED, "no");
	return answer;
}

static const struct {
	const char *mechanism;
	size_t line_max;
	struct {
		enum login_answer answer;
		const char *challenge;
	} answers[4];
	const char *sent;
	enum login_answer result;
} exchanges[] = {
	{ "PLAIN", 255, { { LOGIN_ACCEPTED, "" } }, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\n", LOGIN_ACCEPTED },
	{ "PLAIN",
	  20,
	  { { LOGIN_CHALLENGE, "" }, { LOGIN_ACCEPTED, "" } },
	  "AUTH PLAIN\nAHRpbQB0YW5zdGFhZnRhbnN0YWFm\n",
	  LOGIN_ACCEPTED },
	{ "PLAIN", 255, { { LOGIN_REFUSED, "" } }, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\n", LOGIN_REFUSED },
	{ "PLAIN",
	  255,
	  { { LOGIN_CHALLENGE, "more" }, { LOGIN_REFUSED, "" } },
	  "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\n*\n",
	  LOGIN_BROKEN },
	{ "LOGIN",
	  255,
	  { { LOGIN_CHALLENGE, "Username:" }, { LOGIN_CHALLENGE, "Password:" }, { LOGIN_ACCEPTED, "" } },
	  "AUTH LOGIN\ndGlt\ndGFuc3RhYWZ0YW5zdGFhZg==\n",
	  LOGIN_ACCEPTED },
	{ "LOGIN", 255, { { LOGIN_ACCEPTED, "" } }, "AUTH LOGIN\n", LOGIN_BROKEN },
	/* RFC 2195 §2 */
	{ "CRAM-MD5",
	  255,
	  { { LOGIN_CHALLENGE, "<1896.697170952@postoffice.reston.mci.net>" }, { LOGIN_ACCEPTED, "" } },
	  "AUTH CRAM-MD5\ndGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw\n",
	  LOGIN_ACCEPTED },
	{ "CRAM-MD5", 255, { { LOGIN_ACCEPTED, "" } }, "AUTH CRAM-MD5\n", LOGIN_BROKEN },
};

static void test_exchanges(void **state)
{
	const struct login_credentials credentials = { STR("tim"), STR("tanstaaftanstaaf") };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(exchanges); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct script script = { .sent = BUF_WITH_LIMIT(10000), .answers = (const void *)exchanges[i].answers };
		const struct login_wire wire = { &script, take, give, exchanges[i].line_max };
		assert_int_equal(login_exchange(&wire, exchanges[i].mechanism, &credentials, NULL, &fail), exchanges[i].result);
		assert_string_equal(buf_text(&script.sent), exchanges[i].sent);
		assert_int_equal(fail == NULL, exchanges[i].result == LOGIN_ACCEPTED);
		buf_release(&script.sent);
	}
}

/* A server that says yes without the proof of SCRAM does not know the password. */
static void test_scram_wants_proof(void **state)
{
	static const struct {
		enum login_answer answer;
		const char *challenge;
	} answers[] = { { LOGIN_ACCEPTED, "" } };
	const struct login_credentials credentials = { STR("tim"), STR("tanstaaf") };
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct script script = { .sent = BUF_WITH_LIMIT(10000), .answers = (const void *)answers };
	const struct login_wire wire = { &script, take, give, 255 };
	(void)state;
	assert_int_equal(login_exchange(&wire, "SCRAM-SHA-256", &credentials, NULL, &fail), LOGIN_BROKEN);
	assert_int_equal(fail->kind, FAIL_CORRUPT);
	buf_release(&script.sent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choices), cmocka_unit_test(test_apop),      cmocka_unit_test(test_timestamps),
		cmocka_unit_test(test_names),   cmocka_unit_test(test_exchanges), cmocka_unit_test(test_scram_wants_proof),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
