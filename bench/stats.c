#include "stats.h"

#include "mem.h"
#include "options.h"
#include "str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct stats stats;

void die(const char *format, ...)
{
	va_list ap;
	va_start(ap, format);
	fputs("mailbench: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(2);
}

uint64_t stats_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* CPU time used by a cgroup, in ns: v1 cpuacct.usage or v2 cpu.stat. */
static uint64_t group_cpu_ns(struct str directory)
{
	char path[512], line[128];
	unsigned long long value = 0;
	snprintf(path, sizeof path, "%.*s/cpuacct.usage", STR_ARG(directory));
	FILE *f = fopen(path, "r");
	if (f) {
		if (fscanf(f, "%llu", &value) != 1)
			value = 0;
		fclose(f);
		return value;
	}
	snprintf(path, sizeof path, "%.*s/cpu.stat", STR_ARG(directory));
	if (!(f = fopen(path, "r")))
		die("--cost %.*s: no cpuacct.usage and no cpu.stat there", STR_ARG(directory));
	while (fgets(line, sizeof line, f))
		if (sscanf(line, "usage_usec %llu", &value) == 1)
			break;
	fclose(f);
	return value * 1000;
}

static uint64_t server_cpu_ns(void)
{
	struct str list = str_of(opt.cost), directory;
	uint64_t sum = 0;
	while (str_take_until(&list, ',', &directory))
		sum += group_cpu_ns(directory);
	return sum;
}

static uint64_t own_cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void stats_begin(void)
{
	stats.nsamples = stats.ops = stats.bytes = 0;
	stats.cost_start = server_cpu_ns();
	stats.own_start = own_cpu_ns();
	stats.started = stats_now_ns();
}

void stats_end(void)
{
	stats.finished = stats_now_ns();
	stats.own_end = own_cpu_ns();
	stats.cost_end = server_cpu_ns();
}

void stats_sample(uint64_t ns)
{
	if (stats.nsamples == stats.capacity) {
		stats.capacity = stats.capacity ? stats.capacity * 2 : 4096;
		stats.samples = mem_resize(stats.samples, stats.capacity, sizeof *stats.samples);
	}
	stats.samples[stats.nsamples++] = (float)((double)ns / 1e6);
}

void stats_error(const char *format, ...)
{
	va_list ap;
	if (stats.errors++)
		return;
	va_start(ap, format);
	vsnprintf(stats.first_error, sizeof stats.first_error, format, ap);
	va_end(ap);
	for (char *p = stats.first_error; *p; p++)
		if (*p == '"' || *p == '\\' || (unsigned char)*p < 32)
			*p = '\'';
}

void stats_operation(uint64_t started)
{
	stats.ops++;
	stats_sample(stats_now_ns() - started);
}

static int compare_floats(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static double percentile(double p)
{
	if (!stats.nsamples)
		return 0;
	size_t i = (size_t)(p * (double)stats.nsamples);
	return stats.samples[i < stats.nsamples ? i : stats.nsamples - 1];
}

void stats_print(const char *what, const char *extra)
{
	double seconds = (double)(stats.finished - stats.started) / 1e9;
	double cpu = (double)(stats.cost_end - stats.cost_start) / 1e9;
	qsort(stats.samples, stats.nsamples, sizeof *stats.samples, compare_floats);
	printf("{\"label\":\"%s\",\"cmd\":\"%s\",\"what\":\"%s\",\"conns\":%d,\"ops\":%llu,\"seconds\":%.4f,"
	       "\"ops_per_s\":%.1f,\"mb_per_s\":%.2f,\"errors\":%llu,"
	       "\"p50_ms\":%.3f,\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f",
	       opt.label, opt.command, what, opt.conns, (unsigned long long)stats.ops, seconds,
	       (double)stats.ops / seconds, (double)stats.bytes / 1e6 / seconds, (unsigned long long)stats.errors,
	       percentile(0.50), percentile(0.95), percentile(0.99), percentile(1.0));
	printf(",\"client_cpu_s\":%.4f", (double)(stats.own_end - stats.own_start) / 1e9);
	if (opt.cost)
		printf(",\"server_cpu_s\":%.4f,\"cpu_us_per_op\":%.1f", cpu,
		       stats.ops ? cpu * 1e6 / (double)stats.ops : 0.0);
	if (extra && *extra)
		printf(",%s", extra);
	if (stats.errors)
		printf(",\"first_error\":\"%s\"", stats.first_error);
	printf("}\n");
	fflush(stdout);
}
