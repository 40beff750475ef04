#include "text_find.h"

enum { STEP = 16, KEY_MAX = 256 };

typedef uint8_t octets __attribute__((vector_size(STEP)));

/* The most frequent octets of mail in its folded form, those first that are met most. */
static const char frequent[] = " ETAOINSRLDHUCMPFGYWBVK-.,0123456789:/=\"'><XJQZ_@()";

static size_t frequency(char c)
{
	const char *at = c ? strchr(frequent, c) : NULL;
	return at ? sizeof frequent - (size_t)(at - frequent) : 0;
}

struct text_needle text_needle_make(struct str key)
{
	struct text_needle needle = { .key = key };
	for (size_t i = 0; i < key.length; i++)
		if (frequency(key.data[i]) < frequency(key.data[needle.first]))
			needle.first = i;
	needle.second = key.length > 1 && needle.first == 0;
	for (size_t i = 0; i < key.length; i++)
		if (i != needle.first && frequency(key.data[i]) < frequency(key.data[needle.second]))
			needle.second = i;
	return needle;
}

static octets load(const char *from)
{
	octets v;
	memcpy(&v, from, sizeof v);
	return v;
}

static octets all(char c)
{
	return (octets){} + (uint8_t)c;
}

static bool any(octets v)
{
	uint64_t halves[2];
	memcpy(halves, &v, sizeof v);
	return halves[0] | halves[1];
}

static bool is_at_one_of(const struct text_needle *needle, const char *from, octets matches)
{
	for (size_t i = 0; i < STEP; i++)
		if (matches[i] && memcmp(from + i, needle->key.data, needle->key.length) == 0)
			return true;
	return false;
}

bool text_find(const struct text_needle *needle, struct str text)
{
	size_t length = needle->key.length;
	if (length == 0 || length > text.length)
		return length == 0;
	if (length > KEY_MAX)
		return str_find(text, needle->key) < text.length;
	const octets first = all(needle->key.data[needle->first]), second = all(needle->key.data[needle->second]);
	const char *at = text.data, *end = text.data + (text.length - length + 1);
	for (; end - at >= STEP; at += STEP) {
		octets matches = (octets)(load(at + needle->first) == first) & (octets)(load(at + needle->second) == second);
		if (any(matches) && is_at_one_of(needle, at, matches))
			return true;
	}
	for (; at < end; at++)
		if (memcmp(at, needle->key.data, length) == 0)
			return true;
	return false;
}
