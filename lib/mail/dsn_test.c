#include "dsn.h"

#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static const struct str simple_mail = STR("Received: from a by b\r\nMessage-ID: <one@example.org>\r\nSubject: Hello\r\n\r\nThe body\r\n");

static struct dsn_report report_of(const struct dsn_recipient *recipients, size_t count)
{
	return (struct dsn_report){
		.hostname = STR("mx.example.org"), .id = STR("0123456789abcdef"), .to = STR("alice@example.org"), .now = 1700000000,
		.envid = STR("QQ+314"), .queue_id = STR("00000000000000aa"), .helo = STR("client.example.org"), .arrival = 1699990000,
		.original = simple_mail, .recipients = recipients, .count = count,
	};
}

static const struct dsn_recipient bob = {
	.address = STR("bob@example.net"), .original = STR("rfc822;Robert@example.net"), .action = DSN_FAILED, .status = STR("5.1.1"),
	.reply = STR("550 5.1.1 No such user"), .host = STR("mx.example.net"), .peer = STR("192.0.2.7"), .attempt = 1699999000,
};

static void check_lines(struct str text)
{
	struct str line;
	assert_true(text.length > 2 && text.data[text.length - 1] == '\n');
	while (str_take_until(&text, '\n', &line)) {
		assert_true(line.length > 0 && line.length <= 999 && line.data[line.length - 1] == '\r');
		assert_int_equal(str_find_char(line, '\r'), line.length - 1);
		assert_int_equal(str_find_char(line, '\0'), line.length);
	}
}

static struct dsn_facts write_it(struct buf *out, const struct dsn_report *report)
{
	struct dsn_facts facts;
	buf_clear(out);
	assert_true(dsn_write(out, report, &facts));
	check_lines(buf_str(out));
	assert_int_equal(facts.has_8bit, !text_is_ascii(buf_str(out)));
	return facts;
}

static void check_has(const struct buf *out, const char *part)
{
	if (str_find(buf_str(out), str_of(part)) == out->length)
		fail_msg("no \"%s\" in:\n%.*s", part, STR_ARG(buf_str(out)));
}

static void check_lacks(const struct buf *out, const char *part)
{
	if (str_find(buf_str(out), str_of(part)) < out->length)
		fail_msg("\"%s\" in:\n%.*s", part, STR_ARG(buf_str(out)));
}

static void failures_are_told(void **state)
{
	(void)state;
	static const char *const parts[] = {
		"To: <alice@example.org>\r\n", "Subject: Undelivered mail\r\n", "Auto-Submitted: auto-replied\r\n", "In-Reply-To: <one@example.org>\r\n",
		"multipart/report; report-type=delivery-status;\r\n boundary=\"report-0123456789abcdef\"\r\n",
		"mx.example.net (192.0.2.7) said: 550 5.1.1 No such user\r\n", "Content-Type: message/delivery-status\r\n",
		"Original-Envelope-Id: QQ+314\r\n", "Reporting-MTA: dns; mx.example.org\r\n", "Received-From-MTA: dns; client.example.org\r\n",
		"Arrival-Date: Tue, 14 Nov 2023 19:26:40 +0000\r\n", "\r\n\r\nOriginal-Recipient: rfc822;Robert@example.net\r\n",
		"Final-Recipient: rfc822;bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\nRemote-MTA: dns; mx.example.net\r\n",
		"Diagnostic-Code: smtp; 550 5.1.1 No such user\r\nLast-Attempt-Date: Tue, 14 Nov 2023 21:56:40 +0000\r\n",
		"text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nReceived: from a by b\r\n", "\r\n--report-0123456789abcdef--\r\n",
	};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	struct dsn_report report = report_of(&bob, 1);
	struct dsn_facts facts = write_it(&out, &report);
	assert_false(facts.is_utf8 || facts.has_8bit);
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		check_has(&out, parts[i]);
	check_lacks(&out, "The body");
	report.whole = true;
	write_it(&out, &report);
	check_has(&out, "Content-Type: message/rfc822\r\n");
	check_has(&out, "\r\n\r\nThe body\r\n");
}

