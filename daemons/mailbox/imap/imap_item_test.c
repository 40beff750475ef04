/* What FETCH tells of mails in memory: sections, parts of them, BINARY, PREVIEW; and every sample mail against
 * itself. */
#include "imap_item_check.h"

#include "limits.h"
#include "mail_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { ARENA = 1 << 30 };

static const char mixed[] =
	"Subject: outer\r\nX-A: 1\r\n fold\r\nx-b : 2\r\nX-A: 3\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
	"--b\r\nX-Part: 1\r\n\r\none\r\n"
	"--b\r\nContent-Type: message/rfc822\r\nX-Part: 2\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"
	"--c\r\n\r\nx\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>y\r\n--c--\r\n\r\n"
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: simple\r\n\r\nz\r\n"
	"--b--\r\nepilogue\r\n";

static const char encoded[] =
	"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	"--b\r\nContent-Transfer-Encoding: base64\r\n\r\naGFs\r\nbG8K\r\n"
	"--b\r\nContent-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\nAAEKCw==\r\n"
	"--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc\r\n"
	"--b\r\nContent-Transfer-Encoding: x-own\r\n\r\n?\r\n"
	"--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
	"--b--\r\n";

static const char no_blank_line[] = "Subject: s\r\nTo: t\r\n";
static const char body_at_once[] = "Subject: s\r\nTo: t\r\nthis is no field\r\n";
static const char body_at_once_inside[] = "Content-Type: message/rfc822\r\n\r\nSubject: s\r\nthis is no field\r\n";

static const struct {
	const char *mail, *asked, *want; /* want NULL: NIL */
} cases[] = {
	{ mixed, "BODY[HEADER.FIELDS (x-a)]", "X-A: 1\r\n fold\r\nX-A: 3\r\n\r\n" },
	{ mixed, "BODY[HEADER.FIELDS (X-B SUBJECT)]", "Subject: outer\r\nx-b : 2\r\n\r\n" },
	{ mixed, "BODY[HEADER.FIELDS (X-B SUBJECT)]<9.5>", "outer" },
	{ mixed, "BODY[HEADER.FIELDS (X)]", "\r\n" },
	{ mixed, "BODY[HEADER.FIELDS.NOT (content-type X-A)]", "Subject: outer\r\nx-b : 2\r\n\r\n" },
	{ mixed, "RFC822.HEADER",
	  "Subject: outer\r\nX-A: 1\r\n fold\r\nx-b : 2\r\nX-A: 3\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" },
	{ mixed, "BODY[]<0.14>", "Subject: outer" },
	{ mixed, "BODY[]<9.5>", "outer" },
	{ mixed, "BODY[]<1000000.5>", "" },
	{ mixed, "BODY[TEXT]<0.10>", "preamble\r\n" },
	{ mixed, "BODY[1]", "one" },
	{ mixed, "BODY[1]<1.100>", "ne" },
	{ mixed, "BODY[1.MIME]", "X-Part: 1\r\n\r\n" },
	{ mixed, "BODY[2.MIME]", "Content-Type: message/rfc822\r\nX-Part: 2\r\n\r\n" },
	{ mixed, "BODY[2.HEADER]", "Subject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n" },
	{ mixed, "BODY[2.HEADER.FIELDS (Subject)]", "Subject: inner\r\n\r\n" },
	{ mixed, "BODY[2.1]", "x" },
	{ mixed, "BODY[2.2]", "<p>y" },
	{ mixed, "BODY[2.2.MIME]", "Content-Type: text/html\r\n\r\n" },
	{ mixed, "BODY[3.1]", "z" },
	{ mixed, "BODY[3.TEXT]", "z" },
	{ mixed, "BODY[3]", "Subject: simple\r\n\r\nz" },
	{ mixed, "BODY[4]", NULL },
	{ mixed, "BODY[1.1]", NULL },
	{ mixed, "BODY[1.HEADER]", NULL },
	{ mixed, "BODY[1.TEXT]", NULL },
	{ mixed, "BODY[2.3]", NULL },
	{ mixed, "BODY[3.2]", NULL },
	{ mixed, "BINARY[4]", NULL },
	{ no_blank_line, "BODY[1]", "" },
	{ no_blank_line, "BODY[1.MIME]", "Subject: s\r\nTo: t\r\n" },
	{ no_blank_line, "BODY[HEADER]", "Subject: s\r\nTo: t\r\n" },
	{ no_blank_line, "BODY[HEADER.FIELDS (To)]", "To: t\r\n" },
	{ no_blank_line, "BODY[TEXT]", "" },
	{ body_at_once, "BODY[HEADER]", "Subject: s\r\nTo: t\r\n" },
	{ body_at_once, "BODY[HEADER.FIELDS (To)]", "To: t\r\n\r\n" },
	{ body_at_once, "BODY[HEADER.FIELDS (To)]<4.9>", "t\r\n\r\n" },
	{ body_at_once, "BODY[HEADER.FIELDS.NOT (To)]", "Subject: s\r\n\r\n" },
	{ body_at_once, "BODY[HEADER.FIELDS (X)]", "\r\n" },
	{ body_at_once, "BINARY.SIZE[HEADER.FIELDS (To)]", "9" },
	{ body_at_once, "BODY[TEXT]", "this is no field\r\n" },
	{ body_at_once_inside, "BODY[1.HEADER.FIELDS (Subject)]", "Subject: s\r\n\r\n" },
	{ body_at_once_inside, "BODY[1.HEADER]", "Subject: s\r\n" },
	{ encoded, "BINARY[1]", "hallo\r\n" },
	{ encoded, "BINARY.PEEK[1]<2.3>", "llo" },
	{ encoded, "BINARY.SIZE[1]", "7" },
	{ encoded, "BINARY.SIZE[2]", "4" },
	{ encoded, "BINARY[3]", "a=bc" },
	{ encoded, "BINARY[5]", "plain" },
	{ encoded, "BINARY[1]<7.1>", "" },
	{ encoded, "BINARY.PEEK[1]<2>", "llo\r\n" },
	{ encoded, "PREVIEW", "hallo" },
	{ "Content-Type: text/html\r\n\r\n<b>x</b> y", "PREVIEW (LAZY)", "x y" },
	{ "Content-Type: image/png\r\n\r\nx", "PREVIEW", "" },
	{ "Subject: s\r\n\r\n\xc3\xa9\r\n", "PREVIEW", "\xc3\xa9" },
};

