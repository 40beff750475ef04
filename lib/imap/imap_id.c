#include "imap_id.h"

#include "imap_write.h"
#include "limits.h"

enum { SHOWN_VALUE_MAX = 80 };

/* The log escapes what it is given; here only what is no text goes. */
static void add_shown(struct buf *shown, struct str said)
{
	struct str text = str_first(said, SHOWN_VALUE_MAX);
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		buf_add_char(shown, (unsigned char)c < 0x20 || c == 0x7f ? '?' : c);
	}
}

static void show_pair(struct buf *shown, struct str field, struct str value)
{
	if (!value.data || shown->overflowed)
		return;
	if (shown->length)
		buf_add_char(shown, ';');
	add_shown(shown, field);
	buf_add_char(shown, '/');
	add_shown(shown, value);
}

static void parse_pair(struct imap_parser *p, struct buf *shown)
{
	struct str field = imap_parse_string(p);
	imap_parse_space(p);
	struct str value = imap_parse_nstring(p);
	if (field.length > LIMIT_IMAP_ID_FIELD_MAX || value.length > LIMIT_IMAP_ID_VALUE_MAX) {
		imap_parse_fail(p, "a shorter field or value");
		p->too_much = true;
	}
	if (!p->failed)
		show_pair(shown, field, value);
}

void imap_parse_id(struct imap_parser *p, struct buf *shown)
{
	size_t pairs = 0;
	imap_parse_space(p);
	if (imap_parse_word(p, "NIL"))
		return;
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		if (++pairs > LIMIT_IMAP_ID_PAIRS_MAX) {
			imap_parse_fail(p, "at most 30 fields");
			p->too_much = true;
		}
		parse_pair(p, shown);
	}
}

void imap_id_write(struct buf *out)
{
	buf_add_str(out, STR("* ID (\"name\" \"Posthorn\" \"version\" "));
	imap_write_string(out, str_of(POSTHORN_VERSION), false);
	buf_add_str(out, STR(")\r\n"));
}
