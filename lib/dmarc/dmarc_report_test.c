#include "dmarc_report.h"

#include "dmarc_feedback.h"
#include "dns_zone.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>

static const struct dmarc_row_policy policy = {
	.domain = STR("example.org"), .rua = STR("mailto:a@example.org"), .policy = DMARC_POLICY_REJECT, .subdomain_policy = DMARC_POLICY_QUARANTINE,
	.spf_strict = true, .failure = DMARC_FAILURE_ANY | DMARC_FAILURE_SPF,
};

static const struct dmarc_row sample = {
	.source = STR("192.0.2.1"), .author = STR("mail.example.org"), .sender = STR("other.test"), .disposition = DMARC_DISPOSITION_QUARANTINE,
	.override = DMARC_OVERRIDE_LOCAL_POLICY, .dkim_aligned = true, .spf_domain = STR("other.test"), .spf_result = STR("softfail"),
	.signatures = { { STR("example.org"), STR("s1"), STR("pass") }, { STR("x.test"), STR("<&>"), STR("fail") } }, .signature_count = 2,
};

/* ---- rows ---- */

static void test_row_round_trip(void **state)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(DMARC_ROW_MAX);
	struct dmarc_row_policy p;
	struct dmarc_row row;
	struct str first, second;
	(void)state;
	assert_true(dmarc_row_pack(&packed, &policy, &sample));
	assert_true(dmarc_row_split(buf_str(&packed), &first, &second));
	assert_true(dmarc_row_policy_read(first, &p));
	assert_true(dmarc_row_read(second, &row));
	assert_true(str_equal(p.domain, policy.domain) && str_equal(p.rua, policy.rua));
	assert_int_equal(p.policy, DMARC_POLICY_REJECT);
	assert_int_equal(p.subdomain_policy, DMARC_POLICY_QUARANTINE);
	assert_int_equal(p.nonexistent_policy, DMARC_POLICY_ABSENT);
	assert_true(p.spf_strict && !p.dkim_strict && !p.testing);
	assert_int_equal(p.failure, policy.failure);
	assert_true(str_equal(row.source, sample.source) && str_equal(row.author, sample.author) &&
	            str_equal(row.sender, sample.sender));
	assert_int_equal(row.disposition, sample.disposition);
	assert_int_equal(row.override, sample.override);
	assert_true(row.dkim_aligned && !row.spf_aligned);
	assert_true(str_equal(row.spf_result, sample.spf_result));
	assert_int_equal(row.signature_count, 2);
	assert_true(str_equal(row.signatures[1].selector, STR("<&>")));
}

/* No beginning of a row is a row, nor is one with an octet more. */
static void test_row_cut(void **state)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(DMARC_ROW_MAX);
	struct dmarc_row row;
	struct str first, second;
	(void)state;
	assert_true(dmarc_row_pack(&packed, &policy, &(struct dmarc_row){ .source = STR("2001:db8::1"), .author = STR("a.test") }));
	assert_true(dmarc_row_split(buf_str(&packed), &first, &second));
	assert_true(dmarc_row_read(second, &row));
	for (size_t i = 0; i < second.length; i++)
		assert_false(dmarc_row_read(str_first(second, i), &row));
	buf_add_char(&packed, 'x');
	assert_false(dmarc_row_read(str_from(second.data, second.length + 1), &row));
}

static void test_row_cleans(void **state)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(DMARC_ROW_MAX);
	struct dmarc_row row;
	struct str first, second;
	(void)state;
	assert_true(dmarc_row_pack(&packed, &policy, &(struct dmarc_row){ .source = STR("::1"), .author = STR("a\x01\xff.test") }));
	assert_true(dmarc_row_split(buf_str(&packed), &first, &second) && dmarc_row_read(second, &row));
	assert_true(str_equal(row.author, STR("a??.test")));
}

/* ---- the report, read back by the reader of others' reports ---- */

