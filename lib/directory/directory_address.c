#include "directory_address.h"

#include "mem.h"
#include "text.h"

#include <idn2.h>
#include <stdlib.h>
#include <utf8proc.h>

#define SHOWN_MAX 100

/* Bytes for a message to a person: printable, shortened. Valid until out changes. */
static const char *show(struct buf *out, struct str text)
{
	buf_clear(out);
	for (size_t i = 0; i < text.length && i < SHOWN_MAX; i++) {
		unsigned char c = (unsigned char)text.data[i];
		buf_add_char(out, c < ' ' || c == 127 ? '?' : (char)c);
	}
	if (!text_is_utf8(buf_str(out))) {
		buf_clear(out);
		text_escape(out, text, SHOWN_MAX);
	} else if (text.length > SHOWN_MAX) {
		buf_printf(out, "…");
	}
	return buf_text(out);
}

static bool refuse(struct fail **fail, struct str text, const char *why)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(1000);
	return fail_set(fail, FAIL_INVALID, "\"%s\" is not an address: %s", show(&shown, text), why);
}

/* RFC 5321 §4.1.2 atext, with the UTF-8 of RFC 6531 §3.3. */
static bool is_atext(char c)
{
	unsigned char byte = (unsigned char)c;
	return char_is_alpha(c) || char_is_digit(c) || byte >= 0x80 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_dot_string(struct str s)
{
	if (str_is_empty(s) || s.data[0] == '.' || s.data[s.length - 1] == '.')
		return false;
	for (size_t i = 0; i < s.length; i++) {
		if (s.data[i] == '.' ? s.data[i - 1] == '.' : !is_atext(s.data[i]))
			return false;
	}
	return true;
}

/* Takes "…" from the front of *rest; its content goes to local. RFC 5321 §4.1.2 Quoted-string. */
static bool take_quoted(struct str *rest, char *local)
{
	size_t length = 0;
	size_t i = 1;
	for (; i < rest->length && rest->data[i] != '"'; i++) {
		if (rest->data[i] == '\\' && ++i == rest->length)
			return false;
		if (length == LIMIT_LOCAL_PART_MAX)
			return false;
		local[length++] = rest->data[i];
	}
	local[length] = 0;
	if (i == rest->length || length == 0)
		return false;
	*rest = str_from_index(*rest, i + 1);
	return true;
}

static bool take_local(struct str *rest, char *local)
{
	if (rest->length > 0 && rest->data[0] == '"')
		return take_quoted(rest, local);
	struct str part = str_first(*rest, str_find_last_char(*rest, '@'));
	if (part.length > LIMIT_LOCAL_PART_MAX || !is_dot_string(part))
		return false;
	memcpy(local, part.data, part.length);
	local[part.length] = 0;
	*rest = str_from_index(*rest, part.length);
	return true;
}

static utf8proc_int32_t lower(utf8proc_int32_t code, void *unused)
{
	(void)unused;
	return utf8proc_tolower(code);
}

/* NFC of text, and lower case if asked, back into text, which has room for LIMIT_LOCAL_PART_MAX. */
static bool normalise(char *text, bool fold)
{
	CLEANUP(mem_free) utf8proc_uint8_t *made = NULL;
	utf8proc_ssize_t length = utf8proc_map_custom((const utf8proc_uint8_t *)text, 0, &made,
	                                              UTF8PROC_NULLTERM | UTF8PROC_STABLE | UTF8PROC_COMPOSE,
	                                              fold ? lower : NULL, NULL);
	if (length <= 0 || length > LIMIT_LOCAL_PART_MAX)
		return false;
	memcpy(text, made, (size_t)length + 1);
	return true;
}

/* Lower case may come apart from NFC (U+0130 and its like), so it is done until nothing moves. */
static bool fold_local(char *local)
{
	char before[LIMIT_LOCAL_PART_MAX + 1];
	for (unsigned round = 0; round < 4; round++) {
		memcpy(before, local, sizeof before);
		if (!normalise(local, true) || !normalise(local, false))
			return false;
		if (strcmp(before, local) == 0)
			return true;
	}
	return false;
}

static bool compare_form(struct directory_address *address)
{
	size_t length = strlen(address->shown);
	if (text_is_ascii(str_from(address->shown, length))) {
		for (size_t i = 0; i <= length; i++)
			address->local[i] = char_lower(address->shown[i]);
		return true;
	}
	if (!normalise(address->shown, false))
		return false;
	memcpy(address->local, address->shown, sizeof address->local);
	return fold_local(address->local);
}

/* Labels of letters, digits and inner hyphens; written in lower case. RFC 5321 §2.3.5. */
static bool ascii_domain(struct str text, char *name)
{
	size_t label = 0;
	if (str_is_empty(text) || text.length >= LIMIT_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		char c = char_lower(text.data[i]);
		bool edge = label == 0 || i + 1 == text.length || text.data[i + 1] == '.';
		if (c == '.' ? label == 0 : !char_is_alpha(c) && !char_is_digit(c) && (c != '-' || edge))
			return false;
		label = c == '.' ? 0 : label + 1;
		if (label > 63)
			return false;
		name[i] = c;
	}
	name[text.length] = 0;
	return label > 0;
}

static void free_labels(char **text)
{
	idn2_free(*text);
}

static bool domain_name(struct str text, char *name)
{
	if (text.length > 1 && text.data[text.length - 1] == '.')
		text.length--;
	if (text_is_ascii(text))
		return ascii_domain(text, name);
	if (text.length > LIMIT_DOMAIN_MAX || memchr(text.data, 0, text.length))
		return false;
	char plain[LIMIT_DOMAIN_MAX + 1];
	memcpy(plain, text.data, text.length);
	plain[text.length] = 0;
	CLEANUP(free_labels) char *labels = NULL;
	if (idn2_to_ascii_8z(plain, &labels, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	return ascii_domain(str_of(labels), name);
}

bool directory_domain_name(struct str text, char name[LIMIT_DOMAIN_MAX + 1], struct fail **fail)
{
	if (domain_name(text, name))
		return true;
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(1000);
	return fail_set(fail, FAIL_INVALID, "\"%s\" is not a domain name", show(&shown, text));
}

/* RFC 5321 §4.1.3: kept as it is, since none is ever ours. */
static bool is_literal(struct str text, char *domain)
{
	if (text.length < 3 || text.length > LIMIT_DOMAIN_MAX || text.data[0] != '[' || text.data[text.length - 1] != ']')
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (!str_is_printable(str_from(&text.data[i], 1)) || strchr(" @\"\\", text.data[i]))
			return false;
		domain[i] = char_lower(text.data[i]);
	}
	domain[text.length] = 0;
	return true;
}

static bool has_controls(struct str text)
{
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c < ' ' || c == 127)
			return true;
	}
	return false;
}

