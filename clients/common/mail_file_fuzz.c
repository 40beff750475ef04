/* The form of lines in Maildir and mbox: the borders of pieces do not matter, no line of a quoted mail begins with
 * "From ", and taking one ">" off gives the mail that was. */
#include "mail_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_all(bool quotes, size_t chunk, struct str text, struct buf *out)
{
	struct mail_writer w = { .quotes = quotes };
	for (; text.length; text = str_from_index(text, chunk))
		mail_writer_add(&w, str_first(text, chunk), out);
	mail_writer_end(&w, out);
	must(!out->overflowed);
}

static bool is_from_line(struct str line)
{
	while (line.length && line.data[0] == '>')
		line = str_from_index(line, 1);
	return str_starts(line, STR("From "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size), line;
	CLEANUP(buf_release) struct buf plain = BUF_WITH_LIMIT(size + 10), quoted = BUF_WITH_LIMIT(2 * size + 10);
	CLEANUP(buf_release) struct buf pieces = BUF_WITH_LIMIT(2 * size + 10), back = BUF_WITH_LIMIT(2 * size + 10);
	write_all(false, size + 1, text, &plain);
	write_all(true, size + 1, text, &quoted);
	write_all(true, 1 + size % 3, text, &pieces);
	must(str_equal(buf_str(&quoted), buf_str(&pieces)));
	must(plain.length == 0 || plain.data[plain.length - 1] == '\n');
	for (struct str rest = buf_str(&quoted); str_take_until(&rest, '\n', &line);) {
		must(!str_starts(line, STR("From ")));
		buf_add_str(&back, str_from_index(line, is_from_line(line)));
		buf_add_char(&back, '\n');
	}
	must(str_equal(buf_str(&plain), buf_str(&back)));
	return 0;
}
