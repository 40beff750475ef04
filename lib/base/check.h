/*
 * Assertions and compiler attributes.
 *
 * must() stays on in release builds: it states what our own code guarantees. Input from
 * outside is never checked with it; input errors are answers, not crashes.
 */
#ifndef POSTHORN_BASE_CHECK_H
#define POSTHORN_BASE_CHECK_H

#include <stddef.h>

#define must(expr) ((expr) ? (void)0 : check_failed(#expr, __FILE__, __LINE__, __func__))

__attribute__((noreturn)) void check_failed(const char *expr, const char *file, int line, const char *function);

/* Runs fn(&variable) when the variable leaves its scope. */
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define FORMAT(text, first) __attribute__((format(printf, text, first)))
#define NODISCARD __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))

/* Moves a pointer out of a variable that CLEANUP would otherwise release. */
#define TAKE(pointer)                          \
	({                                         \
		__typeof__(pointer) taken_ = (pointer); \
		(pointer) = NULL;                      \
		taken_;                                \
	})

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
