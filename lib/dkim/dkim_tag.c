#include "dkim_tag.h"

static bool is_name(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (!char_is_alpha(s.data[i]) && (i == 0 || (!char_is_digit(s.data[i]) && s.data[i] != '_')))
			return false;
	return s.length > 0;
}

/* tval: visible ASCII but ";", with folding; RFC 8616 lets UTF-8 in. */
static bool is_value(struct str s)
{
	for (size_t i = 0; i < s.length; i++) {
		unsigned char c = (unsigned char)s.data[i];
		if ((c < ' ' && c != '\t' && c != '\r' && c != '\n') || c == 0x7f)
			return false;
	}
	return true;
}

static bool add(struct dkim_tags *tags, struct str part)
{
	size_t equals = str_find_char(part, '=');
	struct dkim_tag tag = { str_trim(str_first(part, equals)), str_trim(str_from_index(part, equals + 1)) };
	if (equals == part.length || !is_name(tag.name) || !is_value(tag.value) || tags->count == DKIM_TAGS_MAX ||
	    dkim_tag_value(tags, tag.name).data)
		return false;
	if (!tag.value.data)
		tag.value = str_from(part.data + part.length, 0);
	tags->list[tags->count++] = tag;
	return true;
}

bool dkim_tags_parse(struct str text, struct dkim_tags *tags)
{
	tags->count = 0;
	struct str part;
	while (str_take_until(&text, ';', &part)) {
		part = str_trim(part);
		/* one ";" may stand at the end */
		if (part.length == 0 && str_trim(text).length == 0 && tags->count > 0)
			return true;
		if (!add(tags, part))
			return false;
	}
	return tags->count > 0;
}

struct str dkim_tag_value(const struct dkim_tags *tags, struct str name)
{
	for (size_t i = 0; i < tags->count; i++)
		if (str_equal(tags->list[i].name, name))
			return tags->list[i].value;
	return (struct str){};
}

struct str dkim_tag_packed(struct arena *a, const struct dkim_tags *tags, struct str name)
{
	struct str value = dkim_tag_value(tags, name);
	if (!value.data)
		return value;
	char *packed = arena_alloc(a, value.length + 1);
	size_t length = 0;
	for (size_t i = 0; i < value.length; i++)
		if (!strchr(" \t\r\n", value.data[i]))
			packed[length++] = value.data[i];
	return str_from(packed, length);
}

bool dkim_list_has(struct str list, struct str word)
{
	struct str item;
	while (str_take_until(&list, ':', &item))
		if (str_equal_nocase(str_trim(item), word))
			return true;
	return false;
}
