/* ENVELOPE, BODY and BODYSTRUCTURE of small mails, as the RFCs' grammar has them; in both forms. */
#include "imap_structure.h"

#include "message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

enum { OUT_MAX = 1 << 20 };

enum what { ENVELOPE, BODY, STRUCTURE };

static const char *written(struct buf *out, const char *mail, enum what what, bool utf8)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	struct message message;
	message_parse(arena, str_of(mail), &message);
	buf_clear(out);
	if (what == ENVELOPE)
		imap_write_envelope(out, &message.envelope, utf8);
	else
		imap_write_structure(out, message.root, what == STRUCTURE, utf8);
	return buf_text(out);
}

static const struct {
	const char *mail;
	enum what what;
	const char *rev1, *utf8; /* utf8 NULL: the same */
} cases[] = {
	{ "Date: Wed, 17 Jul 1996 02:23:25 -0700\r\nSubject: IMAP4rev1 WG mtg\r\nFrom: Terry Gray <gray@cac.example>\r\n"
	  "To: imap@cac.example\r\nCc: minutes@x.example, \"John \\\"K\\\"\" <klensin@y.example>\r\nMessage-Id: <B2@z>\r\n\r\n",
	  ENVELOPE,
	  "(\"Wed, 17 Jul 1996 02:23:25 -0700\" \"IMAP4rev1 WG mtg\" ((\"Terry Gray\" NIL \"gray\" \"cac.example\"))"
	  " ((\"Terry Gray\" NIL \"gray\" \"cac.example\")) ((\"Terry Gray\" NIL \"gray\" \"cac.example\"))"
	  " ((NIL NIL \"imap\" \"cac.example\")) ((NIL NIL \"minutes\" \"x.example\")(\"John \\\"K\\\"\" NIL \"klensin\" \"y.example\"))"
	  " NIL NIL \"<B2@z>\")", NULL },
	{ "\r\n", ENVELOPE, "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)", NULL },
	{ "Subject: \r\nTo: A group: a@b, c@d;\r\n\r\n", ENVELOPE,
	  "(NIL \"\" NIL NIL NIL ((NIL NIL \"A group\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")(NIL NIL NIL NIL)) NIL NIL NIL NIL)", NULL },
	{ "Subject: caf\xc3\xa9\r\nFrom: \xc3\xa9\xc3\xa8 <a@b>\r\n\r\n", ENVELOPE,
	  "(NIL {5}\r\ncaf\xc3\xa9 (({4}\r\n\xc3\xa9\xc3\xa8 NIL \"a\" \"b\")) (({4}\r\n\xc3\xa9\xc3\xa8 NIL \"a\" \"b\"))"
	  " (({4}\r\n\xc3\xa9\xc3\xa8 NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)",
	  "(NIL \"caf\xc3\xa9\" ((\"\xc3\xa9\xc3\xa8\" NIL \"a\" \"b\")) ((\"\xc3\xa9\xc3\xa8\" NIL \"a\" \"b\"))"
	  " ((\"\xc3\xa9\xc3\xa8\" NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)" },
	{ "Subject: a\\b \"c\" 12345678\r\n\r\n", ENVELOPE, "(NIL \"a\\\\b \\\"c\\\" 12345678\" NIL NIL NIL NIL NIL NIL NIL NIL)", NULL },
	{ "Subject: x\r\n) OK forged\r\n y\r\n\r\n", ENVELOPE, "(NIL \"x\" NIL NIL NIL NIL NIL NIL NIL NIL)", NULL },

	{ "Subject: s\r\n\r\none\r\ntwo\r\n", BODY, "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 10 2)", NULL },
	{ "Subject: s\r\n\r\none\r\ntwo\r\n", STRUCTURE,
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 10 2 NIL NIL NIL NIL)", NULL },
	{ "Content-Type: TEXT/PLAIN; format=flowed\r\n\r\n", BODY,
	  "(\"TEXT\" \"PLAIN\" (\"format\" \"flowed\" \"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 0 0)", NULL },
	{ "Content-Type: text/html\r\n\r\n", BODY, "(\"text\" \"html\" NIL NIL NIL \"7BIT\" 0 0)", NULL },
	{ "Content-Type: image/gif; name=\"a \\\"b\"\r\nContent-ID: <i@d>\r\nContent-Description: a picture\r\n"
	  "Content-Transfer-Encoding: base64\r\nContent-MD5: Q2hlY2s=\r\nContent-Disposition: inline; filename=x.gif\r\n"
	  "Content-Language: en, de\r\nContent-Location: http://a/\r\n\r\nAAAA\r\n", STRUCTURE,
	  "(\"image\" \"gif\" (\"name\" \"a \\\"b\") \"<i@d>\" \"a picture\" \"BASE64\" 6 \"Q2hlY2s=\" (\"inline\" (\"filename\" \"x.gif\"))"
	  " (\"en\" \"de\") \"http://a/\")", NULL },
	{ "Content-Type: a/b; n*0*=utf-8''%c3%a9; n*1=x; m*0=1; m*1=2; k*=iso-8859-1''%e9\r\n\r\n", BODY,
	  "(\"a\" \"b\" (\"n*0*\" \"utf-8''%c3%a9\" \"n*1\" \"x\" \"m*0\" \"1\" \"m*1\" \"2\" \"k*\" \"iso-8859-1''%e9\") NIL NIL \"7BIT\" 0)",
	  "(\"a\" \"b\" (\"n*\" \"\xc3\xa9x\" \"m\" \"12\" \"k*\" \"\xc3\xa9\") NIL NIL \"7BIT\" 0)" },
	{ "Content-Type: a/b; n*=utf-8''x%0d%0aA1%20OK%00\r\n\r\n", BODY, "(\"a\" \"b\" (\"n*\" \"utf-8''x%0d%0aA1%20OK%00\") NIL NIL \"7BIT\" 0)",
	  "(\"a\" \"b\" (\"n*\" {9}\r\nx\r\nA1 OK\x80) NIL NIL \"7BIT\" 0)" },
	{ "Content-Type: text/plain\r\nContent-Transfer-Encoding: x-mine\r\n\r\n", BODY,
	  "(\"text\" \"plain\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"x-mine\" 0 0)", NULL },

	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: image/png\r\n\r\nPNG\r\n--b--\r\n", BODY,
	  "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 3 0)(\"image\" \"png\" NIL NIL NIL \"7BIT\" 3) \"mixed\")", NULL },
	{ "Content-Type: multipart/mixed; boundary=b\r\nContent-Disposition: attachment\r\n\r\n--b\r\n\r\none\r\n--b--\r\n", STRUCTURE,
	  "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 3 0 NIL NIL NIL NIL) \"mixed\" (\"boundary\" \"b\")"
	  " (\"attachment\" NIL) NIL NIL)", NULL },
	{ "Content-Type: multipart/mixed; boundary=b\r\n\r\nno part\r\n", BODY,
	  "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 9 1)", NULL },
	{ "Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nx\r\n", BODY,
	  "(\"message\" \"rfc822\" NIL NIL NIL \"7BIT\" 18 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL)"
	  " (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 3 1) 3)", NULL },
	{ "Content-Type: message/global\r\n\r\nSubject: \xc3\xa9\r\n\r\nx\r\n", BODY, "(\"message\" \"global\" NIL NIL NIL \"7BIT\" 18)",
	  "(\"message\" \"global\" NIL NIL NIL \"7BIT\" 18 (NIL \"\xc3\xa9\" NIL NIL NIL NIL NIL NIL NIL NIL)"
	  " (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7BIT\" 3 1) 3)" },
	{ "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nU3ViamVjdA==\r\n", BODY,
	  "(\"application\" \"octet-stream\" NIL NIL NIL \"BASE64\" 14)", NULL },
};

