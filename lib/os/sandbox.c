#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
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

/* struct landlock_net_port_attr, ABI 4 */
enum { RULE_NET_PORT = 2 };
struct net_port {
	uint64_t allowed_access;
	uint64_t port;
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

/* An own address without a port of one's own choice. */
static bool allow_any_port(int ruleset, struct fail **fail)
{
	const struct net_port rule = { .allowed_access = ACCESS_NET_BIND_TCP, .port = 0 };
	return syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) == 0 ||
	       fail_set_errno(fail, FAIL_UNAVAILABLE, "sandbox: cannot allow to choose an own address");
}

static bool enter_landlock(const struct sandbox *sandbox, struct fail **fail)
{
	int abi = sandbox_landlock_abi();
	if (sandbox->landlock_abi_max > 0 && sandbox->landlock_abi_max < abi)
		abi = sandbox->landlock_abi_max;
	if (abi < 1)
		return fail_set(fail, FAIL_UNAVAILABLE,
		                "this kernel has no Landlock (it needs CONFIG_SECURITY_LANDLOCK and lsm=landlock)");
	struct ruleset rules = { .handled_access_fs = access_known(abi) };
	if (abi >= 4)
		rules.handled_access_net = ACCESS_NET_BIND_TCP |
		                           (sandbox->needs & SANDBOX_NEEDS_INTERNET ? 0 : ACCESS_NET_CONNECT_TCP);
	if (abi >= 6)
		rules.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	size_t size = abi >= 6 ? sizeof rules : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &rules, size, 0);
	if (ruleset < 0)
		return fail_set_errno(fail, FAIL_UNAVAILABLE, "cannot make a Landlock rule set");
	bool done = true;
	for (size_t i = 0; done && i < sandbox->path_count; i++)
		done = allow_path(ruleset, &sandbox->paths[i], rules.handled_access_fs, fail);
	if (done && abi >= 4 && sandbox->needs & SANDBOX_NEEDS_INTERNET)
		done = allow_any_port(ruleset, fail);
	if (done && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		done = fail_set_errno(fail, FAIL_UNAVAILABLE, "cannot enter the Landlock sandbox");
	close(ruleset);
	return done;
}

/* What every program needs once it runs: memory, time, reading, writing and waiting on what it has. */
static const int always[] = {
	SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(close), SCMP_SYS(lseek), SCMP_SYS(fstat), SCMP_SYS(newfstatat),
	SCMP_SYS(dup), SCMP_SYS(recvmsg), SCMP_SYS(recvfrom), SCMP_SYS(shutdown), SCMP_SYS(getsockopt),
	SCMP_SYS(getpeername), SCMP_SYS(getsockname), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2), SCMP_SYS(brk),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(getrandom),
	SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(sched_yield), SCMP_SYS(getrusage),
	SCMP_SYS(uname), SCMP_SYS(rseq), SCMP_SYS(sched_getaffinity), SCMP_SYS(getdents64), SCMP_SYS(membarrier),
	SCMP_SYS(sysinfo), SCMP_SYS(set_robust_list),
#ifdef SANITIZED
	/* What the sanitizers' runtimes do at start, on reports and at exit. */
	SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(clone), SCMP_SYS(wait4), SCMP_SYS(prctl), SCMP_SYS(tgkill),
	SCMP_SYS(arch_prctl), SCMP_SYS(set_tid_address), SCMP_SYS(getppid), SCMP_SYS(personality), SCMP_SYS(prlimit64),
#endif
};

