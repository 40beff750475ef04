/*
 * Tries to break out of every role's sandbox, entered as the program enters it (role_confine), with the Landlock of
 * this kernel and masked to ABI 2 (Debian 12) and 1. Each attempt is made without the sandbox first, where it must
 * work. Built without sanitizers always: their runtimes would need a wider profile than the one that is installed.
 *
 * Run as root it is sharpest: then nothing but the sandbox stands between an attempt and its aim.
 */
#include "scene.h"

#include "ipc.h"
#include "mem.h"
#include "role.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { CANNOT_ENTER = 250 };

/* A role in its place. The neighbour is what it must not reach. */
struct prisoner {
	const char *name;
	enum ipc_role role;
	unsigned by;
	const char *own;
	const char *neighbour;
};

static const struct prisoner prisoners[] = {
	{ "porter", ROLE_PORTER, BY_PORTER, "spool", "accounts/2" },
	{ "smtpd", ROLE_SMTPD, BY_SMTPD, "spool", "accounts/2" },
	{ "mailbox", ROLE_MAILBOX, BY_MAILBOX, "accounts/1", "accounts/2" },
	{ "mailbox", ROLE_MAILBOX, BY_MAILBOX, "accounts/1", "directory" },
	{ "zygote", ROLE_ZYGOTE, BY_ZYGOTE, "accounts", "spool" },
	{ "auth", ROLE_AUTH, BY_AUTH, "directory", "accounts/2" },
	{ "auth", ROLE_AUTH, BY_AUTH, "directory", "spool" },
	{ "queue", ROLE_QUEUE, BY_QUEUE, "spool", "accounts/2" },
	{ "queue", ROLE_QUEUE, BY_QUEUE, "spool", "directory" },
	{ "resolver", ROLE_RESOLVER, BY_RESOLVER, "spool", "accounts/2" },
	{ "relay", ROLE_RELAY, BY_RELAY, "spool", "directory" },
};

static const struct attempt *const tables[] = { file_attempts, network_attempts, process_attempts, kernel_attempts };

/* ---- in the child ---- */

static void enter_or_exit(enum ipc_role role, const char *folder, int abi)
{
	if (!role_confine(role, folder, abi, NULL))
		_exit(CANNOT_ENTER);
}

/* A mailbox process is forked by a zygote that is in its own sandbox already. */
static void enter_as_mailbox(const char *folder, int abi)
{
	int status;
	enter_or_exit(ROLE_ZYGOTE, scene_folder("accounts"), abi);
	pid_t pid = fork();
	if (pid == 0) {
		enter_or_exit(ROLE_MAILBOX, folder, abi);
		return;
	}
	/* Hands on how the child ended; SIGSYS cannot be raised in here. */
	if (waitpid(pid, &status, 0) != pid)
		_exit(CANNOT_ENTER);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status) == SIGSYS ? EPERM : CANNOT_ENTER);
}

static void enter_sandbox(const struct prisoner *p, const struct scene *s, int abi)
{
	if (p->role == ROLE_MAILBOX)
		enter_as_mailbox(s->own, abi);
	else
		enter_or_exit(p->role, role_rights(p->role)->folder ? s->own : NULL, abi);
}

