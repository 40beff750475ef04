#include "downgrade.h"

#include "ascii.h"
#include "encoded_word.h"
#include "limits.h"

enum { FIELD_ARENA = 16 << 20 };

/* How a field with other bytes than ASCII is written. */
enum treatment { UNSTRUCTURED, ADDRESSES, PARAMETERS, ENCODING, ENCAPSULATED, LEFT_OUT };

static enum treatment treatment_of(enum header_name id)
{
	switch (id) {
	case HEADER_BCC:
	case HEADER_CC:
	case HEADER_FROM:
	case HEADER_REPLY_TO:
	case HEADER_RESENT_BCC:
	case HEADER_RESENT_CC:
	case HEADER_RESENT_FROM:
	case HEADER_RESENT_REPLY_TO:
	case HEADER_RESENT_SENDER:
	case HEADER_RESENT_TO:
	case HEADER_RETURN_PATH:
	case HEADER_SENDER:
	case HEADER_TO: return ADDRESSES; /* RFC 6858 §2.1 */
	case HEADER_CONTENT_DISPOSITION:
	case HEADER_CONTENT_TYPE: return PARAMETERS; /* RFC 6857 §3.2.5 */
	case HEADER_CONTENT_TRANSFER_ENCODING: return ENCODING;
	case HEADER_IN_REPLY_TO:
	case HEADER_MESSAGE_ID:
	case HEADER_REFERENCES:
	case HEADER_RESENT_MESSAGE_ID: return ENCAPSULATED; /* RFC 6857 §3.2.3 */
	case HEADER_CONTENT_BASE:
	case HEADER_CONTENT_ID:
	case HEADER_CONTENT_LANGUAGE:
	case HEADER_CONTENT_LOCATION:
	case HEADER_CONTENT_MD5:
	case HEADER_DATE:
	case HEADER_MIME_VERSION:
	case HEADER_RECEIVED: return LEFT_OUT; /* RFC 6858 §2.4 */
	default: return UNSTRUCTURED;
	}
}

static size_t column_of(const struct buf *out)
{
	struct str s = buf_str(out);
	size_t line_end = str_find_last_char(s, '\n');
	return line_end == s.length ? s.length : s.length - line_end - 1;
}

/* The text in UTF-8 as encoded words. */
static void add_encoded(struct buf *out, struct str text)
{
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(text.length * 3 + 16);
	encoded_word_decode(&decoded, str_trim(text));
	encoded_word_encode(out, buf_str(&decoded), column_of(out));
}

static void add_name_and_text(struct buf *out, struct str prefix, struct str name, struct str value)
{
	buf_add_str(out, prefix);
	buf_add_str(out, name);
	buf_add_str(out, STR(": "));
	add_encoded(out, value);
	buf_add_str(out, STR("\r\n"));
}

/* RFC 5322 §3.2.3 atext, and the dot */
static bool is_plain_char(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~.", c));
}

static bool is_plain(struct str s, const char *more)
{
	for (size_t i = 0; i < s.length; i++)
		if (!is_plain_char(s.data[i]) && (!s.data[i] || !strchr(more, s.data[i])))
			return false;
	return s.length > 0;
}

static void add_word(struct buf *out, struct str s, const char *plain_too)
{
	if (is_plain(s, plain_too)) {
		buf_add_str(out, s);
		return;
	}
	buf_add_char(out, '"');
	for (size_t i = 0; i < s.length; i++) {
		if (s.data[i] == '"' || s.data[i] == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, s.data[i]);
	}
	buf_add_char(out, '"');
}

static void add_phrase(struct buf *out, struct str phrase)
{
	if (ascii_only(phrase))
		add_word(out, phrase, " ");
	else
		add_encoded(out, phrase);
}

/* RFC 6858 §2.1: the true address is in the name, the address belongs to nobody. */
static void add_surrogate(struct buf *out, const struct address *a)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(a->name.length + a->mailbox.length + a->host.length + 8);
	buf_add_str(&name, a->name);
	buf_add_str(&name, a->name.length ? STR(" <") : STR("<"));
	buf_add_str(&name, a->mailbox);
	buf_add_char(&name, '@');
	buf_add_str(&name, a->host);
	buf_add_char(&name, '>');
	add_encoded(out, buf_str(&name));
	buf_add_str(out, STR("\r\n <invalid@internationalized-address.invalid>"));
}

static void add_mailbox(struct buf *out, const struct address *a)
{
	if (!ascii_only(a->mailbox) || !ascii_only(a->host)) {
		add_surrogate(out, a);
		return;
	}
	if (a->name.length) {
		add_phrase(out, a->name);
		buf_add_str(out, STR("\r\n "));
	}
	buf_add_char(out, '<');
	if (a->mailbox.length || a->host.length)
		add_word(out, a->mailbox, "");
	if (a->host.length)
		buf_add_char(out, '@');
	buf_add_str(out, a->host);
	buf_add_char(out, '>');
}

