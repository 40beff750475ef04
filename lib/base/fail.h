/*
 * struct fail: why something did not happen, in one form for the whole program.
 *
 * A function that can fail takes `struct fail **fail` last and returns false (or NULL); on
 * failure it sets *fail, on success it leaves it alone. fail may be NULL when the caller does
 * not care. The caller owns a set fail and frees it (CLEANUP(fail_free)). Each protocol has
 * one table from kind to reply; the text is for people and logs, never for programs.
 */
#ifndef POSTHORN_BASE_FAIL_H
#define POSTHORN_BASE_FAIL_H

#include "check.h"

#include <stdbool.h>

enum fail_kind {
	FAIL_NOT_FOUND,   /* what was named does not exist */
	FAIL_EXISTS,      /* it exists already */
	FAIL_DENIED,      /* not allowed */
	FAIL_INVALID,     /* the request makes no sense as it stands */
	FAIL_OVER_QUOTA,  /* the account has no room */
	FAIL_TOO_BIG,     /* this one thing is larger than allowed */
	FAIL_LIMIT,       /* too many of something */
	FAIL_BUSY,        /* in use by somebody else, may pass */
	FAIL_CORRUPT,     /* what is stored is damaged */
	FAIL_IO,          /* the disk or the network failed */
	FAIL_NO_SPACE,    /* the disk is full */
	FAIL_UNAVAILABLE, /* a part of the system is away for now */
	FAIL_TIMEOUT,     /* it took too long */
	FAIL_KIND_COUNT
};

struct fail {
	enum fail_kind kind;
	char *text;
};

/* Sets *fail (freeing one that is there) and returns false, so that a caller can write
 * `return fail_set(fail, FAIL_NOT_FOUND, "no mailbox %s", name);` */
bool fail_set(struct fail **fail, enum fail_kind kind, const char *format, ...) FORMAT(3, 4);

/* The same with ": " and the text of errno behind it; ENOSPC and EDQUOT become FAIL_NO_SPACE. */
bool fail_set_errno(struct fail **fail, enum fail_kind kind, const char *format, ...) FORMAT(3, 4);

/* Puts "prefix: " before the text of a fail that is set; returns false. */
bool fail_prefix(struct fail **fail, const char *format, ...) FORMAT(2, 3);

/* For CLEANUP: frees *fail; NULL is nothing. */
void fail_free(struct fail **fail);

/* "not-found" and so on, for logs. */
const char *fail_kind_name(enum fail_kind kind);

/* The text of a set fail, or "no reason given" for NULL. */
const char *fail_text(const struct fail *fail);

#endif
