#include "smtp_command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { MX = SMTP_ON_MX, SUBMISSION = SMTP_ON_SUBMISSION, LMTP = SMTP_ON_LMTP };
enum {
	CONNECTED = SMTP_CONNECTED,
	READY = SMTP_READY,
	MAIL = SMTP_MAIL_GIVEN,
	RCPT = SMTP_RCPT_GIVEN,
	CHUNK = SMTP_CHUNK_GIVEN
};

static void answers(void **state)
{
	(void)state;
	static const struct {
		int protocol, phase;
		unsigned facts;
		const char *line;
		int code; /* 0: to be carried out */
		const char *argument;
	} cases[] = {
		{ MX, CONNECTED, 0, "EHLO client.example", 0, "client.example" },
		{ MX, CONNECTED, 0, "ehlo client.example ", 0, "client.example" },
		{ MX, READY, 0, "HELO x", 0, "x" },
		{ MX, RCPT, 0, "EHLO x", 0, "x" },
		{ MX, CHUNK, 0, "EHLO x", 0, "x" },
		{ MX, CONNECTED, 0, "EHLO", 501, NULL },
		{ MX, CONNECTED, 0, "HELO  ", 501, NULL },
		{ MX, CONNECTED, 0, "LHLO x", 500, NULL },
		{ LMTP, CONNECTED, 0, "EHLO x", 500, NULL },
		{ LMTP, CONNECTED, 0, "HELO x", 500, NULL },
		{ LMTP, CONNECTED, 0, "LHLO x", 0, "x" },
		/* unknown */
		{ MX, READY, 0, "", 500, NULL },
		{ MX, READY, 0, " NOOP", 500, NULL },
		{ MX, READY, 0, "NOOPX", 500, NULL },
		{ MX, READY, 0, "NOOP\tx", 500, NULL },
		{ MX, READY, 0, "MAI", 500, NULL },
		{ MX, READY, 0, "GET / HTTP/1.1", 500, NULL },
		{ MX, READY, 0, "\xff\xfe", 500, NULL },
		{ MX, READY, 0, "MAILFROM:<a@b>", 500, NULL },
		{ MX, READY, 0, "TURN", 500, NULL },
		/* a transaction, in order and out of order */
		{ MX, CONNECTED, 0, "MAIL FROM:<a@b>", 503, NULL },
		{ MX, READY, 0, "MAIL FROM:<a@b> SIZE=1", 0, "<a@b> SIZE=1" },
		{ MX, READY, 0, "mail from: <a@b>", 0, " <a@b>" },
		{ MX, READY, 0, "MAIL TO:<a@b>", 501, NULL },
		{ MX, READY, 0, "MAIL", 501, NULL },
		{ MX, READY, 0, "MAIL FROM", 501, NULL },
		{ MX, READY, 0, "MAIL  FROM:<a@b>", 501, NULL },
		{ MX, MAIL, 0, "MAIL FROM:<a@b>", 503, NULL },
		{ MX, RCPT, 0, "MAIL FROM:<a@b>", 503, NULL },
		{ MX, CONNECTED, 0, "RCPT TO:<a@b>", 503, NULL },
		{ MX, READY, 0, "RCPT TO:<a@b>", 503, NULL },
		{ MX, MAIL, 0, "RCPT TO:<a@b>", 0, "<a@b>" },
		{ MX, RCPT, 0, "RCPT TO:<a@b>", 0, "<a@b>" },
		{ MX, CHUNK, 0, "RCPT TO:<a@b>", 503, NULL },
		{ MX, MAIL, 0, "RCPT FROM:<a@b>", 501, NULL },
		{ MX, READY, 0, "DATA", 503, NULL },
		{ MX, MAIL, 0, "DATA", 503, NULL },
		{ MX, RCPT, 0, "DATA", 0, "" },
		{ MX, RCPT, 0, "DATA ", 0, "" },
		{ MX, RCPT, 0, "DATA x", 501, NULL },
		{ MX, CHUNK, 0, "DATA", 503, NULL },
		{ MX, RCPT, SMTP_BINARY_MAIL, "DATA", 503, NULL },
		{ MX, RCPT, 0, "BDAT 5", 0, "5" },
		{ MX, CHUNK, 0, "BDAT 5 LAST", 0, "5 LAST" },
		{ MX, MAIL, 0, "BDAT 5", 503, NULL },
		{ MX, READY, 0, "BDAT 5", 503, NULL },
		{ MX, RCPT, SMTP_BINARY_MAIL, "BDAT 5", 0, "5" },
		{ MX, RCPT, 0, "BDAT", 501, NULL },
		{ MX, RCPT, 0, "BDAT x", 501, NULL },
		{ MX, CONNECTED, 0, "RSET", 0, "" },
		{ MX, CHUNK, 0, "RSET", 0, "" },
		{ MX, READY, 0, "RSET x", 501, NULL },
		{ MX, CONNECTED, 0, "NOOP anything at all", 0, "anything at all" },
		{ MX, CONNECTED, 0, "HELP", 0, "" },
		{ MX, CONNECTED, 0, "VRFY x", 0, "x" },
		{ MX, READY, 0, "VRFY", 501, NULL },
		{ MX, READY, 0, "EXPN list", 502, NULL },
		{ MX, CONNECTED, 0, "QUIT", 0, "" },
		{ MX, READY, 0, "QUIT now", 501, NULL },
		/* TLS */
		{ MX, READY, 0, "STARTTLS", 502, NULL },
		{ MX, READY, SMTP_TLS_OFFERED, "STARTTLS", 0, "" },
		{ MX, CONNECTED, SMTP_TLS_OFFERED, "STARTTLS", 503, NULL },
		{ MX, READY, SMTP_TLS_OFFERED, "STARTTLS x", 501, NULL },
		{ MX, READY, SMTP_TLS_OFFERED | SMTP_TLS_ACTIVE, "STARTTLS", 503, NULL },
		{ MX, READY, SMTP_HANDED_OVER, "STARTTLS", 503, NULL },
		{ MX, MAIL, SMTP_TLS_OFFERED, "STARTTLS", 503, NULL },
		{ SUBMISSION, READY, SMTP_TLS_ACTIVE, "STARTTLS", 503, NULL },
		{ SUBMISSION, READY, SMTP_TLS_REQUIRED | SMTP_TLS_OFFERED, "MAIL FROM:<a@b>", 530, NULL },
		{ SUBMISSION, READY, SMTP_TLS_REQUIRED | SMTP_TLS_OFFERED, "AUTH PLAIN", 530, NULL },
		{ SUBMISSION, READY, SMTP_TLS_REQUIRED | SMTP_TLS_OFFERED, "STARTTLS", 0, "" },
		{ SUBMISSION, READY, SMTP_TLS_REQUIRED, "QUIT", 0, "" },
		{ SUBMISSION, READY, SMTP_TLS_REQUIRED | SMTP_TLS_ACTIVE, "MAIL FROM:<>", 0, "<>" },
		/* log-in */
		{ MX, READY, 0, "AUTH PLAIN", 502, NULL },
		{ LMTP, READY, 0, "AUTH PLAIN", 502, NULL },
		{ SUBMISSION, READY, SMTP_LOGIN_REQUIRED, "MAIL FROM:<a@b>", 530, NULL },
		{ SUBMISSION, READY, SMTP_LOGIN_REQUIRED, "RCPT TO:<a@b>", 530, NULL },
		{ SUBMISSION, READY, SMTP_LOGIN_REQUIRED, "VRFY a", 530, NULL },
		{ SUBMISSION, READY, SMTP_LOGIN_REQUIRED, "RSET", 0, "" },
		{ SUBMISSION, READY, SMTP_LOGIN_REQUIRED | SMTP_LOGGED_IN, "MAIL FROM:<>", 0, "<>" },
		{ SUBMISSION, READY, SMTP_LOGIN_REQUIRED, "AUTH PLAIN", 538, NULL },
		{ SUBMISSION, READY, 0, "AUTH login dXNlcg==", 538, NULL },
		{ SUBMISSION, READY, 0, "AUTH SCRAM-SHA-256 biws", 0, "SCRAM-SHA-256 biws" },
		{ SUBMISSION, READY, SMTP_CLEAR_LOGIN_OK, "AUTH PLAIN x", 0, "PLAIN x" },
		{ SUBMISSION, READY, SMTP_TLS_ACTIVE, "AUTH PLAIN", 0, "PLAIN" },
		{ SUBMISSION, READY, SMTP_TLS_ACTIVE, "AUTH", 501, NULL },
		{ SUBMISSION, CONNECTED, SMTP_TLS_ACTIVE, "AUTH PLAIN", 503, NULL },
		{ SUBMISSION, MAIL, SMTP_TLS_ACTIVE, "AUTH PLAIN", 503, NULL },
		{ SUBMISSION, READY, SMTP_TLS_ACTIVE | SMTP_LOGGED_IN, "AUTH PLAIN", 503, NULL },
		{ SUBMISSION, READY, SMTP_HANDED_OVER, "AUTH PLAIN", 503, NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct smtp_request request;
		const struct smtp_reply *reply =
			smtp_command_check((enum smtp_protocol)cases[i].protocol, (enum smtp_phase)cases[i].phase, cases[i].facts,
		                       str_of(cases[i].line), &request);
		assert_int_equal(reply ? reply->code : 0, cases[i].code);
		if (cases[i].argument)
			assert_true(str_equal(request.argument, str_of(cases[i].argument)));
		if (reply) {
			assert_non_null(reply->enhanced);
			assert_int_equal(reply->enhanced[0], '5');
		}
	}
}

/* A refused BDAT still has its chunk behind it; one that can't be read ends the connection. */
static void chunks_behind(void **state)
{
	(void)state;
	struct smtp_request request;
	assert_int_equal(smtp_command_check(SMTP_ON_MX, SMTP_READY, 0, STR("BDAT 86 LAST"), &request)->code, 503);
	assert_int_equal(request.octets_behind, 86);
	assert_false(request.must_close);
	assert_int_equal(
		smtp_command_check(SMTP_ON_SUBMISSION, SMTP_CONNECTED, SMTP_LOGIN_REQUIRED, STR("BDAT 7"), &request)->code,
		530);
	assert_int_equal(request.octets_behind, 7);
	assert_null(smtp_command_check(SMTP_ON_MX, SMTP_RCPT_GIVEN, 0, STR("BDAT 0"), &request));
	assert_int_equal(request.octets_behind, 0);
	assert_int_equal(smtp_command_check(SMTP_ON_MX, SMTP_READY, 0, STR("BDAT -1"), &request)->code, 503);
	assert_true(request.must_close);
	assert_int_equal(
		smtp_command_check(SMTP_ON_MX, SMTP_RCPT_GIVEN, 0, STR("BDAT 99999999999999999999"), &request)->code, 501);
	assert_true(request.must_close);
}

static void bytes_behind(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		bool jumped;
	} cases[] = {
		{ "EHLO x", true },        { "NOOP", true },  { "QUIT", true },    { "VRFY x", true }, { "DATA", true },
		{ "MAIL FROM:<>", false }, { "RSET", false }, { "BDAT 1", false }, { "HELP", false },
	};
	struct smtp_request request;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		smtp_command_check(SMTP_ON_MX, SMTP_READY, SMTP_BYTES_BEHIND, str_of(cases[i].line), &request);
		assert_int_equal(request.jumped_ahead, cases[i].jumped);
		assert_false(request.must_close);
		smtp_command_check(SMTP_ON_MX, SMTP_READY, 0, str_of(cases[i].line), &request);
		assert_false(request.jumped_ahead);
	}
	assert_int_equal(
		smtp_command_check(SMTP_ON_MX, SMTP_READY, SMTP_BYTES_BEHIND | SMTP_TLS_OFFERED, STR("STARTTLS"), &request)
			->code,
		501);
	assert_true(request.must_close);
}