static void write_sample(struct buf *xml)
{
	const struct dmarc_report report = {
		.organisation = STR("mail.example.net"), .contact = STR("postmaster@mail.example.net"), .id = STR("1.2@mail.example.net"),
		.generator = STR("test <&> \"1\""), .begin = 86400, .end = 172799, .policy = policy,
	};
	dmarc_report_begin(xml, &report);
	dmarc_report_row(xml, &sample, 7);
	dmarc_report_row(xml, &(struct dmarc_row){ .source = STR("::1"), .author = STR("a.test"), .disposition = DMARC_DISPOSITION_PASS }, 1);
	dmarc_report_end(xml);
}

static void test_report_is_read(void **state)
{
	CLEANUP(buf_release) struct buf xml = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
	struct dmarc_feedback f;
	struct fail *fail = NULL;
	(void)state;
	write_sample(&xml);
	if (!dmarc_feedback_read(a, buf_str(&xml), &f, &fail))
		fail_msg("%s", fail_text(fail));
	assert_true(str_equal(f.organisation, STR("mail.example.net")) && str_equal(f.generator, STR("test <&> \"1\"")));
	assert_true(str_equal(f.domain, STR("example.org")) && str_equal(f.policy, STR("reject")));
	assert_true(str_equal(f.begin, STR("86400")) && str_equal(f.end, STR("172799")));
	assert_int_equal(f.rows.count, 2);
	const struct dmarc_feedback_row *row = &f.rows.items[0];
	assert_true(str_equal(row->source, STR("192.0.2.1")) && str_equal(row->count, STR("7")));
	assert_true(str_equal(row->disposition, STR("quarantine")) && str_equal(row->dkim, STR("pass")) &&
	            str_equal(row->spf, STR("fail")));
	assert_true(str_equal(row->reason, STR("local_policy")) && str_equal(row->header_from, STR("mail.example.org")));
	assert_true(str_equal(row->results, STR("dkim=pass (example.org, s1) dkim=fail (x.test, <&>) spf=softfail (other.test)")));
	assert_true(str_equal(f.rows.items[1].envelope_from, STR("")));
	dmarc_feedback_release(&f);
}

#define REPORT_WITH(namespace, extension, of_row)                                                                                          \
	"<feedback" namespace "><version>1.0</version><report_metadata><org_name>them</org_name><email>x@them.test</email>"                   \
	"<extra_contact_info lang='de'>hier</extra_contact_info><report_id>1</report_id><date_range><end>2</end><begin>1</begin></date_range>" \
	"</report_metadata><policy_published><p>none</p><domain>us.test</domain><testing>y</testing></policy_published>" extension             \
	"<record><row><count>9</count><source_ip>::1</source_ip><policy_evaluated><disposition>none</disposition><dkim>fail</dkim>"           \
	"<spf>pass</spf></policy_evaluated></row><identifiers><envelope_from>b.test</envelope_from><header_from>us.test</header_from>"        \
	"</identifiers><auth_results><dkim><result>fail</result><selector>s</selector><domain>d.test</domain></dkim><spf><domain>b.test"      \
	"</domain><result>pass</result></spf></auth_results>" of_row "</record></feedback>"

/* RFC 9990 §5: extensions are passed over; the older form of RFC 7489 had no namespace; where no order is asked for,
 * any will do. */
static void test_reports_of_others(void **state)
{
	static const char *const texts[] = {
		REPORT_WITH("", "", ""),
		REPORT_WITH(" xmlns='urn:ietf:params:xml:ns:dmarc-2.0'", "", ""),
		"\r\n\t<?xml version='1.0'?>" REPORT_WITH("", "", ""),
		REPORT_WITH(" xmlns='urn:ietf:params:xml:ns:dmarc-2.0' xmlns:e='urn:e'",
		            "<extension><e:domain>x.test</e:domain></extension>",
		            "<e:row><count>1</count></e:row><e:spf><result>fail</result></e:spf>"),
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
		CLEANUP(dmarc_feedback_release) struct dmarc_feedback f;
		assert_true(dmarc_feedback_read(a, str_of(texts[i]), &f, NULL));
		assert_true(str_equal(f.domain, STR("us.test")) && str_equal(f.begin, STR("1")) &&
		            str_equal(f.testing, STR("y")));
		assert_int_equal(f.rows.count, 1);
		const struct dmarc_feedback_row *row = &f.rows.items[0];
		assert_true(str_equal(row->source, STR("::1")) && str_equal(row->count, STR("9")) &&
		            str_equal(row->envelope_from, STR("b.test")));
		assert_true(str_equal(row->results, STR("dkim=fail (d.test, s) spf=pass (b.test)")));
	}
}

