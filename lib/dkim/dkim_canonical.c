#include "dkim_canonical.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* ---- headers ---- */

static void add_relaxed_value(struct buf *out, struct str value)
{
	bool blank = false;
	value = str_trim(value);
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];
		if (c == '\r' || c == '\n')
			continue;
		if (is_blank(c)) {
			blank = true;
			continue;
		}
		if (blank)
			buf_add_char(out, ' ');
		blank = false;
		buf_add_char(out, c);
	}
}

/* §3.4.2 */
static void add_relaxed_field(struct buf *out, struct str field)
{
	size_t colon = str_find_char(field, ':');
	struct str name = str_trim(str_first(field, colon));
	for (size_t i = 0; i < name.length; i++)
		buf_add_char(out, char_lower(name.data[i]));
	buf_add_char(out, ':');
	add_relaxed_value(out, str_from_index(field, colon + 1));
	buf_add_str(out, STR("\r\n"));
}

void dkim_canonical_field(struct buf *out, enum dkim_canonical form, struct str field)
{
	if (form == DKIM_RELAXED) {
		add_relaxed_field(out, field);
		return;
	}
	while (field.length && (field.data[field.length - 1] == '\n' || field.data[field.length - 1] == '\r'))
		field.length--;
	buf_add_str(out, field);
	buf_add_str(out, STR("\r\n"));
}

/* ---- bodies ---- */

static void digest_gathered(struct dkim_body *b)
{
	if (b->gathered_length)
		must(EVP_DigestUpdate(b->digest, b->gathered, b->gathered_length) == 1);
	b->gathered_length = 0;
}

static void give(struct dkim_body *b, struct str octets)
{
	uint64_t room = b->limit > b->length ? b->limit - b->length : 0;
	b->length += octets.length;
	if (octets.length > room)
		octets.length = (size_t)room;
	if (octets.length > sizeof b->gathered - b->gathered_length)
		digest_gathered(b);
	if (octets.length > sizeof b->gathered) {
		must(EVP_DigestUpdate(b->digest, octets.data, octets.length) == 1);
	} else if (octets.length) {
		memcpy(b->gathered + b->gathered_length, octets.data, octets.length);
		b->gathered_length += octets.length;
	}
}

void dkim_body_init(struct dkim_body *b, enum dkim_canonical form, uint64_t limit)
{
	*b = (struct dkim_body){ .form = form, .limit = limit, .digest = EVP_MD_CTX_new() };
	must(b->digest && EVP_DigestInit_ex(b->digest, EVP_sha256(), NULL) == 1);
}

void dkim_body_release(struct dkim_body *b)
{
	EVP_MD_CTX_free(b->digest);
	b->digest = NULL;
}

/* Line ends that turned out not to be at the end of the body, and a blank inside a line. */
static void give_kept(struct dkim_body *b)
{
	static const char line_ends[] = "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n";
	while (b->empty_lines) {
		uint64_t count = b->empty_lines < 8 ? b->empty_lines : 8;
		give(b, str_from(line_ends, (size_t)count * 2));
		b->empty_lines -= count;
	}
	if (b->blank)
		give(b, STR(" "));
	b->blank = false;
}

static void end_line(struct dkim_body *b)
{
	b->empty_lines++;
	b->blank = false;
}

static bool is_plain(const struct dkim_body *b, char c)
{
	return c != '\r' && (b->form == DKIM_SIMPLE || !is_blank(c));
}

void dkim_body_add(struct dkim_body *b, struct str piece)
{
	size_t i = 0;
	while (i < piece.length) {
		char c = piece.data[i];
		if (b->after_cr) {
			b->after_cr = false;
			if (c == '\n') {
				end_line(b);
				i++;
				continue;
			}
			give_kept(b); /* it was a CR alone */
			give(b, STR("\r"));
		}
		if (c == '\r') {
			b->after_cr = true;
			i++;
		} else if (!is_plain(b, c)) {
			b->blank = true;
			i++;
		} else {
			size_t start = i;
			while (i < piece.length && is_plain(b, piece.data[i]))
				i++;
			give_kept(b);
			give(b, str_from(piece.data + start, i - start));
		}
	}
}

/* §3.4.3: a body without any octet is one line end in the simple form; §3.4.4: nothing in the relaxed one. A last line
 * without its end gets one. */
void dkim_body_finish(struct dkim_body *b, unsigned char hash[32])
{
	if (b->after_cr) {
		give_kept(b);
		give(b, STR("\r"));
	}
	if (b->length > 0 || b->form == DKIM_SIMPLE)
		give(b, STR("\r\n"));
	digest_gathered(b);
	must(EVP_DigestFinal_ex(b->digest, hash, NULL) == 1);
}
