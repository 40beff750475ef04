/* posthornctl: see posthornctl(8) and ctl_command.h. */
#include "ctl_archive.h"
#include "ctl_link.h"
#include "ctl_local.h"
#include "ctl_log.h"
#include "ctl_purge.h"
#include "ctl_report.h"
#include "ctl_secret.h"
#include "ctl_table.h"
#include "ctl_trace.h"
#include "doctor.h"
#include "file.h"
#include "mem.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

enum { WORDS_MAX = 60000, PIECE = 65536 };

enum exit_code { EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_NOT_FOUND, EXIT_UNAVAILABLE, EXIT_DENIED, EXIT_EXISTS,
	EXIT_UNHEALTHY };

static const enum exit_code exit_codes[FAIL_KIND_COUNT] = {
	[FAIL_NOT_FOUND] = EXIT_NOT_FOUND,  [FAIL_EXISTS] = EXIT_EXISTS,           [FAIL_DENIED] = EXIT_DENIED,
	[FAIL_INVALID] = EXIT_USAGE,        [FAIL_OVER_QUOTA] = EXIT_FAILED,       [FAIL_TOO_BIG] = EXIT_FAILED,
	[FAIL_LIMIT] = EXIT_FAILED,         [FAIL_BUSY] = EXIT_UNAVAILABLE,        [FAIL_CORRUPT] = EXIT_FAILED,
	[FAIL_IO] = EXIT_FAILED,            [FAIL_NO_SPACE] = EXIT_FAILED,         [FAIL_UNAVAILABLE] = EXIT_UNAVAILABLE,
	[FAIL_TIMEOUT] = EXIT_UNAVAILABLE,
};

static enum ctl_form form_of(const struct ctl_call *call)
{
	if (call->json)
		return CTL_FORM_JSON;
	return call->command->traits & CTL_ONE_THING ? CTL_FORM_LIST : CTL_FORM_TABLE;
}

/* Who asked for it waits for no pipe, so what is no file is copied into memory. */
static int copy_to_memory(int descriptor, const char *path, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_ALIAS_FILE_MAX);
	ssize_t length = 0;
	for (char *room; (room = buf_reserve(&text, PIECE)) && (length = read(descriptor, room, PIECE)) > 0;)
		buf_claim(&text, (size_t)length);
	if (length < 0)
		return fail_set_errno(fail, FAIL_IO, "%s", path), -1;
	if (length > 0)
		return fail_set(fail, FAIL_TOO_BIG, "%s is larger than %d octets", path, LIMIT_ALIAS_FILE_MAX), -1;
	return file_sealed_memory("import", buf_str(&text), fail);
}

/* Opened here, with the rights of the user who asks. */
static bool open_file(const struct ctl_call *call, int *descriptor, struct fail **fail)
{
	struct stat facts;
	*descriptor = -1;
	if (!(call->command->traits & CTL_FILE))
		return true;
	const char *path = call->arguments[1];
	CLEANUP(file_close) int opened = open(path, O_RDONLY | O_CLOEXEC);
	if (opened < 0 || fstat(opened, &facts) != 0)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	if (!S_ISREG(facts.st_mode)) {
		*descriptor = copy_to_memory(opened, path, fail);
		return *descriptor >= 0;
	}
	*descriptor = opened;
	opened = -1;
	return true;
}

static bool connect_peer(const struct ctl_call *call, struct ipc_channel *channel, struct fail **fail)
{
	CLEANUP(mem_free) char *runtime_directory = ctl_runtime_directory(call->directory, call->config, fail);
	if (!runtime_directory)
		return false;
	if (call->command->peer == CTL_MAILBOX)
		return ctl_open_account(runtime_directory, call->arguments[0], channel, fail);
	return ctl_connect(runtime_directory, call->command->peer, channel, fail);
}

static bool ask(const struct ctl_call *call, struct str words, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
	struct ctl_request request = { .words = words, .patient = call->command->peer == CTL_MAILBOX };
	struct ctl_table table;
	if (!connect_peer(call, &channel, fail) || !open_file(call, &request.descriptor, fail))
		return false;
	ctl_table_begin(&table, form_of(call), stdout);
	bool good = ctl_ask(&channel, &request, ctl_table_take, &table, fail);
	ctl_table_end(&table);
	return good;
}

static bool run(const struct ctl_call *call, bool *is_healthy, struct fail **fail)
{
	CLEANUP(buf_wipe) struct buf words = BUF_WITH_LIMIT(WORDS_MAX);
	if (call->command->peer == CTL_LOCAL)
		return ctl_local_run(call, stdout, fail);
	if (call->command->peer == CTL_LOG)
		return ctl_log_run(call, stdout, fail);
	if (call->command->peer == CTL_REPORT)
		return ctl_report_run(call, stdout, fail);
	if (call->command->peer == CTL_TRACE)
		return ctl_trace_run(call, stdout, fail);
	if (call->command->peer == CTL_DOCTOR)
		return doctor_run(call, stdout, is_healthy, fail);
	if (call->command->peer == CTL_PURGE)
		return ctl_purge_run(call, stdout, fail);
	if (call->command->peer == CTL_ARCHIVE)
		return ctl_archive_run(call, stdout, fail);
	ctl_call_words(call, &words);
	if (words.overflowed)
		return fail_set(fail, FAIL_INVALID, "the arguments are too long");
	return ctl_secret_add(call, &words, fail) && ask(call, buf_str(&words), fail);
}

/* --commands: for completion and the test of the manual, one command per line and a tab before its arguments. */
static void add_commands(struct buf *text)
{
	for (size_t i = 0; ctl_command_at(i); i++)
		buf_printf(text, "%s\t%s\n", ctl_command_at(i)->words, ctl_command_at(i)->arguments);
}

static void inform(const struct ctl_call *call)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(65536);
	if (call->version)
		buf_printf(&text, "posthornctl " POSTHORN_VERSION "\n");
	else if (call->commands)
		add_commands(&text);
	else if (call->command)
		ctl_help_command(call->command, &text);
	else
		ctl_help_all(call->subject, &text);
	fwrite(text.data, 1, text.length, stdout);
}

int main(int argc, char **argv)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(ctl_call_release) struct ctl_call call = {};
	bool is_healthy = true;
	signal(SIGPIPE, SIG_DFL);
	bool good = ctl_call_parse(argc, argv, &call, &fail);
	if (!call.directory)
		call.directory = call.config ? NULL : getenv("POSTHORN_DIR");
	if (good && (call.help || call.version || call.commands))
		inform(&call);
	else
		good = good && run(&call, &is_healthy, &fail);
	/* A program that reads JSON gets some, whatever went wrong; what nothing was written to has no orientation yet. */
	if (!good && call.json && fwide(stdout, 0) == 0)
		fputs("[]\n", stdout);
	if (fflush(stdout) != 0)
		good = fail_set_errno(&fail, FAIL_IO, "standard output");
	if (good)
		return is_healthy ? EXIT_DONE : EXIT_UNHEALTHY;
	fprintf(stderr, "posthornctl: %s\n", fail_text(fail));
	return fail ? (int)exit_codes[fail->kind] : EXIT_FAILED;
}