static void test_report_name(void **state)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(1000);
	const struct dmarc_report report = { .organisation = STR("mail.example.net"), .begin = 1, .end = 2, .policy = policy };
	(void)state;
	dmarc_report_name(&name, &report);
	assert_true(str_equal(buf_str(&name), STR("mail.example.net!example.org!1!2.xml.gz")));
}

/* ---- who gets it ---- */

static const char zone_text[] =
	"_dmarc.example.org TXT \"v=DMARC1; p=none\"\n"
	"_dmarc.example.net TXT \"v=DMARC1; p=none\"\n"
	"example.org._report._dmarc.yes.test TXT \"v=DMARC1\"\n"
	"example.org._report._dmarc.noise.test TXT \"hello\"\n"
	"example.org._report._dmarc.other.test TXT \"v=DMARC1; rua=mailto:real@other.test,mailto:x@evil.test\"\n"
	"example.org._report._dmarc.evil.test TXT \"v=DMARC1; rua=mailto:victim@victim.test\"\n"
	"example.org._report._dmarc.away.test FAIL\n";

static void test_destinations(void **state)
{
	static const struct {
		const char *rua;
		bool fails;
		const char *wanted; /* joined by spaces */
	} cases[] = {
		{ "mailto:a@example.org", false, "a@example.org" },
		{ "mailto:a@sub.example.org!10m", false, "a@sub.example.org" },
		{ "mailto:a@example.net", false, "" },
		{ "mailto:a@yes.test,mailto:b@example.org", false, "a@yes.test b@example.org" },
		{ "mailto:a@noise.test", false, "" },
		{ "mailto:a@other.test", false, "real@other.test" },
		{ "mailto:a@evil.test", false, "" },
		{ "mailto:a@away.test", true, "" },
		{ "https://example.org/, mailto:a@example.org, mailto:A@example.org", false, "a@example.org" },
		{ "", false, "" },
	};
	struct fail *fail = NULL;
	struct dns_zone *zone = dns_zone_parse(str_of(zone_text), &fail);
	(void)state;
	assert_non_null(zone);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
		CLEANUP(buf_release) struct buf got = BUF_WITH_LIMIT(4096);
		struct dns_source dns = dns_zone_source(zone);
		struct str addresses[DMARC_DESTINATIONS_MAX];
		size_t count;
		bool good = dmarc_destinations(a, &dns, STR("example.org"), str_of(cases[i].rua), addresses, &count);
		assert_int_equal(good, !cases[i].fails);
		for (size_t k = 0; good && k < count; k++)
			buf_printf(&got, "%s%.*s", k ? " " : "", STR_ARG(addresses[k]));
		assert_string_equal(buf_text(&got), cases[i].wanted);
	}
	dns_zone_free(zone);
}

/* ---- reading ---- */

#define NAME_OF_FIFTY "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define LONG_NAME NAME_OF_FIFTY NAME_OF_FIFTY NAME_OF_FIFTY NAME_OF_FIFTY NAME_OF_FIFTY NAME_OF_FIFTY

static void test_hostile_reports(void **state)
{
	static const char *const texts[] = {
		"", "x", "<feedback>", "<html></html>", "<feedback></feedback>",
		"<!DOCTYPE feedback [<!ENTITY a \"b\">]><feedback><policy_published><domain>&a;</domain></policy_published></feedback>",
		"<!DOCTYPE feedback SYSTEM \"file:///etc/passwd\"><feedback/>",
		"<feedback><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>",
		"<feedback><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a><a/>", "<feedback><" LONG_NAME "/></feedback>",
		"<feedback><policy_published><domain>a.test</domain></policy_published></feedback><feedback/>",
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(dmarc_feedback_release) struct dmarc_feedback f;
		assert_false(dmarc_feedback_read(a, str_of(texts[i]), &f, &fail));
		assert_int_equal(fail->kind, FAIL_INVALID);
	}
}

