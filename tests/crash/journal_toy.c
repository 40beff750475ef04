/*
 * The smallest program whose promise can be checked: it appends numbered records to a file and
 * says "N" on the marks file once record N is synced. It does so inside a seccomp filter like
 * those of the daemons, under which powerloss.so has to work.
 *
 *	journal_toy FILE MARKS COUNT [--no-sync] [--dsync]
 *
 * Record: number, payload length, CRC-32 of number and payload, payload of 1 to 9000 octets.
 */
#include <fcntl.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include <zlib.h>

enum { PAYLOAD_MAX = 9000 };

struct record {
	uint32_t number, length, crc;
};

static bool enter_sandbox(void)
{
	static const int allowed[] = { SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(fdatasync), SCMP_SYS(fstat),
		                           SCMP_SYS(newfstatat), SCMP_SYS(lseek), SCMP_SYS(fcntl), SCMP_SYS(exit_group) };
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	bool ready = filter != NULL;
	for (size_t i = 0; ready && i < sizeof allowed / sizeof *allowed; i++)
		ready = seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed[i], 0) == 0;
	ready = ready && seccomp_load(filter) == 0;
	seccomp_release(filter);
	return ready;
}

static bool append(int journal, uint32_t number)
{
	static unsigned char payload[PAYLOAD_MAX];
	struct record record = { .number = number, .length = 1 + number * 2654435761u % PAYLOAD_MAX };
	memset(payload, (int)(number % 255 + 1), record.length);
	record.crc = (uint32_t)crc32(crc32(0, (unsigned char *)&number, sizeof number), payload, record.length);
	struct iovec parts[] = { { &record, sizeof record }, { payload, record.length } };
	return writev(journal, parts, 2) == (ssize_t)(sizeof record + record.length);
}

int main(int argc, char **argv)
{
	char line[16];
	if (argc < 4)
		return 2;
	uint32_t count = (uint32_t)strtoul(argv[3], NULL, 10);
	bool sync = true, dsync = false;
	for (int i = 4; i < argc; i++) {
		sync = sync && strcmp(argv[i], "--no-sync") != 0;
		dsync = dsync || strcmp(argv[i], "--dsync") == 0;
	}
	int journal = open(argv[1], O_WRONLY | O_APPEND | (dsync ? O_DSYNC : 0));
	int marks = open(argv[2], O_WRONLY | O_APPEND);
	if (journal < 0 || marks < 0 || !enter_sandbox())
		return 1;
	for (uint32_t number = 1; number <= count; number++) {
		int length = snprintf(line, sizeof line, "%u\n", number);
		if (!append(journal, number) || (sync && !dsync && fdatasync(journal) < 0) ||
		    write(marks, line, (size_t)length) != length)
			return 1;
	}
	_exit(0); /* exit handlers would need more system calls */
}
