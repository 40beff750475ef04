#include "directory_fixture.h"
#include "directory_sql.h"

/* Sets an alias from text: "address: target target". */
static bool alias(struct fixture *f, const char *text, struct fail **fail)
{
	struct str targets[8];
	size_t count = 0;
	struct str rest = str_of(text);
	struct str name;
	str_take_until(&rest, ':', &name);
	rest = str_trim(rest);
	while (count < COUNT_OF(targets) && str_take_until(&rest, ' ', &targets[count]))
		count++;
	return directory_alias_set(f->d, name, targets, count, fail);
}

/* The resolution as text: "address/subaddress" of each target with spaces between, "=" before an
 * account; or the verdict. */
static const char *resolve(struct fixture *f, const char *address, struct buf *text)
{
	static const char *const verdicts[] = { "deliver", "unknown domain", "unknown user", "disabled", "broken" };
	CLEANUP(directory_resolution_release) struct directory_resolution r;
	CLEANUP(fail_free) struct fail *fail = NULL;
	buf_clear(text);
	directory_resolution_init(&r);
	if (!directory_resolve(f->d, str_of(address), &r, &fail)) {
		buf_printf(text, "%s", fail_kind_name(fail->kind));
		return buf_text(text);
	}
	assert_int_equal(r.verdict == DIRECTORY_DELIVER, r.targets.count > 0);
	if (r.verdict != DIRECTORY_DELIVER)
		buf_printf(text, "%s", verdicts[r.verdict]);
	for (size_t i = 0; i < r.targets.count; i++) {
		struct directory_target *t = &r.targets.items[i];
		assert_int_equal(t->account_id != 0, t->directory.length > 0);
		buf_printf(text, "%s%s%.*s", i ? " " : "", t->account_id ? "=" : "", STR_ARG(t->address));
		if (t->subaddress.length)
			buf_printf(text, "/%.*s", STR_ARG(t->subaddress));
	}
	return buf_text(text);
}

static const char *const aliases[] = {
	"sales@example.test: alice bob",
	"all@example.test: sales carol@m\u00fcnchen.example sales",
	"out@example.test: Far.Away@Elsewhere.Example alice",
	"bob@example.test: bob Bob@mobile.example",
	"box@example.test: alice+Box",
	"nested@example.test: box+Deeper bob",
	"\"two words\"@example.test: alice",
	"\u0161\u00e9f@example.test: alice",
};

static const struct {
	const char *address;
	const char *result;
} resolutions[] = {
	{ "alice@example.test", "=alice@example.test" },
	{ "ALICE@EXAMPLE.TEST", "=alice@example.test" },
	{ "alice+Lists@example.test", "=alice@example.test/Lists" },
	{ "alice+a+b@example.test", "=alice@example.test/a+b" },
	{ "alice+@example.test", "=alice@example.test" },
	{ "+alice@example.test", "unknown user" },
	{ "\"alice\"@example.test", "=alice@example.test" },
	{ "carol@M\u00dcNCHEN.example", "=carol@xn--mnchen-3ya.example" },
	{ "carol@example.test", "unknown user" },
	{ "nobody@example.test", "unknown user" },
	{ "alice@elsewhere.example", "unknown domain" },
	{ "postmaster@elsewhere.example", "unknown domain" },
	{ "alice@[127.0.0.1]", "unknown domain" },
	{ "sales@example.test", "=alice@example.test =bob@example.test Bob@mobile.example" },
	{ "SALES+x@example.test", "=alice@example.test/x =bob@example.test/x Bob@mobile.example" },
	{ "all@example.test",
	  "=alice@example.test =bob@example.test Bob@mobile.example =carol@xn--mnchen-3ya.example" },
	{ "out@example.test", "Far.Away@elsewhere.example =alice@example.test" },
	{ "bob@example.test", "=bob@example.test Bob@mobile.example" },
	{ "bob+y@example.test", "=bob@example.test/y Bob@mobile.example" },
	{ "box@example.test", "=alice@example.test/Box" },
	{ "box+Inner@example.test", "=alice@example.test/Box" },
	{ "nested@example.test", "=alice@example.test/Box =bob@example.test Bob@mobile.example" },
	{ "\"Two Words\"@example.test", "=alice@example.test" },
	{ "\u0160e\u0301F@example.test", "=alice@example.test" },
	{ "postmaster@example.test", "=alice@example.test" },
	{ "Abuse@example.test", "=alice@example.test" },
	{ "postmaster+x@example.test", "=alice@example.test" },
	{ "postmaster@m\u00fcnchen.example", "=carol@xn--mnchen-3ya.example" },
	{ "Postmaster", "=alice@example.test" },
	{ "alice", "invalid" },
	{ "not an address", "invalid" },
	{ "", "invalid" },
};

