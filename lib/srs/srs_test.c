#include "srs.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { TODAY = 20000 };

static const struct srs_keys ours = { { { { 1, 2 } } }, 1 }, theirs = { { { { 3, 4 } } }, 1 };
static const struct srs_keys changed = { { { { 7, 8 } }, { { 1, 2 } } }, 2 };

static struct str forward(struct buf *out, const struct srs_keys *keys, struct str sender, const char *domain)
{
	buf_clear(out);
	assert_true(srs_forward(out, keys, TODAY, sender, str_of(domain)));
	return buf_str(out);
}

static enum srs_result back(struct buf *out, const struct srs_keys *keys, int64_t day, struct str address)
{
	buf_clear(out);
	enum srs_result result = srs_reverse(out, keys, day, str_first(address, str_find_last_char(address, '@')));
	assert_int_equal(result == SRS_GOOD, out->length > 0);
	return result;
}

static void there_and_back(void **state)
{
	static const char *const senders[] = {
		"user@a.example", "User+tag@A.example", "a=b=c@d.example", "SRS0=abcdef=aa=x.example=u@a.example", "SRS0+abcdef=aa=x.example=u@a.example",
		"jos\xc3\xa9@a.example", "srs@a.example", "SRS0@a.example",
	};
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000), again = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < sizeof senders / sizeof senders[0]; i++) {
		struct str rewritten = forward(&out, &ours, str_of(senders[i]), "b.example");
		assert_true(str_ends_nocase(rewritten, STR("@b.example")));
		assert_int_equal(back(&again, &ours, TODAY, rewritten), SRS_GOOD);
		if (str_starts(str_of(senders[i]), STR("SRS0+")))
			assert_true(str_equal(buf_str(&again), str_of("SRS0=abcdef=aa=x.example=u@a.example")));
		else
			assert_true(str_equal(buf_str(&again), str_of(senders[i])));
	}
}

/* A forwards to B, B to C, C to D: what D sends back to C goes to B at once, and from B to the sender. */
static void a_chain_of_forwarders(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf b = BUF_WITH_LIMIT(1000), c = BUF_WITH_LIMIT(1000), d = BUF_WITH_LIMIT(1000);
	struct str at_b = forward(&b, &ours, STR("user@a.example"), "b.example");
	struct str at_c = forward(&c, &theirs, at_b, "c.example");
	assert_true(str_starts(at_c, STR("SRS1=")) && str_find(at_c, STR("=b.example==")) < at_c.length);
	struct str at_d = forward(&d, &changed, at_c, "d.example");
	assert_true(str_starts(at_d, STR("SRS1=")) && str_find(at_d, STR("c.example")) == at_d.length);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000), sender = BUF_WITH_LIMIT(1000);
	assert_int_equal(back(&out, &changed, TODAY, at_d), SRS_GOOD);
	assert_true(str_equal(buf_str(&out), at_b));
	assert_int_equal(back(&sender, &ours, TODAY, buf_str(&out)), SRS_GOOD);
	assert_true(str_equal(buf_str(&sender), STR("user@a.example")));
}

static void keys_change_and_addresses_expire(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000), again = BUF_WITH_LIMIT(1000);
	struct str address = forward(&out, &ours, STR("user@a.example"), "b.example");
	assert_int_equal(back(&again, &changed, TODAY, address), SRS_GOOD);
	assert_int_equal(back(&again, &theirs, TODAY, address), SRS_FORGED);
	assert_int_equal(back(&again, &ours, TODAY + SRS_DAYS, address), SRS_GOOD);
	assert_int_equal(back(&again, &ours, TODAY + SRS_DAYS + 1, address), SRS_EXPIRED);
	assert_int_equal(back(&again, &ours, TODAY - 1, address), SRS_EXPIRED);
}

/* One character more or less, other than its case, and it is not ours. */
static void forged_addresses(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000), again = BUF_WITH_LIMIT(1000), other = BUF_WITH_LIMIT(1000);
	struct str address = forward(&out, &ours, STR("user@a.example"), "b.example");
	size_t local = str_find_char(address, '@');
	for (size_t i = 0; i < local; i++) {
		buf_clear(&other);
		buf_add_str(&other, address);
		other.data[i] = char_is_alpha(address.data[i]) ? (char)(address.data[i] ^ 0x20) : address.data[i];
		assert_int_equal(back(&again, &ours, TODAY, buf_str(&other)), SRS_GOOD);
		other.data[i] = address.data[i] == 'x' ? 'y' : 'x';
		assert_int_not_equal(back(&again, &ours, TODAY, buf_str(&other)), SRS_GOOD);
		buf_consume(&other, 1);
		assert_int_not_equal(back(&again, &ours, TODAY, buf_str(&other)), SRS_GOOD);
	}
	static const char *const none[] = { "user", "SRS", "SRS0", "SRS2=a=b", "xSRS0=a" }, *const bad[] = { "SRS0=", "SRS0=a", "SRS1==", "SRS1=a==", "SRS0-abcdef=aa=x" };
	for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
		assert_int_equal(srs_reverse(&again, &ours, TODAY, str_of(none[i])), SRS_NONE);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_int_equal(srs_reverse(&again, &ours, TODAY, str_of(bad[i])), SRS_FORGED);
}

static void what_cannot_be_rewritten(void **state)
{
	static const char *const senders[] = { "", "user", "@a.example", "user@", "\"a b\"@a.example", "SRS1=x@a.example", "u@a=b.example", "user@[192.0.2.1]" };
	(void)state;
	char text[LIMIT_LOCAL_PART_MAX + 20];
	memset(text, 'x', sizeof text);
	memcpy(text + LIMIT_LOCAL_PART_MAX - 10, "@a.example", 10);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < sizeof senders / sizeof senders[0]; i++)
		assert_false(srs_forward(&out, &ours, TODAY, str_of(senders[i]), STR("b.example")));
	assert_false(srs_forward(&out, &ours, TODAY, str_from(text, LIMIT_LOCAL_PART_MAX), STR("b.example")));
	assert_false(srs_forward(&out, &(struct srs_keys){}, TODAY, STR("a@b.example"), STR("b.example")));
	assert_int_equal(out.length, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(there_and_back),
		cmocka_unit_test(a_chain_of_forwarders),
		cmocka_unit_test(keys_change_and_addresses_expire),
		cmocka_unit_test(forged_addresses),
		cmocka_unit_test(what_cannot_be_rewritten),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
