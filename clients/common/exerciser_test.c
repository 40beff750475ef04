#include "exerciser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* ">" is sent, "<" comes; shown is what may be seen of the first and the RFC section of the second, NULL for any. */
struct step {
	const char *line, *shown, *state;
	bool waits;
};

static void send_line(struct exerciser *x, const struct step *step)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(10000);
	assert_true(exerciser_may_send(x));
	exerciser_client_line(x, str_of(step->line + 1), &shown);
	assert_string_equal(buf_text(&shown), step->shown ? step->shown : step->line + 1);
}

static void take_line(struct exerciser *x, const struct step *step)
{
	struct exerciser_note note;
	struct str line = str_of(step->line + 1);
	exerciser_server_line(x, line, line.length, &note);
	if (step->shown && note.rfc && !str_equal(str_of(step->shown), str_of(note.rfc)))
		print_error("%s: %s, %s\n", step->line, note.sentence, note.rfc);
	if (step->shown && !*step->shown)
		assert_null(note.sentence);
	else if (step->shown)
		assert_string_equal(note.rfc, step->shown);
	if (note.begins_tls) {
		assert_true(exerciser_is_waiting(x));
		assert_false(exerciser_may_send(x));
		exerciser_tls_started(x);
	}
}

static void play(enum server_protocol protocol, const struct step *steps, size_t count)
{
	CLEANUP(exerciser_cleanup) struct exerciser *x = exerciser_new(protocol);
	assert_true(exerciser_is_waiting(x));
	for (size_t i = 0; i < count; i++) {
		if (steps[i].line[0] == '>')
			send_line(x, &steps[i]);
		else
			take_line(x, &steps[i]);
		if (steps[i].waits != exerciser_is_waiting(x) || !str_equal(str_of(exerciser_state(x)), str_of(steps[i].state)))
			print_error("step %zu, %s: %s, waits %d\n", i, steps[i].line, exerciser_state(x), exerciser_is_waiting(x));
		assert_string_equal(exerciser_state(x), steps[i].state);
		assert_int_equal(exerciser_is_waiting(x), steps[i].waits);
	}
}

#define A "AUTHORIZATION"
#define T "TRANSACTION"

static const struct step pop3[] = {
	{ "<+OK hello <1@h>", "RFC 1939 §7", A, false },
	{ ">STAT", NULL, A, true },
	{ "<-ERR not now", "RFC 1939 §3", A, false },
	{ ">STLS", NULL, A, true },
	{ "<+OK go", "RFC 2595 §4", A, false },
	{ ">CAPA", NULL, A, true },
	{ "<+OK list", "RFC 2449 §5", A, true },
	{ "<PIPELINING", "RFC 2449 §6.6", A, true },
	{ "<X-OTHER", "RFC 2449 §5", A, true },
	{ "<.", "RFC 1939 §3", A, false },
	{ ">AUTH LOGIN", NULL, A, true },
	{ "<+ VXNlcm5hbWU6", "RFC 5034 §4", A, false },
	{ ">dGlt", "***", A, true },
	{ "<+ UGFzc3dvcmQ6", "RFC 5034 §4", A, false },
	{ ">*", "*", A, true },
	{ "<-ERR cancelled", "RFC 5034 §4", A, false },
	{ ">AUTH PLAIN AGEAYg==", "AUTH PLAIN ***", A, true },
	{ "<-ERR [AUTH] wrong", "RFC 3206 §5", A, false },
	{ ">USER tim", NULL, A, true },
	{ "<+OK", "RFC 1939 §7", A, false },
	{ ">PASS tan staaf", "PASS ***", A, true },
	{ "<-ERR [IN-USE] locked", "RFC 2449 §8.1.2", A, false },
	{ ">APOP tim c4c9334bac560ecc979e58001b3e22fb", "APOP tim ***", A, true },
	{ "<+OK", "RFC 1939 §7", T, false },
	{ ">RETR 1", NULL, T, true },
	{ "<+OK 3 octets", "RFC 1939 §5", T, true },
	{ "<-ERR this is text", "", T, true },
	{ "<..", "", T, true },
	{ "<.", "RFC 1939 §3", T, false },
	{ ">LIST 1", NULL, T, true },
	{ "<+OK 1 3", "RFC 1939 §5", T, false },
	{ ">LIST", NULL, T, true },
	{ ">NOOP", NULL, T, true },
	{ "<+OK", NULL, T, true },
	{ "<1 3", "", T, true },
	{ "<.", NULL, T, true },
	{ "<+OK", "RFC 1939 §5", T, false },
	{ ">SECRET word", "SECRET ***", T, true },
	{ "<garbage", "RFC 1939 §3", T, true },
	{ "<-ERR what", "RFC 1939 §3", T, false },
	{ ">QUIT", NULL, T, true },
	{ "<+OK bye", "RFC 1939 §6", "UPDATE", false },
};

