/* Replies: read alike in any pieces and within bounds; text from outside never forges a reply of ours. */
#include "smtp_reply.h"

#include "limits.h"

static enum smtp_reply_state read_in_pieces(struct smtp_reply_reader *r, struct str input, size_t piece,
                                            size_t *position)
{
	enum smtp_reply_state state = SMTP_REPLY_MORE;
	*position = 0;
	while (state == SMTP_REPLY_MORE && *position < input.length) {
		size_t used;
		state = smtp_reply_read(r, str_first(str_from_index(input, *position), piece), &used);
		*position += used;
	}
	return state;
}

static void check_reader(struct str input, size_t piece)
{
	CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader a, b;
	size_t used_a, used_b;
	smtp_reply_reader_init(&a);
	smtp_reply_reader_init(&b);
	enum smtp_reply_state state = read_in_pieces(&a, input, input.length, &used_a);
	must(read_in_pieces(&b, input, piece, &used_b) == state);
	if (state != SMTP_REPLY_DONE)
		return;
	must(used_a == used_b && str_equal(buf_str(&a.text), buf_str(&b.text)));
	must(a.code >= 200 && a.code <= 599 && a.code == b.code);
	must(a.class == 0 || a.class == a.code / 100);
	must(a.lines >= 1 && a.lines <= LIMIT_SMTP_REPLY_LINES_MAX && !a.text.overflowed);
}

static void check_writer(struct str text)
{
	CLEANUP(smtp_reply_reader_release) struct smtp_reply_reader r;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 18);
	size_t used;
	smtp_reply_printf(&out, 550, "5.1.1", "%.*s", STR_ARG(text));
	smtp_reply_reader_init(&r);
	must(smtp_reply_read(&r, buf_str(&out), &used) == SMTP_REPLY_DONE && used == out.length);
	must(r.code == 550 && r.class == 5);
	struct str rest = buf_str(&out), line;
	while (str_take_until(&rest, '\n', &line))
		must(line.length < 512 && line.data[line.length - 1] == '\r' &&
		     str_is_printable(str_first(line, line.length - 1)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 1 << 14)
		return 0;
	struct str input = str_from((const char *)data + 1, size - 1);
	check_reader(input, 1 + data[0] % 16);
	check_writer(input);
	return 0;
}
