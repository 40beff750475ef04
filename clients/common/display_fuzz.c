/* Whatever comes in, what goes out is harmless: valid UTF-8, no control characters but the line ends and tabs that were
 * asked for, no bidirectional controls, and no more of it than was promised. */
#include "display.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_bidi_control(uint32_t code)
{
	return code == 0x61c || code == 0x200e || code == 0x200f || (code >= 0x202a && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069);
}

static void check(const struct buf *out, const char *allowed)
{
	struct str rest = buf_str(out);
	must(!out->overflowed);
	while (rest.length) {
		uint32_t code;
		size_t length = text_utf8_next(rest, &code);
		must(length > 0 && !is_bidi_control(code) && code != 0x2028 && code != 0x2029);
		must((code >= 0x20 && (code < 0x7f || code > 0x9f)) || (code && code < 0x20 && strchr(allowed, (char)code)));
		rest = str_from_index(rest, length);
	}
}

static void release(struct display_summary *s)
{
	display_summary_release(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(4 * DISPLAY_TEXT_MAX);
	CLEANUP(buf_release) struct buf header = BUF_WITH_LIMIT(4 * DISPLAY_TEXT_MAX);
	CLEANUP(buf_release) struct buf lines = BUF_WITH_LIMIT(3 * size + 10), wire = BUF_WITH_LIMIT(4 * size + 10);
	CLEANUP(buf_release) struct buf column = BUF_WITH_LIMIT(4 * size + 100);
	CLEANUP(release) struct display_summary summary;
	display_text(&line, text);
	check(&line, "");
	display_header(&header, text);
	check(&header, "");
	display_lines(&lines, text);
	check(&lines, "\n\t");
	display_wire(&wire, text);
	check(&wire, "\t");
	display_column(&column, buf_str(&line), 40);
	check(&column, "");
	display_summary_init(&summary);
	display_summary_take(&summary, text);
	check(&summary.from, "");
	check(&summary.to, "");
	check(&summary.cc, "");
	check(&summary.subject, "");
	check(&summary.date, "");
	return 0;
}
