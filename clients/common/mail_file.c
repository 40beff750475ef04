#include "mail_file.h"

#include "address.h"
#include "arena.h"
#include "clock.h"
#include "file.h"
#include "hash.h"
#include "header.h"
#include "limits.h"
#include "mem.h"
#include "words.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PIECE = 65536, NAME_TRIES = 1000, STATE_MAX = 1 << 30, HOST_MAX = 100 };

static const struct {
	const char *name;
	const char *temporary; /* folder for what is not finished */
} formats[MAIL_FORMAT_COUNT] = {
	[MAIL_EML] = { "eml", "" },
	[MAIL_MAILDIR] = { "maildir", "tmp/" },
	[MAIL_MBOX] = { "mbox", "" },
};

struct mail_folder {
	char *directory;
	enum mail_format format;
	char *mailbox;
	int state;           /* .posthorn-FORMAT, to append to */
	struct map *saved;   /* "mailbox uid copy" → something */
	int file;            /* the mail that was begun, or -1 */
	char *temporary;     /* its name */
	uint64_t size;
	struct mail_writer writer;
	char *path;          /* of the mail committed last */
	unsigned sequence;
};

bool mail_format_find(struct str name, enum mail_format *format)
{
	for (unsigned i = 0; i < MAIL_FORMAT_COUNT; i++)
		if (str_equal_nocase(name, str_of(formats[i].name))) {
			*format = (enum mail_format)i;
			return true;
		}
	return false;
}

/* ---- what was saved before ---- */

static void add_key(struct buf *out, const struct mail_folder *f, struct str uid, unsigned copy)
{
	buf_printf(out, "%s %.*s %u", f->mailbox, STR_ARG(uid), copy);
}

static char *state_path(const struct mail_folder *f)
{
	return mem_printf("%s/.posthorn-%s", f->directory, formats[f->format].name);
}

/* A last line without its end was not written whole: its mail may be saved twice, but is not lost. */
static bool load_state(struct mail_folder *f, struct fail **fail)
{
	CLEANUP(mem_free) char *path = state_path(f);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(STATE_MAX);
	f->state = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (f->state < 0)
		return fail_set_errno(fail, FAIL_IO, "%s", path);
	if (!file_read_all(f->state, &text, fail))
		return fail_prefix(fail, "%s", path);
	struct str rest = buf_str(&text);
	for (size_t end; (end = str_find_char(rest, '\n')) < rest.length; rest = str_from_index(rest, end + 1))
		map_set(f->saved, str_first(rest, end), f);
	if (rest.length && ftruncate(f->state, (off_t)(text.length - rest.length)) != 0)
		return fail_set_errno(fail, FAIL_IO, "%s", path);
	return true;
}

static bool remember(struct mail_folder *f, struct str uid, unsigned copy, struct fail **fail)
{
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(2000);
	if (uid.length == 0)
		return true;
	add_key(&line, f, uid, copy);
	map_set(f->saved, buf_str(&line), f);
	buf_add_char(&line, '\n');
	if (write(f->state, line.data, line.length) == (ssize_t)line.length)
		return true;
	return fail_set_errno(fail, FAIL_IO, "%s/.posthorn-%s", f->directory, formats[f->format].name);
}

bool mail_folder_has(const struct mail_folder *f, struct str uid, unsigned copy)
{
	CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(2000);
	add_key(&key, f, uid, copy);
	return uid.length && map_get(f->saved, buf_str(&key));
}

/* ---- opening ---- */

static bool make_folders(const struct mail_folder *f, struct fail **fail)
{
	static const char *const parts[] = { "tmp", "new", "cur" };
	if (!file_make_directory(f->directory, 0700, fail))
		return false;
	for (size_t i = 0; f->format == MAIL_MAILDIR && i < COUNT_OF(parts); i++) {
		CLEANUP(mem_free) char *path = mem_printf("%s/%s", f->directory, parts[i]);
		if (!file_make_directory(path, 0700, fail))
			return false;
	}
	return true;
}

