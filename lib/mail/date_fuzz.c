/* What parses can be formatted, and parses to the same date again. */
#include "calendar.h"
#include "date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);
	struct date date, again;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(200);
	if (!date_parse(text, &date))
		return 0;
	static const struct calendar_day first = { 1, 1, 1 }, last = { 9999, 12, 30 };
	if (date.seconds < calendar_days(first) * 86400 || date.seconds > calendar_days(last) * 86400)
		return 0;
	date_format(&out, date);
	must(date_parse(buf_str(&out), &again));
	must(again.seconds == date.seconds && again.zone_minutes == date.zone_minutes);
	return 0;
}