static struct imap_mail *open_mail(struct imap_mail *mail, struct str text)
{
	imap_mail_init(mail, NULL);
	imap_mail_begin(mail, 1, text.length);
	imap_mail_give_text(mail, text);
	return mail;
}

static void sections(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		CLEANUP(imap_mail_release) struct imap_mail mail;
		open_mail(&mail, str_of(cases[i].mail));
		const struct imap_value *value = imap_check_asked(arena, &mail, str_of(cases[i].asked), false);
		assert_non_null(value);
		assert_int_equal(value->kind == IMAP_VALUE_NIL, !cases[i].want);
		if (cases[i].want)
			assert_true(str_equal(value->text, str_of(cases[i].want)));
		assert_false(value->binary);
	}
}

static void octets_that_are_no_text(void **state)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(imap_mail_release) struct imap_mail mail;
	(void)state;
	open_mail(&mail, STR("Subject: a\0b\r\n\r\nc\0d\r\n"));
	assert_true(str_equal(imap_check_asked(arena, &mail, STR("BODY[]"), true)->text, STR("Subject: a\x80" "b\r\n\r\nc\x80" "d\r\n")));
	imap_mail_begin(&mail, 2, 0);
	imap_mail_give_text(&mail, str_of(encoded));
	const struct imap_value *value = imap_check_asked(arena, &mail, STR("BINARY[2]"), false);
	assert_true(value->binary && str_equal(value->text, STR("\0\1\n\v")));
	assert_false(imap_check_asked(arena, &mail, STR("BINARY[2]<2.5>"), false)->binary);
	assert_null(imap_check_asked(arena, &mail, STR("BINARY[4]"), false));
	assert_null(imap_check_asked(arena, &mail, STR("BINARY.SIZE[4]"), false));
}

/* Fields that the store keeps answer for the header only when none is missing. */
static void kept_fields(void **state)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(imap_mail_release) struct imap_mail mail;
	struct store_message_columns columns = { .headers = STR("Subject: kept\r\n\r\n") };
	(void)state;
	open_mail(&mail, STR("Subject: of the mail\r\n\r\n"));
	imap_mail_give_columns(&mail, &columns);
	assert_true(str_equal(imap_check_asked(arena, &mail, STR("BODY[HEADER.FIELDS (subject)]"), false)->text,
	                      STR("Subject: kept\r\n\r\n")));
	assert_true(str_equal(imap_check_asked(arena, &mail, STR("BODY[HEADER.FIELDS (Subject X-Y)]"), false)->text,
	                      STR("Subject: of the mail\r\n\r\n")));
	columns.headers = STR("Subject: kept\r\n");
	imap_mail_give_columns(&mail, &columns);
	assert_true(str_equal(imap_check_asked(arena, &mail, STR("BODY[HEADER.FIELDS (Subject)]"), false)->text,
	                      STR("Subject: of the mail\r\n\r\n")));
}

