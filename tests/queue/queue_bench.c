/*
 * How long queue takes to start with many messages that wait for other hosts, its memory, how long a list of them takes, and what an
 * administrator does to one or to all of them; and how long a new mail takes to be taken while all of them are gone through:
 *
 *	queue_bench POSTHORN-QUEUE FAULTS.SO; QUEUE_BENCH_COUNT: how many (100,000), for QUEUE_BENCH_DOMAINS domains (1,000);
 *	QUEUE_BENCH_CTL: posthornctl, to list them as an administrator does
 */
#include "kit.h"

#include "clock.h"
#include "file.h"
#include "mem.h"
#include "spoolfile.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);
	return text ? strtoull(text, NULL, 10) : otherwise;
}

static void write_message(int spool, uint64_t i, uint64_t domains)
{
	CLEANUP(mem_free) char *address = mem_printf("somebody%" PRIu64 "@domain%" PRIu64 ".example.test", i, i % domains);
	struct envelope_recipient recipient = { .address = str_of(address) };
	const struct envelope e = {
		.id = i + 1, .received = clock_wall_seconds() - 3600, .reverse_path = STR("u5@example.test"), .account = 5, .peer = STR("192.0.2.1"),
		.helo = STR("client.test"), .session = STR("00000000000000ff"), .protocol = STR("ESMTPSA"), .body_size = 1000,
		.recipients = &recipient, .recipient_count = 1,
	};
	const struct spoolfile_result result = {
		.attempts = 3, .last_attempt = clock_wall_seconds() - 600, .next_attempt = clock_wall_seconds() + 7200,
		.reply = STR("451\0004.7.1\0mx.example.test\000192.0.2.25\0TLSv1.3\0please come back later, we are very busy now"),
	};
	static char body[1000];
	memset(body, 'x', sizeof body);
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = NULL;
	assert_true(spoolfile_create(spool, &e, str_from(body, sizeof body), NULL));
	f = spoolfile_open(spool, i + 1, NULL);
	assert_true(f && spoolfile_log(f, &result, 1, NULL));
}

static void fill(const struct scene *s, uint64_t count, uint64_t domains)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/spool", s->folder);
	CLEANUP(file_close) int spool = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(spool >= 0);
	for (uint64_t i = 0; i < count; i++)
		write_message(spool, i, domains);
}

static unsigned long resident_kb(pid_t pid)
{
	CLEANUP(mem_free) char *path = mem_printf("/proc/%d/status", (int)pid);
	char line[200];
	unsigned long kb = 0;
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	while (fgets(line, sizeof line, file))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = strtoul(line + 6, NULL, 10);
	fclose(file);
	return kb;
}

/* User and system time. */
static uint64_t cpu_ms(pid_t pid)
{
	CLEANUP(mem_free) char *path = mem_printf("/proc/%d/stat", (int)pid);
	unsigned long user = 0, system = 0;
	FILE *file = fopen(path, "re");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system), 2);
	fclose(file);
	return (user + system) * 1000 / (unsigned long)sysconf(_SC_CLK_TCK);
}

static uint64_t list(const struct scene *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ipc_channel channel;
	struct ipc_frame frame;
	struct msg_ctl_row row;
	uint64_t rows = 0;
	snprintf(address.sun_path, sizeof address.sun_path, "%s/control", s->folder);
	ipc_channel_init(&channel, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	assert_int_equal(connect(channel.descriptor, (struct sockaddr *)&address, sizeof address), 0);
	msg_ctl_request_send(&channel, 1, &(struct msg_ctl_request){ .words = STR("list\0") }, -1);
	while (ipc_receive_wait(&channel, &frame, 60000) == IPC_FRAME && msg_ctl_row_read(&frame, &row))
		for (size_t i = 0; i < row.fields.length; i++)
			rows += i == 0 ||
			        (row.fields.data[i - 1] == '\0' && str_starts(str_from_index(row.fields, i), STR("id\0")));
	ipc_channel_release(&channel);
	return rows;
}

/* As of before this order: what one mail took that came with it. */
static void order(struct scene *s, const char *words)
{
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(1 << 20);
	int64_t began = clock_monotonic_ms();
	uint64_t cpu = cpu_ms(s->pid);
	assert_int_equal(control(s, words, &rows), 0);
	int64_t ended = clock_monotonic_ms();
	submit(s, "u1@example.test", "x\r\n");
	printf("%s: %" PRId64 " ms (CPU %" PRIu64 "), then one mail %" PRId64 " ms; %lu MB at most\n", words, ended - began,
	       cpu_ms(s->pid) - cpu, clock_monotonic_ms() - ended, resident_kb(s->pid) / 1024);
}

static void orders(struct scene *s, uint64_t count)
{
	CLEANUP(mem_free) char *show = mem_printf("show %016" PRIx64, count);
	order(s, show);
	order(s, "retry all");
	order(s, "retry domain:domain7.example.test");
	order(s, "hold sender:u5@example.test");
	order(s, "release sender:u5@example.test");
	order(s, "delete domain:domain7.example.test");
	order(s, "delete sender:u5@example.test");
}

static int64_t children_cpu_ms(void)
{
	struct rusage usage;
	assert_int_equal(getrusage(RUSAGE_CHILDREN, &usage), 0);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

/* As an administrator asks, with the time of the whole command. */
static void list_by_command(const struct scene *s, const char *posthornctl, const char *options)
{
	CLEANUP(mem_free) char *command = mem_printf("mkdir -p %s/run && ln -sf ../control %s/run/queue.socket && %s --directory %s %s queue list "
	                                             "> %s/listed", s->folder, s->folder, posthornctl, s->folder, options, s->folder);
	int64_t began = clock_monotonic_ms(), cpu = children_cpu_ms();
	assert_int_equal(system(command), 0);
	printf("posthornctl %squeue list: %" PRId64 " ms (CPU %" PRId64 ")\n", options, clock_monotonic_ms() - began,
	       children_cpu_ms() - cpu);
}

static void measure(void **state)
{
	struct scene s;
	uint64_t count = number_of("QUEUE_BENCH_COUNT", 100000);
	(void)state;
	scene_open(&s);
	fill(&s, count, number_of("QUEUE_BENCH_DOMAINS", 1000));
	int64_t began = clock_monotonic_ms();
	scene_restart(&s);
	int64_t started = clock_monotonic_ms();
	uint64_t start_cpu = cpu_ms(s.pid), rows = list(&s);
	int64_t listed = clock_monotonic_ms();
	printf("%" PRIu64 " messages: started in %" PRId64 " ms (CPU %" PRIu64 "), %lu MB at most\n", count,
	       started - began, start_cpu, resident_kb(s.pid) / 1024);
	printf("%" PRIu64 " listed in %" PRId64 " ms (CPU %" PRIu64 ")\n", rows, listed - started,
	       cpu_ms(s.pid) - start_cpu);
	assert_true(rows == count);
	const char *posthornctl = getenv("QUEUE_BENCH_CTL");
	if (posthornctl) {
		list_by_command(&s, posthornctl, "");
		list_by_command(&s, posthornctl, "--json ");
	}
	orders(&s, count);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(measure) };
	return kit_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
