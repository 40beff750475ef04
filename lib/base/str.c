#include "str.h"

#include "check.h"
#include "mem.h"

bool str_equal(struct str a, struct str b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool str_equal_nocase(struct str a, struct str b)
{
	return a.length == b.length && str_starts_nocase(a, b);
}

bool str_starts(struct str s, struct str prefix)
{
	return s.length >= prefix.length && str_equal(str_first(s, prefix.length), prefix);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
	if (s.length < prefix.length)
		return false;
	for (size_t i = 0; i < prefix.length; i++)
		if (char_lower(s.data[i]) != char_lower(prefix.data[i]))
			return false;
	return true;
}

bool str_ends_nocase(struct str s, struct str suffix)
{
	return s.length >= suffix.length && str_equal_nocase(str_from_index(s, s.length - suffix.length), suffix);
}

int str_compare(struct str a, struct str b)
{
	size_t shared = a.length < b.length ? a.length : b.length;
	int order = shared ? memcmp(a.data, b.data, shared) : 0;
	if (order != 0)
		return order;
	return a.length < b.length ? -1 : a.length > b.length;
}

size_t str_find_char(struct str s, char c)
{
	const char *found = s.length ? memchr(s.data, c, s.length) : NULL;
	return found ? (size_t)(found - s.data) : s.length;
}

size_t str_find_last_char(struct str s, char c)
{
	const char *found = s.length ? memrchr(s.data, c, s.length) : NULL;
	return found ? (size_t)(found - s.data) : s.length;
}

size_t str_find(struct str s, struct str part)
{
	if (part.length == 0)
		return 0;
	const char *found = s.length ? memmem(s.data, s.length, part.data, part.length) : NULL;
	return found ? (size_t)(found - s.data) : s.length;
}

struct str str_from_index(struct str s, size_t start)
{
	if (start >= s.length)
		return (struct str){ s.data ? s.data + s.length : NULL, 0 };
	return (struct str){ s.data + start, s.length - start };
}

struct str str_first(struct str s, size_t length)
{
	return (struct str){ s.data, length < s.length ? length : s.length };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
	while (s.length && is_blank(s.data[0]))
		s = str_from_index(s, 1);
	while (s.length && is_blank(s.data[s.length - 1]))
		s.length--;
	return s;
}

bool str_take_until(struct str *rest, char separator, struct str *part)
{
	if (rest->length == 0)
		return false;
	size_t end = str_find_char(*rest, separator);
	*part = str_first(*rest, end);
	*rest = str_from_index(*rest, end + 1);
	return true;
}

bool str_to_u64(struct str s, uint64_t max, uint64_t *value)
{
	uint64_t number = 0;
	if (s.length == 0)
		return false;
	for (size_t i = 0; i < s.length; i++) {
		if (!char_is_digit(s.data[i]))
			return false;
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(s.data[i] - '0'), &number))
			return false;
	}
	if (number > max)
		return false;
	*value = number;
	return true;
}

bool str_is_printable(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (s.data[i] < 0x20 || s.data[i] > 0x7e)
			return false;
	return true;
}

char *str_copy(struct str s)
{
	return mem_copy_text(s.data, s.length);
}

void str_copy_to_array(struct str s, char *array, size_t size)
{
	must(size > 0);
	s = str_first(s, size - 1);
	if (s.length)
		memcpy(array, s.data, s.length);
	array[s.length] = '\0';
}
