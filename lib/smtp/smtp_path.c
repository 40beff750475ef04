#include "smtp_path.h"

#include "text.h"

#include <arpa/inet.h>
#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>

enum { LABEL_MAX_OCTETS = 63, LITERAL_MAX_OCTETS = 64 };

/* RFC 5322 §3.2.3, with UTF8-non-ascii of RFC 6531 §3.3. */
static bool is_atext(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (unsigned char)c >= 0x80 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static bool is_dot_string(struct str s)
{
	bool atom = false;
	for (size_t i = 0; i < s.length; i++) {
		if (s.data[i] == '.' ? !atom : !is_atext(s.data[i]))
			return false;
		atom = s.data[i] != '.';
	}
	return atom;
}

/* Length of a Dot-string at the front of text; 0 for none. */
static size_t dot_string_length(struct str text)
{
	size_t length = 0;
	while (length < text.length && (text.data[length] == '.' || is_atext(text.data[length])))
		length++;
	return is_dot_string(str_first(text, length)) ? length : 0;
}

/* Length of a Quoted-string at the front of text, 0 for none; its content goes to out. */
static size_t quoted_string_length(struct str text, struct buf *out)
{
	bool escaped = false;
	for (size_t i = 1; i < text.length; i++) {
		unsigned char c = (unsigned char)text.data[i];
		if (c == '"' && !escaped)
			return i + 1;
		if (c == '\\' && !escaped) {
			escaped = true;
			continue;
		}
		if (c < 0x20 || c == 0x7f || (c >= 0x80 && escaped) || !buf_add_char(out, (char)c))
			return 0;
		escaped = false;
	}
	return 0;
}

void smtp_local_part_write(struct buf *out, struct str local)
{
	if (is_dot_string(local)) {
		buf_add_str(out, local);
		return;
	}
	buf_add_char(out, '"');
	for (size_t i = 0; i < local.length; i++) {
		if (local.data[i] == '"' || local.data[i] == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, local.data[i]);
	}
	buf_add_char(out, '"');
}

static bool parse_local_part(struct arena *a, struct str *rest, struct str *local)
{
	bool quoted = rest->length && rest->data[0] == '"';
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(LIMIT_LOCAL_PART_MAX);
	size_t length = quoted ? quoted_string_length(*rest, &content) : dot_string_length(*rest);
	if (length == 0 || length > LIMIT_LOCAL_PART_MAX || !text_is_utf8(str_first(*rest, length)))
		return false;
	*local = arena_copy(a, quoted ? buf_str(&content) : str_first(*rest, length));
	*rest = str_from_index(*rest, length);
	return true;
}

static bool is_domain_octet(char c, bool sloppy)
{
	return char_is_alpha(c) || char_is_digit(c) || c == '-' || (c == '_' && sloppy);
}

/* sub-domain = Let-dig [Ldh-str] */
static bool is_label(struct str label, bool sloppy)
{
	if (label.length == 0 || label.length > LABEL_MAX_OCTETS || label.data[0] == '-' ||
	    label.data[label.length - 1] == '-')
		return false;
	for (size_t i = 0; i < label.length; i++)
		if (!is_domain_octet(label.data[i], sloppy))
			return false;
	return true;
}

static bool is_ascii_domain(struct str domain, bool sloppy)
{
	size_t start = 0;
	for (size_t i = 0; i <= domain.length; i++) {
		if (i < domain.length && domain.data[i] != '.')
			continue;
		if (!is_label(str_from(domain.data + start, i - start), sloppy))
			return false;
		start = i + 1;
	}
	return domain.length <= LIMIT_DOMAIN_MAX;
}

/* U-labels become A-labels: one form to look up, to compare and to hand on (RFC 5891 §4; RFC 6531 §3.2). */
static bool to_a_labels(struct str domain, char ascii[LIMIT_DOMAIN_MAX + 1])
{
	char text[LIMIT_DOMAIN_MAX + 1], *converted = NULL;
	if (domain.length > LIMIT_DOMAIN_MAX || !text_is_utf8(domain) || memchr(domain.data, '\0', domain.length))
		return false;
	memcpy(text, domain.data, domain.length);
	text[domain.length] = '\0';
	if (idn2_to_ascii_8z(text, &converted, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	struct str result = str_of(converted);
	bool fits = result.length <= LIMIT_DOMAIN_MAX;
	if (fits)
		memcpy(ascii, result.data, result.length + 1);
	free(converted);
	return fits;
}

bool smtp_domain_parse(struct str text, unsigned flags, char canonical[LIMIT_DOMAIN_MAX + 1])
{
	bool sloppy = flags & SMTP_PATH_SLOPPY;
	char ascii[LIMIT_DOMAIN_MAX + 1];
	struct str domain = text;
	if (sloppy && domain.length > 1 && domain.data[domain.length - 1] == '.')
		domain.length--;
	if (!text_is_ascii(domain)) {
		if (!(flags & SMTP_PATH_UTF8) || !to_a_labels(domain, ascii))
			return false;
		domain = str_of(ascii);
	}
	if (!is_ascii_domain(domain, sloppy))
		return false;
	for (size_t i = 0; i < domain.length; i++)
		canonical[i] = char_lower(domain.data[i]);
	canonical[domain.length] = '\0';
	return true;
}

bool smtp_literal_parse(struct str text, char canonical[LIMIT_DOMAIN_MAX + 1])
{
	char inner[LITERAL_MAX_OCTETS] = "", printed[INET6_ADDRSTRLEN];
	unsigned char address[16];
	if (text.length < 3 || text.length > sizeof inner || text.data[0] != '[' || text.data[text.length - 1] != ']')
		return false;
	memcpy(inner, text.data + 1, text.length - 2);
	bool six = str_starts_nocase(text, STR("[IPv6:"));
	int family = six ? AF_INET6 : AF_INET;
	if (strlen(inner) != text.length - 2 || inet_pton(family, six ? inner + 5 : inner, address) != 1)
		return false;
	inet_ntop(family, address, printed, sizeof printed);
	snprintf(canonical, LIMIT_DOMAIN_MAX + 1, "[%s%s]", six ? "IPv6:" : "", printed);
	return true;
}

static size_t domain_length(struct str text)
{
	size_t length = 0;
	while (length < text.length && !strchr(" \t<>,:;@\"()", text.data[length]))
		length++;
	return length;
}

static bool parse_domain_or_literal(struct str *rest, unsigned flags, char canonical[LIMIT_DOMAIN_MAX + 1])
{
	bool literal = rest->length && rest->data[0] == '[';
	size_t length = literal ? str_find_char(*rest, ']') + 1 : domain_length(*rest);
	if (length > rest->length)
		return false;
	struct str text = str_first(*rest, length);
	*rest = str_from_index(*rest, length);
	return literal ? smtp_literal_parse(text, canonical) : smtp_domain_parse(text, flags, canonical);
}

static bool parse_mailbox(struct arena *a, struct str *rest, unsigned flags, struct smtp_path *path)
{
	struct str all = *rest;
	if (!parse_local_part(a, rest, &path->local) || rest->length == 0 || rest->data[0] != '@')
		return false;
	*rest = str_from_index(*rest, 1);
	char domain[LIMIT_DOMAIN_MAX + 1];
	if (!parse_domain_or_literal(rest, flags, domain))
		return false;
	path->domain = arena_copy(a, str_of(domain));
	path->is_literal = domain[0] == '[';
	path->is_utf8 = !text_is_ascii(str_first(all, all.length - rest->length));
	CLEANUP(buf_release) struct buf mailbox = BUF_WITH_LIMIT(2 * LIMIT_LOCAL_PART_MAX + 3 + LIMIT_DOMAIN_MAX);
	smtp_local_part_write(&mailbox, path->local);
	buf_add_char(&mailbox, '@');
	buf_add_str(&mailbox, path->domain);
	must(!mailbox.overflowed);
	path->mailbox = arena_copy(a, buf_str(&mailbox));
	return true;
}

bool smtp_mailbox_parse(struct arena *a, struct str text, unsigned flags, struct smtp_path *path)
{
	*path = (struct smtp_path){};
	return parse_mailbox(a, &text, flags, path) && text.length == 0 && (!path->is_utf8 || (flags & SMTP_PATH_UTF8));
}

/* "@a,@b:" before a mailbox: accepted and dropped, RFC 5321 §4.1.1.3, appendix F.2. */
static bool drop_source_route(struct str *rest, unsigned flags)
{
	char hop[LIMIT_DOMAIN_MAX + 1];
	if (rest->length == 0 || rest->data[0] != '@')
		return true;
	while (rest->length && rest->data[0] == '@') {
		*rest = str_from_index(*rest, 1);
		if (!parse_domain_or_literal(rest, flags, hop) || rest->length == 0)
			return false;
		char separator = rest->data[0];
		*rest = str_from_index(*rest, 1);
		if (separator == ':')
			return true;
		if (separator != ',')
			return false;
	}
	return false;
}

/* RFC 5321 §4.1.1.3: postmaster needs no domain. */
static bool take_postmaster(struct str *rest, struct smtp_path *path)
{
	struct str name = STR("postmaster");
	if (!str_starts_nocase(*rest, name) || (rest->length > name.length && rest->data[name.length] == '@') ||
	    (rest->length > name.length && !strchr("> ", rest->data[name.length])))
		return false;
	path->local = path->mailbox = name;
	*rest = str_from_index(*rest, name.length);
	return true;
}

static bool parse_inside(struct arena *a, struct str *rest, unsigned flags, bool bracketed, struct smtp_path *path)
{
	bool reverse = flags & SMTP_PATH_REVERSE;
	if (reverse && bracketed && rest->length && rest->data[0] == '>')
		return true;
	if (!drop_source_route(rest, flags))
		return false;
	if (!reverse && take_postmaster(rest, path))
		return true;
	return parse_mailbox(a, rest, flags, path);
}

static bool parse_path(struct arena *a, struct str *rest, unsigned flags, struct smtp_path *path)
{
	bool sloppy = flags & SMTP_PATH_SLOPPY;
	while (sloppy && rest->length && rest->data[0] == ' ')
		*rest = str_from_index(*rest, 1);
	bool bracketed = rest->length && rest->data[0] == '<';
	if (!bracketed && !sloppy)
		return false;
	*rest = str_from_index(*rest, bracketed ? 1 : 0);
	if (!parse_inside(a, rest, flags, bracketed, path))
		return false;
	if (bracketed && (rest->length == 0 || rest->data[0] != '>'))
		return false;
	*rest = str_from_index(*rest, bracketed ? 1 : 0);
	return rest->length == 0 || rest->data[0] == ' ';
}

/* RFC 6531 §3.5 */
const struct smtp_reply *smtp_path_needs_utf8(void)
{
	static const struct smtp_reply needs_utf8 = { 553, "5.6.7", "An address outside ASCII needs SMTPUTF8" };
	return &needs_utf8;
}

const struct smtp_reply *smtp_path_parse(struct arena *a, struct str *rest, unsigned flags, struct smtp_path *path)
{
	static const struct smtp_reply bad_sender = { 501, "5.1.7", "Bad sender address syntax" };
	static const struct smtp_reply bad_recipient = { 501, "5.1.3", "Bad recipient address syntax" };
	*path = (struct smtp_path){};
	if (!parse_path(a, rest, flags | SMTP_PATH_UTF8, path))
		return flags & SMTP_PATH_REVERSE ? &bad_sender : &bad_recipient;
	return path->is_utf8 && !(flags & SMTP_PATH_UTF8) ? smtp_path_needs_utf8() : NULL;
}