static void addresses_lead_where_they_should(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(10000);
	for (size_t i = 0; i < COUNT_OF(aliases); i++)
		good(alias(f, aliases[i], fail));
	for (size_t i = 0; i < COUNT_OF(resolutions); i++) {
		const char *result = resolve(f, resolutions[i].address, &text);
		if (strcmp(result, resolutions[i].result) != 0)
			fail_msg("%s: %s", resolutions[i].address, result);
	}
}

static void the_recipient_is_kept(void **state)
{
	struct fixture *f = *state;
	CLEANUP(directory_resolution_release) struct directory_resolution r;
	directory_resolution_init(&r);
	good(directory_resolve(f->d, STR("Alice+News@Example.TEST"), &r, fail));
	assert_true(str_equal(r.recipient, STR("alice+news@example.test")));
	assert_true(str_equal(r.targets.items[0].directory, STR("example.test/alice.1")));
	assert_int_equal(r.targets.items[0].account_id, f->alice);
	good(directory_resolve(f->d, STR("x@elsewhere.example"), &r, fail));
	assert_int_equal(r.targets.count, 0);
	assert_int_equal(r.verdict, DIRECTORY_UNKNOWN_DOMAIN);
}

static void separators_can_be_chosen(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	good(directory_setting_set(f->d, DIRECTORY_SEPARATORS, STR("-_"), fail));
	assert_string_equal(resolve(f, "alice-x@example.test", &text), "=alice@example.test/x");
	assert_string_equal(resolve(f, "alice_x-y@example.test", &text), "=alice@example.test/x-y");
	assert_string_equal(resolve(f, "alice+x@example.test", &text), "unknown user");
	good(directory_setting_set(f->d, DIRECTORY_SEPARATORS, STR(""), fail));
	assert_string_equal(resolve(f, "alice-x@example.test", &text), "unknown user");
}

static void a_catch_all_takes_the_rest(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	good(directory_domain_set_catch_all(f->d, STR("example.test"), STR("bob+Rest"), fail));
	assert_string_equal(resolve(f, "nobody@example.test", &text), "=bob@example.test/Rest");
	assert_string_equal(resolve(f, "alice@example.test", &text), "=alice@example.test");
	assert_string_equal(resolve(f, "postmaster@example.test", &text), "=alice@example.test");
	good(directory_domain_set_catch_all(f->d, STR("example.test"), STR("Any@Elsewhere.example"), fail));
	assert_string_equal(resolve(f, "nobody@example.test", &text), "Any@elsewhere.example");
	good(directory_domain_set_catch_all(f->d, STR("example.test"), STR("gone"), fail));
	assert_string_equal(resolve(f, "nobody@example.test", &text), "unknown user");
	/* Two domains that send to each other what neither has. */
	good(directory_domain_set_catch_all(f->d, STR("example.test"), STR("x@m\u00fcnchen.example"), fail));
	good(directory_domain_set_catch_all(f->d, STR("m\u00fcnchen.example"), STR("x@example.test"), fail));
	assert_string_equal(resolve(f, "nobody@example.test", &text), "unknown user");
}

static void postmaster_always_arrives(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	good(directory_domain_set_postmaster(f->d, STR("example.test"), STR("carol@m\u00fcnchen.example"), fail));
	assert_string_equal(resolve(f, "postmaster@example.test", &text), "=carol@xn--mnchen-3ya.example");
	good(directory_account_set_enabled(f->d, f->carol, false, fail));
	assert_string_equal(resolve(f, "abuse@example.test", &text), "=alice@example.test");
	good(directory_account_set_enabled(f->d, f->alice, false, fail));
	assert_string_equal(resolve(f, "abuse@example.test", &text), "=bob@example.test");
	good(alias(f, "postmaster@example.test: alice", fail));
	assert_string_equal(resolve(f, "postmaster@example.test", &text), "=bob@example.test");
	good(directory_setting_set(f->d, DIRECTORY_DEFAULT_DOMAIN, STR("m\u00fcnchen.example"), fail));
	good(directory_account_set_enabled(f->d, f->carol, true, fail));
	assert_string_equal(resolve(f, "postmaster", &text), "=carol@xn--mnchen-3ya.example");
}