static const struct step smtp[] = {
	{ "<220-two", NULL, "CONNECTED", true },
	{ "<220 lines", "RFC 5321 §4.3.1", "CONNECTED", false },
	{ ">EHLO me", NULL, "CONNECTED", true },
	{ "<250-hello", "RFC 5321 §4.1.1.1", "CONNECTED", true },
	{ "<250-SIZE 1000", "RFC 1870 §4", "CONNECTED", true },
	{ "<250-XYZZY", "RFC 5321 §2.2.1", "CONNECTED", true },
	{ "<250 STARTTLS", "RFC 3207 §2", "READY", false },
	{ ">STARTTLS", NULL, "READY", true },
	{ "<220 go", "RFC 3207 §4", "CONNECTED", false },
	{ ">HELO me", NULL, "CONNECTED", true },
	{ "<250 hello", "RFC 5321 §4.1.1.1", "READY", false },
	{ ">AUTH PLAIN AGEAYg==", "AUTH PLAIN ***", "READY", true },
	{ "<535 5.7.8 no", "RFC 4954 §6", "READY", false },
	{ ">auth login", NULL, "READY", true },
	{ "<334 VXNlcm5hbWU6", "RFC 4954 §4", "READY", false },
	{ ">dGlt", "***", "READY", true },
	{ "<334 UGFzc3dvcmQ6", "RFC 4954 §4", "READY", false },
	{ ">c2VjcmV0", "***", "READY", true },
	{ "<235 yes", "RFC 4954 §6", "READY", false },
	{ ">MAIL FROM:<a@b>", NULL, "READY", true },
	{ ">RCPT TO:<c@d>", NULL, "READY", true },
	{ "<250 ok", "RFC 5321 §4.1.1.2", "MAIL", true },
	{ "<550 no", "RFC 5321 §3.3", "MAIL", false },
	{ ">RCPT TO:<e@d>", NULL, "MAIL", true },
	{ "<250 ok", "RFC 5321 §4.1.1.3", "RCPT", false },
	{ ">DATA", NULL, "RCPT", true },
	{ "<354 go", "RFC 5321 §4.1.1.4", "DATA", false },
	{ ">AUTH PLAIN is text here", NULL, "DATA", false },
	{ ">..", NULL, "DATA", false },
	{ ">.", NULL, "DATA", true },
	{ "<250 taken", "RFC 5321 §4.2.5", "READY", false },
	{ ">MAIL FROM:<>", NULL, "READY", true },
	{ "<250 ok", NULL, "MAIL", false },
	{ ">RCPT TO:<e@d>", NULL, "MAIL", true },
	{ "<250 ok", NULL, "RCPT", false },
	{ ">BDAT 8", NULL, "RCPT", false },
	{ ">A: b", NULL, "RCPT", false },
	{ ">", NULL, "RCPT", true },
	{ "<250 ok", "RFC 3030 §2", "DATA", false },
	{ ">BDAT 0 LAST", NULL, "DATA", true },
	{ "<250 ok", NULL, "READY", false },
	{ ">NONSENSE", NULL, "READY", true },
	{ "<500 what", "RFC 5321 §4.2.4", "READY", false },
	{ ">RSET", NULL, "READY", true },
	{ "<299 odd", "RFC 5321 §4.2.1", "READY", false },
	{ "<hello?", "RFC 5321 §4.2", "READY", false },
	{ ">QUIT", NULL, "READY", true },
	{ "<221 bye", "RFC 5321 §4.1.1.10", "closed", false },
};

#define N "NOT AUTHENTICATED"