static void phases(void **state)
{
	(void)state;
	assert_int_equal(smtp_phase_of(false, false, 0, false), SMTP_CONNECTED);
	assert_int_equal(smtp_phase_of(true, false, 0, false), SMTP_READY);
	assert_int_equal(smtp_phase_of(true, true, 0, false), SMTP_MAIL_GIVEN);
	assert_int_equal(smtp_phase_of(true, true, 2, false), SMTP_RCPT_GIVEN);
	assert_int_equal(smtp_phase_of(true, true, 2, true), SMTP_CHUNK_GIVEN);
}

/* The rows fit together. */
static void table(void **state)
{
	(void)state;
	static const char *const names[SMTP_COMMAND_COUNT] = {
		[SMTP_COMMAND_EHLO] = "EHLO", [SMTP_COMMAND_HELO] = "HELO", [SMTP_COMMAND_LHLO] = "LHLO",
		[SMTP_COMMAND_STARTTLS] = "STARTTLS", [SMTP_COMMAND_AUTH] = "AUTH", [SMTP_COMMAND_MAIL] = "MAIL",
		[SMTP_COMMAND_RCPT] = "RCPT", [SMTP_COMMAND_DATA] = "DATA", [SMTP_COMMAND_BDAT] = "BDAT",
		[SMTP_COMMAND_RSET] = "RSET", [SMTP_COMMAND_NOOP] = "NOOP", [SMTP_COMMAND_HELP] = "HELP",
		[SMTP_COMMAND_VRFY] = "VRFY", [SMTP_COMMAND_EXPN] = "EXPN", [SMTP_COMMAND_QUIT] = "QUIT",
	};
	for (int i = 0; i < SMTP_COMMAND_COUNT; i++) {
		const struct smtp_command *c = smtp_command_find(str_of(names[i]));
		assert_true(c && c->id == (enum smtp_command_id)i);
		assert_true(c->phases != 0 && (c->phases & ~(unsigned)SMTP_ANY_PHASE) == 0);
		assert_false(c->traits & SMTP_NO_ARGUMENT && c->traits & SMTP_NEEDS_ARGUMENT);
		assert_false(c->traits & SMTP_LMTP_ONLY && c->traits & SMTP_SMTP_ONLY);
		if (c->traits & SMTP_CLEARTEXT_OK)
			assert_true(c->traits & SMTP_STRANGER_OK);
	}
	assert_true(smtp_command_find(STR("MAIL"))->traits & SMTP_AFTER_HANDOVER);
	assert_null(smtp_command_find(STR("ETRN")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers), cmocka_unit_test(chunks_behind), cmocka_unit_test(bytes_behind),
		cmocka_unit_test(phases),  cmocka_unit_test(table),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
