/* A session's bytes cut into lines and checked in every phase: whatever is let through is in order, every refusal is a
 * reply, and cutting the stream elsewhere gives the same lines. */
#include "smtp_command.h"
#include "smtp_line.h"

enum { LINE_LIMIT = 64 };

static void check_everywhere(struct str line)
{
	for (int protocol = SMTP_ON_MX; protocol <= SMTP_ON_LMTP; protocol++)
		for (unsigned phase = SMTP_CONNECTED; phase <= SMTP_CHUNK_GIVEN; phase <<= 1)
			for (unsigned facts = 0; facts <= 2 * SMTP_BYTES_BEHIND - 1; facts += 37) {
				struct smtp_request r;
				const struct smtp_reply *reply =
					smtp_command_check((enum smtp_protocol)protocol, (enum smtp_phase)phase, facts, line, &r);
				must(reply || (r.command && r.command->phases & phase && !r.must_close));
				must(!reply || (reply->code >= 500 && reply->code <= 599 && reply->enhanced));
				must(r.argument.length <= line.length);
				must(r.octets_behind <= INT64_MAX);
			}
}

/* Takes lines as a server with a buffer does, reading piece octets at a time; returns a hash of what came out. */
static uint64_t take_lines(struct str input, size_t piece, bool check)
{
	CLEANUP(buf_release) struct buf pending = BUF_WITH_LIMIT(2 * LINE_LIMIT);
	struct smtp_line_reader reader = {};
	uint64_t hash = 14695981039346656037u;
	while (input.length) {
		struct str part = str_first(input, piece), line;
		must(buf_add_str(&pending, part));
		input = str_from_index(input, part.length);
		struct str rest = buf_str(&pending);
		for (;;) {
			enum smtp_line_kind kind = smtp_line_take(&reader, &rest, LINE_LIMIT, &line);
			if (kind == SMTP_LINE_NONE)
				break;
			hash = (hash ^ kind) * 1099511628211u;
			for (size_t i = 0; kind == SMTP_LINE_COMMAND && i < line.length; i++)
				hash = (hash ^ (unsigned char)line.data[i]) * 1099511628211u;
			if (check && kind == SMTP_LINE_COMMAND)
				check_everywhere(line);
		}
		buf_consume(&pending, pending.length - rest.length);
		must(pending.length < LINE_LIMIT);
	}
	return hash;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 4096)
		return 0;
	struct str input = str_from((const char *)data, size);
	uint64_t hash = take_lines(input, LINE_LIMIT, true);
	must(take_lines(input, 1, false) == hash);
	must(take_lines(input, 7, false) == hash);
	return 0;
}
