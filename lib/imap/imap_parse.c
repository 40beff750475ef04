#include "imap_parse.h"

#include "limits.h"
#include "text.h"
#include "imap_write.h"

void imap_parser_init(struct imap_parser *p, struct arena *arena, struct str text, bool utf8)
{
	*p = (struct imap_parser){ .text = text, .arena = arena, .utf8 = utf8 };
}

bool imap_parse_fail(struct imap_parser *p, const char *expected)
{
	if (!p->failed) {
		p->failed = true;
		p->failed_at = p->at;
		p->expected = expected;
	}
	return false;
}

static bool fail_by_limit(struct imap_parser *p, const char *expected)
{
	if (!p->failed)
		p->too_much = true;
	return imap_parse_fail(p, expected);
}

static bool fail_by_name(struct imap_parser *p)
{
	if (!p->failed)
		p->bad_name = true;
	return imap_parse_fail(p, "a mailbox name in modified UTF-7");
}

bool imap_parse_end(struct imap_parser *p)
{
	if (!p->failed && p->at < p->text.length)
		imap_parse_fail(p, "the end of the command");
	return !p->failed;
}

static bool at_end(const struct imap_parser *p)
{
	return p->failed || p->at == p->text.length;
}

char imap_parse_peek(const struct imap_parser *p)
{
	return at_end(p) ? '\0' : p->text.data[p->at];
}

bool imap_parse_skip(struct imap_parser *p, char c)
{
	if (at_end(p) || p->text.data[p->at] != c)
		return false;
	p->at++;
	return true;
}

void imap_parse_char(struct imap_parser *p, char c)
{
	static const char *const expected[] = {
		['('] = "an opening parenthesis", [')'] = "a closing parenthesis", ['['] = "an opening bracket",
		[']'] = "a closing bracket", ['<'] = "an opening angle bracket", ['>'] = "a closing angle bracket",
		['"'] = "a quotation mark", [' '] = "a space", [','] = "a comma", [':'] = "a colon", ['.'] = "a dot",
		['-'] = "a hyphen", ['+'] = "a plus sign", ['/'] = "a slash", ['}'] = "a closing brace",
		['{'] = "an opening brace",
	};
	size_t i = (unsigned char)c;
	if (!imap_parse_skip(p, c))
		imap_parse_fail(p, i < COUNT_OF(expected) && expected[i] ? expected[i] : "another character");
}

void imap_parse_space(struct imap_parser *p)
{
	imap_parse_char(p, ' ');
}

bool imap_parse_more(struct imap_parser *p)
{
	return imap_parse_skip(p, ' ');
}

/* ---- atoms ---- */

enum { ATOM = 1, LIST_WILDCARD = 2, RESP_SPECIAL = 4 };

/* RFC 9051 §9: ATOM-CHAR; list-wildcards; resp-specials. */
static unsigned char_class(char c)
{
	switch (c) {
	case '(': case ')': case '{': case ' ': case '"': case '\\': return 0;
	case '%': case '*': return LIST_WILDCARD;
	case ']': return RESP_SPECIAL;
	default: return c > 0x20 && c < 0x7f ? ATOM : 0;
	}
}

static struct str take_class(struct imap_parser *p, unsigned classes, const char *expected)
{
	size_t end = p->at;
	if (p->failed)
		return (struct str){};
	while (end < p->text.length && char_class(p->text.data[end]) & classes)
		end++;
	struct str taken = str_from(p->text.data + p->at, end - p->at);
	if (taken.length == 0)
		imap_parse_fail(p, expected);
	p->at = end;
	return taken;
}

bool imap_parse_word(struct imap_parser *p, const char *word)
{
	size_t length = strlen(word);
	if (p->failed || !str_starts_nocase(str_from_index(p->text, p->at), str_from(word, length)))
		return false;
	size_t end = p->at + length;
	if (end < p->text.length && p->text.data[end] != '[' && char_class(p->text.data[end]) & ATOM)
		return false;
	p->at = end;
	return true;
}

struct str imap_parse_atom(struct imap_parser *p)
{
	return take_class(p, ATOM, "an atom");
}

