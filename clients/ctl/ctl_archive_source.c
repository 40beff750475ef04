#include "ctl_archive_files.h"

#include "array.h"
#include "ctl_archive_name.h"
#include "ctl_archive_text.h"
#include "file.h"
#include "limits.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LETTERS = 26, KEYWORD_FILE_MAX = 65536, FLAGS_MAX = 10000, NAME_MAX_LENGTH = 2000 };

struct names {
	ARRAY(char *) list;
};

static void names_release(struct names *names)
{
	for (size_t i = 0; i < names->list.count; i++)
		free(names->list.items[i]);
	array_release(&names->list);
}

static bool is_folder(const char *path)
{
	struct stat facts;
	return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

static bool is_maildir(const char *path)
{
	CLEANUP(mem_free) char *cur = mem_printf("%s/cur", path), *new = mem_printf("%s/new", path);
	return is_folder(cur) || is_folder(new);
}

static void leave_out(const struct ctl_taker *taker, const char *path, struct fail **why)
{
	taker->left_out(taker->owner, path, *why);
	fail_free(why);
	*why = NULL;
}

/* ---- Maildir ---- */

/* Names of regular files without a dot in front, with the part of the path before them. */
static bool list_files(const char *folder, const char *part, struct names *names, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", folder, part);
	DIR *list = opendir(path);
	if (!list)
		return errno == ENOENT || fail_set_errno(fail, FAIL_IO, "cannot read %s", path);
	for (struct dirent *entry; (entry = readdir(list));)
		if (entry->d_name[0] != '.')
			*array_add(&names->list) = mem_printf("%s/%s", part, entry->d_name);
	closedir(list);
	return true;
}

struct order {
	uint64_t number; /* that export gave, or 0 */
	uint64_t time;
};

static uint64_t leading_number(const char *text)
{
	uint64_t number = 0;
	struct str digits = str_of(text);
	size_t length = 0;
	while (length < digits.length && char_is_digit(digits.data[length]))
		length++;
	return length && str_to_u64(str_first(digits, length), UINT64_MAX, &number) ? number : 0;
}

static struct order order_of(const char *name)
{
	const char *file = strchr(name, '/') + 1, *own = strstr(file, ".posthorn,"), *number = strstr(file, ".Q");
	return (struct order){ own && number && number < own ? leading_number(number + 2) : 0, leading_number(file) };
}

static int compare_names(const void *a, const void *b)
{
	const char *left = *(char *const *)a, *right = *(char *const *)b;
	struct order x = order_of(left), y = order_of(right);
	if (x.number != y.number)
		return x.number < y.number ? -1 : 1;
	if (x.time != y.time)
		return x.time < y.time ? -1 : 1;
	return strcmp(strchr(left, '/'), strchr(right, '/'));
}

/* "0 name" lines: what the letters a to z stand for. */
static void read_keywords(const char *folder, struct buf *text, struct str keywords[LETTERS])
{
	CLEANUP(mem_free) char *path = mem_printf("%s/dovecot-keywords", folder);
	struct str rest, line, number;
	uint64_t i;
	memset(keywords, 0, LETTERS * sizeof keywords[0]);
	if (!file_load(path, text, NULL))
		return;
	rest = buf_str(text);
	while (str_take_until(&rest, '\n', &line))
		if (str_take_until(&line, ' ', &number) && str_to_u64(number, LETTERS - 1, &i))
			keywords[i] = str_trim(line);
}

static struct str flag_of(char letter, const struct str keywords[LETTERS])
{
	switch (letter) {
	case 'D': return STR("\\Draft");
	case 'F': return STR("\\Flagged");
	case 'P': return STR("$Forwarded");
	case 'R': return STR("\\Answered");
	case 'S': return STR("\\Seen");
	case 'T': return STR("\\Deleted");
	default: return letter >= 'a' && letter <= 'z' ? keywords[letter - 'a'] : STR("");
	}
}

static void flags_of(struct buf *flags, const char *name, const struct str keywords[LETTERS])
{
	const char *info = strstr(name, ":2,");
	for (; info && info[0]; info++) {
		struct str flag = flag_of(*info, keywords);
		if (flag.length) {
			buf_add_str(flags, flag);
			buf_add_char(flags, ' ');
		}
	}
}

static bool read_mail(const char *path, struct buf *mail, int64_t *received, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_IMPORT_MAIL_MAX);
	CLEANUP(file_close) int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat facts;
	if (file < 0 || fstat(file, &facts) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot read it");
	if (!S_ISREG(facts.st_mode))
		return fail_set(fail, FAIL_INVALID, "it is no file");
	*received = facts.st_mtim.tv_sec > 0 ? facts.st_mtim.tv_sec : 0;
	if (!file_read_all(file, &text, fail))
		return false;
	ctl_text_to_mail(mail, buf_str(&text));
	return true;
}

static bool take_file(const char *folder, const char *name, const struct str keywords[LETTERS],
					  const struct ctl_taker *taker, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", folder, name);
	CLEANUP(buf_release)
	struct buf text = BUF_WITH_LIMIT(2 * (size_t)LIMIT_IMPORT_MAIL_MAX),
			   flags = BUF_WITH_LIMIT(FLAGS_MAX);
	CLEANUP(fail_free) struct fail *why = NULL;
	struct ctl_mail mail = {};
	if (!read_mail(path, &text, &mail.received, &why)) {
		leave_out(taker, path, &why);
		return true;
	}
	flags_of(&flags, name, keywords);
	mail.text = buf_str(&text);
	mail.flags = str_trim(buf_str(&flags));
	return taker->mail(taker->owner, &mail, fail);
}

static bool take_maildir(const char *folder, struct str name, const struct ctl_taker *taker, struct fail **fail)
{
	CLEANUP(names_release) struct names names = {};
	CLEANUP(buf_release) struct buf keyword_text = BUF_WITH_LIMIT(KEYWORD_FILE_MAX);
	struct str keywords[LETTERS];
	if (!list_files(folder, "new", &names, fail) || !list_files(folder, "cur", &names, fail) ||
	    !taker->mailbox(taker->owner, name, fail))
		return false;
	read_keywords(folder, &keyword_text, keywords);
	if (names.list.count)
		qsort(names.list.items, names.list.count, sizeof names.list.items[0], compare_names);
	for (size_t i = 0; i < names.list.count; i++)
		if (!take_file(folder, names.list.items[i], keywords, taker, fail))
			return false;
	return true;
}

/* ---- folders of mailboxes ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What is in a folder, but "." and "..". */
static bool list_folder(const char *path, struct names *names, struct fail **fail)
{
	DIR *list = opendir(path);
	if (!list)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	for (struct dirent *entry; (entry = readdir(list));)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			*array_add(&names->list) = str_copy(str_of(entry->d_name));
	closedir(list);
	if (names->list.count)
		qsort(names->list.items, names->list.count, sizeof names->list.items[0], compare_texts);
	return true;
}

/* False, and told, when its name is none. */
static bool mailbox_of(struct buf *mailbox, struct str file, const char *path, const struct ctl_taker *taker)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	if (ctl_mailbox_of_name(mailbox, file))
		return true;
	fail_set(&why, FAIL_INVALID, "its name is no name of a mailbox");
	leave_out(taker, path, &why);
	return false;
}