struct mail_folder *mail_folder_open(const char *directory, enum mail_format format, struct str mailbox,
                                     struct fail **fail)
{
	must((unsigned)format < MAIL_FORMAT_COUNT);
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = mem_alloc(sizeof *f);
	*f = (struct mail_folder){ .directory = mem_printf("%s", directory),
		                       .format = format,
		                       .mailbox = str_copy(mailbox),
		                       .state = -1,
		                       .file = -1,
		                       .saved = map_new() };
	return make_folders(f, fail) && load_state(f, fail) ? TAKE(f) : NULL;
}

static void drop(struct mail_folder *f)
{
	if (f->temporary)
		unlink(f->temporary);
	free(TAKE(f->temporary));
	file_close(&f->file);
}

void mail_folder_close(struct mail_folder *f)
{
	if (!f)
		return;
	drop(f);
	file_close(&f->state);
	map_free(f->saved);
	free(f->directory);
	free(f->mailbox);
	free(f->path);
	free(f);
}

void mail_folder_cleanup(struct mail_folder **f)
{
	mail_folder_close(*f);
	*f = NULL;
}

/* ---- the form of lines ---- */

static const struct str from_word = { "From ", 5 };

/* What was held back as a possible "From ". */
static void release_match(struct mail_writer *w, struct buf *out)
{
	buf_add_str(out, str_first(from_word, w->matched));
	w->matched = 0;
}

static void write_char(struct mail_writer *w, char c, struct buf *out)
{
	bool in_quotes = w->quotes && (w->at == MAIL_LINE_START || w->at == MAIL_IN_QUOTES);
	if (in_quotes && c == '>') {
		w->at = MAIL_IN_QUOTES;
		buf_add_char(out, c);
		return;
	}
	if ((in_quotes || w->at == MAIL_IN_FROM) && c == from_word.data[w->matched]) {
		w->at = MAIL_IN_FROM;
		if (++w->matched < from_word.length)
			return;
		/* Among its like, one more ">" is the same in front and behind. */
		buf_add_char(out, '>');
		release_match(w, out);
		w->at = MAIL_IN_LINE;
		return;
	}
	release_match(w, out);
	buf_add_char(out, c);
	w->at = c == '\n' ? MAIL_LINE_START : MAIL_IN_LINE;
}

void mail_writer_add(struct mail_writer *w, struct str bytes, struct buf *out)
{
	for (size_t i = 0; i < bytes.length; i++) {
		char c = bytes.data[i];
		if (w->after_cr && c != '\n')
			write_char(w, '\r', out);
		w->after_cr = c == '\r';
		if (!w->after_cr)
			write_char(w, c, out);
	}
}

void mail_writer_end(struct mail_writer *w, struct buf *out)
{
	if (w->after_cr)
		write_char(w, '\r', out);
	w->after_cr = false;
	release_match(w, out);
	if (w->at != MAIL_LINE_START)
		buf_add_char(out, '\n');
	w->at = MAIL_LINE_START;
}

/* ---- gathering ---- */

bool mail_folder_begin(struct mail_folder *f, struct fail **fail)
{
	drop(f);
	f->size = 0;
	f->writer = (struct mail_writer){ .quotes = f->format == MAIL_MBOX };
	f->temporary = mem_printf("%s/%s.posthorn-XXXXXX", f->directory, formats[f->format].temporary);
	f->file = mkostemp(f->temporary, O_CLOEXEC);
	if (f->file >= 0)
		return true;
	fail_set_errno(fail, FAIL_IO, "%s", f->temporary);
	free(TAKE(f->temporary));
	return false;
}

static bool gather(struct mail_folder *f, struct str bytes, struct fail **fail)
{
	if (!file_write_at(f->file, bytes.data, bytes.length, f->size, fail))
		return fail_prefix(fail, "%s", f->temporary);
	f->size += bytes.length;
	return true;
}

bool mail_folder_write(struct mail_folder *f, struct str piece, struct fail **fail)
{
	must(f->file >= 0);
	if (f->format == MAIL_EML)
		return gather(f, piece, fail);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4 * PIECE);
	for (; piece.length; piece = str_from_index(piece, PIECE)) {
		buf_clear(&out);
		mail_writer_add(&f->writer, str_first(piece, PIECE), &out);
		if (!gather(f, buf_str(&out), fail))
			return false;
	}
	return true;
}

