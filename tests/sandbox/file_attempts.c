/* Other people's files, by every way to a file there is. */
#include "escape.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

static int read_absolute(const struct scene *s)
{
	return outcome(open(below(s->neighbour, "mail"), O_RDONLY));
}

static int write_absolute(const struct scene *s)
{
	return outcome(open(below(s->neighbour, "mail"), O_WRONLY));
}

static int open_truncating(const struct scene *s)
{
	return outcome(open(below(s->neighbour, "mail"), O_RDWR | O_TRUNC));
}

static int read_by_parent(const struct scene *s)
{
	char path[400];
	snprintf(path, sizeof path, "../../../../../../../..%s/mail", s->neighbour);
	return outcome(openat(s->own_directory, path, O_RDONLY));
}

static int read_by_symbolic_link(const struct scene *s)
{
	return outcome(open(s->link_in_own, O_RDONLY));
}

static int read_by_folder(const struct scene *s)
{
	return outcome(openat(s->neighbour_directory, "mail", O_RDONLY));
}

static int create_by_folder(const struct scene *s)
{
	return outcome(openat(s->neighbour_directory, "new", O_WRONLY | O_CREAT, 0600));
}

static int remove_by_folder(const struct scene *s)
{
	return outcome(unlinkat(s->neighbour_directory, "mail", 0));
}

static int read_by_openat2(const struct scene *s)
{
	struct open_how how = { .flags = O_RDONLY };
	return outcome(syscall(SYS_openat2, AT_FDCWD, below(s->neighbour, "mail"), &how, sizeof how));
}

/* A handle to a path may be had; what counts is whether it can be turned into an open file. */
static int reopen_by_proc(const struct scene *s)
{
	char path[64];
	int handle = open(below(s->neighbour, "mail"), O_PATH);
	if (handle < 0)
		return errno;
	snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
	return outcome(open(path, O_RDWR));
}

static int read_by_own_root(const struct scene *s)
{
	char path[400];
	snprintf(path, sizeof path, "/proc/self/root%s/mail", s->neighbour);
	return outcome(open(path, O_RDONLY));
}

static int read_by_victims_root(const struct scene *s)
{
	char path[400];
	snprintf(path, sizeof path, "/proc/%d/root%s/mail", (int)s->victim, s->neighbour);
	return outcome(open(path, O_RDONLY));
}

static int read_by_file_handle(const struct scene *s)
{
	struct {
		struct file_handle handle;
		unsigned char room[128];
	} h = { .handle.handle_bytes = 128 };
	int mount;
	if (name_to_handle_at(AT_FDCWD, below(s->neighbour, "mail"), &h.handle, &mount, 0) != 0)
		return errno;
	return outcome(open_by_handle_at(s->own_directory, &h.handle, O_RDONLY));
}

static int path_handle(const struct scene *s)
{
	return outcome(open(below(s->neighbour, "mail"), O_PATH));
}

static int list_folder(const struct scene *s)
{
	return outcome(open(s->neighbour, O_RDONLY | O_DIRECTORY));
}

static int list_parent(const struct scene *s)
{
	return outcome(openat(s->own_directory, "..", O_RDONLY | O_DIRECTORY));
}

static int read_passwords(const struct scene *s)
{
	(void)s;
	return outcome(open("/etc/passwd", O_RDONLY));
}

static int read_proc(const struct scene *s)
{
	(void)s;
	return outcome(open("/proc/self/maps", O_RDONLY));
}

static int open_memory_of_victim(const struct scene *s)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/mem", (int)s->victim);
	return outcome(open(path, O_RDWR));
}

static int create_file(const struct scene *s)
{
	return outcome(open(below(s->neighbour, "new"), O_WRONLY | O_CREAT, 0600));
}

static int create_unnamed_file(const struct scene *s)
{
	return outcome(open(s->neighbour, O_TMPFILE | O_RDWR, 0600));
}

static int make_folder(const struct scene *s)
{
	return outcome(mkdir(below(s->neighbour, "new"), 0700));
}

static int remove_file(const struct scene *s)
{
	return outcome(unlink(below(s->neighbour, "mail")));
}

static int remove_file_at(const struct scene *s)
{
	return outcome(unlinkat(AT_FDCWD, below(s->neighbour, "mail"), 0));
}

static int link_in(const struct scene *s)
{
	return outcome(link(below(s->neighbour, "mail"), below(s->own, "stolen")));
}

static int link_in_at(const struct scene *s)
{
	return outcome(linkat(AT_FDCWD, below(s->neighbour, "mail"), s->own_directory, "stolen", 0));
}

static int rename_in(const struct scene *s)
{
	return outcome(rename(below(s->neighbour, "mail"), below(s->own, "stolen")));
}

static int rename_out(const struct scene *s)
{
	return outcome(rename(below(s->own, "mail"), below(s->neighbour, "planted")));
}

static int rename_over(const struct scene *s)
{
	return outcome(renameat(s->own_directory, "mail", AT_FDCWD, below(s->neighbour, "mail")));
}

static int exchange(const struct scene *s)
{
	return outcome(renameat2(s->own_directory, "mail", AT_FDCWD, below(s->neighbour, "mail"), RENAME_EXCHANGE));
}