/* Runs it in a child, in the sandbox if abi >= 0; its outcome, EPERM when the kernel killed it. */
static int try(const struct prisoner *p, const struct attempt *attempt, int abi)
{
	static struct scene scene;
	char own[256], neighbour[256];
	int status;
	scene_reset();
	snprintf(own, sizeof own, "%s", scene_folder(p->own));
	snprintf(neighbour, sizeof neighbour, "%s", scene_folder(p->neighbour));
	pid_t pid = fork();
	if (pid == 0) {
		scene_enter(&scene, own, neighbour, attempt->mounts);
		if (abi >= 0)
			enter_sandbox(p, &scene, abi);
		_exit(attempt->act(&scene));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	snprintf(scene.neighbour, sizeof scene.neighbour, "%s", neighbour);
	if (abi >= 0 && !scene_is_intact(&scene))
		return 0;
	if (WIFSIGNALED(status))
		return WTERMSIG(status) == SIGSYS ? EPERM : CANNOT_ENTER;
	return WEXITSTATUS(status);
}

/* EXDEV is Landlock's word for a link or rename between folders that it keeps apart. */
static bool is_refusal(int error)
{
	return error == EPERM || error == EACCES || error == EXDEV || error == ENOSYS;
}

/* ---- without the sandbox ---- */

/* What this kernel or user cannot do anyway proves nothing: it is named, and not tried. */
static bool possible[COUNT_OF(prisoners)][COUNT_OF(tables)][64];

static void every_attempt_works_without_the_sandbox(void **state)
{
	unsigned wrong = 0;
	(void)state;
	for (size_t i = 0; i < COUNT_OF(prisoners); i++)
		for (size_t t = 0; t < COUNT_OF(tables); t++)
			for (size_t k = 0; tables[t][k].name; k++) {
				int error = try(&prisoners[i], &tables[t][k], -1);
				possible[i][t][k] = error == 0;
				bool excused = is_refusal(error) || error == EIO || error == EOPNOTSUPP || error == EBADF;
				if (error && (i == 0 || !excused))
					print_message("%s: %s does not work without the sandbox either: %s\n",
					              excused ? "skipped" : "wrong", tables[t][k].name, strerror(error));
				wrong += error && !excused;
			}
	assert_int_equal(wrong, 0);
}

/* ---- with it ---- */

static void try_all(int abi)
{
	unsigned tried = 0, escaped = 0;
	for (size_t i = 0; i < COUNT_OF(prisoners); i++)
		for (size_t t = 0; t < COUNT_OF(tables); t++)
			for (size_t k = 0; tables[t][k].name; k++) {
				if (!possible[i][t][k] || tables[t][k].allowed & prisoners[i].by)
					continue;
				int error = try(&prisoners[i], &tables[t][k], abi);
				tried++;
				if (is_refusal(error))
					continue;
				escaped++;
				print_error("%s (ABI %d, %s): %s: %s\n", prisoners[i].name, abi, prisoners[i].neighbour,
				            tables[t][k].name,
				            error == 0              ? "worked"
				            : error == CANNOT_ENTER ? "no sandbox"
				                                    : strerror(error));
			}
	print_message("%u attempts\n", tried);
	assert_true(tried > 0);
	assert_int_equal(escaped, 0);
}

static void nobody_escapes(void **state)
{
	(void)state;
	try_all(0);
}

static void nobody_escapes_with_abi_2(void **state)
{
	(void)state;
	try_all(2);
}

static void nobody_escapes_with_abi_1(void **state)
{
	(void)state;
	try_all(1);
}

/* ---- what a role needs still works: a sandbox that forbids everything would pass the tests above ---- */

static int do_everybodys_work(const struct scene *s)
{
	struct epoll_event event = { .events = EPOLLIN };
	char room[16];
	int loop = epoll_create1(EPOLL_CLOEXEC), bell = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop < 0 || bell < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, bell, &event) != 0 ||
	    epoll_wait(loop, &event, 1, 1000) != 1)
		return 1;
	if (send(s->pair[0], "x", 1, MSG_NOSIGNAL) != 1 || recv(s->pair[1], room, sizeof room, MSG_DONTWAIT) != 1)
		return 2;
	CLEANUP(mem_free) char *large = mem_alloc(10 << 20);
	if (getrandom(large, 16, 0) != 16 || fcntl(s->pair[0], F_SETFL, O_NONBLOCK) != 0)
		return 3;
	struct stat facts;
	return fstat(s->own_file, &facts) == 0 ? 0 : 4;
}

static void *run_thread(void *argument)
{
	*(bool *)argument = true;
	return NULL;
}