static void disabled_and_deleted_accounts(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	good(alias(f, "both@example.test: alice bob", fail));
	good(alias(f, "one@example.test: bob", fail));
	good(directory_account_set_enabled(f->d, f->bob, false, fail));
	assert_string_equal(resolve(f, "bob@example.test", &text), "disabled");
	assert_string_equal(resolve(f, "one@example.test", &text), "disabled");
	assert_string_equal(resolve(f, "both@example.test", &text), "=alice@example.test");
	good(directory_account_delete(f->d, f->bob, 100, fail));
	assert_string_equal(resolve(f, "bob@example.test", &text), "unknown user");
	assert_string_equal(resolve(f, "one@example.test", &text), "unknown user");
	assert_string_equal(resolve(f, "both@example.test", &text), "=alice@example.test");
	good(directory_account_undelete(f->d, f->bob, fail));
	good(directory_account_set_enabled(f->d, f->bob, true, fail));
	assert_string_equal(resolve(f, "one@example.test", &text), "=bob@example.test");
}

static void loops_are_refused(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	good(alias(f, "a@example.test: alice", fail));
	good(alias(f, "b@example.test: a", fail));
	good(alias(f, "c@example.test: b bob", fail));
	bad(FAIL_INVALID, "a@example.test: it would lead back to itself", alias(f, "a@example.test: c", fail));
	bad(FAIL_INVALID, "back to itself", alias(f, "a@example.test: a", fail));
	bad(FAIL_INVALID, "back to itself", alias(f, "a@example.test: A+x", fail));
	bad(FAIL_INVALID, "back to itself", alias(f, "self@example.test: self", fail));
	good(alias(f, "alice@example.test: alice", fail));
	bad(FAIL_INVALID, "back to itself", alias(f, "alice@example.test: a", fail));
	/* A refused change changes nothing. */
	assert_string_equal(resolve(f, "c@example.test", &text), "=alice@example.test =bob@example.test");
	assert_string_equal(resolve(f, "self@example.test", &text), "unknown user");
}

static void missing_targets_are_refused(void **state)
{
	struct fixture *f = *state;
	int64_t id;
	bad(FAIL_NOT_FOUND, "gone@example.test does not exist", alias(f, "a@example.test: gone", fail));
	bad(FAIL_NOT_FOUND, "posthornctl domain add nowhere.example", alias(f, "a@nowhere.example: alice", fail));
	bad(FAIL_INVALID, "needs a target", alias(f, "a@example.test:", fail));
	bad(FAIL_INVALID, "write a@DOMAIN", alias(f, "a: alice@example.test", fail));
	bad(FAIL_INVALID, "is not an address", alias(f, "a@example.test: b@@c", fail));
	bad(FAIL_NOT_FOUND, "no alias", directory_alias_remove(f->d, STR("alice@example.test"), fail));
	good(alias(f, "a@example.test: alice", fail));
	bad(FAIL_EXISTS, "is an alias", directory_account_add(f->d, STR("A@example.test"), STR(""), STR(""), &id, fail));
}

static void depth_and_number_are_limited(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	char line[100];
	good(alias(f, "n1@example.test: alice", fail));
	for (int i = 2; i <= LIMIT_ALIAS_DEPTH_MAX; i++) {
		snprintf(line, sizeof line, "n%d@example.test: n%d", i, i - 1);
		good(alias(f, line, fail));
	}
	assert_string_equal(resolve(f, "n10@example.test", &text), "=alice@example.test");
	bad(FAIL_LIMIT, "more than 10 aliases", alias(f, "n11@example.test: n10", fail));
	/* Made deeper from below, which nobody looks at when it is added: bounded when it is used. */
	good(alias(f, "base@example.test: bob", fail));
	good(alias(f, "n1@example.test: base", fail));
	assert_string_equal(resolve(f, "n9@example.test", &text), "=bob@example.test");
	assert_string_equal(resolve(f, "n10@example.test", &text), "broken");
	struct str *many = mem_alloc((LIMIT_ALIAS_TARGETS_MAX + 1) * sizeof *many);
	for (size_t i = 0; i <= LIMIT_ALIAS_TARGETS_MAX; i++)
		many[i] = STR("alice");
	good(directory_alias_set(f->d, STR("many@example.test"), many, LIMIT_ALIAS_TARGETS_MAX, fail));
	assert_string_equal(resolve(f, "many@example.test", &text), "=alice@example.test");
	bad(FAIL_LIMIT, "more than 1000 targets",
	    directory_alias_set(f->d, STR("many@example.test"), many, LIMIT_ALIAS_TARGETS_MAX + 1, fail));
	bad(FAIL_LIMIT, "more than 1000 addresses", alias(f, "more@example.test: many", fail));
	free(many);
}

