#include "ctl_secret.h"

#include "limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

struct source {
	FILE *file;
	bool terminal;
};

static void close_source(struct source *source)
{
	if (source->file && source->file != stdin)
		fclose(source->file);
}

static void ask(const struct source *source, const char *question, struct termios *before)
{
	struct termios silent;
	fputs(question, stderr);
	tcgetattr(fileno(source->file), before);
	silent = *before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fileno(source->file), TCSAFLUSH, &silent);
}

static bool read_line(const struct source *source, struct buf *secret, struct fail **fail)
{
	int c;
	while ((c = getc(source->file)) != EOF && c != '\n')
		buf_add_char(secret, (char)c);
	if (c == '\n' && secret->length && secret->data[secret->length - 1] == '\r')
		buf_truncate(secret, secret->length - 1);
	if (secret->overflowed)
		return fail_set(fail, FAIL_INVALID, "a password has at most %d octets", LIMIT_PASSWORD_MAX);
	if (secret->length == 0)
		return fail_set(fail, FAIL_INVALID, "no password was given");
	return !memchr(secret->data, '\0', secret->length) || fail_set(fail, FAIL_INVALID, "a password has no NUL in it");
}

static bool read_secret(const struct source *source, const char *question, struct buf *secret, struct fail **fail)
{
	struct termios before;
	buf_init(secret, LIMIT_PASSWORD_MAX);
	if (source->terminal)
		ask(source, question, &before);
	bool good = read_line(source, secret, fail);
	if (source->terminal) {
		tcsetattr(fileno(source->file), TCSAFLUSH, &before);
		fputc('\n', stderr);
	}
	return good;
}

static bool add_one(const struct source *source, const char *question, bool twice, struct buf *words,
                    struct fail **fail)
{
	CLEANUP(buf_wipe) struct buf secret = {}, again = {};
	if (!read_secret(source, question, &secret, fail))
		return false;
	if (twice && source->terminal) {
		if (!read_secret(source, "The same again: ", &again, fail))
			return false;
		if (!str_equal(buf_str(&secret), buf_str(&again)))
			return fail_set(fail, FAIL_INVALID, "the two passwords differ");
	}
	buf_add_str(words, buf_str(&secret));
	return buf_add_char(words, '\0') || fail_set(fail, FAIL_INVALID, "the arguments are too long");
}

static bool open_source(struct source *source, const char *path, struct fail **fail)
{
	source->file = path && !str_equal(str_of(path), STR("-")) ? fopen(path, "re") : stdin;
	if (!source->file)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	source->terminal = isatty(fileno(source->file)) == 1;
	setvbuf(source->file, NULL, _IONBF, 0); /* no copy of the secret in a buffer that is not wiped */
	return true;
}

bool ctl_secret_add(const struct ctl_call *call, struct buf *words, struct fail **fail)
{
	CLEANUP(close_source) struct source source = {};
	unsigned traits = call->command->traits;
	if (!ctl_call_wants_secret(call))
		return true;
	if (!open_source(&source, call->password_file, fail))
		return false;
	if (traits & CTL_OLD_SECRET && !add_one(&source, "Present password: ", false, words, fail))
		return false;
	bool new = traits & CTL_NEW_SECRET;
	const char *question = new ? "New password: " : traits & CTL_HASH ? "Hash: " : "Password: ";
	return add_one(&source, question, new, words, fail);
}