/* What was not given does not appear (RFC 3461 §6.3). */
static void what_was_not_given_is_left_out(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	const struct dsn_recipient plain = { .address = STR("carol@example.org"), .action = DSN_DELIVERED, .status = STR("x") };
	struct dsn_report report = report_of(&plain, 1);
	report.envid = report.helo = (struct str){};
	report.original = STR("Message-ID: <a b@c>\r\n\r\n");
	write_it(&out, &report);
	check_has(&out, "Final-Recipient: rfc822;carol@example.org\r\nAction: delivered\r\nStatus: 2.0.0\r\n\r\n");
	static const char *const absent[] = { "Original-Envelope-Id", "Original-Recipient", "Remote-MTA", "Diagnostic-Code", "Received-From-MTA",
		                                  "In-Reply-To", "Will-Retry", "Deliver-By", "Future-Release", "Last-Attempt" };
	for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
		check_lacks(&out, absent[i]);
}

static void several_recipients_stand_in_one_report(void **state)
{
	(void)state;
	const struct dsn_recipient several[] = {
		{ .address = STR("d@example.org"), .action = DSN_DELAYED, .status = STR("5.4.1"), .reply = STR("no answer"), .retry_until = 1700100000 },
		bob,
		{ .address = STR("e@example.org"), .action = DSN_RELAYED, .status = STR("2.1.5") },
		{ .address = STR("f@example.org"), .action = DSN_EXPANDED },
	};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	struct dsn_report report = report_of(several, 4);
	report.deliver_by = 1700050000;
	report.hold_until = 1699990600;
	report.hold_is_interval = true;
	write_it(&out, &report);
	static const char *const parts[] = {
		"Subject: Undelivered mail\r\n",
		"Action: delayed\r\nStatus: 4.4.1\r\nDiagnostic-Code: x-posthorn; no answer\r\nWill-Retry-Until: Thu, 16 Nov",
		"Action: relayed\r\nStatus: 2.1.5\r\n",
		"Action: expanded\r\nStatus: 2.0.0\r\n",
		"Deliver-By-Date: Wed, 15 Nov 2023 12:06:40 +0000\r\n",
		"Future-Release-Request: for;600\r\n",
	};
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		check_has(&out, parts[i]);
	report.hold_is_interval = false;
	report.recipients = &several[0];
	report.count = 1;
	write_it(&out, &report);
	check_has(&out, "Subject: Delayed mail");
	check_has(&out, "Future-Release-Request: until;2023-11-14T19:36:40Z\r\n");
}

/* RFC 6533 §3, §4. */
static void addresses_beyond_ascii(void **state)
{
	(void)state;
	const struct dsn_recipient jose = { .address = STR("jos\xc3\xa9@example.org"), .original = STR("utf-8;\xc3\xbc+x@example.org"), .action = DSN_FAILED };
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	struct dsn_report report = report_of(&jose, 1);
	assert_false(write_it(&out, &report).is_utf8);
	check_has(&out, "Original-Recipient: utf-8;\\x{FC}\\x{2B}x@example.org\r\nFinal-Recipient: utf-8;jos\\x{E9}@example.org\r\n");
	check_has(&out, "message/delivery-status\r\n");
	report.takes_utf8 = true;
	report.original = STR("Subject: \xc3\xa4\r\n\r\n");
	assert_true(write_it(&out, &report).is_utf8);
	check_has(&out,
	          "Original-Recipient: utf-8;\xc3\xbc+x@example.org\r\nFinal-Recipient: utf-8;jos\xc3\xa9@example.org\r\n");
	check_has(&out, "message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n");
	check_has(&out, "message/global-headers\r\n");
	report.whole = true;
	report.to = STR("\xc3\xbc@example.org");
	report.takes_utf8 = false;
	assert_true(write_it(&out, &report).is_utf8);
	check_has(&out, "message/global\r\n");
}

