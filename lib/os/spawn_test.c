/* The test is also the program that it starts: as "child" it writes what it has to its control socket. */
#include "spawn.h"

#include "file.h"
#include "str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

struct seen {
	unsigned long long descriptors; /* bits */
	bool config_is_right;
	bool input_is_null;
	bool nothing_blocked;
	bool pipes_ignored, interrupts_ignored;
	bool argument_is_right;
};

static void list_descriptors(struct seen *seen)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.' && strtol(entry->d_name, NULL, 10) != dirfd(directory))
			seen->descriptors |= 1ull << strtol(entry->d_name, NULL, 10);
	closedir(directory);
}

static int child(const char *argument)
{
	struct seen seen = { .argument_is_right = str_equal(str_of(argument), STR("users")) };
	struct stat input, null;
	struct sigaction pipes, interrupts;
	sigset_t blocked, none;
	char config[5] = {};
	list_descriptors(&seen);
	seen.config_is_right = pread(SPAWN_CONFIG, config, 4, 0) == 4 && str_equal(str_of(config), STR("conf"));
	seen.input_is_null = fstat(0, &input) == 0 && stat("/dev/null", &null) == 0 && input.st_rdev == null.st_rdev;
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, NULL, &blocked);
	seen.nothing_blocked = !sigismember(&blocked, SIGTERM) && !sigismember(&blocked, SIGCHLD);
	sigaction(SIGPIPE, NULL, &pipes);
	sigaction(SIGINT, NULL, &interrupts);
	seen.pipes_ignored = pipes.sa_handler == SIG_IGN;
	seen.interrupts_ignored = interrupts.sa_handler == SIG_IGN;
	return write(SPAWN_CONTROL, &seen, sizeof seen) == (ssize_t)sizeof seen ? 0 : 1;
}

/* Runs the child with control and config as the descriptors want_control and want_config here. */
static void spawn_with(int want_control, int want_config)
{
	char *arguments[] = { (char *)"child", (char *)"users", NULL };
	int pair[2], status;
	struct seen seen = {};
	CLEANUP(file_close) int memory = file_sealed_memory("conf", STR("conf"), NULL);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	int saved[2] = { fcntl(want_control, F_DUPFD_CLOEXEC, 50), fcntl(want_config, F_DUPFD_CLOEXEC, 50) };
	/* On their way through 60 and 61, so that neither overwrites the other here. */
	assert_int_equal(dup2(pair[1], 60), 60);
	assert_int_equal(dup2(memory, 61), 61);
	assert_int_equal(dup2(60, want_control), want_control);
	assert_int_equal(dup2(61, want_config), want_config);
	sigset_t some;
	sigemptyset(&some);
	sigaddset(&some, SIGTERM);
	sigaddset(&some, SIGCHLD);
	sigprocmask(SIG_BLOCK, &some, NULL);
	pid_t pid = spawn_program("/proc/self/exe", arguments, want_control, want_config, NULL);
	sigprocmask(SIG_UNBLOCK, &some, NULL);
	assert_true(pid > 0);
	close(60);
	close(61);
	close(want_control);
	close(want_config);
	for (int i = 0; i < 2; i++)
		if (saved[i] >= 0) {
			dup2(saved[i], i ? want_config : want_control);
			close(saved[i]);
		}
	close(pair[1]);
	assert_int_equal(read(pair[0], &seen, sizeof seen), sizeof seen);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(pair[0]);
	assert_true(seen.descriptors == 0x1f); /* 0 to 4 */
	assert_true(seen.config_is_right && seen.input_is_null && seen.nothing_blocked);
	assert_true(seen.pipes_ignored && seen.interrupts_ignored && seen.argument_is_right);
}

static void a_program_has_what_it_is_given(void **state)
{
	(void)state;
	spawn_with(30, 31);
}

/* The worst numbers that the two can have here. */
static void numbers_do_not_matter(void **state)
{
	(void)state;
	spawn_with(SPAWN_CONFIG, SPAWN_CONTROL);
	spawn_with(SPAWN_CONTROL, SPAWN_CONFIG);
}

static void a_missing_program_is_told(void **state)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	char *arguments[] = { (char *)"nothing", NULL };
	(void)state;
	assert_int_equal(spawn_program("/nonexistent/program", arguments, 0, 0, &fail), -1);
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_has_what_it_is_given),
		cmocka_unit_test(numbers_do_not_matter),
		cmocka_unit_test(a_missing_program_is_told),
	};
	if (argc == 2 && str_equal(str_of(argv[0]), STR("child")))
		return child(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
