#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Newer than Debian 12's header; the kernel refuses bits above its ABI, so they are added by ABI. */
#define ACCESS_FS_TRUNCATE (UINT64_C(1) << 14) /* ABI 3 */
#define ACCESS_FS_IOCTL_DEV (UINT64_C(1) << 15) /* ABI 5 */
#define ACCESS_NET_BIND_TCP (UINT64_C(1) << 0) /* ABI 4 */
#define ACCESS_NET_CONNECT_TCP (UINT64_C(1) << 1)
#define SCOPE_ABSTRACT_UNIX_SOCKET (UINT64_C(1) << 0) /* ABI 6 */
#define SCOPE_SIGNAL (UINT64_C(1) << 1)

#define ACCESS_READ (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define ACCESS_WRITE                                                                                   \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |  \
	 LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_REFER)

/* struct landlock_ruleset_attr as of ABI 6; a kernel takes the size its ABI knows. */
struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;
	uint64_t scoped;
};

int sandbox_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return abi < 0 ? 0 : (int)abi;
}

static uint64_t access_known(int abi)
{
	uint64_t known = ACCESS_READ | ACCESS_WRITE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
	                 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
	                 LANDLOCK_ACCESS_FS_MAKE_SYM;
	if (abi < 2)
		known &= ~(uint64_t)LANDLOCK_ACCESS_FS_REFER;
	if (abi >= 3)
		known |= ACCESS_FS_TRUNCATE;
	if (abi >= 5)
		known |= ACCESS_FS_IOCTL_DEV;
	return known;
}

static bool allow_path(int ruleset, const struct sandbox_path *path, uint64_t known, struct fail **fail)
{
	uint64_t access = 0;
	if (path->access & SANDBOX_READ)
		access |= ACCESS_READ;
	if (path->access & SANDBOX_WRITE)
		access |= ACCESS_WRITE | ACCESS_FS_TRUNCATE;
	struct landlock_path_beneath_attr rule = { .allowed_access = access & known };
	rule.parent_fd = open(path->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return fail_set_errno(fail, FAIL_UNAVAILABLE, "sandbox: cannot open %s", path->path);
	long added = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	if (added != 0)
		fail_set_errno(fail, FAIL_UNAVAILABLE, "sandbox: cannot allow %s", path->path);
	close(rule.parent_fd);
	return added == 0;
}

static bool enter_landlock(const struct sandbox *sandbox, struct fail **fail)
{
	int abi = sandbox_landlock_abi();
	if (sandbox->landlock_abi_max > 0 && sandbox->landlock_abi_max < abi)
		abi = sandbox->landlock_abi_max;
	if (abi < 1)
		return fail_set(fail, FAIL_UNAVAILABLE, "this kernel has no Landlock (it needs CONFIG_SECURITY_LANDLOCK and lsm=landlock)");
	struct ruleset rules = { .handled_access_fs = access_known(abi) };
	if (abi >= 4)
		rules.handled_access_net = ACCESS_NET_BIND_TCP | ACCESS_NET_CONNECT_TCP;
	if (abi >= 6)
		rules.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	size_t size = abi >= 6 ? sizeof rules : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (ruleset < 0)
		return fail_set_errno(fail, FAIL_UNAVAILABLE, "cannot make a Landlock rule set");
	bool done = true;
	for (size_t i = 0; done && i < sandbox->path_count; i++)
		done = allow_path(ruleset, &sandbox->paths[i], rules.handled_access_fs, fail);
	if (done && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		done = fail_set_errno(fail, FAIL_UNAVAILABLE, "cannot enter the Landlock sandbox");
	close(ruleset);
	return done;
}

/* What every program needs once it runs: memory, time, reading, writing and waiting on what it has. */
static const int always[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64), SCMP_SYS(preadv),
	SCMP_SYS(pwritev), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(dup),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmsg), SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(shutdown), SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt), SCMP_SYS(getpeername), SCMP_SYS(getsockname), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2), SCMP_SYS(brk), SCMP_SYS(mmap),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mprotect), SCMP_SYS(futex), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom), SCMP_SYS(getpid),
	SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group), SCMP_SYS(sched_yield), SCMP_SYS(getrusage), SCMP_SYS(uname), SCMP_SYS(rseq), SCMP_SYS(sched_getaffinity),
	SCMP_SYS(prlimit64), SCMP_SYS(getdents64), SCMP_SYS(membarrier), SCMP_SYS(sysinfo), SCMP_SYS(set_robust_list), SCMP_SYS(fcntl),
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(SANITIZED)
	/* What the sanitizers' runtimes do at start, on reports and at exit. */
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(clone), SCMP_SYS(clone3), SCMP_SYS(wait4), SCMP_SYS(prctl), SCMP_SYS(tgkill),
	SCMP_SYS(arch_prctl), SCMP_SYS(set_tid_address), SCMP_SYS(getppid), SCMP_SYS(personality),
#endif
};

