#include "message.h"

#include "limits.h"
#include "mail_check.h"
#include "subject.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void print_part(struct buf *out, const struct mime_part *part, struct str text)
{
	buf_printf(out, "%.*s/%.*s", STR_ARG(part->type), STR_ARG(part->subtype));
	if (part->kind == MIME_LEAF)
		buf_printf(out, "[%.*s]%zu", STR_ARG(mime_body(part, text)), part->body_lines);
	if (!part->first)
		return;
	buf_add_char(out, '(');
	for (const struct mime_part *child = part->first; child; child = child->next) {
		print_part(out, child, text);
		if (child->next)
			buf_add_char(out, ' ');
	}
	buf_add_char(out, ')');
}

#define MULTIPART "Content-Type: multipart/mixed; boundary=b\n\n"

static void trees(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{ "Subject: x\r\n\r\nbody\r\n", "text/plain[body\r\n]1" },
		{ "", "text/plain[]0" },
		{ "Content-Type: text/html\n\n<p>", "text/html[<p>]0" },
		{ "Content-Type: text\n\nx", "text/plain[x]0" },
		{ MULTIPART "preamble\n--b\n\none\n\n--b\nContent-Type: text/html\n\ntwo\n--b--\nepilogue\n",
		  "multipart/mixed(text/plain[one\n]1 text/html[two]0)" },
		{ "Content-Type: multipart/mixed; boundary=\"b\"\r\r--b\r\rone\r\r--b--\r",
		  "multipart/mixed(text/plain[one\r]1)" },
		{ "Content-Type: multipart/mixed; boundary*=us-ascii''%62\n\n--b\n\nx\n--b--\n",
		  "multipart/mixed(text/plain[x]0)" },
		{ MULTIPART "no parts\n", "text/plain[no parts\n]1" },
		{ "Content-Type: multipart/mixed\n\nno boundary\n", "text/plain[no boundary\n]1" },
		{ MULTIPART "--b\n\nno end\n", "multipart/mixed(text/plain[no end\n]1)" },
		{ MULTIPART "--b\n--b\n--b--\n", "multipart/mixed(text/plain[]0 text/plain[]0)" },
		{ MULTIPART "--b\nContent-Type: text/html\n--b\n\nx\n--b--", "multipart/mixed(text/html[]0 text/plain[x]0)" },
		{ MULTIPART "--b  \n\nx\n--b-- \n--b\n\nafter\n", "multipart/mixed(text/plain[x]0)" },
		{ MULTIPART "--b\n\nx\n--c\n-b\n --b\n--b--\n", "multipart/mixed(text/plain[x\n--c\n-b\n --b]3)" },
		/* a boundary that another begins with: the longer one counts */
		{ MULTIPART "--b\nContent-Type: multipart/mixed; boundary=bb\n\n--bb\n\nx\n--bb--\n--b\n\ny\n--b--\n",
		  "multipart/mixed(multipart/mixed(text/plain[x]0) text/plain[y]0)" },
		/* the inner one is never closed */
		{ MULTIPART "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--b\n\ny\n--b--\n",
		  "multipart/mixed(multipart/mixed(text/plain[x]0) text/plain[y]0)" },
		/* both have the same one */
		{ MULTIPART "--b\n" MULTIPART "--b\n\nx\n--b--\n--b\n\ny\n--b--\n",
		  "multipart/mixed(multipart/mixed(text/plain[x]0) text/plain[y]0)" },
		{ MULTIPART "--b\nContent-Type: message/rfc822\n\nSubject: s\n\ninner\n--b--\n",
		  "multipart/mixed(message/rfc822(text/plain[inner]0))" },
		{ "Content-Type: message/rfc822\n\n" MULTIPART "--b\n\nx\n--b--\n",
		  "message/rfc822(multipart/mixed(text/plain[x]0))" },
		{ "Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA",
		  "application/octet-stream[AAAA]0" },
		{ "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: s\n\nx\n--b--\n",
		  "multipart/digest(message/rfc822(text/plain[x]0))" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
		CLEANUP(buf_release) struct buf seen = BUF_WITH_LIMIT(10000);
		struct message m;
		message_parse(a, str_of(cases[i][0]), &m);
		print_part(&seen, m.root, str_of(cases[i][0]));
		assert_string_equal(buf_text(&seen), cases[i][1]);
		check_message(&m, str_of(cases[i][0]));
		check_pack(&m);
	}
}