/* Libraries try these and can do without. */
static const int denied_softly[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(stat), SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(unlink),
	SCMP_SYS(rename), SCMP_SYS(mkdir), SCMP_SYS(truncate), SCMP_SYS(socket), SCMP_SYS(connect), SCMP_SYS(bind),
	SCMP_SYS(listen), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(kill), SCMP_SYS(tkill), SCMP_SYS(tgkill),
	SCMP_SYS(rt_sigqueueinfo), SCMP_SYS(pidfd_open), SCMP_SYS(pidfd_send_signal), SCMP_SYS(execve),
	SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev), SCMP_SYS(chmod), SCMP_SYS(chown), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(link),
	SCMP_SYS(linkat), SCMP_SYS(symlink), SCMP_SYS(mknod), SCMP_SYS(utimensat), SCMP_SYS(flock), SCMP_SYS(umask),
	SCMP_SYS(ioctl), SCMP_SYS(memfd_create), SCMP_SYS(getppid), SCMP_SYS(getcwd), SCMP_SYS(chdir),
	SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_setscheduler), SCMP_SYS(io_uring_setup), SCMP_SYS(pipe2),
	SCMP_SYS(wait4), SCMP_SYS(waitid),
};

static const int for_threads[] = { SCMP_SYS(set_tid_address), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler) };
/* Paths are Landlock's business, and what Landlock of some ABI does not know by path (truncate, chmod, utimensat) is
 * not here. */
static const int for_files[] = {
	SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(stat),
	SCMP_SYS(lstat), SCMP_SYS(statx), SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(unlink), SCMP_SYS(unlinkat),
	SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(rmdir),
	SCMP_SYS(ftruncate), SCMP_SYS(fallocate), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(syncfs),
	SCMP_SYS(fadvise64), SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(getcwd), SCMP_SYS(fchmod),
};
static const int for_accept[] = { SCMP_SYS(accept4) };
static const int for_sealed_memory[] = { SCMP_SYS(memfd_create) };
static const int for_internet[] = { SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	                                SCMP_SYS(recvmmsg), SCMP_SYS(select), SCMP_SYS(pselect6), SCMP_SYS(pipe2) };
static const int for_fork[] = { SCMP_SYS(fork), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(landlock_create_ruleset),
	                            SCMP_SYS(landlock_add_rule), SCMP_SYS(landlock_restrict_self), SCMP_SYS(seccomp) };

static const struct {
	unsigned needs; /* 0: everybody */
	const int *calls;
	size_t count;
} groups[] = {
	{ 0, always, COUNT_OF(always) },
	{ SANDBOX_NEEDS_THREADS, for_threads, COUNT_OF(for_threads) },
	{ SANDBOX_NEEDS_FILES, for_files, COUNT_OF(for_files) },
	{ SANDBOX_NEEDS_ACCEPT, for_accept, COUNT_OF(for_accept) },
	{ SANDBOX_NEEDS_SEALED_MEMORY, for_sealed_memory, COUNT_OF(for_sealed_memory) },
	{ SANDBOX_NEEDS_INTERNET, for_internet, COUNT_OF(for_internet) },
	{ SANDBOX_NEEDS_FORK, for_fork, COUNT_OF(for_fork) },
};

#define ONLY_BITS(bits) (0xffffffff & ~(uint64_t)(bits))
#define NAMESPACES                                                                                                    \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | (unsigned)CLONE_NEWNET)
#define SOCKET_TYPE ONLY_BITS(SOCK_CLOEXEC | SOCK_NONBLOCK)
#define IS(value) SCMP_CMP_EQ, (value), 0
#define HAS(mask, value) SCMP_CMP_MASKED_EQ, (mask), (value)

