#include "spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

/* Between fork and exec: only async-signal-safe calls. */
static void become_program(const char *path, char *const arguments[], int control, int config)
{
	sigset_t none;
	sigemptyset(&none);
	int null = open("/dev/null", O_RDWR);
	/* Both go above the targets first, so that neither dup2 overwrites the other. */
	int high_control = fcntl(control, F_DUPFD, 10), high_config = fcntl(config, F_DUPFD, 10);
	if (null < 0 || high_control < 0 || high_config < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(high_control, SPAWN_CONTROL) < 0 || dup2(high_config, SPAWN_CONFIG) < 0)
		_exit(126);
	close_range(SPAWN_CONFIG + 1, ~0u, 0);
	signal(SIGPIPE, SIG_IGN);
	/* Ctrl-C at a terminal goes to all of us; when and how children end is master's decision. */
	signal(SIGINT, SIG_IGN);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execv(path, arguments);
	_exit(127);
}

pid_t spawn_program(const char *path, char *const arguments[], int control, int config, struct fail **fail)
{
	if (access(path, X_OK) != 0) {
		fail_set_errno(fail, FAIL_NOT_FOUND, "cannot run %s", path);
		return -1;
	}
	pid_t pid = fork();
	if (pid == 0)
		become_program(path, arguments, control, config);
	if (pid < 0)
		fail_set_errno(fail, FAIL_LIMIT, "cannot start %s", path);
	return pid;
}