static const struct str full =
	STR("Received: from a by b; Sat, 5 Jan 2002 10:11:13 +0100\r\n"
	    "Received: from c by a; Sat, 5 Jan 2002 10:11:12 +0100\r\n"
	    "Date: Sat, 5 Jan 2002 10:11:12 +0100\r\n"
	    "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.test>\r\n"
	    "To: a@b, G: c@d;\r\n"
	    "Cc: e@f\r\n"
	    "Subject: Re: [list]  Hello\r\n world\r\n"
	    "Message-ID: <\"one\"@example.test>\r\n"
	    "In-Reply-To: <two@example.test>\r\n"
	    "References: <three@example.test> junk <nothing>\r\n <two@example.test>\r\n"
	    "X-Other: not kept\r\n"
	    "Content-Type: multipart/mixed; boundary=b\r\n"
	    "\r\n"
	    "--b\r\n\r\ntext\r\n"
	    "--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename=\"a.pdf\"\r\n"
	    "Content-Transfer-Encoding: Base64\r\nContent-ID: <id>\r\nContent-Description: d\r\n"
	    "Content-Language: en\r\nContent-Location: l\r\nContent-MD5: m\r\n\r\nAAAA\r\n--b--\r\n");

static void check_full(const struct message *m)
{
	assert_true(str_equal(m->envelope.subject, STR("Re: [list]  Hello world")));
	assert_true(str_equal(m->base_subject, STR("Hello world")));
	assert_true(str_equal(m->envelope.from.first->name, STR("=?utf-8?q?J=C3=B6rg?=")));
	assert_ptr_equal(m->envelope.sender.first, m->envelope.from.first);
	assert_ptr_equal(m->envelope.reply_to.first, m->envelope.from.first);
	assert_int_equal(m->envelope.to.count, 4);
	assert_null(m->envelope.bcc.first);
	assert_true(str_equal(m->id, STR("one@example.test")));
	assert_int_equal(m->reference_count, 2);
	assert_true(str_equal(m->references[0], STR("three@example.test")));
	assert_true(str_equal(m->references[1], STR("two@example.test")));
	assert_int_equal(m->date.seconds, 1010221872);
	assert_int_equal(m->date.zone_minutes, 60);
	assert_int_equal(m->received_count, 2);
	assert_int_equal(m->flags, MESSAGE_HAS_DATE | MESSAGE_HAS_ATTACHMENT | MESSAGE_IS_REPLY | MESSAGE_SUBSET_COMPLETE);
	const struct mime_part *pdf = m->root->last;
	assert_int_equal(pdf->encoding, TRANSFER_BASE64);
	assert_true(str_equal(pdf->encoding_name, STR("base64")));
	assert_true(str_equal(pdf->id, STR("<id>")) && str_equal(pdf->description, STR("d")));
	assert_true(str_equal(pdf->language, STR("en")) && str_equal(pdf->location, STR("l")));
	assert_true(str_equal(pdf->md5, STR("m")) && str_equal(pdf->disposition, STR("attachment")));
	assert_true(str_equal(parameter_raw(&pdf->disposition_parameters, STR("filename")), STR("a.pdf")));
}

static void everything_is_read_and_packed(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf blob = BUF_WITH_LIMIT(100000);
	struct message m, again;
	message_parse(a, full, &m);
	check_message(&m, full);
	check_full(&m);
	assert_true(str_starts(m.subset, STR("Date: Sat")));
	assert_true(str_find(m.subset, STR("X-Other")) == m.subset.length);
	assert_true(message_pack(&m, &blob));
	assert_true(message_unpack(a, buf_str(&blob), &again, NULL));
	check_full(&again);
	check_message(&again, full);
}