#define IN_CHARSET(name, text) \
	"<?xml version='1.0' encoding='" name "'?><feedback><report_metadata><org_name>" text "</org_name></report_metadata>" \
	"<policy_published><domain>a.test</domain></policy_published></feedback>"

static void test_charsets(void **state)
{
	static const struct {
		const char *xml, *organisation; /* NULL: refused */
	} cases[] = {
		{ IN_CHARSET("utf-8", "na\xc3\xafve"), "na\xc3\xafve" },
		{ IN_CHARSET("us-ascii", "naive"), "naive" },
		{ IN_CHARSET("ISO-8859-1", "na\xefve"), "na\xc3\xafve" },
		{ IN_CHARSET("windows-1252", "\x80 na\xefve"), "\xe2\x82\xac na\xc3\xafve" },
		{ IN_CHARSET("iso-8859-15", "\xa4 5"), "\xe2\x82\xac 5" },
		{ IN_CHARSET("koi8-r", "\xcd\xc9\xd2"), "\xd0\xbc\xd0\xb8\xd1\x80" },
		{ IN_CHARSET("shift_jis", "only ASCII"), "only ASCII" },
		{ IN_CHARSET("shift_jis", "\x93\xfa"), NULL },
		{ IN_CHARSET("ibm037", "EBCDIC"), NULL },
		{ IN_CHARSET("x-nobody-knows", "text"), NULL },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(dmarc_feedback_release) struct dmarc_feedback f;
		bool good = dmarc_feedback_read(a, str_of(cases[i].xml), &f, &fail);
		if (good != (cases[i].organisation != NULL) || (good && !str_equal(f.organisation, str_of(cases[i].organisation))))
			fail_msg("%s: %s", cases[i].xml, good ? "read otherwise" : fail_text(fail));
		assert_true(good || fail->kind == FAIL_INVALID);
	}
}

static void test_long_text_is_cut(void **state)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
	CLEANUP(buf_release) struct buf xml = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(dmarc_feedback_release) struct dmarc_feedback f;
	(void)state;
	buf_add_str(&xml, STR("<feedback><policy_published><domain>"));
	for (size_t i = 0; i < 100000; i++)
		buf_add_char(&xml, 'a');
	buf_add_str(&xml, STR("</domain><domain>second</domain></policy_published></feedback>"));
	assert_true(dmarc_feedback_read(a, buf_str(&xml), &f, NULL));
	assert_int_equal(f.domain.length, DMARC_FEEDBACK_TEXT_MAX);
}

static void gzip(struct str text, struct buf *out)
{
	z_stream stream = { .next_in = (unsigned char *)(uintptr_t)text.data, .avail_in = (unsigned)text.length };
	assert_int_equal(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	stream.next_out = (unsigned char *)buf_reserve(out, 100000);
	stream.avail_out = 100000;
	assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
	buf_claim(out, 100000 - stream.avail_out);
	deflateEnd(&stream);
}

static void test_unpack_bounds(void **state)
{
	enum { LENGTH = 1 << 20 };
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LENGTH);
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(100000);
	(void)state;
	memset(buf_reserve(&text, LENGTH), 'a', LENGTH);
	buf_claim(&text, LENGTH);
	gzip(buf_str(&text), &packed);
	for (size_t limit = LENGTH - 1; limit <= LENGTH + 1; limit++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(limit);
		bool good = dmarc_feedback_unpack(buf_str(&packed), &out, &fail);
		assert_int_equal(good, limit >= LENGTH);
		assert_true(good ? str_equal(buf_str(&out), buf_str(&text)) : fail->kind == FAIL_TOO_BIG);
	}
	for (size_t i = 2; i < packed.length; i += 97) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(2 * LENGTH);
		assert_false(dmarc_feedback_unpack(str_first(buf_str(&packed), i), &out, &fail));
		assert_int_equal(fail->kind, FAIL_CORRUPT);
	}
}

