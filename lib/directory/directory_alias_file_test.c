#include "directory_alias_file.h"

#include "buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>

/* What was read, as "name>target,target;" for each entry and "!line" for each problem. */
static const struct {
	const char *text;
	const char *read;
} files[] = {
	{ "", "" },
	{ "# only a comment\n\n  \n\t# another\n", "" },
	{ "root: alice\n", "root>alice;" },
	{ "root: alice", "root>alice;" },
	{ "root:alice\r\nwww:\troot\r\n", "root>alice;www>root;" },
	{ "staff: alice, bob,carol@example.org ,\n", "staff>alice,bob,carol@example.org;" },
	{ "staff: alice,\n\tbob,\n # in between\n\n  carol\nnext: x\n", "staff>alice,bob,carol;next>x;" },
	{ "staff:\n alice\n", "staff>alice;" },
	{ "root : \\alice, bob@example.org\n", "root>alice,bob@example.org;" },
	{ "\"John Smith\": \"Jane Doe\"@example.org\n", "\"John Smith\">\"Jane Doe\"@example.org;" },
	{ "a: \"b,c\"@example.org, \"d@example.org\"\n", "a>\"b,c\"@example.org,d@example.org;" },
	{ "\"a:b\": c\n", "\"a:b\">c;" },
	{ "a: \"B, <C>\" <b@example.org>, Dee <d>, <e>\n", "a>b@example.org,d,e;" },
	{ "a: <|/bin/cat>\nb: <>\nc: x>\n", "!1!2c>x>;" },
	{ "a#b: c#d\n", "a#b>c#d;" },
	{ "sales@example.org: alice\n", "sales@example.org>alice;" },
	{ "a: |/bin/cat\nb: c\n", "!1b>c;" },
	{ "a: x, \"|/usr/bin/filter -a, b\"\n", "!1" },
	{ "a: /var/mail/archive\n", "!1" },
	{ "a: \\|/bin/cat\nb: \\\n", "!1!2" },
	{ "a: \"/var/mail/with space\"\n", "!1" },
	{ "# x\na: :include:/etc/list\nb: :INCLUDE:/etc/list\n", "!2!3" },
	{ "no colon here\nb: c\n", "!1b>c;" },
	{ ": x\n", "!1" },
	{ "a:\n", "!1" },
	{ "a: ,\n", "!1" },
	{ "a: b,,c\n", "!1" },
	{ "a: \"b\n", "!1" },
	{ "\"a: b\n", "!1" },
	{ "  a: b\n", "!1" },
	{ "a: b\na: c\n", "!2a>b;" },
	{ "\\", "!1" },
};

static void read_file(const char *text, struct buf *read)
{
	struct arena *arena = arena_new(1 << 20);
	CLEANUP(alias_file_release) struct alias_file file = {};
	assert_true(alias_file_parse(str_of(text), arena, &file, NULL));
	for (size_t i = 0; i < file.problems.count; i++)
		buf_printf(read, "!%u", file.problems.items[i].line);
	for (size_t i = 0; i < file.entries.count; i++) {
		struct alias_file_entry *entry = &file.entries.items[i];
		buf_printf(read, "%.*s", STR_ARG(entry->name));
		for (size_t n = 0; n < entry->target_count; n++)
			buf_printf(read, "%c%.*s", n ? ',' : '>', STR_ARG(entry->targets[n]));
		buf_add_char(read, ';');
	}
	arena_free(arena);
}

static void all_forms(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(files); i++) {
		CLEANUP(buf_release) struct buf read = BUF_WITH_LIMIT(10000);
		read_file(files[i].text, &read);
		if (!str_equal(buf_str(&read), str_of(files[i].read)))
			fail_msg("file %zu\n%s\nwas read as %s", i, files[i].text, buf_text(&read));
	}
}

static void problems_say_what_to_do(void **state)
{
	(void)state;
	struct arena *arena = arena_new(1 << 20);
	CLEANUP(alias_file_release) struct alias_file file = {};
	assert_true(alias_file_parse(STR("\nx: |/bin/sh -c evil\n"), arena, &file, NULL));
	assert_int_equal(file.problems.count, 1);
	assert_true(str_starts(file.problems.items[0].text, STR("line 2: mail is not piped into programs")));
	arena_free(arena);
}

static void limits_hold_at_their_edge(void **state)
{
	(void)state;
	struct arena *arena = arena_new(64 << 20);
	CLEANUP(alias_file_release) struct alias_file file = {};
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_ALIAS_FILE_MAX + 1);
	buf_printf(&text, "list: x");
	for (size_t i = 1; i < LIMIT_ALIAS_TARGETS_MAX; i++)
		buf_printf(&text, ",x%zu", i);
	assert_true(alias_file_parse(buf_str(&text), arena, &file, NULL));
	assert_int_equal(file.entries.items[0].target_count, LIMIT_ALIAS_TARGETS_MAX);
	buf_printf(&text, ",y");
	alias_file_release(&file);
	assert_true(alias_file_parse(buf_str(&text), arena, &file, NULL));
	assert_int_equal(file.problems.count, 1);
	buf_clear(&text);
	while (text.length < LIMIT_ALIAS_FILE_MAX)
		buf_add_char(&text, text.length % 2 ? '\n' : 'x');
	alias_file_release(&file);
	assert_true(alias_file_parse(buf_str(&text), arena, &file, NULL));
	assert_int_equal(file.problems.count, LIMIT_ALIAS_FILE_PROBLEMS_MAX);
	buf_add_char(&text, 'x');
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(alias_file_parse(buf_str(&text), arena, &file, &fail));
	assert_int_equal(fail->kind, FAIL_TOO_BIG);
	arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_forms),
		cmocka_unit_test(problems_say_what_to_do),
		cmocka_unit_test(limits_hold_at_their_edge),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