static void fields_of_the_subset(void **state)
{
	(void)state;
	assert_true(message_keeps_field(STR("list-id")));
	assert_true(message_keeps_field(STR("References")));
	assert_false(message_keeps_field(STR("Received")));
	assert_false(message_keeps_field(STR("X-Unheard-Of")));
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct message m;
	buf_printf(&text, "Subject: s\r\nTo: %*s\r\n\r\n", LIMIT_HEADER_SUBSET_MAX, "x@y");
	message_parse(a, buf_str(&text), &m);
	assert_int_equal(m.flags & MESSAGE_SUBSET_COMPLETE, 0);
	assert_true(str_equal(m.subset, STR("Subject: s\r\n")));
}

static void sections_by_number(void **state)
{
	(void)state;
	struct str text = STR("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n"
	                      "--b\nContent-Type: message/rfc822\n\n"
	                      "Content-Type: multipart/mixed; boundary=c\n\n--c\n\ntwo\n--c\n\nthree\n--b\n"
	                      "Content-Type: message/rfc822\n\n\nfour\n--b--\n");
	static const struct {
		uint32_t numbers[4];
		size_t count;
		const char *body;
	} cases[] = {
		{ { 1 }, 1, "one" },         { { 2, 1 }, 2, "two" }, { { 2, 2 }, 2, "three" }, { { 3, 1 }, 2, "four" },
		{ { 4 }, 1, NULL },          { { 0 }, 1, NULL },     { { 1, 1 }, 2, NULL },    { { 2, 3 }, 2, NULL },
		{ { 3, 1, 1 }, 3, NULL },    { { 3, 2 }, 2, NULL },  { { 2, 1, 1 }, 3, NULL }, { { UINT32_MAX }, 1, NULL },
	};
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct message m;
	message_parse(a, text, &m);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		const struct mime_part *part = mime_find(m.root, cases[i].numbers, cases[i].count);
		assert_int_equal(part == NULL, cases[i].body == NULL);
		if (part)
			assert_true(str_equal(mime_body(part, text), str_of(cases[i].body)));
	}
	assert_ptr_equal(mime_find(m.root, NULL, 0), m.root);
	message_parse(a, STR("Subject: s\n\nx"), &m);
	assert_ptr_equal(mime_find(m.root, (uint32_t[]){ 1 }, 1), m.root);
}