bool directory_address_parse(struct str text, struct directory_address *address, struct fail **fail)
{
	if (text.length > DIRECTORY_ADDRESS_TEXT_MAX)
		return refuse(fail, text, "it is too long");
	if (has_controls(text) || !text_is_utf8(text))
		return refuse(fail, text, "it has control characters or is not UTF-8");
	struct str rest = text;
	if (!take_local(&rest, address->shown) || !compare_form(address))
		return refuse(fail, text, "the part before the \"@\" is missing, too long or not allowed");
	address->domain[0] = 0;
	if (str_is_empty(rest))
		return true;
	struct str domain = str_from_index(rest, 1);
	if (rest.data[0] != '@' || (!is_literal(domain, address->domain) && !domain_name(domain, address->domain)))
		return refuse(fail, text, "the part behind the \"@\" is not a domain name");
	return true;
}

static char *put(char *at, struct str s)
{
	memcpy(at, s.data ? s.data : "", s.length);
	return at + s.length;
}

static char *put_quoted(char *at, struct str local)
{
	*at++ = '"';
	for (size_t i = 0; i < local.length; i++) {
		if (local.data[i] == '"' || local.data[i] == '\\')
			*at++ = '\\';
		*at++ = local.data[i];
	}
	*at++ = '"';
	return at;
}

void directory_address_write(struct str local, struct str domain, char *text)
{
	must(local.length <= LIMIT_LOCAL_PART_MAX && domain.length <= LIMIT_DOMAIN_MAX);
	char *at = is_dot_string(local) ? put(text, local) : put_quoted(text, local);
	if (!str_is_empty(domain)) {
		*at++ = '@';
		at = put(at, domain);
	}
	*at = 0;
}
