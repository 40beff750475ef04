/*
 * Measures ways of making a group of journal records durable: journal_bench FILE SIZE_MB GROUP_BYTES COUNT
 *
 * Every way writes COUNT groups round a ring that was written with zeros before, and prints
 * the time per group (median, 99th of 100, mean), the CPU time of this process, and that of
 * the whole machine, since the kernel's own threads write back buffered pages. Run it on the
 * file system that the journal will live on, on an idle machine. FILE is removed at the end.
 */
#include "buf.h"
#include "clock.h"
#include "mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct way {
	const char *name;
	int flags;
	bool sync;
};

static const struct way ways[] = {
	{ "buffered + fdatasync", 0, true },
	{ "O_DSYNC", O_DSYNC, false },
	{ "O_DIRECT + fdatasync", O_DIRECT, true },
	{ "O_DIRECT|O_DSYNC", O_DIRECT | O_DSYNC, false },
};

struct task {
	const char *path;
	uint64_t ring;
	size_t group;
	size_t count;
	char *data;
	int64_t *times_us;
};

static void prewrite(const struct task *t)
{
	int file = open(t->path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(file >= 0);
	for (uint64_t at = 0; at < t->ring; at += t->group)
		must(pwrite(file, t->data, t->group, (off_t)at) == (ssize_t)t->group);
	must(fsync(file) == 0);
	close(file);
}

static int64_t own_cpu_us(void)
{
	struct rusage usage;
	must(getrusage(RUSAGE_SELF, &usage) == 0);
	return (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
	       usage.ru_stime.tv_usec;
}

/* Busy time of all processors, from the first line of /proc/stat: user nice system idle iowait irq softirq. */
static int64_t machine_cpu_us(void)
{
	long user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0;
	FILE *file = fopen("/proc/stat", "re");
	must(file);
	int found = fscanf(file, "cpu %ld %ld %ld %ld %ld %ld %ld", &user, &nice, &system, &idle, &wait, &irq, &soft);
	fclose(file);
	must(found == 7);
	return (user + nice + system + irq + soft) * (1000000 / sysconf(_SC_CLK_TCK));
}

static int by_value(const void *a, const void *b)
{
	int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
	return left < right ? -1 : left > right;
}

static void write_groups(const struct task *t, const struct way *w)
{
	int file = open(t->path, O_RDWR | O_CLOEXEC | w->flags);
	must(file >= 0);
	uint64_t at = 0;
	for (size_t i = 0; i < t->count; i++) {
		int64_t start = clock_monotonic_us();
		if (at + t->group > t->ring)
			at = 0;
		must(pwrite(file, t->data, t->group, (off_t)at) == (ssize_t)t->group);
		must(!w->sync || fdatasync(file) == 0);
		at += t->group;
		t->times_us[i] = clock_monotonic_us() - start;
	}
	close(file);
}

static void measure(const struct task *t, const struct way *w)
{
	prewrite(t);
	memset(t->data, 'x', t->group);
	int64_t own = own_cpu_us(), machine = machine_cpu_us(), start = clock_monotonic_us();
	write_groups(t, w);
	double count = (double)t->count;
	own = own_cpu_us() - own;
	machine = machine_cpu_us() - machine;
	double mean = (double)(clock_monotonic_us() - start) / count;
	qsort(t->times_us, t->count, sizeof *t->times_us, by_value);
	printf("%-22s group %7zu  median %6" PRId64 " us  p99 %6" PRId64 " us  mean %6.0f us  own cpu %5.1f us  "
	       "machine %5.1f us\n", w->name, t->group,
	       t->times_us[t->count / 2], t->times_us[t->count * 99 / 100], mean, (double)own / count,
	       (double)machine / count);
}

static uint64_t number(const char *text)
{
	uint64_t value = 0;
	if (!str_to_u64(str_of(text), 1 << 30, &value) || value == 0) {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return value;
}

int main(int argc, char **argv)
{
	if (argc != 5) {
		fprintf(stderr, "usage: journal_bench FILE SIZE_MB GROUP_BYTES COUNT\n");
		return 2;
	}
	struct task task = { .path = argv[1], .ring = number(argv[2]) << 20, .count = number(argv[4]) };
	task.group = (number(argv[3]) + 4095) / 4096 * 4096;
	task.ring -= task.ring % task.group;
	must(task.ring > 0);
	must(posix_memalign((void **)&task.data, 4096, task.group) == 0);
	memset(task.data, 0, task.group);
	task.times_us = mem_resize(NULL, task.count, sizeof *task.times_us);
	for (size_t i = 0; i < COUNT_OF(ways); i++)
		measure(&task, &ways[i]);
	unlink(task.path);
	free(task.data);
	free(task.times_us);
	return 0;
}
