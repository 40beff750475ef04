#include "ctl_archive_files.h"

#include "array.h"
#include "ctl_archive_name.h"
#include "ctl_archive_text.h"
#include "file.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LETTERS = 26, NAME_MAX_LENGTH = 1000 };

struct ctl_sink {
	char *folder;
	enum ctl_format format;
	FILE *mbox;          /* of the mailbox, or NULL */
	char *mailbox;       /* Maildir: its folder, or NULL */
	uint64_t number;     /* of the mail in it */
	ARRAY(char *) keywords; /* of it, by letter */
	uint64_t left_out;
};

static bool folder_is_empty(const char *path)
{
	DIR *list = opendir(path);
	bool empty = list;
	for (struct dirent *entry; list && (entry = readdir(list));)
		empty &= strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	if (list)
		closedir(list);
	return empty;
}

struct ctl_sink *ctl_sink_open(const char *folder, enum ctl_format format, struct fail **fail)
{
	if (!file_make_directory(folder, 0700, fail))
		return NULL;
	if (!folder_is_empty(folder)) {
		fail_set(fail, FAIL_EXISTS, "%s holds something already; export into an empty or a new folder", folder);
		return NULL;
	}
	struct ctl_sink *sink = mem_alloc(sizeof *sink);
	sink->folder = str_copy(str_of(folder));
	sink->format = format;
	return sink;
}

/* ---- Maildir ---- */

static bool make_maildir(const char *path, struct fail **fail)
{
	static const char *const parts[] = { "", "/cur", "/new", "/tmp" };
	for (size_t i = 0; i < COUNT_OF(parts); i++) {
		CLEANUP(mem_free) char *part = mem_printf("%s%s", path, parts[i]);
		if (!file_make_directory(part, 0700, fail))
			return false;
	}
	return true;
}

static bool begin_maildir(struct ctl_sink *sink, struct str name, const char *file, struct fail **fail)
{
	bool is_inbox = str_equal(name, STR("INBOX"));
	sink->mailbox = is_inbox ? str_copy(str_of(sink->folder)) : mem_printf("%s/.%s", sink->folder, file);
	if (!make_maildir(sink->mailbox, fail))
		return false;
	CLEANUP(mem_free) char *path = mem_printf("%s/maildirfolder", sink->mailbox);
	FILE *mark = is_inbox ? NULL : fopen(path, "we");
	return is_inbox || (mark && fclose(mark) == 0) || fail_set_errno(fail, FAIL_IO, "cannot write %s", path);
}

static char keyword_letter(struct ctl_sink *sink, struct str keyword)
{
	size_t i = 0;
	while (i < sink->keywords.count && !str_equal(str_of(sink->keywords.items[i]), keyword))
		i++;
	if (i == LETTERS) {
		sink->left_out++;
		return '\0';
	}
	if (i == sink->keywords.count)
		*array_add(&sink->keywords) = str_copy(keyword);
	return (char)('a' + i);
}

static char flag_letter(struct ctl_sink *sink, struct str word)
{
	static const struct {
		const char *name;
		char letter;
	} flags[] = { { "\\Draft", 'D' }, { "\\Flagged", 'F' }, { "\\Answered", 'R' },
				  { "\\Seen", 'S' },  { "\\Deleted", 'T' }, { "$Forwarded", 'P' } };
	for (size_t i = 0; i < COUNT_OF(flags); i++)
		if (str_equal_nocase(word, str_of(flags[i].name)))
			return flags[i].letter;
	return keyword_letter(sink, word);
}

/* In the order of ASCII, each once, as the format wants them. */
static void add_info(struct ctl_sink *sink, struct buf *name, struct str flags)
{
	bool present[128] = {};
	struct str word;
	while (str_take_until(&flags, ' ', &word)) {
		char letter = word.length ? flag_letter(sink, word) : '\0';
		present[(unsigned char)letter & 127] = true;
	}
	for (int letter = 'A'; letter <= 'z'; letter++)
		if (present[letter])
			buf_add_char(name, (char)letter);
}

static bool write_file(const char *path, struct str text, int64_t received, struct fail **fail)
{
	const struct timespec times[2] = { { .tv_sec = received }, { .tv_sec = received } };
	CLEANUP(file_close) int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot make %s", path);
	return file_write_at(file, text.data, text.length, 0, fail) &&
	       (futimens(file, times) == 0 || fail_set_errno(fail, FAIL_IO, "cannot set the date of %s", path));
}