static bool finish(struct mail_folder *f, struct fail **fail)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
	if (f->format == MAIL_EML)
		return true;
	mail_writer_end(&f->writer, &out);
	if (f->format == MAIL_MBOX)
		buf_add_char(&out, '\n');
	return gather(f, buf_str(&out), fail);
}

static bool sync_file(int fd, const char *path, struct fail **fail)
{
	return fsync(fd) == 0 || fail_set_errno(fail, FAIL_IO, "%s", path);
}

static bool sync_directory(const char *path, struct fail **fail)
{
	CLEANUP(file_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? sync_file(fd, path, fail) : fail_set_errno(fail, FAIL_IO, "%s", path);
}

/* Another mail must never be overwritten. File systems without RENAME_NOREPLACE have links. */
static bool give_name(const struct mail_folder *f, const char *path)
{
	if (renameat2(AT_FDCWD, f->temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0)
		return true;
	return (errno == EINVAL || errno == ENOSYS) && link(f->temporary, path) == 0;
}

/* ---- eml ---- */

static bool is_safe(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("-_+=@", c));
}

static void add_file_name(struct buf *out, struct str uid)
{
	for (size_t i = 0; i < uid.length; i++)
		if (is_safe(uid.data[i]) || (uid.data[i] == '.' && i > 0))
			buf_add_char(out, uid.data[i]);
		else
			buf_printf(out, "%%%02X", (unsigned char)uid.data[i]);
}

static bool commit_eml(struct mail_folder *f, struct str uid, struct fail **fail)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(1000);
	add_file_name(&name, uid);
	if (uid.length == 0)
		buf_printf(&name, "mail-%lld", (long long)clock_wall_seconds());
	if (!sync_file(f->file, f->temporary, fail))
		return false;
	for (unsigned i = 1; i < NAME_TRIES; i++) {
		CLEANUP(mem_free) char *path = i == 1 ? mem_printf("%s/%s.eml", f->directory, buf_text(&name))
		                                      : mem_printf("%s/%s.%u.eml", f->directory, buf_text(&name), i);
		if (give_name(f, path)) {
			f->path = TAKE(path);
			return sync_directory(f->directory, fail);
		}
		if (errno != EEXIST)
			return fail_set_errno(fail, FAIL_IO, "%s", path);
	}
	return fail_set(fail, FAIL_EXISTS, _("%s/%s.eml and all its like are there already"), f->directory,
	                buf_text(&name));
}

/* ---- Maildir ---- */

static void add_host(struct buf *out)
{
	char host[HOST_MAX] = "";
	if (gethostname(host, sizeof host - 1) != 0)
		buf_add_str(out, STR("localhost"));
	for (const char *c = host; *c; c++)
		buf_add_char(out, is_safe(*c) || *c == '.' ? *c : '_');
}

/* Unique by time, process and count, as the format asks for. */
static bool commit_maildir(struct mail_folder *f, struct fail **fail)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(300);
	CLEANUP(mem_free) char *folder = mem_printf("%s/new", f->directory);
	int64_t now = clock_wall_us();
	buf_printf(&name, "%lld.M%lldP%ldQ%u.", (long long)(now / 1000000), (long long)(now % 1000000), (long)getpid(),
	           ++f->sequence);
	add_host(&name);
	f->path = mem_printf("%s/%s", folder, buf_text(&name));
	if (!sync_file(f->file, f->temporary, fail))
		return false;
	if (!give_name(f, f->path))
		return fail_set_errno(fail, FAIL_IO, "%s", f->path);
	return sync_directory(folder, fail);
}

/* ---- mbox ---- */