static int rename_folder(const struct scene *s)
{
	char name[300];
	snprintf(name, sizeof name, "%s-gone", s->neighbour);
	return outcome(rename(s->neighbour, name));
}

static int truncate_by_path(const struct scene *s)
{
	return outcome(truncate(below(s->neighbour, "mail"), 0));
}

static int change_mode(const struct scene *s)
{
	return outcome(chmod(below(s->neighbour, "mail"), 0666));
}

static int change_mode_at(const struct scene *s)
{
	return outcome(fchmodat(AT_FDCWD, below(s->neighbour, "mail"), 0666, 0));
}

static int change_owner(const struct scene *s)
{
	return outcome(chown(below(s->neighbour, "mail"), getuid(), getgid()));
}

static int change_times(const struct scene *s)
{
	return outcome(utimensat(AT_FDCWD, below(s->neighbour, "mail"), NULL, 0));
}

static int set_attribute(const struct scene *s)
{
	return outcome(setxattr(below(s->neighbour, "mail"), "user.posthorn", "x", 1, 0));
}

static int change_folder(const struct scene *s)
{
	return outcome(chdir(s->neighbour));
}

static int make_symbolic_link(const struct scene *s)
{
	return outcome(symlink(below(s->neighbour, "mail"), below(s->own, "new")));
}

static int make_device(const struct scene *s)
{
	return outcome(mknod(below(s->own, "new"), S_IFCHR | 0600, 0x103 /* null */));
}

static int make_pipe(const struct scene *s)
{
	return outcome(mkfifo(below(s->own, "new"), 0600));
}

static int map_file_as_code(const struct scene *s)
{
	return outcome((long)mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, s->own_file, 0));
}

static int watch_folder(const struct scene *s)
{
	int watcher = (int)syscall(SYS_inotify_init1, 0);
	return watcher < 0 ? errno : outcome(syscall(SYS_inotify_add_watch, watcher, s->neighbour, 0x100 /* IN_CREATE */));
}

const struct attempt file_attempts[] = {
	{ "read, absolute path", read_absolute, BY_NOBODY },
	{ "write, absolute path", write_absolute, BY_NOBODY },
	{ "open with O_TRUNC", open_truncating, BY_NOBODY },
	{ "read through ..", read_by_parent, BY_NOBODY },
	{ "read through a symbolic link", read_by_symbolic_link, BY_NOBODY },
	{ "read through a descriptor of its folder", read_by_folder, BY_NOBODY },
	{ "create through a descriptor of its folder", create_by_folder, BY_NOBODY },
	{ "unlink through a descriptor of its folder", remove_by_folder, BY_NOBODY },
	{ "read by openat2", read_by_openat2, BY_NOBODY },
	{ "reopen an O_PATH handle by /proc/self/fd", reopen_by_proc, BY_NOBODY },
	{ "read through /proc/self/root", read_by_own_root, BY_NOBODY },
	{ "read through /proc/PID/root", read_by_victims_root, BY_NOBODY },
	{ "read by file handle", read_by_file_handle, BY_NOBODY },
	{ "open with O_PATH", path_handle, BY_FILES },
	{ "list its folder", list_folder, BY_NOBODY },
	{ "list the folder above", list_parent, BY_NOBODY },
	{ "read /etc/passwd", read_passwords, BY_NOBODY },
	{ "read /proc/self/maps", read_proc, BY_NOBODY },
	{ "open /proc/PID/mem", open_memory_of_victim, BY_NOBODY },
	{ "create a file", create_file, BY_NOBODY },
	{ "create a file without name", create_unnamed_file, BY_NOBODY },
	{ "make a folder", make_folder, BY_NOBODY },
	{ "unlink", remove_file, BY_NOBODY },
	{ "unlinkat", remove_file_at, BY_NOBODY },
	{ "link into the own folder", link_in, BY_NOBODY },
	{ "linkat into the own folder", link_in_at, BY_NOBODY },
	{ "rename into the own folder", rename_in, BY_NOBODY },
	{ "rename out of the own folder", rename_out, BY_NOBODY },
	{ "rename over it", rename_over, BY_NOBODY },
	{ "exchange with an own file", exchange, BY_NOBODY },
	{ "rename its folder", rename_folder, BY_NOBODY },
	{ "truncate by path", truncate_by_path, BY_NOBODY },
	{ "chmod", change_mode, BY_NOBODY },
	{ "fchmodat", change_mode_at, BY_NOBODY },
	{ "chown", change_owner, BY_NOBODY },
	{ "utimensat", change_times, BY_NOBODY },
	{ "setxattr", set_attribute, BY_NOBODY },
	{ "chdir", change_folder, BY_NOBODY },
	{ "symlink in the own folder", make_symbolic_link, BY_NOBODY },
	{ "mknod in the own folder", make_device, BY_NOBODY },
	{ "mkfifo in the own folder", make_pipe, BY_NOBODY },
	{ "map an own file as code", map_file_as_code, BY_NOBODY },
	{ "inotify on its folder", watch_folder, BY_NOBODY },
	{},
};
