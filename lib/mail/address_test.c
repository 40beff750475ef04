#include "address.h"

#include "buf.h"
#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void print(struct buf *out, const struct address_list *list)
{
	for (const struct address *a = list->first; a; a = a->next) {
		if (address_is_group_begin(a))
			buf_printf(out, "{%.*s|", STR_ARG(a->mailbox));
		else if (address_is_group_end(a))
			buf_printf(out, "}|");
		else
			buf_printf(out, "%.*s<%.*s;%.*s;%.*s>|", STR_ARG(a->name), STR_ARG(a->route), STR_ARG(a->mailbox),
			           STR_ARG(a->host));
	}
}

static void lists(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		/* RFC 5322 appendix A */
		{ "John Doe <jdoe@machine.example>", "John Doe<;jdoe;machine.example>|" },
		{ "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
		  "Mary Smith<;mary;x.test>|<;jdoe;example.org>|Who?<;one;y.test>|" },
		{ "<boss@nil.test>, \"Giant; \\\"Big\\\" Box\" <sysservices@example.net>",
		  "<;boss;nil.test>|Giant; \"Big\" Box<;sysservices;example.net>|" },
		{ "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
		  "{A Group|Ed Jones<;c;a.test>|<;joe;where.test>|John<;jdoe;one.test>|}|" },
		{ "Undisclosed recipients:;", "{Undisclosed recipients|}|" },
		{ "\"Joe Q. Public\" <john.q.public@example.com>", "Joe Q. Public<;john.q.public;example.com>|" },
		{ "Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", "Pete<;pete;silly.test>|" },
		{ "A Group(Some people)\r\n :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n"
		  " John <jdoe@one.test> (my dear friend); (the end of the group)",
		  "{A Group|Chris Jones<;c;public.example>|<;joe;example.org>|John<;jdoe;one.test>|}|" },
		{ "(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", "{Hidden recipients|}|" },
		{ "Joe Q. Public <john.q.public@example.com>", "Joe Q. Public<;john.q.public;example.com>|" },
		{ "Mary Smith <@node.test,@b.test:mary@example.net>, , jdoe@test   . example",
		  "Mary Smith<@node.test,@b.test;mary;example.net>|<;jdoe;test.example>|" },
		/* real life */
		{ "jdoe@example.org (John Doe)", "John Doe<;jdoe;example.org>|" },
		{ "=?utf-8?q?J=C3=B6rg?= <j@x>", "=?utf-8?q?J=C3=B6rg?=<;j;x>|" },
		{ "Jörg <jörg@bücher.example>", "Jörg<;jörg;bücher.example>|" },
		{ "foo@bar.com <foo@bar.com>", "foo@bar.com<;foo;bar.com>|" },
		{ "a@b; c@d", "<;a;b>|<;c;d>|" },
		{ "\"a b\"@c", "<;a b;c>|" },
		{ "a.b.c@[192.0.2.1]", "<;a.b.c;[192.0.2.1]>|" },
		{ "root", "<;root;>|" },
		{ "<>", "<;;>|" },
		{ "<@host>", "<;;host>|" },
		{ "a@b@c", "<;a@b;c>|" },
		{ "<a@b> <c@d>", "<;a;b>|<;c;d>|" },
		{ "Name <a@b> trailing words, c@d", "Name<;a;b>|<;c;d>|" },
		{ "Broken <a@b, c@d", "Broken<;a;b>|<;c;d>|" },
		{ "\"open quote <a@b>", "<;open quote <a@b>;>|" },
		{ "(open comment a@b", "" },
		{ ")))) a@b >>>", "<;a;b>|" },
		{ "G: a@b, H: c@d", "{G|<;a;b>|}|{H|<;c;d>|}|" },
		{ "mailto:a@b", "{mailto|<;a;b>|}|" },
		{ ",,;,", "" },
		{ " \r\n ", "" },
		{ "a\\", "<;a\\;>|" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 20);
		CLEANUP(buf_release) struct buf seen = BUF_WITH_LIMIT(10000);
		struct address_list list = {};
		address_parse(a, str_of(cases[i][0]), LIMIT_ADDRESSES_MAX, &list);
		print(&seen, &list);
		assert_string_equal(buf_text(&seen), cases[i][1]);
	}
}

static void repeated_fields_add_up(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 20);
	CLEANUP(buf_release) struct buf seen = BUF_WITH_LIMIT(10000);
	struct address_list list = {};
	address_parse(a, STR("a@b, c@d"), 10, &list);
	address_parse(a, STR("e@f"), 10, &list);
	print(&seen, &list);
	assert_string_equal(buf_text(&seen), "<;a;b>|<;c;d>|<;e;f>|");
	assert_int_equal(list.count, 3);
}

static void the_limit_keeps_groups_whole(void **state)
{
	(void)state;
	for (size_t max = 0; max < 8; max++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 20);
		struct address_list list = {};
		address_parse(a, STR("a@b, G: c@d, e@f; H:;"), max, &list);
		assert_in_range(list.count, max > 0, max);
		assert_true(max < 7 || list.count == 7);
		bool open = false;
		for (const struct address *x = list.first; x; x = x->next)
			open = address_is_group_begin(x) || (open && !address_is_group_end(x));
		assert_false(open);
	}
}

static void half_a_million_addresses_are_bounded(void **state)
{
	(void)state;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(64 << 20);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(16 << 20);
	for (int i = 0; i < 500000; i++)
		buf_add_str(&text, STR("a@b,"));
	struct address_list list = {};
	address_parse(a, buf_str(&text), LIMIT_ADDRESSES_MAX, &list);
	assert_int_equal(list.count, LIMIT_ADDRESSES_MAX);
	assert_true(arena_used(a) < text.length + LIMIT_ADDRESSES_MAX * (sizeof(struct address) + 32));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists),
		cmocka_unit_test(repeated_fields_add_up),
		cmocka_unit_test(the_limit_keeps_groups_whole),
		cmocka_unit_test(half_a_million_addresses_are_bounded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
