/* What parses can be formatted, and parses to the same date again. */
#include "date.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);
	struct date date, again;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(200);
	if (!date_parse(text, &date))
		return 0;
	int64_t day = 86400, first = date_days(1, 1, 1) * day, last = date_days(9999, 12, 30) * day;
	if (date.seconds < first || date.seconds > last)
		return 0;
	date_format(&out, date);
	must(date_parse(buf_str(&out), &again));
	must(again.seconds == date.seconds && again.zone_minutes == date.zone_minutes);
	return 0;
}
