#include "scene.h"

#include "check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const folders[] = { "accounts", "accounts/1", "accounts/2", "directory", "spool" };
static const char content[] = "a letter that is nobody else's business";

static struct scene shared;
static char top[] = "/tmp/posthorn-escape-XXXXXX";
static int listeners[4];

int outcome(long result)
{
	return result == -1 ? errno : 0;
}

const char *below(const char *folder, const char *name)
{
	static char paths[2][512];
	static unsigned turn;
	char *path = paths[turn++ % 2];
	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

const char *scene_folder(const char *name)
{
	return below(top, name);
}

static int remove_all(const char *folder)
{
	DIR *directory = opendir(folder);
	struct dirent *entry;
	while (directory && (entry = readdir(directory))) {
		char path[600];
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (unlink(path) != 0 && errno == EISDIR)
			remove_all(path);
	}
	if (directory)
		closedir(directory);
	return rmdir(folder);
}

static void write_file(const char *path, mode_t mode)
{
	int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
	must(file >= 0 && fchmod(file, mode) == 0 && write(file, content, sizeof content) == (ssize_t)sizeof content);
	close(file);
}

/* What attempts without a sandbox brought. */
static void empty_queues(void)
{
	char octet;
	int caller;
	for (size_t i = 0; i < COUNT_OF(listeners); i++) {
		while ((caller = accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC)) >= 0)
			close(caller);
		while (recv(listeners[i], &octet, 1, MSG_DONTWAIT) > 0)
			;
	}
}

void scene_reset(void)
{
	empty_queues();
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		char gone[300];
		snprintf(gone, sizeof gone, "%s/%s-gone", top, folders[i]);
		remove_all(gone);
	}
	for (size_t i = COUNT_OF(folders); i-- > 0;)
		remove_all(scene_folder(folders[i]));
	for (size_t i = 0; i < COUNT_OF(folders); i++) {
		char folder[300];
		snprintf(folder, sizeof folder, "%s/%s", top, folders[i]);
		must(mkdir(folder, 0700) == 0);
		write_file(below(folder, "mail"), 0600);
	}
}

bool scene_is_intact(const struct scene *s)
{
	char text[100];
	struct stat facts;
	int file = open(below(s->neighbour, "mail"), O_RDONLY);
	if (file < 0)
		return false;
	bool same = read(file, text, sizeof text) == (ssize_t)sizeof content && memcmp(text, content, sizeof content) == 0;
	same = same && fstat(file, &facts) == 0 && facts.st_nlink == 1 && (facts.st_mode & 0777) == 0600;
	close(file);
	return same && access(below(s->neighbour, "new"), F_OK) != 0 && access(below(s->neighbour, "planted"), F_OK) != 0;
}

static void start_victim(void)
{
	int *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(memory != MAP_FAILED);
	*memory = 1;
	shared.victim_memory = memory;
	shared.victim = fork();
	must(shared.victim >= 0);
	while (shared.victim == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		pause();
	}
}

static int listen_unix(const char *path, size_t length, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	memcpy(address.sun_path, path, length);
	must(descriptor >= 0);
	must(bind(descriptor, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) ==
	     0);
	must(type == SOCK_DGRAM || listen(descriptor, 1000) == 0);
	return descriptor;
}

static int listen_tcp(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof address;
	int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(descriptor >= 0 && bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0 &&
	     listen(descriptor, 1000) == 0);
	must(getsockname(descriptor, (struct sockaddr *)&address, &length) == 0);
	*port = ntohs(address.sin_port);
	return descriptor;
}

void scene_open(void)
{
	char name[65];
	must(mkdtemp(top));
	snprintf(shared.socket_path, sizeof shared.socket_path, "%s/socket", top);
	snprintf(shared.datagram_path, sizeof shared.datagram_path, "%s/datagrams", top);
	snprintf(shared.abstract_name, sizeof shared.abstract_name, "posthorn-escape-%d", (int)getpid());
	snprintf(name, sizeof name, "%c%s", 0, shared.abstract_name);
	memcpy(name + 1, shared.abstract_name, strlen(shared.abstract_name));
	listeners[0] = listen_tcp(&shared.port);
	listeners[1] = listen_unix(shared.socket_path, strlen(shared.socket_path), SOCK_STREAM);
	listeners[2] = listen_unix(shared.datagram_path, strlen(shared.datagram_path), SOCK_DGRAM);
	listeners[3] = listen_unix(name, 1 + strlen(shared.abstract_name), SOCK_STREAM);
	start_victim();
}

void scene_close(void)
{
	kill(shared.victim, SIGKILL);
	waitpid(shared.victim, NULL, 0);
	for (size_t i = 0; i < COUNT_OF(listeners); i++)
		close(listeners[i]);
	remove_all(top);
}

static int open_terminal(void)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0)
		return -1;
	return open(ptsname(terminal), O_RDWR | O_NOCTTY);
}

void scene_enter(struct scene *s, const char *own, const char *neighbour, bool mounts)
{
	uint16_t own_port;
	*s = shared;
	/* What is mounted here is seen by nobody else. */
	if (mounts && unshare(CLONE_NEWNS) == 0)
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
	snprintf(s->own, sizeof s->own, "%s", own);
	snprintf(s->neighbour, sizeof s->neighbour, "%s", neighbour);
	snprintf(s->link_in_own, sizeof s->link_in_own, "%s/link", own);
	must(symlink(below(neighbour, "mail"), s->link_in_own) == 0);
	s->own_directory = open(own, O_RDONLY | O_DIRECTORY);
	s->own_file = open(below(own, "mail"), O_RDWR);
	s->neighbour_directory = open(neighbour, O_RDONLY | O_DIRECTORY);
	s->program = open("/bin/true", O_PATH);
	s->terminal = open_terminal();
	s->name_space = open("/proc/self/ns/net", O_RDONLY);
	s->victim_handle = (int)syscall(SYS_pidfd_open, s->victim, 0);
	s->tcp = socket(AF_INET, SOCK_STREAM, 0);
	s->udp = socket(AF_INET, SOCK_DGRAM, 0);
	s->unix_stream = socket(AF_UNIX, SOCK_STREAM, 0);
	s->unix_datagram = socket(AF_UNIX, SOCK_DGRAM, 0);
	s->listener = listen_tcp(&own_port);
	must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s->pair) == 0);
	must(s->own_directory >= 0 && s->own_file >= 0 && s->neighbour_directory >= 0 && s->tcp >= 0 && s->udp >= 0);
}