static void base_subjects(void **state)
{
	(void)state;
	static const struct {
		const char *subject, *base;
		bool is_reply;
	} cases[] = {
		{ "Hello", "Hello", false },
		{ "Re: Hello", "Hello", true },
		{ "re: FWD: fw: Hello", "Hello", true },
		{ "Re[2]: Hello", "Hello", true },
		{ "RE [x] : Hello", "Hello", true },
		{ "[list] Re: [other] Hello", "Hello", true },
		{ "[only blob]", "[only blob]", false },
		{ "[a] [b]", "[b]", false },
		{ "Hello (fwd) (FWD)  ", "Hello", true },
		{ "[fwd: Re: Hello (fwd)]", "Hello", true },
		{ "[Fwd: [Fwd: Hello]]", "Hello", true },
		{ "  many \t blanks ", "many blanks", false },
		{ "=?utf-8?q?Re:_Gr=C3=BC=C3=9Fe?=", "Grüße", true },
		{ "Regarding: this", "Regarding: this", false },
		{ "Re: ", "", true },
		{ "[fwd:]", "", true },
		{ "", "", false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf base = BUF_WITH_LIMIT(1000);
		bool is_reply;
		subject_base(&base, str_of(cases[i].subject), &is_reply);
		assert_string_equal(buf_text(&base), cases[i].base);
		assert_int_equal(is_reply, cases[i].is_reply);
	}
}

static size_t section_end(struct str blob, size_t at)
{
	size_t length = 0;
	for (unsigned shift = 0;; shift += 7) {
		unsigned char byte = (unsigned char)blob.data[at++];
		length |= (size_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return at + length;
	}
}

/* Version 1 had the subset, behind its length, before the structure. */
static void old_blobs_are_read(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf blob = BUF_WITH_LIMIT(100000);
	CLEANUP(buf_release) struct buf old = BUF_WITH_LIMIT(100000);
	struct message m, again;
	message_parse(a, full, &m);
	assert_true(message_pack(&m, &blob));
	size_t structure = section_end(buf_str(&blob), section_end(buf_str(&blob), 1));
	buf_add_char(&old, 1);
	buf_append(&old, blob.data + 1, structure - 1);
	buf_add_char(&old, (char)((m.subset.length & 0x7f) | 0x80));
	buf_add_char(&old, (char)(m.subset.length >> 7));
	buf_add_str(&old, m.subset);
	buf_add_str(&old, str_from_index(buf_str(&blob), structure));
	assert_true(message_unpack(a, buf_str(&old), &again, NULL));
	check_full(&again);
	assert_true(str_equal(again.subset, m.subset));
	struct mime_part *root = message_unpack_structure(a, buf_str(&old), NULL);
	assert_non_null(root);
	assert_true(str_equal(root->last->id, STR("<id>")));
}

static void damaged_blobs_fail(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf blob = BUF_WITH_LIMIT(100000);
	struct message m;
	struct mail_envelope envelope;
	message_parse(a, full, &m);
	assert_true(message_pack(&m, &blob));
	for (size_t length = 0; length < blob.length; length++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		assert_false(message_unpack(a, str_first(buf_str(&blob), length), &m, &fail));
		assert_int_equal(fail->kind, FAIL_CORRUPT);
	}
	assert_false(message_unpack_envelope(a, str_first(buf_str(&blob), 20), &envelope, NULL));
	for (size_t i = 0; i < blob.length * 8; i++) {
		CLEANUP(arena_cleanup) struct arena *b = arena_new(MESSAGE_ARENA_SIZE);
		blob.data[i / 8] ^= (char)(1 << i % 8);
		if (message_unpack(b, buf_str(&blob), &m, NULL))
			assert_non_null(m.root);
		blob.data[i / 8] ^= (char)(1 << i % 8);
	}
	for (int version = 0; version < 128; version += version == 0 ? 3 : 1) {
		blob.data[0] = (char)version;
		assert_false(message_unpack(a, buf_str(&blob), &m, NULL));
	}
}

struct shape {
	size_t parts;
	size_t depth;
};

static struct shape measure(struct str text)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct message m;
	struct shape shape = {};
	message_parse(a, text, &m);
	check_message(&m, text);
	check_pack(&m);
	for (const struct mime_part *part = m.root; part; part = mime_next(part)) {
		size_t depth = 0;
		for (const struct mime_part *up = part; up; up = up->parent)
			depth++;
		shape.depth = depth > shape.depth ? depth : shape.depth;
		shape.parts++;
	}
	assert_true(arena_used(a) < (16 << 20));
	return shape;
}

static void a_depth_of_ten_thousand_is_bounded(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf multiparts = BUF_WITH_LIMIT(64 << 20);
	CLEANUP(buf_release) struct buf messages = BUF_WITH_LIMIT(64 << 20);
	CLEANUP(buf_release) struct buf prefixes = BUF_WITH_LIMIT(64 << 20);
	for (int i = 0; i < 10000; i++) {
		buf_printf(&multiparts, "Content-Type: multipart/mixed; boundary=\"b%d\"\r\n\r\n--b%d\r\n", i, i);
		buf_printf(&messages, "Content-Type: message/rfc822\r\n\r\n");
		int width = i % 1000 + 1;
		buf_printf(&prefixes, "Content-Type: multipart/mixed; boundary=\"%0*d\"\r\n\r\n--%0*d\r\n", width, 0, width, 0);
	}
	for (int i = 0; i < 10000; i++)
		buf_printf(&prefixes, "--%01000d\r\n", 0);
	assert_int_equal(measure(buf_str(&multiparts)).depth, LIMIT_MIME_DEPTH_MAX);
	assert_int_equal(measure(buf_str(&messages)).depth, LIMIT_MIME_DEPTH_MAX);
	assert_int_equal(measure(buf_str(&prefixes)).depth, LIMIT_MIME_DEPTH_MAX);
}

static void a_hundred_thousand_parts_are_bounded(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(64 << 20);
	buf_add_str(&text, STR("Content-Type: multipart/mixed; boundary=b\r\n\r\n"));
	for (int i = 0; i < 100000; i++)
		buf_add_str(&text, STR("--b\r\nTo: a@b, c@d\r\n\r\nx\r\n"));
	struct shape shape = measure(buf_str(&text));
	assert_int_equal(shape.parts, LIMIT_MIME_PARTS_MAX + 1);
	assert_int_equal(shape.depth, 2);
}

static void addresses_and_parameters_of_all_parts_are_bounded(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(64 << 20);
	buf_add_str(&text, STR("Content-Type: multipart/digest; boundary=b\r\n\r\n"));
	for (int i = 0; i < 5000; i++) {
		buf_add_str(&text, STR("--b\r\n\r\nContent-Type: text/plain"));
		for (int j = 0; j < 100; j++)
			buf_add_str(&text, STR("; a=b"));
		buf_add_str(&text, STR("\r\nTo: "));
		for (int j = 0; j < 500; j++)
			buf_add_str(&text, STR("a@b,"));
		buf_add_str(&text, STR("\r\n\r\nx\r\n"));
	}
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct message m;
	size_t addresses = 0, parameters = 0;
	message_parse(a, buf_str(&text), &m);
	for (const struct mime_part *part = m.root; part; part = mime_next(part)) {
		addresses += part->envelope ? part->envelope->to.count : 0;
		parameters += part->kind == MIME_LEAF && part->parameters.count > 1 ? part->parameters.count : 0;
	}
	assert_int_equal(addresses, LIMIT_MESSAGE_ADDRESSES_MAX);
	assert_in_range(parameters, LIMIT_MESSAGE_PARAMETERS_MAX / 2, LIMIT_MESSAGE_PARAMETERS_MAX);
	check_pack(&m);
}

/* Each field and part costs more memory than text; the arena must bear the worst mixture of them. */
static void tiny_fields_fit_the_arena(void **state)
{
	(void)state;
	static const char *const fields[] = { "To:,\n", "Cc:(\n", "To:a\n", "Content-Type:x\n y\n", "Content-Id:\n a\n",
		                                  "Content-Type:a/b;c=d\n", "X:\n", "From:g:\n" };
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_MESSAGE_SIZE);
		struct message m;
		buf_add_str(&text, STR("Content-Type: multipart/digest; boundary=b\n\n"));
		for (size_t size = 0; !text.overflowed && text.length < LIMIT_MESSAGE_SIZE / 5; size++) {
			buf_add_str(&text, STR("--b\n\n"));
			for (size_t j = 0; j < size % 4000; j++)
				buf_add_str(&text, str_of(fields[i]));
			buf_add_str(&text, STR("\n"));
		}
		message_parse(a, buf_str(&text), &m);
		check_message(&m, buf_str(&text));
		assert_true(arena_used(a) < MESSAGE_ARENA_SIZE / 2);
	}
}

static void check_sample(const char *path, struct str text)
{
	(void)path;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct message m;
	message_parse(a, text, &m);
	check_message(&m, text);
	check_pack(&m);
	must(arena_used(a) < 65536 + text.length * 16);
}

static void every_sample_keeps_the_invariants(void **state)
{
	(void)state;
	if (!check_samples(check_sample)) {
		print_message("no sample mails\n");
		skip();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(trees),
		cmocka_unit_test(everything_is_read_and_packed),
		cmocka_unit_test(fields_of_the_subset),
		cmocka_unit_test(sections_by_number),
		cmocka_unit_test(base_subjects),
		cmocka_unit_test(damaged_blobs_fail),
		cmocka_unit_test(old_blobs_are_read),
		cmocka_unit_test(a_depth_of_ten_thousand_is_bounded),
		cmocka_unit_test(a_hundred_thousand_parts_are_bounded),
		cmocka_unit_test(addresses_and_parameters_of_all_parts_are_bounded),
		cmocka_unit_test(tiny_fields_fit_the_arena),
		cmocka_unit_test(every_sample_keeps_the_invariants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
