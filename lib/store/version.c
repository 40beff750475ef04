#include "version.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

enum { LINE_LENGTH = 62 };

static const struct str line_start = { "posthorn account ", 17 };

static bool lock(struct version *v, struct fail **fail)
{
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	if (fcntl(v->file, F_OFD_SETLK, &whole) == 0)
		return true;
	if (errno == EAGAIN || errno == EACCES)
		return fail_set(fail, FAIL_BUSY, "the account is in use by another process");
	return fail_set_errno(fail, FAIL_IO, "lock of version");
}

bool version_write(struct version *v, bool clean, struct fail **fail)
{
	char line[LINE_LENGTH + 1];
	int length =
		snprintf(line, sizeof line, "posthorn account 1 key %016llx%016llx %s\n", (unsigned long long)v->key.words[0],
	             (unsigned long long)v->key.words[1], clean ? "clean" : "open ");
	must(length == LINE_LENGTH);
	if (pwrite(v->file, line, LINE_LENGTH, 0) != LINE_LENGTH || fdatasync(v->file) < 0)
		return fail_set_errno(fail, FAIL_IO, "write of version");
	v->clean = clean;
	return true;
}

/* A file that is empty, or all zeros after a power loss, was never used. */
static bool is_blank(const char *line, ssize_t length)
{
	for (ssize_t i = 0; i < length; i++)
		if (line[i])
			return false;
	return true;
}

static bool read_line(struct version *v, struct fail **fail)
{
	char line[LINE_LENGTH] = {};
	ssize_t length = pread(v->file, line, sizeof line, 0);
	if (length < 0)
		return fail_set_errno(fail, FAIL_IO, "read of version");
	if (is_blank(line, length))
		return fail_set(fail, FAIL_NOT_FOUND, "version is empty");
	struct str s = str_from(line, (size_t)length);
	if (!str_starts(s, line_start))
		return fail_set(fail, FAIL_CORRUPT, "version is damaged");
	s = str_from_index(s, line_start.length);
	if (!str_starts(s, STR("1 key ")))
		return fail_set(fail, FAIL_INVALID, "the account has a format that this program does not know");
	s = str_from_index(s, 6);
	uint8_t key[16];
	if (length != LINE_LENGTH || !text_hex_decode(str_first(s, 32), key, sizeof key))
		return fail_set(fail, FAIL_CORRUPT, "version is damaged");
	for (size_t i = 0; i < 16; i++)
		v->key.words[i / 8] = v->key.words[i / 8] << 8 | key[i];
	v->clean = str_equal(str_from_index(s, 32), STR(" clean\n"));
	return true;
}

static bool make(struct version *v, int directory, struct fail **fail)
{
	if (getrandom(&v->key, sizeof v->key, 0) != sizeof v->key)
		return fail_set_errno(fail, FAIL_IO, "getrandom");
	if (!version_write(v, false, fail))
		return false;
	return fsync(directory) == 0 || fail_set_errno(fail, FAIL_IO, "fsync of the account");
}

bool version_open(struct version *v, int directory, bool create, struct fail **fail)
{
	*v = (struct version){};
	v->file = openat(directory, "version", O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0), 0600);
	if (v->file < 0)
		return fail_set_errno(fail, errno == ENOENT ? FAIL_NOT_FOUND : FAIL_IO, "open version");
	struct fail *why = NULL;
	bool ok = lock(v, &why) && read_line(v, &why);
	if (!ok && why->kind == FAIL_NOT_FOUND && create) {
		fail_free(&why);
		ok = make(v, directory, &why);
	}
	if (ok)
		return true;
	version_close(v);
	fail_set(fail, why->kind, "%s", why->text);
	fail_free(&why);
	return false;
}

void version_close(struct version *v)
{
	if (v->file > 0)
		close(v->file);
	v->file = 0;
}
