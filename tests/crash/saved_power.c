/*
 * Mails saved to folders as `posthorn pop3 fetch` does it, under powerloss.so. With "delete" the server's copy goes next, so
 * what was committed must be there.
 *
 *	saved_power run TREE MARKS STEPS
 *
 * The folders are TREE/mails/eml, maildir and mbox. A mail has its number and how many lines there are in its subject. The marks:
 *
 *	saved FORMAT N
 */
#include "mail_file.h"

#include "check.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAIL_MAX = 1 << 16, LINES_MAX = 400, AT_ONCE = 5 };

static const char *const formats[] = { "eml", "maildir", "mbox" };

static int marks = -1;

static void mark(const char *format, unsigned number)
{
	char line[40];
	int length = snprintf(line, sizeof line, "saved %s %u\n", format, number);
	must(write(marks, line, (size_t)length) == length);
}

static void save(struct mail_folder *folder, unsigned number)
{
	CLEANUP(buf_release) struct buf mail = BUF_WITH_LIMIT(MAIL_MAX);
	char uid[20];
	unsigned lines = number * 37 % LINES_MAX;
	snprintf(uid, sizeof uid, "uid%u", number);
	buf_printf(&mail, "Subject: %u %u\r\n\r\n", number, lines);
	for (unsigned i = 0; i < lines; i++)
		buf_printf(&mail, "line %u of mail %u\r\n", i, number);
	must(mail_folder_begin(folder, NULL) && mail_folder_write(folder, buf_str(&mail), NULL));
	must(mail_folder_commit(folder, str_of(uid), 1, NULL, NULL));
}

int main(int count, char **words)
{
	must(count == 5 && strcmp(words[1], "run") == 0);
	marks = open(words[3], O_WRONLY | O_APPEND);
	unsigned steps = (unsigned)strtoul(words[4], NULL, 10);
	must(marks >= 0);
	for (unsigned number = 0; number < steps;) {
		enum mail_format format = number / AT_ONCE % MAIL_FORMAT_COUNT;
		char directory[200];
		must((size_t)snprintf(directory, sizeof directory, "%s/mails/%s", words[2], formats[format]) < sizeof directory);
		CLEANUP(mail_folder_cleanup) struct mail_folder *folder =
			mail_folder_open(directory, format, STR("user@pop.test"), NULL);
		must(folder != NULL);
		for (unsigned i = 0; i < AT_ONCE; i++, number++) {
			save(folder, number);
			mark(formats[format], number);
		}
	}
	close(marks);
	return 0;
}
