/* Any file as a report of others: bounded, and what is told of it is bounded too. The same octets as a packed row:
 * what is read of it is packed to the same again, and its report is one that we read. */
#include "dmarc_feedback.h"
#include "dmarc_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { UNPACKED_MAX = 1 << 20 };

static void check_feedback(struct str input)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(256 << 20);
	CLEANUP(buf_release) struct buf xml = BUF_WITH_LIMIT(UNPACKED_MAX);
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(dmarc_feedback_release) struct dmarc_feedback f = {};
	if (!dmarc_feedback_unpack(input, &xml, &fail) || !dmarc_feedback_read(a, buf_str(&xml), &f, &fail)) {
		must(fail && xml.length <= UNPACKED_MAX);
		return;
	}
	must(f.domain.length > 0 && f.domain.length <= DMARC_FEEDBACK_TEXT_MAX && f.rows.count <= xml.length / 10);
	for (size_t i = 0; i < f.rows.count; i++)
		must(f.rows.items[i].source.length <= DMARC_FEEDBACK_TEXT_MAX);
}

static void check_report(const struct dmarc_row_policy *policy, const struct dmarc_row *row)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(64 << 20);
	CLEANUP(buf_release) struct buf xml = BUF_WITH_LIMIT(UNPACKED_MAX);
	CLEANUP(dmarc_feedback_release) struct dmarc_feedback f = {};
	const struct dmarc_report report = { .organisation = STR("mail.test"), .id = STR("1"), .policy = *policy };
	dmarc_report_begin(&xml, &report);
	dmarc_report_row(&xml, row, 3);
	dmarc_report_end(&xml);
	must(!xml.overflowed && dmarc_feedback_read(a, buf_str(&xml), &f, NULL));
	must(f.rows.count == 1 && str_equal(f.rows.items[0].count, STR("3")) &&
	     str_equal(f.rows.items[0].source, row->source));
	must(str_equal(f.rows.items[0].header_from, str_trim(row->author)));
}

static void check_row(struct str input)
{
	CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(DMARC_ROW_MAX);
	struct dmarc_row_policy policy;
	struct dmarc_row row;
	struct str first, second;
	if (!dmarc_row_split(input, &first, &second) || !dmarc_row_policy_read(first, &policy) ||
	    !dmarc_row_read(second, &row))
		return;
	must(dmarc_row_pack(&again, &policy, &row) && str_equal(buf_str(&again), input));
	check_report(&policy, &row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_from((const char *)data, size);
	check_feedback(input);
	check_row(input);
	return 0;
}
