/* What the kernel says of a process, from /proc. */
#include "master.h"

#include "file.h"
#include "mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct facts {
	char state;
	int parent;
	uint64_t ticks; /* of processor time, of all threads of a process */
};

/* pid (name) state parent …, proc(5); the name may hold anything. */
static bool read_facts(const char *path, struct facts *facts)
{
	CLEANUP(file_close) int file = open(path, O_RDONLY | O_CLOEXEC);
	char text[1024];
	unsigned long user, system;
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	const char *name_end = strrchr(text, ')');
	if (!name_end || sscanf(name_end + 1, " %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &facts->state,
	                        &facts->parent, &user, &system) != 4)
		return false;
	facts->ticks = (uint64_t)user + system;
	return true;
}

bool proc_is_child_of(pid_t pid, pid_t parent)
{
	CLEANUP(mem_free) char *path = mem_printf("/proc/%d/stat", (int)pid);
	struct facts facts;
	return read_facts(path, &facts) && facts.parent == parent;
}

static bool a_thread_waits_for_disk(pid_t pid)
{
	CLEANUP(mem_free) char *folder = mem_printf("/proc/%d/task", (int)pid);
	DIR *tasks = opendir(folder);
	struct facts facts = {};
	for (struct dirent *task; tasks && facts.state != 'D' && (task = readdir(tasks));) {
		CLEANUP(mem_free) char *path = mem_printf("%s/%s/stat", folder, task->d_name);
		if (task->d_name[0] != '.' && !read_facts(path, &facts))
			facts.state = 0;
	}
	if (tasks)
		closedir(tasks);
	return facts.state == 'D';
}

bool proc_moves(pid_t pid, uint64_t *ticks)
{
	CLEANUP(mem_free) char *path = mem_printf("/proc/%d/stat", (int)pid);
	struct facts facts;
	uint64_t before = *ticks;
	if (pid <= 0 || !read_facts(path, &facts) || facts.state == 'T')
		return false;
	*ticks = facts.ticks;
	return facts.ticks > before || a_thread_waits_for_disk(pid);
}
