/* Whatever is told of a mail, the report has lines that mail may have, four boundaries, and says what it needs. */
#include "dsn.h"

#include "text.h"

#define BOUNDARY "\r\n--report-0f1e2d3c4b5a6978" /* the input does not know it, unless it reads this */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct str take(struct str *rest)
{
	struct str part = {};
	str_take_until(rest, '\0', &part);
	return part;
}

static size_t count_boundaries(struct str text)
{
	size_t count = 0;
	for (; (text = str_from_index(text, str_find(text, STR(BOUNDARY)))).length; count++)
		text = str_from_index(text, 1);
	return count;
}

static void check_lines(struct str text)
{
	struct str line;
	while (str_take_until(&text, '\n', &line))
		must(line.length > 0 && line.length <= 999 && str_find_char(line, '\r') == line.length - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	struct str rest = str_from((const char *)data, size);
	unsigned options = size ? data[0] : 0;
	struct dsn_recipient one = { .action = (enum dsn_action)(options % DSN_ACTION_COUNT), .retry_until = 1 };
	struct dsn_report report = {
		.hostname = STR("mx.example.org"), .id = STR("0f1e2d3c4b5a6978"), .queue_id = STR("1"), .recipients = &one, .count = 1,
		.takes_utf8 = options & 64, .whole = options & 128, .hold_until = options & 32, .hold_is_interval = options & 16,
	};
	struct dsn_facts facts;
	if (str_find(rest, STR("0f1e2d3c4b5a6978")) < rest.length)
		return 0;
	rest = str_from_index(rest, 1);
	report.to = take(&rest);
	report.envid = take(&rest);
	report.helo = take(&rest);
	one.address = take(&rest);
	one.original = take(&rest);
	one.status = take(&rest);
	one.host = take(&rest);
	one.reply = take(&rest);
	report.original = rest;
	if (!dsn_write(&out, &report, &facts))
		return 0;
	check_lines(buf_str(&out));
	must(count_boundaries(buf_str(&out)) == 4);
	must(facts.has_8bit == !text_is_ascii(buf_str(&out)));
	return 0;
}