static int do_file_work(const struct scene *s)
{
	struct flock whole = { .l_type = F_WRLCK };
	bool ran = false;
	pthread_t thread;
	int error = do_everybodys_work(s);
	if (error)
		return error;
	int file = openat(s->own_directory, "journal", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || pwrite(file, "x", 1, 0) != 1 || ftruncate(file, 4096) != 0 || fdatasync(file) != 0)
		return 10;
	if (fcntl(file, F_OFD_SETLK, &whole) != 0 || fallocate(file, 0, 0, 8192) != 0)
		return 11;
	if (renameat(s->own_directory, "journal", s->own_directory, "old") != 0 ||
	    unlinkat(s->own_directory, "old", 0) != 0)
		return 12;
	if (mkdirat(s->own_directory, "seg", 0700) != 0 || rmdir(below(s->own, "seg")) != 0)
		return 13;
	if (pthread_create(&thread, NULL, run_thread, &ran) != 0 || pthread_join(thread, NULL) != 0 || !ran)
		return 14;
	return 0;
}

static int do_porters_work(const struct scene *s)
{
	struct sockaddr_in address;
	socklen_t length = sizeof address;
	int pair[2], one = 1, error = do_everybodys_work(s);
	if (error)
		return error;
	if (getsockname(s->listener, (struct sockaddr *)&address, &length) != 0)
		return 20;
	if (accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) >= 0 || errno != EAGAIN)
		return 21;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return 22;
	return setsockopt(s->tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0 ? 0 : 23;
}

static int do_relays_work(const struct scene *s)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(s->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in any = { .sin_family = AF_INET };
	int error = do_everybodys_work(s);
	if (error)
		return error;
	int udp = socket(AF_INET, SOCK_DGRAM, 0), tcp = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (udp < 0 || bind(udp, (struct sockaddr *)&any, sizeof any) != 0 ||
	    connect(udp, (struct sockaddr *)&to, sizeof to) != 0)
		return 40;
	if (tcp < 0 || (connect(tcp, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS))
		return 41;
	return 0;
}

static int do_resolvers_work(const struct scene *s)
{
	bool ran = false;
	pthread_t thread;
	int pipes[2], error = do_relays_work(s);
	if (error)
		return error;
	if (pipe2(pipes, O_CLOEXEC) != 0 || pthread_create(&thread, NULL, run_thread, &ran) != 0 ||
	    pthread_join(thread, NULL) != 0)
		return 42;
	return ran ? 0 : 43;
}

static int do_zygotes_work(const struct scene *s)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 || mkdir(below(s->own, "3"), 0700) != 0)
			_exit(30);
		int directory = open(below(s->own, "3"), O_RDONLY | O_DIRECTORY);
		enter_or_exit(ROLE_MAILBOX, below(s->own, "3"), 0);
		_exit(openat(directory, "version", O_RDWR | O_CREAT, 0600) >= 0 ? 0 : 31);
	}
	return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 32;
}

static void everybody_can_do_its_work(void **state)
{
	static int (*const works[ROLE_COUNT])(const struct scene *s) = {
		[ROLE_PORTER] = do_porters_work, [ROLE_SMTPD] = do_everybodys_work, [ROLE_AUTH] = do_file_work,
		[ROLE_QUEUE] = do_file_work,     [ROLE_ZYGOTE] = do_zygotes_work,   [ROLE_MAILBOX] = do_file_work,
		[ROLE_RESOLVER] = do_resolvers_work, [ROLE_RELAY] = do_relays_work,
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(prisoners); i++)
		for (int abi = 0; abi <= 2; abi++) {
			int error = try(&prisoners[i], &(struct attempt){ "work", works[prisoners[i].role], 0, false }, abi);
			if (error)
				fail_msg("%s with ABI %d: step %d", prisoners[i].name, abi, error);
		}
}

static int open_scene(void **state)
{
	(void)state;
	scene_open();
	return 0;
}

static int close_scene(void **state)
{
	(void)state;
	scene_close();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_attempt_works_without_the_sandbox),
		cmocka_unit_test(everybody_can_do_its_work),
		cmocka_unit_test(nobody_escapes),
		cmocka_unit_test(nobody_escapes_with_abi_2),
		cmocka_unit_test(nobody_escapes_with_abi_1),
	};
	if (sandbox_landlock_abi() == 0) {
		print_message("this kernel has no Landlock\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, open_scene, close_scene);
}