static void tables(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(OUT_MAX);
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		assert_string_equal(written(&out, cases[i].mail, cases[i].what, false), cases[i].rev1);
		assert_string_equal(written(&out, cases[i].mail, cases[i].what, true),
		                    cases[i].utf8 ? cases[i].utf8 : cases[i].rev1);
	}
}

/* Strings around the edges of the quick copy: each length, each place of a byte that needs more. */
static void every_length(void **state)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(OUT_MAX);
	char text[40];
	(void)state;
	for (size_t length = 1; length < 34; length++)
		for (size_t at = 0; at <= length; at++) {
			char want[120];
			struct mail_envelope envelope = { .subject = str_from(text, length) };
			memset(text, 'a', sizeof text);
			if (at < length)
				text[at] = '"';
			struct str head = str_first(envelope.subject, at), tail = str_from_index(envelope.subject, at + 1);
			snprintf(want, sizeof want, "(NIL \"%.*s%s%.*s\" NIL NIL NIL NIL NIL NIL NIL NIL)", STR_ARG(head),
			         at < length ? "\\\"" : "", STR_ARG(tail));
			buf_clear(&out);
			imap_write_envelope(&out, &envelope, false);
			assert_string_equal(buf_text(&out), want);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(tables), cmocka_unit_test(every_length) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