struct str imap_parse_tag(struct imap_parser *p)
{
	size_t start = p->at;
	struct str tag = take_class(p, ATOM | RESP_SPECIAL, "a tag");
	size_t plus = str_find_char(tag, '+');
	p->at = start + plus;
	if (plus < tag.length)
		imap_parse_fail(p, "a tag without a plus sign");
	else if (tag.length > LIMIT_IMAP_TAG_MAX)
		fail_by_limit(p, "a shorter tag");
	return p->failed ? (struct str){} : tag;
}

uint64_t imap_parse_number(struct imap_parser *p, uint64_t max)
{
	size_t end = p->at;
	uint64_t number = 0;
	while (!p->failed && end < p->text.length && char_is_digit(p->text.data[end]))
		end++;
	if (p->failed || end == p->at) {
		imap_parse_fail(p, "a number");
		return 0;
	}
	if (!str_to_u64(str_from(p->text.data + p->at, end - p->at), max, &number)) {
		imap_parse_fail(p, "a smaller number");
		return 0;
	}
	p->at = end;
	return number;
}

uint64_t imap_parse_nz_number(struct imap_parser *p, uint64_t max)
{
	size_t start = p->at;
	uint64_t number = imap_parse_number(p, max);
	if (!p->failed && number == 0) {
		p->at = start;
		imap_parse_fail(p, "a number above zero");
	}
	return number;
}

/* ---- strings ---- */

/* Where the closing quote is; quoted-specials are the only ones that may be escaped (RFC 9051 §9). */
static size_t find_quote(struct imap_parser *p, bool *escapes)
{
	struct str text = p->text;
	*escapes = false;
	for (size_t i = p->at; i < text.length; i++) {
		char c = text.data[i];
		if (c == '"')
			return i;
		if (c == '\\') {
			*escapes = true;
			if (++i == text.length || (text.data[i] != '"' && text.data[i] != '\\'))
				break;
		} else if (c == '\0' || c == '\r' || c == '\n') {
			break;
		}
	}
	return text.length;
}

static struct str without_escapes(struct arena *arena, struct str s)
{
	char *out = arena_alloc(arena, s.length + 1);
	size_t length = 0;
	for (size_t i = 0; i < s.length; i++) {
		i += s.data[i] == '\\';
		out[length++] = s.data[i];
	}
	return str_from(out, length);
}

static struct str parse_quoted(struct imap_parser *p)
{
	bool escapes;
	size_t start = p->at;
	imap_parse_char(p, '"');
	size_t end = find_quote(p, &escapes);
	struct str inside = str_from(p->text.data + p->at, end - p->at);
	if (end == p->text.length || !text_is_utf8(inside)) {
		p->at = start;
		imap_parse_fail(p, "a quoted string");
		return (struct str){};
	}
	p->at = end + 1;
	return escapes ? without_escapes(p->arena, inside) : inside;
}

/* "{3}" or "{3+}" */
static uint64_t parse_literal_size(struct imap_parser *p)
{
	imap_parse_char(p, '{');
	uint64_t size = imap_parse_number(p, INT64_MAX);
	imap_parse_skip(p, '+');
	imap_parse_char(p, '}');
	return p->failed ? 0 : size;
}

static struct str parse_literal(struct imap_parser *p, bool nul_too)
{
	uint64_t size = parse_literal_size(p);
	imap_parse_char(p, '\r');
	imap_parse_char(p, '\n');
	if (p->failed || size > p->text.length - p->at) {
		imap_parse_fail(p, "a literal");
		return (struct str){};
	}
	struct str octets = str_from(p->text.data + p->at, (size_t)size);
	if (!nul_too && str_find_char(octets, '\0') < octets.length) {
		imap_parse_fail(p, "a literal without NUL");
		return (struct str){};
	}
	p->at += octets.length;
	return octets;
}

static bool string_is_next(const struct imap_parser *p)
{
	char c = imap_parse_peek(p);
	return c == '"' || c == '{';
}

struct str imap_parse_string(struct imap_parser *p)
{
	if (!string_is_next(p)) {
		imap_parse_fail(p, "a string");
		return (struct str){};
	}
	return imap_parse_peek(p) == '"' ? parse_quoted(p) : parse_literal(p, false);
}