/* A loop that got in by other means ends too. */
static void expansion_ends_whatever_is_stored(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	good(alias(f, "a@example.test: alice", fail));
	good(alias(f, "b@example.test: a", fail));
	assert_int_equal(sqlite3_exec(f->d->db, "UPDATE alias_target SET target='b@example.test' WHERE alias_id=1", NULL,
	                              NULL, NULL), SQLITE_OK);
	assert_string_equal(resolve(f, "a@example.test", &text), "unknown user");
	assert_int_equal(sqlite3_exec(f->d->db, "UPDATE alias_target SET target='@@'", NULL, NULL, NULL), SQLITE_OK);
	assert_string_equal(resolve(f, "a@example.test", &text), "corrupt");
}

static void aliases_can_be_listed_and_removed(void **state)
{
	struct fixture *f = *state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	good(alias(f, "a@example.test: alice Bob@Far.example", fail));
	good(alias(f, "bob@example.test: bob alice", fail));
	struct directory_alias one = { .id = 0 };
	assert_true(directory_alias_next(f->d, &one, NULL));
	assert_string_equal(one.address, "a@example.test");
	assert_string_equal(buf_text(&one.targets), "alice@example.test\nBob@far.example\n");
	assert_true(directory_alias_next(f->d, &one, NULL));
	assert_string_equal(buf_text(&one.targets), "bob@example.test\nalice@example.test\n");
	assert_false(directory_alias_next(f->d, &one, NULL));
	buf_release(&one.targets);
	good(directory_alias_get(f->d, STR("A@example.test"), &text, fail));
	assert_string_equal(buf_text(&text), "alice@example.test\nBob@far.example\n");
	good(directory_alias_remove(f->d, STR("bob@example.test"), fail));
	assert_string_equal(resolve(f, "bob@example.test", &text), "=bob@example.test");
	good(directory_alias_remove(f->d, STR("a@example.test"), fail));
	assert_string_equal(resolve(f, "a@example.test", &text), "unknown user");
}

static const char sendmail_file[] =
	"# See man 5 aliases\n"
	"mailer-daemon: postmaster\n"
	"postmaster: root\n"
	"root: alice,\n"
	"      Admin@Elsewhere.example\n"
	"bob: \\bob, bob@mobile.example\n"
	"\"John Smith\": bob\n";

static void an_aliases_file_is_imported(void **state)
{
	struct fixture *f = *state;
	size_t count = 0;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	CLEANUP(buf_release) struct buf report = BUF_WITH_LIMIT(1000);
	struct str file = str_of(sendmail_file);
	good(directory_alias_import(f->d, STR("Example.test"), file, DIRECTORY_IMPORT_STRICT, &count, &report, fail));
	assert_int_equal(count, 5);
	assert_int_equal(report.length, 0);
	assert_string_equal(resolve(f, "MAILER-DAEMON@example.test", &text), "=alice@example.test Admin@elsewhere.example");
	assert_string_equal(resolve(f, "\"john smith\"@example.test", &text), "=bob@example.test bob@mobile.example");
	/* Again: replaces what it made. */
	good(directory_alias_import(f->d, STR("example.test"), file, DIRECTORY_IMPORT_STRICT, &count, &report, fail));
	assert_string_equal(resolve(f, "root@example.test", &text), "=alice@example.test Admin@elsewhere.example");
}

static const struct {
	const char *text;
	const char *why;    /* of the strict import */
	size_t count;       /* aliases of the lenient one */
	const char *report;
} imports[] = {
	{ "a: alice\nb: |/bin/x\n", "line 2: mail is not piped", 1, "line 2: mail is not piped" },
	{ "a: alice\nb: gone\n", "line 2: alias b@example.test: its target gone@example.test", 1, "line 2: alias b@" },
	{ "a: b\nb: a\nc: alice\n", "line 1: alias a@example.test: it would lead back", 1, "line 1: alias a@" },
	{ "a: alice\nb@nowhere.example: alice\n", "line 2: domain nowhere.example is not ours", 1, "line 2: domain" },
	{ "x: y\ny: gone\nz: bob\n", "line 2: alias y@", 1, "line 1: alias x@" },
	{ "a b: alice\n", "line 1: \"a b\" is not an address", 0, "line 1: \"a b\"" },
};

