#include "rule.h"

#include "check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { DAY = 86400, NOW = 1000 * DAY };

static const char header[] = "From: Ján <jan@example.test>\r\nList-Id: Posthorn Users <users.lists.example.test>\r\n"
                             "Date: Wed, 20 Sep 1972 00:00:00 +0000\r\nX-Spam-Status: Yes, score=7.5 required=5.0\r\n\r\n";

static const struct {
	struct rule rule;
	enum rule_action wanted;
} cases[] = {
	{ { RULE_FROM, RULE_TICK, "JÁN" }, RULE_TICK },
	{ { RULE_FROM, RULE_MARK, "example.TEST" }, RULE_MARK },
	{ { RULE_FROM, RULE_TICK, "nobody" }, RULE_NOTHING },
	{ { RULE_TO, RULE_TICK, "me@" }, RULE_TICK },
	{ { RULE_SUBJECT, RULE_TICK, "offer" }, RULE_TICK },
	{ { RULE_LIST_ID, RULE_MARK, "users.lists" }, RULE_MARK },
	{ { RULE_SIZE, RULE_TICK, "9" }, RULE_TICK },
	{ { RULE_SIZE, RULE_TICK, "10" }, RULE_NOTHING },
	{ { RULE_AGE, RULE_TICK, "5" }, RULE_TICK },
	{ { RULE_AGE, RULE_TICK, "10000" }, RULE_NOTHING },
	{ { RULE_SPAM, RULE_TICK, "7.5" }, RULE_TICK },
	{ { RULE_SPAM, RULE_TICK, "7.6" }, RULE_NOTHING },
};

static struct rule_mail read_mail(void)
{
	struct rule_mail mail = { .from = STR("Ján <jan@example.test>"), .to = STR("me@example.test"),
		                      .subject = STR("An OFFER"), .size = 10240 };
	rule_mail_read(&mail, str_of(header), NOW);
	return mail;
}

static void test_each(void **state UNUSED)
{
	const struct rule_mail mail = read_mail();
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(rule_apply(&cases[i].rule, 1, &mail), cases[i].wanted);
}

static void test_strongest(void **state UNUSED)
{
	const struct rule_mail mail = read_mail();
	const struct rule rules[] = { cases[1].rule, cases[2].rule, cases[0].rule, cases[1].rule };
	assert_int_equal(rule_apply(rules, 2, &mail), RULE_MARK);
	assert_int_equal(rule_apply(rules, 4, &mail), RULE_TICK);
	assert_int_equal(rule_apply(rules, 0, &mail), RULE_NOTHING);
}

static void test_lacking(void **state UNUSED)
{
	struct rule_mail mail = {};
	rule_mail_read(&mail, STR("X-Spam-Score: none\r\nDate: never\r\n\r\n"), NOW);
	assert_false(mail.has_age);
	assert_false(mail.has_spam_score);
	for (size_t i = 0; i < COUNT_OF(cases); i++)
		assert_int_equal(rule_apply(&cases[i].rule, 1, &mail), RULE_NOTHING);
	rule_mail_read(&mail, STR("X-Spam-Score: -1.5 (ham)\r\n\r\n"), NOW);
	assert_true(mail.has_spam_score && mail.spam_score < -1.4 && mail.spam_score > -1.6);
}

static void test_valid(void **state UNUSED)
{
	assert_true(rule_is_valid(&(struct rule){ RULE_FROM, RULE_TICK, "x" }));
	assert_true(rule_is_valid(&(struct rule){ RULE_AGE, RULE_MARK, "1.5" }));
	assert_false(rule_is_valid(&(struct rule){ RULE_FROM, RULE_TICK, "" }));
	assert_false(rule_is_valid(&(struct rule){ RULE_FROM, RULE_NOTHING, "x" }));
	assert_false(rule_is_valid(&(struct rule){ RULE_SIZE, RULE_TICK, "big" }));
	assert_false(rule_is_valid(&(struct rule){ RULE_PROPERTY_COUNT, RULE_TICK, "1" }));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_strongest),
		cmocka_unit_test(test_lacking),
		cmocka_unit_test(test_valid),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