static bool read_maildirs(const char *path, const struct ctl_taker *taker, struct fail **fail)
{
	CLEANUP(names_release) struct names names = {};
	if (!list_folder(path, &names, fail) || !take_maildir(path, STR("INBOX"), taker, fail))
		return false;
	for (size_t i = 0; i < names.list.count; i++) {
		CLEANUP(mem_free) char *folder = mem_printf("%s/%s", path, names.list.items[i]);
		CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(NAME_MAX_LENGTH);
		if (names.list.items[i][0] == '.' && is_maildir(folder) &&
			mailbox_of(&name, str_of(names.list.items[i] + 1), folder, taker) &&
			!take_maildir(folder, buf_str(&name), taker, fail))
			return false;
	}
	return true;
}

static bool take_mbox(const char *path, struct str name, const struct ctl_taker *taker, struct fail **fail)
{
	CLEANUP(ctl_mbox_release) struct ctl_mbox mbox;
	CLEANUP(fail_free) struct fail *why = NULL;
	FILE *file = fopen(path, "re");
	struct ctl_mail mail;
	enum ctl_mbox_got got = CTL_MBOX_END;
	ctl_mbox_begin(&mbox, file);
	if (!file)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	bool good = taker->mailbox(taker->owner, name, fail);
	while (good && (got = ctl_mbox_read(&mbox, &mail, &why)) != CTL_MBOX_END) {
		if (got == CTL_MBOX_MAIL)
			good = taker->mail(taker->owner, &mail, fail);
		else if (why->kind == FAIL_TOO_BIG)
			leave_out(taker, path, &why);
		else
			good = fail_set(fail, why->kind, "%s: %s", path, why->text);
	}
	fclose(file);
	return good;
}

static bool read_mboxes(const char *path, const struct ctl_taker *taker, struct fail **fail)
{
	CLEANUP(names_release) struct names names = {};
	size_t found = 0;
	if (!is_folder(path))
		return take_mbox(path, STR("INBOX"), taker, fail);
	if (!list_folder(path, &names, fail))
		return false;
	for (size_t i = 0; i < names.list.count; i++) {
		CLEANUP(mem_free) char *file = mem_printf("%s/%s", path, names.list.items[i]);
		CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(NAME_MAX_LENGTH);
		struct str own = str_of(names.list.items[i]);
		if (own.length < 6 || !str_ends_nocase(own, STR(".mbox")))
			continue;
		found++;
		if (mailbox_of(&name, str_first(own, own.length - 5), file, taker) &&
			!take_mbox(file, buf_str(&name), taker, fail))
			return false;
	}
	return found || fail_set(fail, FAIL_NOT_FOUND, "%s is no Maildir and has no files NAME.mbox", path);
}

bool ctl_source_read(const char *path, enum ctl_format format, const struct ctl_taker *taker, struct fail **fail)
{
	struct stat facts;
	if (stat(path, &facts) != 0)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	if (!format)
		format = is_maildir(path) ? CTL_MAILDIR : CTL_MBOX;
	if (format == CTL_MAILDIR && !is_maildir(path))
		return fail_set(fail, FAIL_INVALID, "%s is no Maildir: it has no folder cur or new", path);
	return format == CTL_MAILDIR ? read_maildirs(path, taker, fail) : read_mboxes(path, taker, fail);
}
