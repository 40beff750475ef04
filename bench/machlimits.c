/* machlimits - what this machine can do at most: memory, loopback TCP, sendfile, fsync.
 *   machlimits DIRECTORY
 * One JSON line per measurement.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 12 * 1024, MAX_THREADS = 64, SAMPLES = 1 << 16 };
static const char *root;
static char message[1 << 20];

static double now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	exit(1);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* ------------------------------------------------------------ memory and CPU */

static void measure_memcpy(void)
{
	size_t size = 256u << 20;
	char *a = malloc(size), *b = malloc(size);
	memset(a, 1, size);
	memset(b, 2, size);
	double t = now();
	for (int i = 0; i < 8; i++)
		memcpy(i & 1 ? a : b, i & 1 ? b : a, size);
	printf("{\"what\":\"memcpy 256 MiB\",\"gb_per_s\":%.2f}\n", 8.0 * (double)size / 1e9 / (now() - t));
	free(a);
	free(b);
}

/* ------------------------------------------------------------------ loopback */

struct pipe_job {
	int fd;
	bool use_sendfile;
	int file;
	size_t chunk, total;
};

static void *send_all(void *arg)
{
	struct pipe_job *job = arg;
	for (size_t done = 0; done < job->total;) {
		off_t offset = 0;
		ssize_t n = job->use_sendfile ? sendfile(job->fd, job->file, &offset, job->chunk)
		                              : write(job->fd, message, job->chunk);
		check(n > 0, "send");
		done += (size_t)n;
	}
	shutdown(job->fd, SHUT_WR);
	return NULL;
}

static void tcp_pair(int *a, int *b)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof addr;
	int s = socket(AF_INET, SOCK_STREAM, 0);
	check(bind(s, (void *)&addr, size) == 0 && listen(s, 1) == 0, "listen");
	getsockname(s, (void *)&addr, &size);
	*a = socket(AF_INET, SOCK_STREAM, 0);
	check(connect(*a, (void *)&addr, size) == 0, "connect");
	*b = accept(s, NULL, NULL);
	close(s);
}

static void measure_loopback(const char *name, bool use_sendfile, size_t chunk)
{
	static char sink[1 << 18];
	char path[512];
	int out, in;
	ssize_t n;
	size_t total = 0;
	tcp_pair(&out, &in);
	snprintf(path, sizeof path, "%s/source", root);
	int file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(write(file, message, sizeof message) == (ssize_t)sizeof message, "write");
	struct pipe_job job = { out, use_sendfile, file, chunk, (size_t)4 << 30 };
	pthread_t thread;
	double t = now();
	pthread_create(&thread, NULL, send_all, &job);
	while ((n = read(in, sink, sizeof sink)) > 0)
		total += (size_t)n;
	t = now() - t;
	pthread_join(thread, NULL);
	printf("{\"what\":\"loopback %s\",\"chunk\":%zu,\"gb_per_s\":%.2f,\"calls_per_s\":%.0f}\n", name, chunk,
	       (double)total / 1e9 / t, (double)total / (double)chunk / t);
	close(in);
	close(out);
	close(file);
	unlink(path);
}

/* 1 byte back and forth: the least a request and its answer can take. */
static void *echo(void *arg)
{
	int fd = *(int *)arg;
	char c;
	while (read(fd, &c, 1) == 1)
		if (write(fd, &c, 1) != 1)
			break;
	return NULL;
}

