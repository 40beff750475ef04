/* Content reader and writer. However the input is cut, the reader says the same; what it stores without a bare CR or LF
 * is well-formed lines; and what the writer writes, it reads back. */
#include "smtp_data.h"

#include "limits.h"

#include <stdlib.h>

enum { SIZE_MAX_OCTETS = 8192, OUT_LIMIT = 4 * SIZE_MAX_OCTETS };

static size_t read_all(struct smtp_data *d, struct str input, size_t piece, struct buf *out)
{
	size_t position = 0;
	while (position < input.length) {
		struct str part = str_first(str_from_index(input, position), piece);
		size_t used;
		char *copy = malloc(part.length); /* so that a look beyond the piece is seen */
		memcpy(copy, part.data, part.length);
		bool end = smtp_data_read(d, str_from(copy, part.length), &used, out);
		free(copy);
		position += used;
		if (end)
			break;
	}
	if (d->form != SMTP_DATA_DOTTED)
		smtp_data_finish(d, out);
	return position;
}

static void must_agree(const struct smtp_data *a, const struct smtp_data *b)
{
	must(a->octets == b->octets && a->lines == b->lines && a->bare == b->bare && a->bare_offset == b->bare_offset);
	must(a->too_big == b->too_big && a->has_nul == b->has_nul && a->has_8bit == b->has_8bit);
	must(a->has_long_line == b->has_long_line && a->state == b->state);
}

static void check_lines(struct str content)
{
	for (size_t i = 0; i < content.length; i++) {
		must(content.data[i] != '\n' || (i > 0 && content.data[i - 1] == '\r'));
		must(content.data[i] != '\r' || i + 1 == content.length || content.data[i + 1] == '\n');
	}
}

static void check_reader(struct str input, enum smtp_data_form form, enum smtp_data_policy policy, uint64_t limit,
                         size_t piece)
{
	CLEANUP(buf_release) struct buf whole = BUF_WITH_LIMIT(OUT_LIMIT), cut = BUF_WITH_LIMIT(OUT_LIMIT);
	struct smtp_data a, b;
	smtp_data_begin(&a, form, policy, limit);
	smtp_data_begin(&b, form, policy, limit);
	must(read_all(&a, input, input.length, &whole) == read_all(&b, input, piece, &cut));
	must_agree(&a, &b);
	must(whole.length <= limit && cut.length <= limit);
	if (smtp_data_verdict(&a))
		return;
	must(str_equal(buf_str(&whole), buf_str(&cut)) && whole.length == a.octets);
	if (form != SMTP_DATA_BINARY)
		check_lines(buf_str(&whole));
}

static void check_writer(struct str content, size_t piece)
{
	CLEANUP(buf_release) struct buf wire = BUF_WITH_LIMIT(OUT_LIMIT), cut = BUF_WITH_LIMIT(OUT_LIMIT);
	CLEANUP(buf_release) struct buf back = BUF_WITH_LIMIT(OUT_LIMIT);
	struct smtp_stuffer s = {};
	struct smtp_data d;
	smtp_stuff_add(&s, content, &wire);
	smtp_stuff_end(&s, &wire);
	for (struct str rest = content; rest.length; rest = str_from_index(rest, piece))
		smtp_stuff_add(&s, str_first(rest, piece), &cut);
	smtp_stuff_end(&s, &cut);
	must(str_equal(buf_str(&wire), buf_str(&cut)));
	smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, OUT_LIMIT);
	must(read_all(&d, buf_str(&wire), piece, &back) == wire.length && d.state == SMTP_DATA_END);
	if (d.bare)
		return;
	must(str_starts(buf_str(&back), content));
	must(back.length == content.length || str_equal(str_from_index(buf_str(&back), content.length), STR("\r\n")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > SIZE_MAX_OCTETS)
		return 0;
	struct str input = str_from((const char *)data + 1, size - 1);
	size_t piece = 1 + data[0] / 2;
	uint64_t limit = data[0] & 1 ? OUT_LIMIT : 64;
	for (int form = SMTP_DATA_DOTTED; form <= SMTP_DATA_BINARY; form++) {
		check_reader(input, (enum smtp_data_form)form, SMTP_DATA_REFUSE, limit, piece);
		check_reader(input, (enum smtp_data_form)form, SMTP_DATA_NORMALISE, limit, piece);
		check_reader(input, (enum smtp_data_form)form, SMTP_DATA_NORMALISE, limit, 1);
	}
	check_writer(input, piece);
	return 0;
}