static const struct step imap[] = {
	{ "<* OK ready", "RFC 9051 §7.1.1", N, false },
	{ ">a CAPABILITY", NULL, N, true },
	{ "<* CAPABILITY IMAP4rev2", "RFC 9051 §7.2.2", N, true },
	{ "<a OK done", "RFC 9051 §6.1.1", N, false },
	{ ">b STARTTLS", NULL, N, true },
	{ "<b OK go", "RFC 9051 §6.2.1", N, false },
	{ ">c LOGIN tim \"tan staaf\"", "c LOGIN tim ***", N, true },
	{ "<c NO wrong", "RFC 9051 §6.2.3", N, false },
	{ ">d login {3}", NULL, N, true },
	{ "<+ go", "RFC 9051 §4.3", N, false },
	{ ">tim secret", "***", N, true },
	{ "<d OK in", "RFC 9051 §6.2.3", "AUTHENTICATED", false },
	{ ">e SELECT inbox", NULL, "AUTHENTICATED", true },
	{ "<* 3 EXISTS", "RFC 9051 §7.4.1", "AUTHENTICATED", true },
	{ "<e OK open", "RFC 9051 §6.3.2", "SELECTED", false },
	{ ">f FETCH 1 BODY[]", NULL, "SELECTED", true },
	{ "<* 1 FETCH (BODY[] {12}", "RFC 9051 §7.5.2", "SELECTED", true },
	{ "<f OK trick", "", "SELECTED", true }, /* 10 octets and CRLF */
	{ "<)", "", "SELECTED", true },
	{ "<f OK done", "RFC 9051 §6.4.5", "SELECTED", false },
	{ ">g SELECT nosuch", NULL, "SELECTED", true },
	{ "<g NO none", "RFC 9051 §7.1.2", "AUTHENTICATED", false },
	{ ">h IDLE", NULL, "AUTHENTICATED", true },
	{ "<+ idling", "RFC 9051 §6.3.13", "AUTHENTICATED", false },
	{ "<* 4 EXISTS", "RFC 9051 §7.4.1", "AUTHENTICATED", false },
	{ ">DONE", "DONE", "AUTHENTICATED", true },
	{ "<h OK", "RFC 9051 §6.3.13", "AUTHENTICATED", false },
	{ ">i APPEND x {6+}", NULL, "AUTHENTICATED", false },
	{ ">A: b", NULL, "AUTHENTICATED", true },
	{ "<i BAD", "RFC 9051 §7.1.3", "AUTHENTICATED", false },
	{ "<z OK", "RFC 9051 §2.2.2", "AUTHENTICATED", false },
	{ ">j AUTHENTICATE PLAIN AGEAYg==", "j AUTHENTICATE PLAIN ***", "AUTHENTICATED", true },
	{ "<j NO", NULL, "AUTHENTICATED", false },
	{ ">k LOGOUT", NULL, "AUTHENTICATED", true },
	{ "<* BYE", "RFC 9051 §7.1.5", "LOGOUT", true },
	{ "<k OK", "RFC 9051 §6.1.3", "LOGOUT", false },
};

#define S "AUTHENTICATED"

/* Each response code, kind of answer and continuation that has a sentence of its own, and some that have none. */
static const struct step imap_words[] = {
	{ "<* OK [CAPABILITY IMAP4rev2] ready", "RFC 9051 §7.1.1", N, false },
	{ ">a LOGIN tim x", "a LOGIN tim ***", N, true },
	{ "<a NO [AUTHENTICATIONFAILED] no", "RFC 9051 §7.1", N, false },
	{ ">a SELECT inbox", NULL, N, true },
	{ "<a BAD not now", "RFC 9051 §3", N, false },
	{ ">a CLOSE", NULL, N, true },
	{ "<a OK [X] who knows why", "RFC 9051 §6.4.1", N, false },
	{ ">a AUTHENTICATE PLAIN", NULL, N, true },
	{ "<+ ", "RFC 9051 §6.2.2", N, false },
	{ ">AGEAYg==", "***", N, true },
	{ "<a NO no", "RFC 9051 §6.2.2", N, false },
	{ ">a XYZZY", "***", N, true },
	{ "<a BAD what", "RFC 9051 §7.1.3", N, false },
	{ ">a login tim x", "a login tim ***", N, true },
	{ "<a OK [CAPABILITY IMAP4rev2] in", "RFC 9051 §6.2.3", S, false },
	{ ">a SELECT inbox", NULL, S, true },
	{ "<* OK [CLOSED] ", "RFC 9051 §7.1", S, true },
	{ "<* OK [UIDVALIDITY 3] ", "RFC 9051 §7.1", S, true },
	{ "<* OK [HIGHESTMODSEQ 3] ", "RFC 7162 §3.1.2.1", S, true },
	{ "<* OK [X-OTHER 3] ", "RFC 9051 §7.1.1", S, true },
	{ "<* OK [UNFINISHED", "RFC 9051 §7.1.1", S, true },
	{ "<* NO [ALERT] full soon", "RFC 9051 §7.1", S, true },
	{ "<* FLAGS (\\Seen)", "RFC 9051 §7.3.5", S, true },
	{ "<* STATUS x (MESSAGES 1)", "RFC 9051 §7.3.3", S, true },
	{ "<* ESEARCH (TAG \"a\")", "RFC 9051 §7.3.4", S, true },
	{ "<* 17 XYZZY", "RFC 9051 §2.2.2", S, true },
	{ "<* XYZZY", "RFC 9051 §2.2.2", S, true },
	{ "<a OK [READ-ONLY] open", "RFC 9051 §7.1", "SELECTED", false },
	{ ">a COPY 1 x", NULL, "SELECTED", true },
	{ "<a NO [TRYCREATE] none", "RFC 9051 §7.1", "SELECTED", false },
	{ ">a UID COPY 1 x", NULL, "SELECTED", true },
	{ "<a OK [COPYUID 1 1 1] done", "RFC 9051 §7.1", "SELECTED", false },
	{ ">a NOOP", NULL, "SELECTED", true },
	{ "<+ more?", "RFC 9051 §7.6", "SELECTED", true },
	{ ">b LOGIN tim x", "b LOGIN tim ***", "SELECTED", true },
	{ "<a OK done", "RFC 9051 §6.1.2", "SELECTED", true },
	{ "<b BAD in already", "RFC 9051 §3", "SELECTED", false },
	{ ">a UNAUTHENTICATE", NULL, "SELECTED", true },
	{ "<a OK out", "RFC 8437 §2", N, false },
};

