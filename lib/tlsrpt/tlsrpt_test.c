#include "tlsrpt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>

static void records(void **state)
{
	(void)state;
	static const struct {
		const char *records[3];
		const char *rua; /* NULL: none */
	} cases[] = {
		{ { "v=TLSRPTv1;rua=mailto:reports@example.com" }, "mailto:reports@example.com" },
		{ { "v=TLSRPTv1; rua=https://a.example/x , mailto:b@c ; new=1;" }, "https://a.example/x , mailto:b@c" },
		{ { "v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@b" }, "mailto:a@b" },
		{ { "v=TLSRPTv1; rua=mailto:a@b", "v=TLSRPTv1; rua=mailto:a@b" }, NULL },
		{ { "v=TLSRPTv1" }, NULL },
		{ { "v=TLSRPTv1; rua=" }, NULL },
		{ { "v=TLSRPTv1; =x; rua=mailto:a@b" }, NULL },
		{ { "v=TLSRPTv2; rua=mailto:a@b" }, NULL },
		{ { "rua=mailto:a@b; v=TLSRPTv1" }, NULL },
		{ { NULL }, NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str given[3], rua;
		size_t count = 0;
		for (; count < 3 && cases[i].records[count]; count++)
			given[count] = str_of(cases[i].records[count]);
		assert_int_equal(tlsrpt_find_rua(given, count, &rua), cases[i].rua != NULL);
		if (cases[i].rua)
			assert_true(str_equal(rua, str_of(cases[i].rua)));
	}
}

static void addresses(void **state)
{
	(void)state;
	static const struct {
		enum tlsrpt_scheme scheme;
		const char *address;
	} wanted[] = { { TLSRPT_MAILTO, "a+b@c.example" }, { TLSRPT_HTTPS, "https://r.example/v1" }, { TLSRPT_MAILTO, "d@e" } };
	struct str rua = STR("mailto:a%2Bb@c.example?subject=x, ftp://x, https://r.example/v1,mailto:,mailto:%0d%0a@x,mailto:a%2,https://a b,MAILTO:d@e");
	CLEANUP(buf_release) struct buf address = BUF_WITH_LIMIT(1000);
	enum tlsrpt_scheme scheme;
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		assert_true(tlsrpt_next_uri(&rua, &scheme, &address));
		assert_int_equal(scheme, wanted[i].scheme);
		assert_string_equal(buf_text(&address), wanted[i].address);
	}
	assert_false(tlsrpt_next_uri(&rua, &scheme, &address));
}

static void reports(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf sts = BUF_WITH_LIMIT(1000), none = BUF_WITH_LIMIT(1000), json = BUF_WITH_LIMIT(10000);
	tlsrpt_policy_begin(&sts, STR("mailto:a@b"));
	tlsrpt_policy_add(&sts, 's', STR("version: STSv1"));
	tlsrpt_policy_add(&sts, 's', STR("mode: enforce"));
	tlsrpt_policy_add(&sts, 'm', STR("*.example"));
	tlsrpt_policy_begin(&none, STR("mailto:a@b"));
	assert_true(str_equal(tlsrpt_policy_rua(buf_str(&sts)), STR("mailto:a@b")));
	const struct tlsrpt_row rows[] = {
		{ .type = TLSRPT_STS, .policy = buf_str(&sts), .result = TLSRPT_SUCCESS, .count = 5 },
		{ .type = TLSRPT_NO_POLICY, .policy = buf_str(&none), .result = TLSRPT_SUCCESS, .count = 7 },
		{ .type = TLSRPT_STS, .policy = buf_str(&sts), .result = TLSRPT_CERTIFICATE_EXPIRED, .mx = STR("mx.example"), .address = STR("192.0.2.1"),
		  .reason = STR("\"\\\xff\n"), .count = 2 },
		{ .type = TLSRPT_STS, .policy = buf_str(&sts), .result = TLSRPT_VALIDATION_FAILURE, .count = 1 },
	};
	tlsrpt_write(&json, &(struct tlsrpt_report){ .organisation = STR("Us"), .contact = STR("postmaster@us.example"), .id = STR("1"),
	             .domain = STR("them.example"), .begin = 1795305600, .end = 1795391999, .rows = rows, .row_count = COUNT_OF(rows) });
	assert_string_equal(buf_text(&json),
		"{\"organization-name\":\"Us\",\"date-range\":{\"start-datetime\":\"2026-11-22T00:00:00Z\",\"end-datetime\":\"2026-11-22T23:59:59Z\"},"
		"\"contact-info\":\"postmaster@us.example\",\"report-id\":\"1\",\"policies\":["
		"{\"policy\":{\"policy-type\":\"sts\",\"policy-string\":[\"version: STSv1\",\"mode: enforce\"],\"policy-domain\":\"them.example\","
		"\"mx-host\":[\"*.example\"]},\"summary\":{\"total-successful-session-count\":5,\"total-failure-session-count\":3},"
		"\"failure-details\":[{\"result-type\":\"certificate-expired\",\"receiving-mx-hostname\":\"mx.example\",\"receiving-ip\":\"192.0.2.1\","
		"\"failure-reason-code\":\"\\\"\\\\\\ufffd\\u000a\",\"failed-session-count\":2},"
		"{\"result-type\":\"validation-failure\",\"failed-session-count\":1}]},"
		"{\"policy\":{\"policy-type\":\"no-policy-found\",\"policy-domain\":\"them.example\"},"
		"\"summary\":{\"total-successful-session-count\":7,\"total-failure-session-count\":0}}]}\n");
	json_t *read = json_loadb(json.data, json.length, 0, NULL);
	assert_non_null(read);
	json_decref(read);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(records), cmocka_unit_test(addresses), cmocka_unit_test(reports) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