/* Whom the mail came from, by its Return-Path; the form of the "From " line allows no blanks in it. */
static void add_sender(struct mail_folder *f, struct buf *out)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new((size_t)64 * LIMIT_CLIENT_HEADER_MAX);
	CLEANUP(mem_free) char *header = mem_resize(NULL, LIMIT_CLIENT_HEADER_MAX, 1);
	size_t length = f->size < LIMIT_CLIENT_HEADER_MAX ? (size_t)f->size : LIMIT_CLIENT_HEADER_MAX;
	struct header_field field;
	struct address_list list = {};
	if (file_read_at(f->file, header, length, 0, NULL) &&
	    header_find(str_from(header, length), STR("Return-Path"), &field))
		address_parse(arena, field.value, 1, &list);
	CLEANUP(buf_release) struct buf sender = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX);
	if (list.first && address_is_mailbox(list.first))
		buf_printf(&sender, "%.*s@%.*s", STR_ARG(list.first->mailbox), STR_ARG(list.first->host));
	bool fits = sender.length > 1 && str_is_printable(buf_str(&sender)) &&
	            str_find_char(buf_str(&sender), ' ') == sender.length;
	buf_add_str(out, fits ? buf_str(&sender) : STR("MAILER-DAEMON"));
}

static void add_from_line(struct mail_folder *f, struct buf *out)
{
	char date[64];
	time_t now = (time_t)clock_wall_seconds();
	struct tm clock;
	must(gmtime_r(&now, &clock) && strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &clock) > 0);
	buf_add_str(out, STR("From "));
	add_sender(f, out);
	buf_printf(out, " %s\n", date);
}

static void unlock(char **lock)
{
	if (*lock)
		unlink(*lock);
	free(*lock);
}

/* Mail programs look for one of two locks: take both, wait for none. */
static char *lock_mbox(int fd, const char *path, struct fail **fail)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	CLEANUP(mem_free) char *lock = mem_printf("%s.lock", path);
	CLEANUP(file_close) int file = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0) {
		fail_set_errno(fail, errno == EEXIST ? FAIL_BUSY : FAIL_IO, "%s", lock);
		return NULL;
	}
	if (fcntl(fd, F_SETLK, &whole) == 0)
		return TAKE(lock);
	fail_set_errno(fail, FAIL_BUSY, _("another program has locked %s"), path);
	unlink(lock);
	return NULL;
}

static bool append(struct mail_folder *f, int mbox, uint64_t at, struct fail **fail)
{
	CLEANUP(buf_release) struct buf first = BUF_WITH_LIMIT(1000);
	CLEANUP(mem_free) char *piece = mem_resize(NULL, PIECE, 1);
	add_from_line(f, &first);
	if (!file_write_at(mbox, first.data, first.length, at, fail))
		return false;
	at += first.length;
	for (uint64_t done = 0; done < f->size; done += PIECE) {
		size_t length = f->size - done < PIECE ? (size_t)(f->size - done) : PIECE;
		if (!file_read_at(f->file, piece, length, done, fail) || !file_write_at(mbox, piece, length, at + done, fail))
			return false;
	}
	return sync_file(mbox, f->path, fail);
}

static bool commit_mbox(struct mail_folder *f, struct fail **fail)
{
	f->path = mem_printf("%s/mbox", f->directory);
	CLEANUP(file_close) int mbox = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (mbox < 0)
		return fail_set_errno(fail, FAIL_IO, "%s", f->path);
	CLEANUP(unlock) char *lock = lock_mbox(mbox, f->path, fail);
	off_t size = lock ? lseek(mbox, 0, SEEK_END) : -1;
	if (size < 0)
		return lock ? fail_set_errno(fail, FAIL_IO, "%s", f->path) : false;
	if (append(f, mbox, (uint64_t)size, fail))
		return size > 0 || sync_directory(f->directory, fail);
	/* Half a mail would be read as a whole one, or as a part of the one before. */
	if (ftruncate(mbox, size) != 0)
		return fail_prefix(fail, _("%s has half a mail at its end"), f->path);
	return fail_prefix(fail, "%s", f->path);
}

/* ---- committing ---- */

static bool commit(struct mail_folder *f, struct str uid, struct fail **fail)
{
	switch (f->format) {
	case MAIL_EML:
		return commit_eml(f, uid, fail);
	case MAIL_MAILDIR:
		return commit_maildir(f, fail);
	default:
		return commit_mbox(f, fail);
	}
}

bool mail_folder_commit(struct mail_folder *f, struct str uid, unsigned copy, const char **path, struct fail **fail)
{
	must(f->file >= 0);
	free(TAKE(f->path));
	bool good = finish(f, fail) && commit(f, uid, fail) && remember(f, uid, copy, fail);
	drop(f);
	if (good && path)
		*path = f->path;
	return good;
}