#define SECRET "tan \"st\\af\" \xc3\xa9"
#define QUOTED "\"tan \\\"st\\\\af\\\" \xc3\xa9\""

/* A password wherever it can travel, rightly and wrongly. */
static const struct step pop3_secrets[] = {
	{ "<+OK", NULL, A, false },
	{ ">PASS " SECRET, "PASS ***", A, true },
	{ ">pass\t" SECRET, "pass ***", A, true },
	{ ">PASS:" SECRET, "PASS ***", A, true },
	{ ">PAS " SECRET, "PAS ***", A, true },
	{ "> PASS " SECRET, "***", A, true },
	{ ">APOP tim c4c9334bac560ecc979e58001b3e22fb", "APOP tim ***", A, true },
	{ ">AUTH PLAIN", NULL, A, true },
	{ ">AHRpbQB0YW4=", "***", A, true }, /* before it was asked for */
	{ ">STAT", NULL, A, true },
	{ ">AUTHPLAIN AHRpbQB0YW4=", "AUTH ***", A, true },
};

static const struct step smtp_secrets[] = {
	{ "<220 hello", NULL, "CONNECTED", false },
	{ ">AUTH PLAIN AHRpbQB0YW4=", "AUTH PLAIN ***", "CONNECTED", true },
	{ "<503 EHLO first", NULL, "CONNECTED", false },
	{ ">AUTH PLAIN", NULL, "CONNECTED", true },
	{ "<503 EHLO first", NULL, "CONNECTED", false },
	{ ">AHRpbQB0YW4=", "***", "CONNECTED", true }, /* though nobody asked for it */
	{ "<500 what", NULL, "CONNECTED", false },
	{ ">AUTH LOGIN", NULL, "CONNECTED", true },
	{ ">dGlt", "***", "CONNECTED", true },
	{ ">dGFu", "***", "CONNECTED", true },
	{ ">EHLO me", NULL, "CONNECTED", true },
	{ ">auth\tPLAIN\tAHRpbQB0YW4=", "auth ***", "CONNECTED", true },
	{ ">AUTH  PLAIN AHRpbQB0YW4=", "AUTH  ***", "CONNECTED", true },
	{ ">AUHT PLAIN AHRpbQB0YW4=", "***", "CONNECTED", true },
	{ ">NOOP", NULL, "CONNECTED", true },
	{ ">AUHT PLAIN AHRpbQB0YW4=", "AUHT ***", "CONNECTED", true },
};

