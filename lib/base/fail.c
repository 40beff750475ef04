#include "fail.h"

#include "mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[FAIL_KIND_COUNT] = {
	[FAIL_NOT_FOUND] = "not-found", [FAIL_EXISTS] = "exists",       [FAIL_DENIED] = "denied",
	[FAIL_INVALID] = "invalid",     [FAIL_OVER_QUOTA] = "over-quota", [FAIL_TOO_BIG] = "too-big",
	[FAIL_LIMIT] = "limit",         [FAIL_BUSY] = "busy",           [FAIL_CORRUPT] = "corrupt",
	[FAIL_IO] = "io",               [FAIL_NO_SPACE] = "no-space",   [FAIL_UNAVAILABLE] = "unavailable",
	[FAIL_TIMEOUT] = "timeout",
};

/* Takes ownership of text. */
static bool set(struct fail **fail, enum fail_kind kind, char *text)
{
	if (!fail) {
		free(text);
		return false;
	}
	fail_free(fail);
	*fail = mem_alloc(sizeof **fail);
	(*fail)->kind = kind;
	(*fail)->text = text;
	return false;
}

static char *format_text(const char *format, va_list arguments)
{
	char *text = NULL;
	must(vasprintf(&text, format, arguments) >= 0);
	return text;
}

bool fail_set(struct fail **fail, enum fail_kind kind, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	char *text = format_text(format, arguments);
	va_end(arguments);
	return set(fail, kind, text);
}

bool fail_set_errno(struct fail **fail, enum fail_kind kind, const char *format, ...)
{
	int error = errno;
	va_list arguments;
	va_start(arguments, format);
	CLEANUP(mem_free) char *text = format_text(format, arguments);
	va_end(arguments);
	if (error == ENOSPC || error == EDQUOT)
		kind = FAIL_NO_SPACE;
	return set(fail, kind, mem_printf("%s: %s", text, strerror(error)));
}

bool fail_prefix(struct fail **fail, const char *format, ...)
{
	if (!fail || !*fail)
		return false;
	va_list arguments;
	va_start(arguments, format);
	CLEANUP(mem_free) char *prefix = format_text(format, arguments);
	va_end(arguments);
	char *text = mem_printf("%s: %s", prefix, (*fail)->text);
	free((*fail)->text);
	(*fail)->text = text;
	return false;
}

void fail_free(struct fail **fail)
{
	if (!fail || !*fail)
		return;
	free((*fail)->text);
	free(*fail);
	*fail = NULL;
}

const char *fail_kind_name(enum fail_kind kind)
{
	must((unsigned)kind < FAIL_KIND_COUNT);
	return kind_names[kind];
}

const char *fail_text(const struct fail *fail)
{
	return fail ? fail->text : "no reason given";
}
