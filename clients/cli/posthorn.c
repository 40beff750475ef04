/* posthorn: mail from the command line; see posthorn(1) and cli.h. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>

static void inform(const struct cli_call *call)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(65536);
	if (call->given & CLI_VERSION)
		buf_add_str(&text, STR("posthorn " POSTHORN_VERSION "\n"));
	else
		cli_help(call->command, &text);
	fwrite(text.data, 1, text.length, stdout);
}

int main(int argc, char **argv)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct cli_call call;
	signal(SIGPIPE, SIG_DFL);
	words_begin();
	bool good = cli_call_parse(argc, argv, &call, &fail);
	if (good && call.given & (CLI_HELP | CLI_VERSION))
		inform(&call);
	else
		good = good && call.command->run(&call, &fail);
	if (fflush(stdout) != 0)
		good = fail_set_errno(&fail, FAIL_IO, "standard output");
	if (good)
		return CLI_DONE;
	cli_say("%s", fail_text(fail));
	return (int)cli_exit_of(&call, fail);
}
