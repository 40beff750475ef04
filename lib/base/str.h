/*
 * struct str: a view of bytes that somebody else owns.
 *
 * Guarantees: never NUL-terminated by contract, may contain any byte, data may be NULL only
 * when length is 0. A view lives as long as what it looks at; functions that keep bytes copy
 * them and say so. Comparison without case folds ASCII letters only, as the protocols do.
 */
#ifndef POSTHORN_BASE_STR_H
#define POSTHORN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *data;
	size_t length;
};

/* A view of a string literal (without its NUL). */
#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })

/* For printf: printf("%.*s", STR_ARG(s)). Text only: printf stops at a NUL. */
#define STR_ARG(s) (int)((s).length > 1 << 20 ? 1 << 20 : (s).length), (s).data ? (s).data : ""

static inline struct str str_from(const char *data, size_t length)
{
	return (struct str){ data, length };
}

/* A view of a C string; NULL gives the empty view. */
static inline struct str str_of(const char *text)
{
	return (struct str){ text, text ? strlen(text) : 0 };
}

static inline bool str_is_empty(struct str s)
{
	return s.length == 0;
}

bool str_equal(struct str a, struct str b);
bool str_equal_nocase(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_starts_nocase(struct str s, struct str prefix);
bool str_ends_nocase(struct str s, struct str suffix);

/* Order of bytes, shorter first; for sorting. */
int str_compare(struct str a, struct str b);

/* Index of the first such byte, or s.length. */
size_t str_find_char(struct str s, char c);

/* Index of the last such byte, or s.length. */
size_t str_find_last_char(struct str s, char c);

/* Index of the first occurrence of part, or s.length. */
size_t str_find(struct str s, struct str part);

/* The part from start on; start beyond the end gives the empty view. */
struct str str_from_index(struct str s, size_t start);

/* The first length bytes, or all of them. */
struct str str_first(struct str s, size_t length);

/* Without spaces, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);

/* Takes the part before the first separator out of *rest, which then begins behind it.
 * False when *rest is empty (nothing taken). */
bool str_take_until(struct str *rest, char separator, struct str *part);

/* A decimal number: digits only, no sign, no space, at least one digit, at most max.
 * On failure *value is untouched. */
bool str_to_u64(struct str s, uint64_t max, uint64_t *value);

/* True when every byte is in 0x20..0x7e. */
bool str_is_printable(struct str s);

/* A heap copy with a NUL behind it; the caller frees it. */
char *str_copy(struct str s);

/* As much of s as fits into an array of size > 0, with a NUL behind it. */
void str_copy_to_array(struct str s, char *array, size_t size);

static inline bool char_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool char_is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char char_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static inline char char_upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
}

#endif
