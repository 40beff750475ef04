/* CPU time to read and to write message content of about 12 KB. */
#include "smtp_data.h"

#include <stdio.h>
#include <time.h>

enum { ROUNDS = 20000 };

static int64_t cpu_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static double read_us(struct str wire, struct buf *out)
{
	int64_t begin = cpu_us();
	for (int i = 0; i < ROUNDS; i++) {
		struct smtp_data d;
		size_t used;
		buf_clear(out);
		smtp_data_begin(&d, SMTP_DATA_DOTTED, SMTP_DATA_REFUSE, UINT64_MAX);
		must(smtp_data_read(&d, wire, &used, out) && used == wire.length);
	}
	return (double)(cpu_us() - begin) / ROUNDS;
}

static double write_us(struct str content, struct buf *out)
{
	int64_t begin = cpu_us();
	for (int i = 0; i < ROUNDS; i++) {
		struct smtp_stuffer s = {};
		buf_clear(out);
		smtp_stuff_add(&s, content, out);
		smtp_stuff_end(&s, out);
	}
	return (double)(cpu_us() - begin) / ROUNDS;
}

static void measure(const char *name, const char *line, size_t lines)
{
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(1 << 20), wire = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	struct smtp_stuffer s = {};
	for (size_t i = 0; i < lines; i++)
		buf_add_str(&content, str_of(line));
	smtp_stuff_add(&s, buf_str(&content), &wire);
	smtp_stuff_end(&s, &wire);
	printf("%-28s %6zu octets: read %.2f us, write %.2f us\n", name, content.length, read_us(buf_str(&wire), &out),
	       write_us(buf_str(&content), &out));
}

int main(void)
{
	measure("lines of 76", "The quick brown fox jumps over the lazy dog, and the lazy dog. Does nothing..\r\n", 157);
	measure("lines of 20", "A short line of 20\r\n", 614);
	measure("every line dotted", ".The quick brown fox jumps over the lazy dog, and the lazy dog. No more.\r\n", 165);
	measure("dots and nothing else", ".\r\n", 4096);
	return 0;
}
