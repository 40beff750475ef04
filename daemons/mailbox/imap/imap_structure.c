#include "imap_structure.h"

#include "imap_write.h"

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Looks at eight bytes at once for one that may not stand in quotes as it is; may see one where there is none,
 * never the other way. */
static inline bool is_plain_word(uint64_t word)
{
	uint64_t control = word - EACH_BYTE(0x20);
	uint64_t quote = (word ^ EACH_BYTE('"')) - EACH_BYTE(1);
	uint64_t backslash = (word ^ EACH_BYTE('\\')) - EACH_BYTE(1);
	return !((word | control | quote | backslash) & EACH_BYTE(0x80));
}

/* Copies what is plain printable ASCII without quotes and backslashes; false when it met something else. */
static bool copy_plain(char *to, struct str s)
{
	size_t i = 0;
	for (uint64_t word; i + sizeof word <= s.length; i += sizeof word) {
		memcpy(&word, s.data + i, sizeof word);
		if (!is_plain_word(word))
			return false;
		memcpy(to + i, &word, sizeof word);
	}
	for (; i < s.length; i++) {
		char c = s.data[i];
		if (c < 0x20 || c == '"' || c == '\\')
			return false;
		to[i] = c;
	}
	return true;
}

/* A response is many small pieces: those for which there is room are not worth a call. */
static inline void put(struct buf *out, const char *text, size_t length)
{
	if (out->overflowed || length > out->limit - out->length || length >= out->capacity - out->length) {
		buf_append(out, text, length);
		return;
	}
	memcpy(out->data + out->length, text, length);
	out->length += length;
}

static inline void put_char(struct buf *out, char c)
{
	put(out, &c, 1);
}

/* Most strings need nothing but quotes; they are written in one go. */
static void put_string(struct buf *out, struct str s, bool utf8)
{
	enum { SHORT_MAX = 1000 };
	char *room = s.length <= SHORT_MAX ? buf_reserve(out, s.length + 2) : NULL;
	if (!room || !copy_plain(room + 1, s)) {
		imap_write_string(out, s, utf8);
		return;
	}
	room[0] = room[s.length + 1] = '"';
	buf_claim(out, s.length + 2);
}

static void put_nstring(struct buf *out, struct str s, bool utf8)
{
	if (s.data)
		put_string(out, s, utf8);
	else
		put(out, "NIL", 3);
}

/* ---- envelope ---- */

static void put_address(struct buf *out, const struct address *a, bool utf8)
{
	put_char(out, '(');
	put_nstring(out, a->name, utf8);
	put_char(out, ' ');
	put_nstring(out, a->route, utf8);
	put_char(out, ' ');
	put_nstring(out, a->mailbox, utf8);
	put_char(out, ' ');
	put_nstring(out, a->host, utf8);
	put_char(out, ')');
}

static void put_addresses(struct buf *out, const struct address_list *list, bool utf8)
{
	if (!list->first) {
		put(out, " NIL", 4);
		return;
	}
	put(out, " (", 2);
	for (const struct address *a = list->first; a; a = a->next)
		put_address(out, a, utf8);
	put_char(out, ')');
}

void imap_write_envelope(struct buf *out, const struct mail_envelope *e, bool utf8)
{
	put_char(out, '(');
	put_nstring(out, e->date, utf8);
	put_char(out, ' ');
	put_nstring(out, e->subject, utf8);
	put_addresses(out, &e->from, utf8);
	put_addresses(out, &e->sender, utf8);
	put_addresses(out, &e->reply_to, utf8);
	put_addresses(out, &e->to, utf8);
	put_addresses(out, &e->cc, utf8);
	put_addresses(out, &e->bcc, utf8);
	put_char(out, ' ');
	put_nstring(out, e->in_reply_to, utf8);
	put_char(out, ' ');
	put_nstring(out, e->message_id, utf8);
	put_char(out, ')');
}

/* ---- parameters ---- */

struct writing {
	struct buf *out;
	bool extended;
	bool utf8;
};

static void put_parameter(const struct writing *w, bool *any, struct str name, struct str value)
{
	put(w->out, *any ? " " : "(", 1);
	*any = true;
	put_string(w->out, name, w->utf8);
	put_char(w->out, ' ');
	put_string(w->out, value, w->utf8);
}

static struct str base_name(struct str name)
{
	return str_first(name, str_find_char(name, '*'));
}

/* The first of the parts of one parameter stands for all of them. */
static bool is_first_of_base(const struct parameter_list *list, const struct parameter *p)
{
	for (const struct parameter *before = list->first; before != p; before = before->next)
		if (str_equal_nocase(base_name(before->name), base_name(p->name)))
			return false;
	return true;
}

/* RFC 9051 §7.5.2: "foo*0*", "foo*1" are decoded to one "foo*" in UTF-8; "foo*0", "foo*1" to one "foo". */
static void put_joined(const struct writing *w, bool *any, const struct parameter_list *list, const struct parameter *p)
{
	enum { JOINED_MAX = 1 << 20 };
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(p->name.length + 1);
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(JOINED_MAX);
	struct str base = base_name(p->name);
	if (!base.length || !parameter_find(&value, list, base) || value.overflowed) {
		put_parameter(w, any, p->name, p->value);
		return;
	}
	if (!is_first_of_base(list, p))
		return;
	buf_add_str(&name, base);
	if (str_ends_nocase(p->name, STR("*")))
		buf_add_char(&name, '*');
	put_parameter(w, any, buf_str(&name), buf_str(&value));
}