/* Calls of which only some forms are allowed (one line is one form): what the others could do stands behind them. */
static const struct conditional {
	unsigned needs;
	int call;
	unsigned count;
	struct scmp_arg_cmp arguments[2];
} conditional[] = {
	/* Writable memory never becomes code, and no file does. */
	{ 0, SCMP_SYS(mmap), 1, { { 2, HAS(PROT_EXEC, 0) } } },
	{ 0, SCMP_SYS(mprotect), 1, { { 2, HAS(PROT_EXEC, 0) } } },
	/* MSG_FASTOPEN connects a socket that was shut down. */
	{ 0, SCMP_SYS(sendmsg), 1, { { 2, HAS(MSG_FASTOPEN, 0) } } },
	{ 0, SCMP_SYS(sendto), 2, { { 3, HAS(MSG_FASTOPEN, 0) }, { 4, IS(0) } } },
	{ 0, SCMP_SYS(setsockopt), 2, { { 1, IS(SOL_SOCKET) }, { 2, IS(SO_RCVTIMEO) } } },
	{ 0, SCMP_SYS(setsockopt), 2, { { 1, IS(SOL_SOCKET) }, { 2, IS(SO_SNDTIMEO) } } },
	{ 0, SCMP_SYS(setsockopt), 2, { { 1, IS(IPPROTO_TCP) }, { 2, IS(TCP_NODELAY) } } },
	{ 0, SCMP_SYS(setsockopt), 2, { { 1, IS(IPPROTO_TCP) }, { 2, IS(TCP_USER_TIMEOUT) } } },
	/* F_SETOWN and F_SETSIG send any signal to any process of the user. */
	{ 0, SCMP_SYS(fcntl), 1, { { 1, IS(F_DUPFD) } } },
	{ 0, SCMP_SYS(fcntl), 1, { { 1, IS(F_DUPFD_CLOEXEC) } } },
	{ 0, SCMP_SYS(fcntl), 1, { { 1, IS(F_GETFD) } } },
	{ 0, SCMP_SYS(fcntl), 1, { { 1, IS(F_SETFD) } } },
	{ 0, SCMP_SYS(fcntl), 1, { { 1, IS(F_GETFL) } } },
	{ 0, SCMP_SYS(fcntl), 1, { { 1, IS(F_SETFL) } } },
	{ SANDBOX_NEEDS_FILES, SCMP_SYS(fcntl), 1, { { 1, IS(F_GETLK) } } },
	{ SANDBOX_NEEDS_FILES, SCMP_SYS(fcntl), 1, { { 1, IS(F_SETLK) } } },
	{ SANDBOX_NEEDS_FILES, SCMP_SYS(fcntl), 1, { { 1, IS(F_SETLKW) } } },
	{ SANDBOX_NEEDS_FILES, SCMP_SYS(fcntl), 1, { { 1, IS(F_OFD_GETLK) } } },
	{ SANDBOX_NEEDS_FILES, SCMP_SYS(fcntl), 1, { { 1, IS(F_OFD_SETLK) } } },
	{ SANDBOX_NEEDS_SEALED_MEMORY, SCMP_SYS(fcntl), 1, { { 1, IS(F_ADD_SEALS) } } },
	/* Another process's limits can be set too: one of processor time kills. */
	{ 0, SCMP_SYS(prlimit64), 2, { { 0, IS(0) }, { 2, IS(0) } } },
	/* A datagram socket sends to any address. */
	{ SANDBOX_NEEDS_SOCKETS, SCMP_SYS(socketpair), 2, { { 0, IS(AF_UNIX) }, { 1, HAS(SOCKET_TYPE, SOCK_STREAM) } } },
	{ SANDBOX_NEEDS_SOCKETS, SCMP_SYS(socketpair), 2, { { 0, IS(AF_UNIX) }, { 1, HAS(SOCKET_TYPE, SOCK_SEQPACKET) } } },
	/* To hosts only: what is bound to a path or a name of this machine stays out of reach. */
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(socket), 2, { { 0, IS(AF_INET) }, { 1, HAS(SOCKET_TYPE, SOCK_STREAM) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(socket), 2, { { 0, IS(AF_INET) }, { 1, HAS(SOCKET_TYPE, SOCK_DGRAM) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(socket), 2, { { 0, IS(AF_INET6) }, { 1, HAS(SOCKET_TYPE, SOCK_STREAM) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(socket), 2, { { 0, IS(AF_INET6) }, { 1, HAS(SOCKET_TYPE, SOCK_DGRAM) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(setsockopt), 2, { { 1, IS(SOL_SOCKET) }, { 2, IS(SO_REUSEADDR) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(setsockopt), 2, { { 1, IS(IPPROTO_IP) }, { 2, IS(IP_MTU_DISCOVER) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(setsockopt), 2, { { 1, IS(IPPROTO_IP) }, { 2, IS(IP_BIND_ADDRESS_NO_PORT) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(setsockopt), 2, { { 1, IS(IPPROTO_IPV6) }, { 2, IS(IPV6_V6ONLY) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(setsockopt), 2, { { 1, IS(IPPROTO_IPV6) }, { 2, IS(IPV6_MTU) } } },
	{ SANDBOX_NEEDS_INTERNET, SCMP_SYS(setsockopt), 2, { { 1, IS(IPPROTO_IPV6) }, { 2, IS(IPV6_MTU_DISCOVER) } } },
	{ SANDBOX_NEEDS_THREADS, SCMP_SYS(clone), 1, { { 0, HAS(CLONE_THREAD | NAMESPACES, CLONE_THREAD) } } },
	{ SANDBOX_NEEDS_FORK, SCMP_SYS(clone), 1,
		{ { 0, HAS(ONLY_BITS(CSIGNAL | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID), 0) } } },
	{ SANDBOX_NEEDS_FORK, SCMP_SYS(prctl), 1, { { 0, IS(PR_SET_PDEATHSIG) } } },
	{ SANDBOX_NEEDS_FORK, SCMP_SYS(prctl), 1, { { 0, IS(PR_SET_NO_NEW_PRIVS) } } },
};

static bool has_needs(unsigned has, unsigned needs)
{
	return (has & needs) == needs;
}

/* Does this profile allow the call in every form? */
static bool profile_allows(unsigned needs, int call)
{
	for (size_t i = 0; i < COUNT_OF(groups); i++)
		for (size_t k = 0; has_needs(needs, groups[i].needs) && k < groups[i].count; k++)
			if (groups[i].calls[k] == call)
				return true;
	return false;
}

/* Or in some forms? */
static bool profile_allows_some(unsigned needs, int call)
{
	for (size_t i = 0; i < COUNT_OF(conditional); i++)
		if (conditional[i].call == call && has_needs(needs, conditional[i].needs))
			return true;
	return profile_allows(needs, call);
}

static bool allow_calls(scmp_filter_ctx filter, unsigned needs)
{
	bool done = true;
	for (size_t i = 0; i < COUNT_OF(groups); i++)
		for (size_t k = 0; has_needs(needs, groups[i].needs) && k < groups[i].count; k++) {
			int result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, groups[i].calls[k], 0);
			/* Some calls are in two groups, and some do not exist on every architecture. */
			done = done && (result == 0 || result == -EEXIST || result == -EDOM);
		}
	return done;
}

static bool allow_forms(scmp_filter_ctx filter, unsigned needs)
{
	for (size_t i = 0; i < COUNT_OF(conditional); i++) {
		const struct conditional *c = &conditional[i];
		if (has_needs(needs, c->needs) && !profile_allows(needs, c->call) &&
		    seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, c->call, c->count, c->arguments) != 0)
			return false;
	}
	return true;
}

static bool deny_softly(scmp_filter_ctx filter, unsigned needs)
{
	/* clone3 hides its flags behind a pointer; without it glibc takes clone, whose flags can be read. */
	bool done = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0 &&
	            seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap), 1,
	                             SCMP_A2(HAS(PROT_EXEC, PROT_EXEC))) == 0 &&
	            seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mprotect), 1,
	                             SCMP_A2(HAS(PROT_EXEC, PROT_EXEC))) == 0;
	for (size_t i = 0; done && i < COUNT_OF(denied_softly); i++)
		if (!profile_allows_some(needs, denied_softly[i])) {
			int result = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), denied_softly[i], 0);
			done = result == 0 || result == -EDOM;
		}
	/* Where sockets of some families are allowed, these are what libraries try beside them. */
	if (done && needs & SANDBOX_NEEDS_INTERNET)
		done = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(IS(AF_UNIX))) == 0 &&
		       seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(socket), 1, SCMP_A0(IS(AF_NETLINK))) == 0;
	return done;
}

static bool enter_seccomp(unsigned needs, struct fail **fail)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (!filter)
		return fail_set(fail, FAIL_UNAVAILABLE, "cannot make a seccomp filter");
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	bool filled = allow_calls(filter, needs) && allow_forms(filter, needs) && deny_softly(filter, needs);
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