static void measure_ping(void)
{
	int a, b, n = 50000;
	char c = 0;
	pthread_t thread;
	tcp_pair(&a, &b);
	pthread_create(&thread, NULL, echo, &b);
	double t = now();
	for (int i = 0; i < n; i++)
		check(write(a, &c, 1) == 1 && read(a, &c, 1) == 1, "ping");
	printf("{\"what\":\"loopback round trip\",\"us\":%.2f}\n", (now() - t) / n * 1e6);
	shutdown(a, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(a);
	close(b);
}

/* --------------------------------------------------------------------- fsync */

static double samples[SAMPLES];

static void print_latency(const char *what, int n, double seconds)
{
	qsort(samples, (size_t)n, sizeof *samples, compare);
	printf("{\"what\":\"%s\",\"n\":%d,\"mean_us\":%.0f,\"p50_us\":%.0f,\"p95_us\":%.0f,\"max_us\":%.0f}\n",
	       what, n, seconds / n * 1e6, samples[n / 2] * 1e6, samples[n * 95 / 100] * 1e6, samples[n - 1] * 1e6);
	fflush(stdout);
}

static void measure_create(const char *what, bool sync_dir, bool rename_too)
{
	char path[512], target[512];
	int n = 2000, dir = open(root, O_RDONLY | O_DIRECTORY);
	double all = now();
	for (int i = 0; i < n; i++) {
		double t = now();
		snprintf(path, sizeof path, "%s/c%d", root, i);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		check(write(fd, message, MESSAGE) == MESSAGE && fsync(fd) == 0, "create");
		close(fd);
		snprintf(target, sizeof target, "%s/d%d", root, i);
		if (rename_too)
			check(rename(path, target) == 0, "rename");
		if (sync_dir)
			check(fsync(dir) == 0, "fsync of the directory");
		samples[i] = now() - t;
	}
	all = now() - all;
	for (int i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%c%d", root, rename_too ? 'd' : 'c', i);
		unlink(path);
	}
	close(dir);
	print_latency(what, n, all);
}

static void measure_one_file(const char *what, bool append, bool preallocate)
{
	char path[512];
	int n = 3000;
	snprintf(path, sizeof path, "%s/log", root);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (!append)
		for (int i = 0; i < n; i++)
			check(write(fd, message, MESSAGE) == MESSAGE, "fill");
	if (preallocate)
		check(posix_fallocate(fd, 0, (off_t)n * MESSAGE) == 0, "fallocate");
	fsync(fd);
	double all = now();
	for (int i = 0; i < n; i++) {
		double t = now();
		check(pwrite(fd, message, MESSAGE, (off_t)i * MESSAGE) == MESSAGE && fdatasync(fd) == 0, "write");
		samples[i] = now() - t;
	}
	print_latency(what, n, now() - all);
	close(fd);
	unlink(path);
}

/* ------------------------------------------------- fsync from many threads */

static double stop_at;
static struct worker {
	pthread_t thread;
	int id;
	long done;
} workers[MAX_THREADS];

static void *create_worker(void *arg)
{
	struct worker *w = arg;
	char path[512];
	while (now() < stop_at) {
		snprintf(path, sizeof path, "%s/w%d.%ld", root, w->id, w->done);
		int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
		check(write(fd, message, MESSAGE) == MESSAGE && fsync(fd) == 0, "create");
		close(fd);
		w->done++;
	}
	for (long i = 0; i < w->done; i++) {
		snprintf(path, sizeof path, "%s/w%d.%ld", root, w->id, i);
		unlink(path);
	}
	return NULL;
}

static void *append_worker(void *arg)
{
	struct worker *w = arg;
	char path[512];
	snprintf(path, sizeof path, "%s/log%d", root, w->id);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	while (now() < stop_at) {
		check(write(fd, message, MESSAGE) == MESSAGE && fdatasync(fd) == 0, "append");
		w->done++;
	}
	close(fd);
	unlink(path);
	return NULL;
}

/* Group commit: everybody appends to one log; whoever finds no sync under way syncs for all written so far. */
static struct group {
	pthread_mutex_t lock;
	pthread_cond_t synced;
	int fd;
	long written, durable, syncs;
	bool syncing;
} group = { .lock = PTHREAD_MUTEX_INITIALIZER, .synced = PTHREAD_COND_INITIALIZER };

static void *group_worker(void *arg)
{
	struct worker *w = arg;
	while (now() < stop_at) {
		pthread_mutex_lock(&group.lock);
		long mine = ++group.written;
		check(write(group.fd, message, MESSAGE) == MESSAGE, "append");
		while (group.durable < mine) {
			if (group.syncing) {
				pthread_cond_wait(&group.synced, &group.lock);
				continue;
			}
			group.syncing = true;
			long upto = group.written;
			pthread_mutex_unlock(&group.lock);
			check(fdatasync(group.fd) == 0, "fdatasync");
			pthread_mutex_lock(&group.lock);
			group.durable = upto;
			group.syncs++;
			group.syncing = false;
			pthread_cond_broadcast(&group.synced);
		}
		pthread_mutex_unlock(&group.lock);
		w->done++;
	}
	return NULL;
}

static void measure_threads(const char *what, int n, void *(*run)(void *))
{
	long total = 0;
	double t = now();
	stop_at = t + 4;
	for (int i = 0; i < n; i++) {
		workers[i] = (struct worker){ .id = i };
		pthread_create(&workers[i].thread, NULL, run, &workers[i]);
	}
	for (int i = 0; i < n; i++) {
		pthread_join(workers[i].thread, NULL);
		total += workers[i].done;
	}
	printf("{\"what\":\"%s\",\"threads\":%d,\"per_s\":%.0f,\"mb_per_s\":%.1f", what, n, (double)total / 4,
	       (double)total * MESSAGE / 4e6);
	if (group.syncs)
		printf(",\"syncs\":%ld,\"per_sync\":%.1f", group.syncs, (double)total / (double)group.syncs);
	printf("}\n");
	fflush(stdout);
}

static void measure_group(int n)
{
	char path[512];
	snprintf(path, sizeof path, "%s/group", root);
	group.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	group.written = group.durable = group.syncs = 0;
	measure_threads("group commit: append 12 KiB to one file, shared fdatasync", n, group_worker);
	group.syncs = 0;
	close(group.fd);
	unlink(path);
}

int main(int argc, char **argv)
{
	static const int threads[] = { 1, 8, 64 };
	check(argc == 2, "usage: machlimits DIRECTORY");
	root = argv[1];
	mkdir(root, 0700);
	for (size_t i = 0; i < sizeof message; i++)
		message[i] = (char)(i * 2654435761u >> 13);
	measure_memcpy();
	measure_ping();
	measure_loopback("write", false, MESSAGE);
	measure_loopback("write", false, 256 * 1024);
	measure_loopback("sendfile", true, MESSAGE);
	measure_loopback("sendfile", true, 256 * 1024);
	measure_create("create 12 KiB + fsync", false, false);
	measure_create("create 12 KiB + fsync + rename + fsync directory", true, true);
	measure_one_file("append 12 KiB + fdatasync", true, false);
	measure_one_file("append 12 KiB + fdatasync, preallocated", true, true);
	measure_one_file("overwrite 12 KiB + fdatasync", false, false);
	for (int i = 0; i < 3; i++)
		measure_threads("create 12 KiB + fsync, own files", threads[i], create_worker);
	for (int i = 0; i < 3; i++)
		measure_threads("append 12 KiB + fdatasync, own log each", threads[i], append_worker);
	for (int i = 0; i < 3; i++)
		measure_group(threads[i]);
	return 0;
}
