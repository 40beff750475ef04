#include "drop.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static const char user[] = "nobody";

/* Runs check in a child that has dropped its privileges; its status is the number of the first thing that is wrong. */
static int in_dropped_child(int (*check)(void))
{
	int status;
	pid_t pid = fork();
	if (pid == 0)
		_exit(drop_privileges(user, NULL) ? check() : 100);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 101;
}

static int ids_are_gone(void)
{
	const struct passwd *entry = getpwnam(user);
	uid_t real, effective, saved;
	gid_t group, effective_group, saved_group, groups[1];
	getresuid(&real, &effective, &saved);
	getresgid(&group, &effective_group, &saved_group);
	if (real != entry->pw_uid || effective != entry->pw_uid || saved != entry->pw_uid)
		return 1;
	if (group != entry->pw_gid || effective_group != entry->pw_gid || saved_group != entry->pw_gid)
		return 2;
	if (getgroups(0, NULL) != 0 || getgroups(1, groups) != 0)
		return 3;
	if ((uid_t)setfsuid((uid_t)-1) != entry->pw_uid)
		return 4;
	return 0;
}

static int nothing_comes_back(void)
{
	const gid_t root = 0;
	if (setuid(0) == 0 || seteuid(0) == 0 || setreuid(0, 0) == 0 || setresuid(0, 0, 0) == 0)
		return 1;
	if (setgid(0) == 0 || setegid(0) == 0 || setresgid(0, 0, 0) == 0 || setgroups(1, &root) == 0)
		return 2;
	if (chroot("/") == 0 || open("/etc/shadow", O_RDONLY) >= 0)
		return 3;
	return 0;
}

static int process_is_bound(void)
{
	int signal_of_parent;
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return 1;
	if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return 2;
	if (prctl(PR_GET_PDEATHSIG, &signal_of_parent) != 0 || signal_of_parent != SIGKILL)
		return 3;
	return 0;
}

static void need_root(void)
{
	if (geteuid() != 0) {
		print_message("needs root\n");
		skip();
	}
}

static void root_becomes_the_user(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(in_dropped_child(ids_are_gone), 0);
}

static void root_does_not_come_back(void **state)
{
	(void)state;
	need_root();
	assert_int_equal(in_dropped_child(nothing_comes_back), 0);
}

static void every_process_is_bound(void **state)
{
	(void)state;
	assert_int_equal(in_dropped_child(process_is_bound), 0);
}

static void an_unknown_user_is_told(void **state)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	(void)state;
	need_root();
	assert_false(drop_privileges("posthorn-no-such-user", &fail));
	assert_int_equal(fail->kind, FAIL_NOT_FOUND);
	assert_int_equal(geteuid(), 0);
}

/* Middle starts a child that drops its privileges and waits for ever; when middle is killed, the child ends too. */
static void it_dies_with_its_parent(void **state)
{
	int ends[2], status;
	char byte;
	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid_t middle = fork();
	if (middle == 0) {
		if (fork() == 0) {
			if (!drop_privileges(user, NULL) || write(ends[1], "r", 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		for (;;)
			pause();
	}
	close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	kill(middle, SIGKILL);
	assert_int_equal(waitpid(middle, &status, 0), middle);
	assert_int_equal(read(ends[0], &byte, 1), 0); /* nobody holds the other end any more */
	close(ends[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(root_becomes_the_user),   cmocka_unit_test(root_does_not_come_back),
		cmocka_unit_test(every_process_is_bound),  cmocka_unit_test(an_unknown_user_is_told),
		cmocka_unit_test(it_dies_with_its_parent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
