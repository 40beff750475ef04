/* A server's answers: the same events whatever the chunks, memory bounded by a line, what is parsed is in bounds. */
#include "answer.h"

#include "limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 500 };

/* Pieces of a mail are one event however they are cut. */
static enum pop3_event transcript(enum pop3_answer_kind kind, struct str sent, size_t chunk_size, struct buf *out)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(pop3_answer_release) struct pop3_answer answer;
	enum pop3_event event = POP3_NEEDS_MORE;
	pop3_answer_init(&answer, kind, BODY_MAX);
	while (event == POP3_NEEDS_MORE && sent.length) {
		struct str chunk = str_first(sent, chunk_size), piece;
		size_t given = chunk.length;
		while ((event = pop3_answer_next(&answer, &chunk, &piece, &fail)) == POP3_STATUS || event == POP3_LINE ||
		       event == POP3_PIECE) {
			buf_add_str(out, piece);
			if (event != POP3_PIECE)
				buf_add_char(out, '\n');
		}
		must(answer.line.length <= LIMIT_POP3_ANSWER_LINE_MAX && !answer.line.overflowed);
		sent = str_from_index(sent, given - chunk.length);
	}
	must((event == POP3_BROKEN) == (fail != NULL));
	if (event == POP3_ANSWERED)
		buf_printf(out, "left %zu", sent.length);
	return event;
}

static void check_line(struct str line)
{
	uint64_t first, second;
	struct str uid = {}, timestamp = pop3_greeting_timestamp(line);
	struct pop3_status status;
	CLEANUP(buf_release) struct buf bytes = BUF_WITH_LIMIT(1 << 20);
	must(timestamp.length == 0 || (timestamp.length >= 2 && timestamp.data[0] == '<'));
	if (pop3_status_parse(line, &status, NULL))
		must(status.text.length <= line.length && status.code_text.length <= line.length);
	if (pop3_uid_parse(line, &first, &uid, NULL))
		must(uid.length > 0 && uid.length <= LIMIT_POP3_UID_MAX && str_is_printable(uid));
	if (pop3_numbers_parse(line, &first, &second, NULL)) {
		pop3_add_size(&bytes, first, second);
		must(bytes.length >= 5);
	}
	buf_clear(&bytes);
	if (pop3_challenge_parse(line, &bytes, NULL))
		must(bytes.length <= line.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct str sent = str_from((const char *)data + 2, size - 2);
	enum pop3_answer_kind kind = (enum pop3_answer_kind)(data[0] % 3);
	CLEANUP(buf_release) struct buf whole = BUF_WITH_LIMIT(1 << 22), cut = BUF_WITH_LIMIT(1 << 22);
	enum pop3_event end = transcript(kind, sent, SIZE_MAX, &whole);
	must(transcript(kind, sent, 1 + data[1] % 16, &cut) == end);
	if (end != POP3_BROKEN) /* of a mail that is too large more or less may have been given out before */
		must(str_equal(buf_str(&whole), buf_str(&cut)));
	check_line(sent);
	return 0;
}
