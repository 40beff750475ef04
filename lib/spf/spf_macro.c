#include "spf_macro.h"

enum { VALUE_MAX = 1024, PARTS_MAX = 512, NAME_MAX_LENGTH = 253 };

struct macro {
	char letter; /* lower case */
	bool escaped;
	bool reversed;
	size_t parts; /* 0: all */
	struct str delimiters;
};

static void add_dotted(struct buf *out, const struct endpoint *client)
{
	if (client->any.sa_family == AF_INET) {
		endpoint_print_ip(out, client);
		return;
	}
	for (size_t i = 0; i < sizeof client->v6.sin6_addr.s6_addr; i++) {
		unsigned octet = client->v6.sin6_addr.s6_addr[i];
		buf_printf(out, "%s%x.%x", i ? "." : "", octet >> 4, octet & 15);
	}
}

static void add_value(struct buf *out, char letter, const struct spf_macro_values *v)
{
	size_t at = str_find_last_char(v->sender, '@');
	switch (letter) {
	case 's': buf_add_str(out, v->sender); break;
	case 'l': buf_add_str(out, str_first(v->sender, at)); break;
	case 'o': buf_add_str(out, str_from_index(v->sender, at + 1)); break;
	case 'd': buf_add_str(out, v->domain); break;
	case 'i': add_dotted(out, &v->request->client); break;
	case 'p': buf_add_str(out, v->validated_name(v->context)); break;
	case 'v': buf_add_str(out, v->request->client.any.sa_family == AF_INET ? STR("in-addr") : STR("ip6")); break;
	case 'h': buf_add_str(out, v->request->helo); break;
	case 'c': endpoint_print_ip(out, &v->request->client); break;
	case 'r': buf_add_str(out, v->request->receiver.length ? v->request->receiver : STR("unknown")); break;
	case 't': buf_printf(out, "%lld", (long long)v->request->now); break;
	default: must(false); /* the form was checked */
	}
}

static size_t read_macro(struct str text, struct macro *macro)
{
	size_t at = 3;
	uint64_t parts = 0;
	macro->letter = char_lower(text.data[2]);
	macro->escaped = macro->letter != text.data[2];
	size_t digits = at;
	while (char_is_digit(text.data[at]))
		at++;
	if (at > digits)
		must(str_to_u64(str_from(text.data + digits, at - digits), UINT32_MAX, &parts));
	macro->parts = (size_t)parts;
	macro->reversed = char_lower(text.data[at]) == 'r';
	at += macro->reversed;
	size_t length = str_find_char(str_from_index(text, at), '}');
	macro->delimiters = str_from(text.data + at, length);
	return at + length + 1;
}

static size_t split(struct str value, struct str delimiters, struct str parts[PARTS_MAX])
{
	size_t count = 0;
	size_t start = 0;
	for (size_t i = 0; i <= value.length && count < PARTS_MAX; i++) {
		if (i < value.length && str_find_char(delimiters, value.data[i]) == delimiters.length)
			continue;
		parts[count++] = str_from(value.data + start, i - start);
		start = i + 1;
	}
	return count;
}

static void transform(struct buf *out, struct str value, const struct macro *macro)
{
	struct str parts[PARTS_MAX];
	if (!macro->parts && !macro->reversed && !macro->delimiters.length) {
		buf_add_str(out, value);
		return;
	}
	size_t count = split(value, macro->delimiters.length ? macro->delimiters : STR("."), parts);
	size_t used = macro->parts && macro->parts < count ? macro->parts : count;
	for (size_t i = count - used; i < count; i++) {
		if (i > count - used)
			buf_add_char(out, '.');
		buf_add_str(out, parts[macro->reversed ? count - 1 - i : i]);
	}
}

/* RFC 3986 §2.3: all but the unreserved. */
static void add_escaped(struct buf *out, struct str value)
{
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];
		if (char_is_alpha(c) || char_is_digit(c) || (c && strchr("-._~", c)))
			buf_add_char(out, c);
		else
			buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

static size_t expand_one(struct buf *out, struct str text, const struct spf_macro_values *values)
{
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(VALUE_MAX);
	CLEANUP(buf_release) struct buf transformed = BUF_WITH_LIMIT(VALUE_MAX);
	struct macro macro = {};
	if (text.data[1] != '{') {
		buf_add_str(out, text.data[1] == '%' ? STR("%") : text.data[1] == '_' ? STR(" ") : STR("%20"));
		return 2;
	}
	size_t length = read_macro(text, &macro);
	add_value(&value, macro.letter, values);
	transform(&transformed, buf_str(&value), &macro);
	if (macro.escaped)
		add_escaped(out, buf_str(&transformed));
	else
		buf_add_str(out, buf_str(&transformed));
	return length;
}

bool spf_macro_expand(struct buf *out, struct str text, const struct spf_macro_values *values)
{
	while (text.length) {
		size_t plain = str_find_char(text, '%');
		buf_add_str(out, str_first(text, plain));
		text = str_from_index(text, plain);
		if (text.length)
			text = str_from_index(text, expand_one(out, text, values));
	}
	return !out->overflowed;
}

/* A blank inside a label as it is written where names stand between blanks. RFC 1035 §5.1 */
static void add_presentable(struct buf *out, struct str name)
{
	while (name.length) {
		size_t plain = str_find_char(name, ' ');
		buf_add_str(out, str_first(name, plain));
		if (plain < name.length)
			buf_add_str(out, STR("\\032"));
		name = str_from_index(name, plain + 1);
	}
}

bool spf_macro_expand_name(struct buf *out, struct str text, const struct spf_macro_values *values)
{
	CLEANUP(buf_release) struct buf expanded = BUF_WITH_LIMIT(out->limit);
	if (!spf_macro_expand(&expanded, text, values))
		return false;
	struct str name = buf_str(&expanded);
	if (name.length && name.data[name.length - 1] == '.')
		name.length--;
	while (name.length > NAME_MAX_LENGTH && str_find_char(name, '.') < name.length)
		name = str_from_index(name, str_find_char(name, '.') + 1);
	add_presentable(out, name);
	return !out->overflowed;
}
