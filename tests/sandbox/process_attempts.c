/* Other processes, and becoming one. */
#include "escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static int signal_it(const struct scene *s)
{
	return outcome(kill(s->victim, 0));
}

static int signal_group(const struct scene *s)
{
	(void)s;
	return outcome(kill(0, 0));
}

static int signal_thread(const struct scene *s)
{
	return outcome(syscall(SYS_tkill, s->victim, 0));
}

static int signal_thread_of_group(const struct scene *s)
{
	return outcome(syscall(SYS_tgkill, s->victim, s->victim, 0));
}

static int queue_signal(const struct scene *s)
{
	siginfo_t info = { .si_code = SI_QUEUE };
	return outcome(syscall(SYS_rt_sigqueueinfo, s->victim, SIGCONT, &info));
}

static int queue_signal_to_thread(const struct scene *s)
{
	siginfo_t info = { .si_code = SI_QUEUE };
	return outcome(syscall(SYS_rt_tgsigqueueinfo, s->victim, s->victim, SIGCONT, &info));
}

static int open_handle(const struct scene *s)
{
	return outcome(syscall(SYS_pidfd_open, s->victim, 0));
}

static int signal_by_handle(const struct scene *s)
{
	return outcome(syscall(SYS_pidfd_send_signal, s->victim_handle, 0, NULL, 0));
}

static int take_descriptor(const struct scene *s)
{
	return outcome(syscall(SYS_pidfd_getfd, s->victim_handle, 2, 0));
}

/* A descriptor that becomes ready signals its owner, with a signal of choice: SIGKILL too. */
static int signal_by_owner(const struct scene *s)
{
	return outcome(fcntl(s->pair[0], F_SETOWN, s->victim));
}

static int signal_by_owner_ex(const struct scene *s)
{
	struct f_owner_ex owner = { F_OWNER_PID, s->victim };
	return outcome(fcntl(s->pair[0], F_SETOWN_EX, &owner));
}

static int choose_signal(const struct scene *s)
{
	return outcome(fcntl(s->pair[0], F_SETSIG, SIGCONT));
}

static int signal_by_lease(const struct scene *s)
{
	return outcome(fcntl(s->own_directory, F_NOTIFY, DN_CREATE));
}

static int trace(const struct scene *s)
{
	return outcome(ptrace(PTRACE_SEIZE, s->victim, NULL, NULL));
}