struct str imap_parse_astring(struct imap_parser *p)
{
	return string_is_next(p) ? imap_parse_string(p) : take_class(p, ATOM | RESP_SPECIAL, "a string");
}

struct str imap_parse_nstring(struct imap_parser *p)
{
	return imap_parse_word(p, "NIL") ? (struct str){} : imap_parse_string(p);
}

struct str imap_parse_list_mailbox(struct imap_parser *p)
{
	size_t start = p->at;
	struct str pattern = string_is_next(p) ? imap_parse_string(p)
		: take_class(p, ATOM | LIST_WILDCARD | RESP_SPECIAL, "a mailbox name or pattern");
	if (p->failed || pattern.length <= LIMIT_IMAP_PATTERN_MAX)
		return pattern;
	p->at = start;
	fail_by_limit(p, "a shorter mailbox pattern");
	return (struct str){};
}

struct str imap_parse_literal8_or_string(struct imap_parser *p, bool *binary)
{
	*binary = imap_parse_skip(p, '~');
	return *binary ? parse_literal(p, true) : imap_parse_string(p);
}

uint64_t imap_parse_message_literal(struct imap_parser *p, bool *literal8)
{
	*literal8 = imap_parse_skip(p, '~');
	return parse_literal_size(p);
}

/* ---- names ---- */

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.data[i] < 0x20 || s.data[i] == 0x7f)
			return true;
	return false;
}

static struct str decode_name(struct imap_parser *p, struct str name)
{
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(2 * LIMIT_MAILBOX_NAME_MAX);
	if (p->utf8 || str_find_char(name, '&') == name.length)
		return name;
	if (imap_mutf7_decode(&decoded, name))
		return arena_copy(p->arena, buf_str(&decoded));
	fail_by_name(p);
	return (struct str){};
}

/* RFC 9051 §5.1: INBOX in any case is one mailbox. */
static struct str with_inbox(struct imap_parser *p, struct str name)
{
	if (str_equal_nocase(name, STR("INBOX")))
		return STR("INBOX");
	if (!str_starts_nocase(name, STR("INBOX/")) || str_starts(name, STR("INBOX/")))
		return name;
	struct str copy = arena_copy(p->arena, name);
	memcpy((char *)(uintptr_t)copy.data, "INBOX", 5);
	return copy;
}

struct str imap_parse_mailbox(struct imap_parser *p)
{
	size_t start = p->at;
	struct str written = imap_parse_astring(p);
	size_t end = p->at;
	if (p->failed)
		return written;
	p->at = start; /* where a misfit is told */
	struct str name = written.length > 8 * LIMIT_MAILBOX_NAME_MAX ? written : decode_name(p, written);
	if (name.length > LIMIT_MAILBOX_NAME_MAX)
		fail_by_limit(p, "a shorter mailbox name");
	else if (!p->utf8 && !text_is_ascii(written))
		fail_by_name(p);
	else if (!text_is_utf8(name) || has_control(name))
		imap_parse_fail(p, "a mailbox name");
	if (p->failed)
		return (struct str){};
	p->at = end;
	return with_inbox(p, name);
}

struct str imap_parse_flag(struct imap_parser *p)
{
	size_t start = p->at;
	imap_parse_skip(p, '\\');
	take_class(p, ATOM, "a flag");
	struct str flag = str_from(p->text.data + start, p->at - start);
	if (p->failed)
		return (struct str){};
	if (flag.length > LIMIT_IMAP_FLAG_MAX) {
		fail_by_limit(p, "a shorter flag");
		return (struct str){};
	}
	return flag;
}

/* ---- lists ---- */

void imap_parse_list_begin(struct imap_parser *p)
{
	if (p->depth >= LIMIT_IMAP_DEPTH_MAX)
		fail_by_limit(p, "fewer parentheses within each other");
	imap_parse_char(p, '(');
	p->depth++;
	p->list_began_at = p->at;
}

bool imap_parse_list_next(struct imap_parser *p)
{
	if (imap_parse_skip(p, ')')) {
		p->depth--;
		return false;
	}
	if (p->at != p->list_began_at)
		imap_parse_space(p);
	if (at_end(p))
		imap_parse_fail(p, "a closing parenthesis");
	return !p->failed;
}