static void bad_lines_refuse_or_are_left_out(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < COUNT_OF(imports); i++) {
		size_t count = 99;
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
		CLEANUP(buf_release) struct buf report = BUF_WITH_LIMIT(1000);
		struct str file = str_of(imports[i].text);
		CLEANUP(fail_free) struct fail *trouble = NULL;
		assert_false(directory_alias_import(f->d, STR("example.test"), file, DIRECTORY_IMPORT_STRICT, &count, &report,
		                                    &trouble));
		if (!strstr(trouble->text, imports[i].why))
			fail_msg("%s: %s", imports[i].text, trouble->text);
		assert_string_equal(resolve(f, "a@example.test", &text), "unknown user");
		good(directory_begin(f->d, fail));
		good(directory_alias_import(f->d, STR("example.test"), file, DIRECTORY_IMPORT_SKIP, &count, &report, fail));
		assert_int_equal(count, imports[i].count);
		if (!strstr(buf_text(&report), imports[i].report))
			fail_msg("%s: %s", imports[i].text, buf_text(&report));
		directory_rollback(f->d);
	}
}

static void an_import_does_not_take_an_alias_away(void **state)
{
	struct fixture *f = *state;
	size_t count;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1000);
	CLEANUP(buf_release) struct buf report = BUF_WITH_LIMIT(1000);
	good(alias(f, "a@example.test: alice", fail));
	bad(FAIL_INVALID, "would replace the alias a@example.test",
	    directory_alias_import(f->d, STR("example.test"), STR("a: gone\n"), DIRECTORY_IMPORT_SKIP, &count, &report,
	                           fail));
	assert_string_equal(resolve(f, "a@example.test", &text), "=alice@example.test");
}

static const struct {
	const char *address;
	bool alice;
	bool bob;
} senders[] = {
	{ "alice@example.test", true, false },
	{ "ALICE+x@example.test", true, false },
	{ "bob@example.test", false, true },
	{ "sales@example.test", true, true },
	{ "whatever@example.test", false, true },          /* the catch-all */
	{ "postmaster@example.test", true, false },
	{ "carol@m\u00fcnchen.example", false, false },
	{ "anyone@m\u00fcnchen.example", false, false },
	{ "alice@partner.example", true, false },          /* added */
	{ "x@shop.example", false, true },
	{ "x@sub.shop.example", false, false },
	{ "alice@elsewhere.example", false, false },
	{ "alice", false, false },
};

static void senders_are_checked(void **state)
{
	struct fixture *f = *state;
	char next[DIRECTORY_ADDRESS_TEXT_MAX + 1] = "";
	good(alias(f, "sales@example.test: alice bob", fail));
	good(directory_domain_set_catch_all(f->d, STR("example.test"), STR("bob"), fail));
	good(directory_sender_add(f->d, f->alice, STR("Alice@Partner.example"), fail));
	good(directory_sender_add(f->d, f->alice, STR("alice@partner.example"), fail));
	good(directory_sender_add(f->d, f->bob, STR("@Shop.example"), fail));
	bad(FAIL_INVALID, "write bob@DOMAIN", directory_sender_add(f->d, f->bob, STR("bob"), fail));
	bad(FAIL_NOT_FOUND, "number 99", directory_sender_add(f->d, 99, STR("@x.example"), fail));
	for (size_t i = 0; i < COUNT_OF(senders); i++) {
		bool alice;
		bool bob;
		good(directory_sender_allowed(f->d, f->alice, str_of(senders[i].address), &alice, fail));
		good(directory_sender_allowed(f->d, f->bob, str_of(senders[i].address), &bob, fail));
		if (alice != senders[i].alice || bob != senders[i].bob)
			fail_msg("%s: alice %d, bob %d", senders[i].address, alice, bob);
	}
	assert_true(directory_sender_next(f->d, f->alice, next, NULL));
	assert_string_equal(next, "alice@partner.example");
	assert_false(directory_sender_next(f->d, f->alice, next, NULL));
	good(directory_sender_remove(f->d, f->alice, STR("ALICE@partner.example"), fail));
	bad(FAIL_NOT_FOUND, "was not added", directory_sender_remove(f->d, f->alice, STR("alice@partner.example"), fail));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(addresses_lead_where_they_should),
		fixture_test(the_recipient_is_kept),
		fixture_test(separators_can_be_chosen),
		fixture_test(a_catch_all_takes_the_rest),
		fixture_test(postmaster_always_arrives),
		fixture_test(disabled_and_deleted_accounts),
		fixture_test(loops_are_refused),
		fixture_test(missing_targets_are_refused),
		fixture_test(depth_and_number_are_limited),
		fixture_test(expansion_ends_whatever_is_stored),
		fixture_test(aliases_can_be_listed_and_removed),
		fixture_test(an_aliases_file_is_imported),
		fixture_test(bad_lines_refuse_or_are_left_out),
		fixture_test(an_import_does_not_take_an_alias_away),
		fixture_test(senders_are_checked),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