static bool write_maildir(struct ctl_sink *sink, const struct ctl_mail *mail, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(mail->text.length), name = BUF_WITH_LIMIT(NAME_MAX_LENGTH);
	ctl_text_of_mail(&text, mail->text);
	buf_printf(&name, "%lld.Q%llu.posthorn,S=%zu:2,", (long long)mail->received, (unsigned long long)++sink->number,
			   text.length);
	add_info(sink, &name, mail->flags);
	CLEANUP(mem_free) char *made = mem_printf("%s/tmp/%llu", sink->mailbox, (unsigned long long)sink->number);
	CLEANUP(mem_free) char *place = mem_printf("%s/cur/%s", sink->mailbox, buf_text(&name));
	return write_file(made, buf_str(&text), mail->received, fail) &&
	       (rename(made, place) == 0 || fail_set_errno(fail, FAIL_IO, "cannot make %s", place));
}

static bool write_keywords(const struct ctl_sink *sink, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/dovecot-keywords", sink->mailbox);
	FILE *file = fopen(path, "we");
	for (size_t i = 0; file && i < sink->keywords.count; i++)
		fprintf(file, "%zu %s\n", i, sink->keywords.items[i]);
	bool good = file && !ferror(file);
	return (file && fclose(file) == 0 && good) || fail_set_errno(fail, FAIL_IO, "cannot write %s", path);
}

/* ---- mbox ---- */

static bool begin_mbox(struct ctl_sink *sink, const char *file, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/%s.mbox", sink->folder, file);
	int made = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	sink->mbox = made < 0 ? NULL : fdopen(made, "w");
	return sink->mbox || fail_set_errno(fail, FAIL_IO, "cannot make %s", path);
}

/* ---- both ---- */

static bool end_mailbox(struct ctl_sink *sink, struct fail **fail)
{
	bool good = true;
	FILE *mbox = TAKE(sink->mbox);
	if (mbox && fclose(mbox) != 0)
		good = fail_set_errno(fail, FAIL_IO, "cannot write the mbox file");
	if (sink->mailbox && sink->keywords.count)
		good = write_keywords(sink, fail) && good;
	for (size_t i = 0; i < sink->keywords.count; i++)
		free(sink->keywords.items[i]);
	sink->keywords.count = 0;
	mem_free(&sink->mailbox);
	sink->mailbox = NULL;
	sink->number = 0;
	return good;
}

bool ctl_sink_mailbox(struct ctl_sink *sink, struct str name, struct fail **fail)
{
	CLEANUP(buf_release) struct buf file = BUF_WITH_LIMIT(NAME_MAX_LENGTH);
	if (!end_mailbox(sink, fail))
		return false;
	if (!ctl_name_of_mailbox(&file, name))
		return fail_set(fail, FAIL_LIMIT, "the name of mailbox %.*s is too long for a file", STR_ARG(name));
	return sink->format == CTL_MBOX ? begin_mbox(sink, buf_text(&file), fail)
									: begin_maildir(sink, name, buf_text(&file), fail);
}

bool ctl_sink_mail(struct ctl_sink *sink, const struct ctl_mail *mail, struct fail **fail)
{
	if (!sink->mbox && !sink->mailbox)
		return fail_set(fail, FAIL_CORRUPT, "a mail that belongs to no mailbox");
	return sink->mbox ? ctl_mbox_write(sink->mbox, mail, fail) : write_maildir(sink, mail, fail);
}

bool ctl_sink_finish(struct ctl_sink *sink, uint64_t *left_out, struct fail **fail)
{
	if (!end_mailbox(sink, fail))
		return false;
	CLEANUP(file_close) int folder = open(sink->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*left_out = sink->left_out;
	return (folder >= 0 && syncfs(folder) == 0) ||
		   fail_set_errno(fail, FAIL_IO, "cannot make %s durable", sink->folder);
}

void ctl_sink_close(struct ctl_sink **sink)
{
	if (!*sink)
		return;
	end_mailbox(*sink, NULL);
	array_release(&(*sink)->keywords);
	free((*sink)->folder);
	free(*sink);
	*sink = NULL;
}