static int be_traced(const struct scene *s)
{
	(void)s;
	return outcome(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int read_memory(const struct scene *s)
{
	int value = 0;
	struct iovec here = { &value, sizeof value }, there = { s->victim_memory, sizeof value };
	return outcome(process_vm_readv(s->victim, &here, 1, &there, 1, 0));
}

static int write_memory(const struct scene *s)
{
	int value = 1;
	struct iovec here = { &value, sizeof value }, there = { s->victim_memory, sizeof value };
	return outcome(process_vm_writev(s->victim, &here, 1, &there, 1, 0));
}

static int compare(const struct scene *s)
{
	long result = syscall(SYS_kcmp, getpid(), s->victim, 0 /* KCMP_FILE */, 2, 2);
	return result < 0 ? errno : 0;
}

static int limit_victim(const struct scene *s)
{
	struct rlimit limit = { 0, 0 };
	return outcome(prlimit(s->victim, RLIMIT_CORE, &limit, NULL));
}

static int look_at_victims_limit(const struct scene *s)
{
	struct rlimit limit;
	return outcome(prlimit(s->victim, RLIMIT_NOFILE, NULL, &limit));
}

static int raise_own_limit(const struct scene *s)
{
	struct rlimit limit;
	(void)s;
	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return errno;
	limit.rlim_cur = limit.rlim_max;
	return outcome(setrlimit(RLIMIT_NOFILE, &limit));
}

static int schedule_victim(const struct scene *s)
{
	return outcome(setpriority(PRIO_PROCESS, (id_t)s->victim, 5));
}

static int pin_victim(const struct scene *s)
{
	cpu_set_t all;
	memset(&all, 0xff, sizeof all);
	return outcome(sched_setaffinity(s->victim, sizeof all, &all));
}

static int execute(const struct scene *s)
{
	char *arguments[] = { (char *)"true", NULL };
	(void)s;
	return outcome(execve("/bin/true", arguments, NULL));
}

static int execute_descriptor(const struct scene *s)
{
	char *arguments[] = { (char *)"true", NULL };
	return outcome(syscall(SYS_execveat, s->program, "", arguments, NULL, AT_EMPTY_PATH));
}

static int ended_child(long pid)
{
	if (pid == 0)
		_exit(0);
	return outcome(pid);
}

static int fork_it(const struct scene *s)
{
	(void)s;
	return ended_child(fork());
}

static int raw_fork(const struct scene *s)
{
	(void)s;
	return ended_child(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int clone3_fork(const struct scene *s)
{
	struct clone_args arguments = { .exit_signal = SIGCHLD };
	(void)s;
	return ended_child(syscall(SYS_clone3, &arguments, sizeof arguments));
}

/* The child would keep the parent's filter but have capabilities over its new namespace. */
static int fork_into_user_namespace(const struct scene *s)
{
	(void)s;
	return ended_child(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL));
}

static int fork_sibling(const struct scene *s)
{
	(void)s;
	return ended_child(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, NULL));
}

static int unshare_user(const struct scene *s)
{
	(void)s;
	return outcome(unshare(CLONE_NEWUSER));
}

static int unshare_mounts(const struct scene *s)
{
	(void)s;
	return outcome(unshare(CLONE_NEWNS));
}

static int unshare_network(const struct scene *s)
{
	(void)s;
	return outcome(unshare(CLONE_NEWNET));
}

static int enter_namespace(const struct scene *s)
{
	return outcome(setns(s->name_space, CLONE_NEWNET));
}

static int become_dumpable(const struct scene *s)
{
	(void)s;
	return outcome(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int adopt_orphans(const struct scene *s)
{
	(void)s;
	return outcome(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
}

static int become_root(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_setresuid, getuid(), getuid(), getuid()));
}

static int leave_session(const struct scene *s)
{
	(void)s;
	return outcome(setpgid(0, 0));
}

static int type_for_terminal(const struct scene *s)
{
	return outcome(ioctl(s->terminal, TIOCSTI, "x"));
}

const struct attempt process_attempts[] = {
	{ "kill", signal_it, BY_NOBODY },
	{ "kill the own group", signal_group, BY_NOBODY },
	{ "tkill", signal_thread, BY_NOBODY },
	{ "tgkill", signal_thread_of_group, BY_NOBODY },
	{ "rt_sigqueueinfo", queue_signal, BY_NOBODY },
	{ "rt_tgsigqueueinfo", queue_signal_to_thread, BY_NOBODY },
	{ "pidfd_open", open_handle, BY_NOBODY },
	{ "pidfd_send_signal", signal_by_handle, BY_NOBODY },
	{ "pidfd_getfd", take_descriptor, BY_NOBODY },
	{ "F_SETOWN", signal_by_owner, BY_NOBODY },
	{ "F_SETOWN_EX", signal_by_owner_ex, BY_NOBODY },
	{ "F_SETSIG", choose_signal, BY_NOBODY },
	{ "F_NOTIFY", signal_by_lease, BY_NOBODY },
	{ "PTRACE_SEIZE", trace, BY_NOBODY },
	{ "PTRACE_TRACEME", be_traced, BY_NOBODY },
	{ "process_vm_readv", read_memory, BY_NOBODY },
	{ "process_vm_writev", write_memory, BY_NOBODY },
	{ "kcmp", compare, BY_NOBODY },
	{ "prlimit of another, setting", limit_victim, BY_NOBODY },
	{ "prlimit of another, looking", look_at_victims_limit, BY_NOBODY },
	{ "setrlimit", raise_own_limit, BY_NOBODY },
	{ "setpriority of another", schedule_victim, BY_NOBODY },
	{ "sched_setaffinity of another", pin_victim, BY_NOBODY },
	{ "execve", execute, BY_NOBODY },
	{ "execveat", execute_descriptor, BY_NOBODY },
	{ "fork", fork_it, BY_ZYGOTE },
	{ "clone as fork", raw_fork, BY_ZYGOTE },
	{ "clone3 as fork", clone3_fork, BY_NOBODY },
	{ "clone into a user namespace", fork_into_user_namespace, BY_NOBODY },
	{ "clone with CLONE_PARENT", fork_sibling, BY_NOBODY },
	{ "unshare the user namespace", unshare_user, BY_NOBODY },
	{ "unshare mounts", unshare_mounts, BY_NOBODY },
	{ "unshare the network", unshare_network, BY_NOBODY },
	{ "setns", enter_namespace, BY_NOBODY },
	{ "PR_SET_DUMPABLE", become_dumpable, BY_NOBODY },
	{ "PR_SET_CHILD_SUBREAPER", adopt_orphans, BY_NOBODY },
	{ "setresuid", become_root, BY_NOBODY },
	{ "setpgid", leave_session, BY_NOBODY },
	{ "TIOCSTI", type_for_terminal, BY_NOBODY },
	{},
};