/* A structure that is damaged, or of another mail, is found again. */
static void damaged_columns(void **state)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(1 << 20);
	(void)state;
	struct message other;
	message_parse(arena, STR("Subject: other\r\n\r\nx"), &other);
	assert_true(message_pack(&other, &packed));
	const struct str blobs[] = { STR("\x02garbage"), buf_str(&packed) };
	for (size_t i = 0; i < COUNT_OF(blobs); i++) {
		CLEANUP(imap_mail_release) struct imap_mail mail;
		open_mail(&mail, str_of(mixed));
		imap_mail_give_columns(&mail, &(struct store_message_columns){ .structure = blobs[i] });
		assert_true(str_equal(imap_check_asked(arena, &mail, STR("BODY[3.1]"), false)->text, STR("z")));
	}
}

/* Many names go through a hash, few do not: the answer is the same. */
static void many_names(void **state)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(imap_mail_release) struct imap_mail mail;
	CLEANUP(buf_release) struct buf asked = BUF_WITH_LIMIT(1 << 20);
	(void)state;
	open_mail(&mail, str_of(mixed));
	buf_add_str(&asked, STR("BODY.PEEK[HEADER.FIELDS (X-A"));
	for (int i = 0; i < LIMIT_IMAP_FETCH_FIELDS_MAX - 1; i++)
		buf_printf(&asked, " Y-%d", i);
	buf_add_str(&asked, STR(")]"));
	assert_true(str_equal(imap_check_asked(arena, &mail, buf_str(&asked), false)->text,
	                      STR("X-A: 1\r\n fold\r\nX-A: 3\r\n\r\n")));
}

/* Hostile shapes: bounded, and still true to the mail. */
static void add_many(struct buf *text, size_t count, const char *piece)
{
	for (size_t i = 0; i < count; i++)
		buf_add_str(text, str_of(piece));
}

static void hostile(void **state)
{
	static const struct {
		const char *begin, *piece;
		size_t count;
	} shapes[] = {
		{ "Content-Type: multipart/mixed; boundary=b\r\n\r\n", "--b\r\n\r\nx\r\n", 100000 },
		{ "", "Content-Type: message/rfc822\r\n\r\n", 10000 },
		{ "", "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n", 10000 },
		{ "", "X: y\r\n", 1000000 },
		{ "To: a@b", ", a@b", 500000 },
		{ "Content-Type: a/b", "; n*1=x", 100000 },
		{ "Subject: ", "\\\"", 500000 },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(shapes); i++) {
		CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
		CLEANUP(imap_mail_release) struct imap_mail mail;
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(64 << 20);
		buf_add_str(&text, str_of(shapes[i].begin));
		add_many(&text, shapes[i].count, shapes[i].piece);
		open_mail(&mail, buf_str(&text));
		imap_check_structure(arena, &mail, true);
		assert_non_null(imap_check_asked(arena, &mail, STR("BODY[HEADER.FIELDS.NOT (To)]"), false));
	}
}

static void check_sample(const char *path, struct str text)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	CLEANUP(imap_mail_release) struct imap_mail mail;
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(16 << 20);
	struct message message;
	(void)path;
	open_mail(&mail, text);
	imap_check_structure(arena, &mail, false);
	message_parse(arena, buf_str(&mail.text), &message);
	assert_true(message_pack(&message, &packed));
	mail.root = NULL;
	mail.has_envelope = false;
	imap_mail_give_columns(&mail, &(struct store_message_columns){ .structure = buf_str(&packed) });
	imap_check_structure(arena, &mail, true);
}

static void samples(void **state)
{
	(void)state;
	if (!check_samples(check_sample))
		skip();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections),    cmocka_unit_test(octets_that_are_no_text),
		cmocka_unit_test(kept_fields), cmocka_unit_test(damaged_columns),
		cmocka_unit_test(many_names),  cmocka_unit_test(hostile),
		cmocka_unit_test(samples),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