static const struct step imap_secrets[] = {
	{ "<* OK", NULL, N, false },
	{ ">a LOGIN tim " SECRET, "a LOGIN tim ***", N, true },
	{ ">a LOGIN tim " QUOTED, "a LOGIN tim ***", N, true },
	{ ">a LOGIN " QUOTED " x", "a LOGIN " QUOTED " ***", N, true },
	{ ">a LOGIN \"tim" SECRET, "a LOGIN ***", N, true },
	{ ">a LOGIN \"tim x", "a LOGIN ***", N, true },
	{ ">a LOGIN  tim x", "a LOGIN  ***", N, true },
	{ ">a LOGIN tim", "a LOGIN ***", N, true },
	{ ">a LOGIN", NULL, N, true },
	{ ">a\tLOGIN\ttim\tx", "a\tLOGIN\t***", N, true },
	{ ">a UID LOGIN tim x", "a UID LOGIN tim ***", N, true },
	{ ">LOGIN tim x", "LOGIN ***", N, true },
	{ ">LOGIN list x", "LOGIN ***", N, true },
	{ ">AUTHENTICATE PLAIN AHRpbQB0YW4=", "AUTHENTICATE ***", N, true },
	{ ">a LOGIM tim x", "a LOGIM ***", N, true },
	{ ">a LOGIN:tim:x", "a LOGIN ***", N, true },
	{ ">a NOOP", NULL, N, true },
	{ ">b LOGIN tim {3}", NULL, N, true },
	{ ">tan", "***", N, true }, /* before it was asked for */
	{ "<b BAD no", NULL, N, true },
	{ ">" SECRET, "***", N, true },
};

static const struct step imap_literals[] = {
	{ "<* OK", NULL, N, false },
	{ ">a LOGIN tim {15}", NULL, N, true },
	{ "<+ ", "RFC 9051 §4.3", N, false },
	{ ">" SECRET, "***", N, true },
	{ "<a NO", NULL, N, false },
	{ ">a LOGIN {3+}", NULL, N, false },
	{ ">tim {15+}", "***", N, false },
	{ ">" SECRET, "***", N, true },
	{ "<a NO", NULL, N, false },
	{ ">a LOGIN tim {6+}", NULL, N, false },
	{ ">*", "***", N, false }, /* the octet, CRLF and three more */
	{ ">abc", "***", N, true },
	{ "<a NO", NULL, N, false },
	{ ">a AUTHENTICATE PLAIN AHRpbQB0YW4=", "a AUTHENTICATE PLAIN ***", N, true },
	{ "<a NO", NULL, N, false },
	{ ">AHRpbQB0YW4=", "***", N, true },
	{ ">a authenticate LOGIN", NULL, N, true },
	{ ">b NOOP", NULL, N, true },
	{ "<+ VXNlcm5hbWU6", NULL, N, false },
	{ ">dGlt", "***", N, true },
	{ "<+ UGFzc3dvcmQ6", NULL, N, false },
	{ ">*", NULL, N, true },
};

static const struct step preauth[] = { { "<* PREAUTH welcome", "RFC 9051 §7.1.4", "AUTHENTICATED", false } };
static const struct step refusal[] = { { "<-ERR go away", "RFC 1939 §4", "closed", false } };

static void test_pop3(void **state)
{
	(void)state;
	play(SERVER_POP3, pop3, COUNT_OF(pop3));
	play(SERVER_POP3, refusal, COUNT_OF(refusal));
	play(SERVER_POP3, pop3_secrets, COUNT_OF(pop3_secrets));
}

static void test_smtp(void **state)
{
	(void)state;
	play(SERVER_SMTP, smtp, COUNT_OF(smtp));
	play(SERVER_SMTP, smtp_secrets, COUNT_OF(smtp_secrets));
}

static void test_imap(void **state)
{
	(void)state;
	play(SERVER_IMAP, imap, COUNT_OF(imap));
	play(SERVER_IMAP, preauth, COUNT_OF(preauth));
	play(SERVER_IMAP, imap_words, COUNT_OF(imap_words));
	play(SERVER_IMAP, imap_secrets, COUNT_OF(imap_secrets));
	play(SERVER_IMAP, imap_literals, COUNT_OF(imap_literals));
}

/* Without answers, sending stops at a bound. */
static void test_bound(void **state)
{
	(void)state;
	for (unsigned protocol = 0; protocol < SERVER_PROTOCOL_COUNT; protocol++) {
		CLEANUP(exerciser_cleanup) struct exerciser *x = exerciser_new((enum server_protocol)protocol);
		CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(100000);
		size_t sent = 0;
		for (; exerciser_may_send(x) && sent < 1000; sent++)
			exerciser_client_line(x, STR("NOOP"), &shown);
		assert_in_range(sent, 10, 100);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pop3),
		cmocka_unit_test(test_smtp),
		cmocka_unit_test(test_imap),
		cmocka_unit_test(test_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