static void add_addresses(struct buf *out, const struct header_field *field)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(FIELD_ARENA);
	struct address_list list = {};
	bool separate = false;
	address_parse(a, field->value, LIMIT_ADDRESSES_MAX, &list);
	buf_add_str(out, field->name);
	buf_add_char(out, ':');
	for (const struct address *address = list.first; address; address = address->next) {
		bool end = address_is_group_end(address);
		buf_add_str(out, end ? STR(";") : separate ? STR(",\r\n ") : list.first == address ? STR(" ") : STR("\r\n "));
		if (address_is_mailbox(address))
			add_mailbox(out, address);
		else if (!end)
			add_phrase(out, address->mailbox);
		if (address_is_group_begin(address))
			buf_add_char(out, ':');
		separate = !address_is_group_begin(address);
	}
	buf_add_str(out, STR("\r\n"));
}

/* The field must stay even if its value has no ASCII form, or a later one of that name would count. */
static struct str ascii_value(const struct header_field *field, struct str value, bool global)
{
	if (global)
		return STR("message/rfc822");
	if (ascii_only(value))
		return value;
	return field->id == HEADER_CONTENT_TYPE ? STR("application/octet-stream") : STR("attachment");
}

/* A boundary must stay a plain one, or another of the field would count; with other bytes than ASCII, which
 * RFC 2046 §5.1.1 forbids, it delimits nothing any more. */
static void add_parameter(struct buf *out, const struct parameter *p)
{
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(p->value.length * 3 + 16);
	if (ascii_only(p->value)) {
		buf_add_str(&value, p->value);
	} else if (str_equal_nocase(p->name, STR("boundary"))) {
		for (size_t i = 0; i < p->value.length; i++)
			buf_add_char(&value, (unsigned char)p->value.data[i] < 0x80 ? p->value.data[i] : '?');
	} else {
		encoded_word_decode(&value, p->value);
	}
	parameter_add(out, p->name, buf_str(&value));
}

static void add_parameters(struct buf *out, const struct header_field *field, bool global)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(FIELD_ARENA);
	struct parameter_list list;
	struct str value;
	parameter_parse(a, field->value, LIMIT_MIME_PARAMETERS_MAX, &value, &list);
	buf_add_str(out, field->name);
	buf_add_str(out, STR(": "));
	buf_add_str(out, ascii_value(field, value, global));
	for (const struct parameter *p = list.first; p; p = p->next) {
		if (ascii_only(p->name))
			add_parameter(out, p);
	}
	buf_add_str(out, STR("\r\n"));
}

/* What the field meant to readers of the message it must go on to mean. */
static void add_encoding(struct buf *out, const struct header_field *field)
{
	struct str name = transfer_name(transfer_find(field->value));
	buf_add_str(out, field->name);
	buf_add_str(out, STR(": "));
	buf_add_str(out, name.length ? name : STR("x-unknown"));
	buf_add_str(out, STR("\r\n"));
}

static void add_changed(struct buf *out, const struct header_field *field, bool global)
{
	if (!ascii_only(field->name))
		return;
	switch (treatment_of(field->id)) {
	case UNSTRUCTURED: add_name_and_text(out, STR(""), field->name, field->value); break;
	case ADDRESSES: add_addresses(out, field); break;
	case PARAMETERS: add_parameters(out, field, global); break;
	case ENCODING: add_encoding(out, field); break;
	case ENCAPSULATED: add_name_and_text(out, STR("Downgraded-"), field->name, field->value); break;
	case LEFT_OUT: break;
	}
}

/* RFC 6857 §4.1: with its headers in ASCII a message/global is a message/rfc822. */
static bool is_global(const struct mime_part *part)
{
	return part->kind == MIME_MESSAGE && str_equal_nocase(part->subtype, STR("global"));
}

/* Lines that are no fields are left out, and the blank line is there even if it was missing: otherwise a field
 * left out could make the header end elsewhere. */
void downgrade_header(struct buf *out, struct str header, const struct mime_part *part)
{
	struct header_reader r;
	struct header_field field;
	if (ascii_only(header) && !is_global(part)) {
		buf_add_str(out, header);
		return;
	}
	header_begin(&r, header);
	while (header_next(&r, &field)) {
		struct str whole = str_first(str_from_index(header, field.offset), field.length);
		bool global = field.id == HEADER_CONTENT_TYPE && is_global(part);
		if (ascii_only(whole) && !global)
			buf_add_str(out, whole);
		else
			add_changed(out, &field, global);
	}
	buf_add_str(out, STR("\r\n"));
}

/* Headers in the order of the text; what lies between them goes out as it is. */
void downgrade_message(struct buf *out, struct str text, const struct mime_part *root)
{
	size_t done = 0;
	for (const struct mime_part *part = root; part; part = mime_next(part)) {
		buf_append(out, text.data + done, part->header_offset - done);
		downgrade_header(out, mime_header(part, text), part);
		done = part->body_offset;
	}
	buf_add_str(out, str_from_index(text, done));
}
