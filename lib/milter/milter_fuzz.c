/* Both directions: what is read is within its bounds, and written again it reads the same. */
#include "milter_wire.h"

#include "limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_within(struct str part, struct str whole)
{
	must(part.length == 0 || (part.data >= whole.data && part.data + part.length <= whole.data + whole.length));
}

static size_t try_answer(struct str input)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(8192), out = BUF_WITH_LIMIT(4u << 20), again_text = BUF_WITH_LIMIT(8192);
	struct milter_answer answer, again;
	size_t used;
	if (milter_answer_read(input, &used, &text, &answer) != MILTER_ANSWER)
		return 0;
	check_within(answer.name, input);
	check_within(answer.value, input);
	check_within(answer.macros, input);
	must(used <= input.length && (answer.code == 0 || (answer.code >= 400 && answer.code <= 599)));
	milter_answer_write(&out, &answer);
	must(milter_answer_read(buf_str(&out), &used, &again_text, &again) == MILTER_ANSWER && used == out.length);
	must(again.kind == answer.kind && again.index == answer.index && again.code == answer.code &&
	     str_equal(again.name, answer.name) && str_equal(again.value, answer.value) &&
	     str_equal(again.macros, answer.macros));
	return 1;
}

static void try_request(struct str input)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4u << 20);
	struct milter_request request;
	size_t used;
	if (milter_request_read(input, &used, &request) != MILTER_ANSWER)
		return;
	for (size_t i = 0; i < request.argument_count; i++)
		check_within(request.arguments[i], input);
	check_within(request.body, input);
	milter_request_write(&out, &request);
	must(str_equal(buf_str(&out), str_first(input, used)));
}

/* A whole conversation with a filter that answers what it likes. */
static void try_client(struct str input)
{
	static const enum milter_command order[] = { MILTER_OPTIONS, MILTER_CONNECT, MILTER_HELO, MILTER_MAIL, MILTER_RCPT, MILTER_UNKNOWN, MILTER_DATA, MILTER_HEADER,
		                                         MILTER_END_OF_HEADER, MILTER_BODY, MILTER_END };
	struct milter_client c;
	milter_client_init(&c);
	for (size_t i = 0; i < COUNT_OF(order) && !c.awaits; i++) {
		const struct milter_request request = { .command = order[i], .family = 'U', .arguments = { STR("a"), STR("b") },
			                                    .argument_count = order[i] == MILTER_HEADER ? 2 : 1, .options = { MILTER_VERSION, 0x133, 0x1ff7ff } };
		enum milter_event event = MILTER_ANSWER;
		struct str names;
		if (milter_client_macros(&c, order[i], &names))
			check_within(names, buf_str(&c.macros));
		milter_client_ask(&c, &request);
		while (c.awaits && event == MILTER_ANSWER) {
			struct milter_answer answer;
			size_t used;
			event = milter_client_read(&c, input, &used, &answer);
			input = str_from_index(input, used);
		}
	}
	must(!c.out.overflowed);
	milter_client_release(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_from((const char *)data, size);
	try_answer(input);
	try_request(input);
	try_client(input);
	return 0;
}
