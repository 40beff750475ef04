/* Doors of the kernel that no mail program needs, and making data into code. */
#include "escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static int set_up_ring(const struct scene *s)
{
	struct io_uring_params parameters = {};
	(void)s;
	return outcome(syscall(SYS_io_uring_setup, 4, &parameters));
}

static int load_bpf(const struct scene *s)
{
	union bpf_attr attributes = { .map_type = BPF_MAP_TYPE_ARRAY, .key_size = 4, .value_size = 4, .max_entries = 1 };
	(void)s;
	return outcome(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

static int open_perf_event(const struct scene *s)
{
	struct perf_event_attr attributes = { .type = PERF_TYPE_SOFTWARE, .size = sizeof attributes, .config = PERF_COUNT_SW_TASK_CLOCK };
	(void)s;
	return outcome(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int handle_page_faults(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_userfaultfd, 1 /* UFFD_USER_MODE_ONLY */));
}

static int add_key(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_add_key, "user", "posthorn", "x", 1, -1 /* the thread's */));
}

static int ask_keyring(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -1, 1));
}

static int mount_something(const struct scene *s)
{
	return outcome(mount("none", s->own, "tmpfs", 0, NULL));
}

static int open_file_system(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_fsopen, "tmpfs", 0));
}

static int open_mount_tree(const struct scene *s)
{
	return outcome(syscall(SYS_open_tree, AT_FDCWD, s->neighbour, 0));
}

static int change_root(const struct scene *s)
{
	return outcome(chroot(s->own));
}

static int ask_clock(const struct scene *s)
{
	struct timex time = {};
	(void)s;
	return clock_adjtime(CLOCK_REALTIME, &time) < 0 ? errno : 0;
}

static int read_kernel_log(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_syslog, 10 /* size of the buffer */, NULL, 0));
}

static int set_host_name(const struct scene *s)
{
	char name[65] = {};
	(void)s;
	gethostname(name, sizeof name - 1);
	return outcome(sethostname(name, strlen(name)));
}

static int share_memory(const struct scene *s)
{
	int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
	(void)s;
	return id < 0 ? errno : outcome(shmctl(id, IPC_RMID, NULL));
}

static int open_fanotify(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_fanotify_init, 0, O_RDONLY));
}

static int make_memory_file(const struct scene *s)
{
	(void)s;
	return outcome(memfd_create("code", MFD_CLOEXEC));
}

static int map_code(const struct scene *s)
{
	(void)s;
	return outcome((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static int turn_into_code(const struct scene *s)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)s;
	return page == MAP_FAILED ? errno : outcome(mprotect(page, 4096, PROT_READ | PROT_EXEC));
}

static int turn_into_code_by_key(const struct scene *s)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	(void)s;
	return page == MAP_FAILED ? errno : outcome(syscall(SYS_pkey_mprotect, page, 4096, PROT_READ | PROT_EXEC, -1));
}

static int make_all_readable_code(const struct scene *s)
{
	(void)s;
	return outcome(syscall(SYS_personality, 0xffffffff));
}

static int move_pages_between(const struct scene *s)
{
	struct iovec part = { (void *)"x", 1 };
	int ends[2];
	(void)s;
	return pipe(ends) != 0 ? errno : outcome(vmsplice(ends[1], &part, 1, 0));
}

const struct attempt kernel_attempts[] = {
	{ "io_uring_setup", set_up_ring, BY_NOBODY },
	{ "bpf", load_bpf, BY_NOBODY },
	{ "perf_event_open", open_perf_event, BY_NOBODY },
	{ "userfaultfd", handle_page_faults, BY_NOBODY },
	{ "add_key", add_key, BY_NOBODY },
	{ "keyctl", ask_keyring, BY_NOBODY },
	{ "mount", mount_something, BY_NOBODY, true },
	{ "fsopen", open_file_system, BY_NOBODY },
	{ "open_tree", open_mount_tree, BY_NOBODY },
	{ "chroot", change_root, BY_NOBODY },
	{ "clock_adjtime", ask_clock, BY_NOBODY },
	{ "syslog", read_kernel_log, BY_NOBODY },
	{ "sethostname", set_host_name, BY_NOBODY },
	{ "shmget", share_memory, BY_NOBODY },
	{ "fanotify_init", open_fanotify, BY_NOBODY },
	{ "memfd_create", make_memory_file, BY_QUEUE },
	{ "mmap as code", map_code, BY_NOBODY },
	{ "mprotect to code", turn_into_code, BY_NOBODY },
	{ "pkey_mprotect to code", turn_into_code_by_key, BY_NOBODY },
	{ "personality", make_all_readable_code, BY_NOBODY },
	{ "vmsplice", move_pages_between, BY_NOBODY },
	{},
};