/* Libraries try these and can do without. */
static const int denied_softly[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat),
	SCMP_SYS(lstat), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(unlink), SCMP_SYS(rename), SCMP_SYS(mkdir), SCMP_SYS(truncate),
	SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(socketpair),
	SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(tgkill), SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal), SCMP_SYS(execve), SCMP_SYS(execveat),
	SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(clone3), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
	SCMP_SYS(chmod), SCMP_SYS(chown), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(link), SCMP_SYS(symlink), SCMP_SYS(mknod),
	SCMP_SYS(ioctl), SCMP_SYS(prctl), SCMP_SYS(memfd_create), SCMP_SYS(getppid), SCMP_SYS(getcwd), SCMP_SYS(chdir),
	SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_setscheduler), SCMP_SYS(io_uring_setup), SCMP_SYS(pipe2), SCMP_SYS(wait4), SCMP_SYS(waitid),
};

static const int for_threads[] = { SCMP_SYS(set_tid_address), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler) };
static const int for_files[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat), SCMP_SYS(lstat),
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rename), SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir), SCMP_SYS(link), SCMP_SYS(linkat), SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(syncfs), SCMP_SYS(sync_file_range), SCMP_SYS(fadvise64),
	SCMP_SYS(copy_file_range), SCMP_SYS(sendfile), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(getcwd), SCMP_SYS(utimensat),
	SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(umask), SCMP_SYS(memfd_create), SCMP_SYS(msync), SCMP_SYS(flock), SCMP_SYS(pwritev2),
};
static const int for_accept[] = { SCMP_SYS(accept4) };
static const int for_fork[] = { SCMP_SYS(fork), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(set_robust_list), SCMP_SYS(openat), SCMP_SYS(open),
	                            SCMP_SYS(prctl), SCMP_SYS(landlock_create_ruleset), SCMP_SYS(landlock_add_rule),
	                            SCMP_SYS(landlock_restrict_self), SCMP_SYS(seccomp) };

static bool add_rules(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int result = seccomp_rule_add(filter, action, calls[i], 0);
		if (result != 0 && result != -EEXIST && result != -EDOM)
			return false;
	}
	return true;
}

/* Does this profile allow the call without conditions? Then it must not be denied softly too. */
static bool listed(int call, const int *calls, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (calls[i] == call)
			return true;
	return false;
}

static bool profile_allows(unsigned needs, int call)
{
	return listed(call, always, COUNT_OF(always)) ||
	       ((needs & SANDBOX_NEEDS_THREADS) && (call == SCMP_SYS(clone3) || listed(call, for_threads, COUNT_OF(for_threads)))) ||
	       ((needs & SANDBOX_NEEDS_FILES) && listed(call, for_files, COUNT_OF(for_files))) ||
	       ((needs & SANDBOX_NEEDS_ACCEPT) && listed(call, for_accept, COUNT_OF(for_accept))) ||
	       ((needs & SANDBOX_NEEDS_SOCKETS) && call == SCMP_SYS(socketpair)) ||
	       ((needs & SANDBOX_NEEDS_FORK) && listed(call, for_fork, COUNT_OF(for_fork)));
}

/* clone3 hides its flags behind a pointer, so glibc is made to fall back to clone, whose flags can be read. */
static bool allow_clone(scmp_filter_ctx filter, unsigned needs)
{
	if (needs & SANDBOX_NEEDS_FORK)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0) == 0;
	if (!(needs & SANDBOX_NEEDS_THREADS))
		return true;
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	                        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0;
}

static bool fill_filter(scmp_filter_ctx filter, unsigned needs)
{
	bool done = add_rules(filter, SCMP_ACT_ALLOW, always, COUNT_OF(always)) && allow_clone(filter, needs);
	if (needs & SANDBOX_NEEDS_THREADS)
		done = done && seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0 &&
		       add_rules(filter, SCMP_ACT_ALLOW, for_threads, COUNT_OF(for_threads));
	if (needs & SANDBOX_NEEDS_FILES)
		done = done && add_rules(filter, SCMP_ACT_ALLOW, for_files, COUNT_OF(for_files));
	if (needs & SANDBOX_NEEDS_ACCEPT)
		done = done && add_rules(filter, SCMP_ACT_ALLOW, for_accept, COUNT_OF(for_accept));
	if (needs & SANDBOX_NEEDS_SOCKETS)
		done = done && seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socketpair), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX)) == 0;
	if (needs & SANDBOX_NEEDS_FORK)
		done = done && add_rules(filter, SCMP_ACT_ALLOW, for_fork, COUNT_OF(for_fork));
	for (size_t i = 0; done && i < COUNT_OF(denied_softly); i++)
		if (!profile_allows(needs, denied_softly[i]))
			done = add_rules(filter, SCMP_ACT_ERRNO(EPERM), &denied_softly[i], 1);
	return done;
}

static bool enter_seccomp(unsigned needs, struct fail **fail)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return fail_set(fail, FAIL_UNAVAILABLE, "cannot make a seccomp filter");
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	bool filled = fill_filter(filter, needs);
	int loaded = filled ? seccomp_load(filter) : -EINVAL;
	seccomp_release(filter);
	if (loaded != 0) {
		errno = -loaded;
		return fail_set_errno(fail, FAIL_UNAVAILABLE, "cannot enter the seccomp sandbox");
	}
	return true;
}

bool sandbox_enter(const struct sandbox *sandbox, struct fail **fail)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return fail_set_errno(fail, FAIL_UNAVAILABLE, "cannot set no_new_privs");
	return enter_landlock(sandbox, fail) && enter_seccomp(sandbox->needs, fail);
}
