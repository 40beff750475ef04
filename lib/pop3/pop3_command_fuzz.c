/* Command lines: each is either a command within the bounds of the table, or has one well-formed -ERR line. */
#include "command.h"

#include "limits.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_command(const struct pop3_situation *situation, struct str line, const struct pop3_command *command)
{
	const struct pop3_command_info *info = pop3_command_info(command->verb);
	must(info->states & situation->state);
	must(command->argument_count >= info->arguments_min && command->argument_count <= info->arguments_max);
	must(str_starts_nocase(line, str_of(info->keyword)));
	for (unsigned i = 0; i < command->argument_count; i++) {
		struct str argument = command->arguments[i];
		must(argument.length > 0 && argument.data > line.data &&
			argument.data + argument.length <= line.data + line.length);
		must(text_is_utf8(argument) && str_find_char(argument, '\0') == argument.length);
		must(info->traits & POP3_REST_OF_LINE || str_find_char(argument, ' ') == argument.length);
	}
	must((command->message > 0) == (info->traits & POP3_MESSAGE && command->argument_count > 0));
}

static void check_answer(struct str answer)
{
	must(str_starts(answer, STR("-ERR ")) && answer.length <= LIMIT_POP3_STATUS_LINE_MAX);
	must(str_find(answer, STR("\r\n")) == answer.length - 2 && str_find_char(answer, '\n') == answer.length - 1);
	must(text_is_utf8(answer));
}

/* Nothing of a secret is shown; the keyword is. */
static void check_mask(struct str line)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	pop3_command_mask(&out, line);
	struct str shown = buf_str(&out), keyword = str_first(line, str_find_char(line, ' '));
	must(str_starts(shown, keyword) && !out.overflowed);
	if (str_equal_nocase(keyword, STR("PASS")) && keyword.length < line.length)
		must(str_equal(str_from_index(shown, 4), STR(" ***")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct pop3_situation situation = {
		.state = data[0] & 1 ? POP3_AUTHORIZATION : POP3_TRANSACTION, .tls = data[0] & 2, .stls_offered = data[0] & 4,
		.clear_text_allowed = data[0] & 8, .user_given = data[0] & 16, .utf8 = data[0] & 32,
		.language = (enum pop3_language)((data[0] >> 6) % POP3_LANGUAGE_COUNT),
	};
	struct str line = str_from((const char *)data + 1, size - 1);
	struct pop3_command command;
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(10000);
	if (pop3_command_check(&situation, line, &command, &answer)) {
		check_command(&situation, line, &command);
		must(answer.length == 0);
	} else {
		check_answer(buf_str(&answer));
	}
	check_mask(line);
	return 0;
}