/* Whatever a remote host or a client said. */
static void nothing_is_forged(void **state)
{
	(void)state;
	const struct dsn_recipient evil = {
		.address = STR("a@b\r\nAction: delivered"), .original = STR("rfc822;x\r\n\r\n--report-"), .action = DSN_FAILED, .status = STR("5.1.1\r\nX: y"),
		.reply = STR("550 \r\n\r\n--report-0123456789abcdef\r\n\x01\xff\xc2\x85"), .host = STR("h\nEvil: 1"),
	};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	struct dsn_report report = report_of(&evil, 1);
	report.envid = STR("e\r\nEvil: 1");
	report.to = STR("a@b\r\nEvil: 1");
	write_it(&out, &report);
	check_lacks(&out, "\r\nEvil");
	check_lacks(&out, "\nAction: delivered");
	check_lacks(&out, "\nX: y");
	size_t boundaries = 0;
	for (struct str at = buf_str(&out);
	     (at = str_from_index(at, str_find(at, STR("\r\n--report-0123456789abcdef")))).length; boundaries++)
		at = str_from_index(at, 1);
	assert_int_equal(boundaries, 4);
}

static void long_texts_are_folded(void **state)
{
	(void)state;
	char words[1000], word[1900];
	for (size_t i = 0; i < sizeof words; i++)
		words[i] = i % 7 == 6 ? ' ' : 'w';
	memset(word, 'z', sizeof word);
	struct dsn_recipient one = bob;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	struct dsn_report report = report_of(&one, 1);
	one.reply = str_from(words, sizeof words);
	write_it(&out, &report);
	struct str text = buf_str(&out), line;
	while (str_take_until(&text, '\n', &line))
		assert_true(line.length <= 90);
	one.reply = str_from(word, sizeof word);
	write_it(&out, &report);
}

/* What is no good as a mail comes back as header only, and its lines are mended. */
static void broken_originals(void **state)
{
	(void)state;
	char line[3000];
	memset(line, 'x', sizeof line);
	static const struct str bad[] = { STR("A: b\r\n\r\nbare\nline\r\n"), STR("A: b\r\n\r\nbare\rreturn\r\n"), STR("A: b\r\n\r\nn\0l\r\n"), STR("A: b\r\n\r\nlast\n"), STR("A: b\n\nx"), STR("") };
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20), big = BUF_WITH_LIMIT(1 << 20);
	struct dsn_report report = report_of(&bob, 1);
	report.whole = true;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		report.original = bad[i];
		write_it(&out, &report);
		if (bad[i].length)
			check_has(&out, "text/rfc822-headers\r\nContent-Transfer-Encoding: 7bit\r\n\r\nA: b\r\n");
	}
	buf_printf(&big, "A: %.*s\r\n", (int)sizeof line, line);
	while (big.length < 3 * DSN_HEADER_MAX)
		buf_printf(&big, "B: c\rd\r\n");
	buf_add_str(&big, STR("\r\nbody\r\n"));
	report.original = buf_str(&big);
	write_it(&out, &report);
	assert_true(out.length < DSN_HEADER_MAX + 8000);
	check_has(&out, "B: c d\r\n");
}

static void no_room_is_told(void **state)
{
	(void)state;
	struct dsn_report report = report_of(&bob, 1);
	struct dsn_facts facts;
	for (size_t limit = 1; limit < 1500; limit += 100) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(limit);
		assert_false(dsn_write(&out, &report, &facts));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failures_are_told),
		cmocka_unit_test(what_was_not_given_is_left_out),
		cmocka_unit_test(several_recipients_stand_in_one_report),
		cmocka_unit_test(addresses_beyond_ascii),
		cmocka_unit_test(nothing_is_forged),
		cmocka_unit_test(long_texts_are_folded),
		cmocka_unit_test(broken_originals),
		cmocka_unit_test(no_room_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