/* Members one behind the other are one file (RFC 1952 §2.2); what stands behind them is nothing. */
static void test_members(void **state)
{
	static const struct {
		struct str behind;
		bool good;
	} cases[] = { { STR(""), true }, { STR("\0\0\0\0"), true }, { STR("noise"), true }, { STR("\x1f\x8b\x08"), false } };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(300000);
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(11);
		gzip(STR("hello "), &packed);
		gzip(STR("world"), &packed);
		buf_add_str(&packed, cases[i].behind);
		assert_int_equal(dmarc_feedback_unpack(buf_str(&packed), &out, NULL), cases[i].good);
		assert_string_equal(buf_text(&out), "hello world");
	}
}

/* A note, a file of that name at that place, and the directory. */
#define ZIP_NAMED(name) "\x14\0\0\0\0\0\0\0\0\0\0\0\0\0" name
#define ZIP_OF_TWO(name, place)                                                                                                                     \
	"PK\x03\x04" ZIP_NAMED("\x04\0\0\0\x04\0\0\0\x04\0\0\0") "READnote" "PK\x03\x04" ZIP_NAMED("\x05\0\0\0\x05\0\0\0\x05\0\0\0") name "hello" \
	"PK\x01\x02\x14\0" ZIP_NAMED("\x04\0\0\0\x04\0\0\0\x04\0\0\0") "\0\0\0\0\0\0\0\0\0\0" "\0\0\0\0" "READ"                                  \
	"PK\x01\x02\x14\0" ZIP_NAMED("\x05\0\0\0\x05\0\0\0\x05\0\0\0") "\0\0\0\0\0\0\0\0\0\0" place name                                           \
	"PK\x05\x06\0\0\0\0\x02\0\x02\0\x65\0\0\0\x4e\0\0\0\0\0"

/* A stored and a deflated file, as zip(1) writes them but for times and checksums; and damaged ones. */
static void test_zip(void **state)
{
	static const struct {
		struct str zip;
		const char *content; /* NULL: FAIL_CORRUPT or FAIL_INVALID */
	} cases[] = {
		{ STR("PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\x05\0\0\0\x01\0\0\0ahello"), "hello" },
		{ STR("PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x07\0\0\0\x05\0\0\0\x01\0\0\0a\xcbH\xcd\xc9\xc9\x07\0"), "hello" },
		{ STR("PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0\x07\0\0\0\x05\0\0\0\x01\0\0\0a\xcbH\xcd"), NULL },
		{ STR("PK\x03\x04\x14\0\x01\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\x05\0\0\0\x01\0\0\0ahello"), NULL },
		{ STR("PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x06\0\0\0\x06\0\0\0\x01\0\0\0ahello"), NULL },
		{ STR("PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0\x05\0\0\0\xff\xff\xff\xff""ahello"), NULL },
		{ STR("PK\x03\x04"), NULL },
		{ STR(ZIP_OF_TWO("a.XML", "\x26\0\0\0")), "hello" },
		{ STR(ZIP_OF_TWO("a.txt", "\x26\0\0\0")), "note" },
		{ STR(ZIP_OF_TWO("a.XML", "\x27\0\0\0")), NULL },
		{ STR(ZIP_OF_TWO("a.XML", "\xff\xff\xff\xff")), NULL },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		bool good = dmarc_feedback_unpack(cases[i].zip, &out, NULL);
		assert_int_equal(good, cases[i].content != NULL);
		if (good)
			assert_string_equal(buf_text(&out), cases[i].content);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_row_round_trip), cmocka_unit_test(test_row_cut), cmocka_unit_test(test_row_cleans),
		cmocka_unit_test(test_report_is_read), cmocka_unit_test(test_report_name), cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_reports_of_others), cmocka_unit_test(test_hostile_reports), cmocka_unit_test(test_charsets), cmocka_unit_test(test_long_text_is_cut), cmocka_unit_test(test_unpack_bounds),
		cmocka_unit_test(test_members), cmocka_unit_test(test_zip),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