static void put_parameters(const struct writing *w, const struct parameter_list *list, bool needs_charset)
{
	bool any = false, has_charset = false;
	for (const struct parameter *p = list->first; p; p = p->next) {
		struct str base = base_name(p->name);
		has_charset |= needs_charset && str_equal_nocase(base, STR("charset"));
		if (!w->utf8 || base.length == p->name.length)
			put_parameter(w, &any, p->name, p->value);
		else
			put_joined(w, &any, list, p);
	}
	if (needs_charset && !has_charset)
		put_parameter(w, &any, STR("CHARSET"), STR("US-ASCII"));
	put(w->out, any ? ")" : "NIL", any ? 1 : 3);
}

/* ---- extension data ---- */

static void put_disposition(const struct writing *w, const struct mime_part *part)
{
	if (!part->disposition.data) {
		put(w->out, " NIL", 4);
		return;
	}
	put(w->out, " (", 2);
	put_string(w->out, part->disposition, w->utf8);
	put_char(w->out, ' ');
	put_parameters(w, &part->disposition_parameters, false);
	put_char(w->out, ')');
}

/* RFC 3282: tags separated by commas. */
static void put_language(const struct writing *w, struct str tags)
{
	struct str tag, rest = tags;
	bool any = false;
	while (str_take_until(&rest, ',', &tag)) {
		tag = str_trim(tag);
		if (!tag.length)
			continue;
		put(w->out, any ? " " : " (", any ? 1 : 2);
		put_string(w->out, tag, w->utf8);
		any = true;
	}
	put(w->out, any ? ")" : " NIL", any ? 1 : 4);
}

/* What both kinds of parts have at their end. */
static void put_extension(const struct writing *w, const struct mime_part *part)
{
	put_disposition(w, part);
	put_language(w, part->language);
	put_char(w->out, ' ');
	put_nstring(w->out, part->location, w->utf8);
}

/* ---- parts ---- */

static struct str encoding_text(const struct mime_part *part)
{
	switch (part->encoding) {
	case TRANSFER_7BIT: return STR("7BIT");
	case TRANSFER_8BIT: return STR("8BIT");
	case TRANSFER_BINARY: return STR("BINARY");
	case TRANSFER_BASE64: return STR("BASE64");
	case TRANSFER_QUOTED_PRINTABLE: return STR("QUOTED-PRINTABLE");
	default: return part->encoding_name.length ? part->encoding_name : STR("7BIT");
	}
}

static void put_part(const struct writing *w, const struct mime_part *part);

/* RFC 9051 §7.5.2, body type MESSAGE: envelope, structure and lines of what is inside. */
static void put_message(const struct writing *w, const struct mime_part *part)
{
	put_char(w->out, ' ');
	imap_write_envelope(w->out, part->envelope, w->utf8);
	put_char(w->out, ' ');
	put_part(w, part->first);
	put_char(w->out, ' ');
	buf_add_u64(w->out, part->body_lines);
}

static bool shows_inside(const struct writing *w, const struct mime_part *part)
{
	return part->kind == MIME_MESSAGE && (w->utf8 || str_equal_nocase(part->subtype, STR("rfc822")));
}

/* A leaf that calls itself message/rfc822 (beyond a limit, or encoded) must not be taken for one. */
static bool calls_itself_message(const struct writing *w, const struct mime_part *part)
{
	return !shows_inside(w, part) && str_equal_nocase(part->type, STR("message")) &&
	       (str_equal_nocase(part->subtype, STR("rfc822")) ||
	        (w->utf8 && str_equal_nocase(part->subtype, STR("global"))));
}

static void put_type(const struct writing *w, const struct mime_part *part)
{
	if (calls_itself_message(w, part)) {
		buf_add_str(w->out, STR("\"APPLICATION\" \"OCTET-STREAM\" "));
		return;
	}
	put_string(w->out, part->type, w->utf8);
	put_char(w->out, ' ');
	put_string(w->out, part->subtype, w->utf8);
	put_char(w->out, ' ');
}

static void put_single(const struct writing *w, const struct mime_part *part)
{
	bool text = str_equal_nocase(part->type, STR("text"));
	put_type(w, part);
	put_parameters(w, &part->parameters, text && str_equal_nocase(part->subtype, STR("plain")));
	put_char(w->out, ' ');
	put_nstring(w->out, part->id, w->utf8);
	put_char(w->out, ' ');
	put_nstring(w->out, part->description, w->utf8);
	put_char(w->out, ' ');
	put_string(w->out, encoding_text(part), w->utf8);
	put_char(w->out, ' ');
	buf_add_u64(w->out, part->body_size);
	if (shows_inside(w, part)) {
		put_message(w, part);
	} else if (text) {
		put_char(w->out, ' ');
		buf_add_u64(w->out, part->body_lines);
	}
	if (!w->extended)
		return;
	put_char(w->out, ' ');
	put_nstring(w->out, part->md5, w->utf8);
	put_extension(w, part);
}

static void put_multipart(const struct writing *w, const struct mime_part *part)
{
	for (const struct mime_part *child = part->first; child; child = child->next)
		put_part(w, child);
	put_char(w->out, ' ');
	put_string(w->out, part->subtype, w->utf8);
	if (!w->extended)
		return;
	put_char(w->out, ' ');
	put_parameters(w, &part->parameters, false);
	put_extension(w, part);
}

/* Depth is bounded by LIMIT_MIME_DEPTH_MAX. */
static void put_part(const struct writing *w, const struct mime_part *part)
{
	put_char(w->out, '(');
	if (part->kind == MIME_MULTIPART)
		put_multipart(w, part);
	else
		put_single(w, part);
	put_char(w->out, ')');
}

void imap_write_structure(struct buf *out, const struct mime_part *root, bool extended, bool utf8)
{
	const struct writing w = { out, extended, utf8 };
	put_part(&w, root);
}
