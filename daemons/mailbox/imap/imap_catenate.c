#include "imap_catenate.h"

#include "imap_mail.h"
#include "text.h"

struct url {
	struct str mailbox; /* empty: the selected one */
	bool has_uidvalidity;
	uint64_t uidvalidity;
	uint64_t uid;
	struct str section;
	struct str partial; /* "0.1024" */
};

/* RFC 3986 §2.1. */
static bool decode_percent(struct arena *arena, struct str text, struct str *out)
{
	char *decoded = arena_alloc(arena, text.length + 1);
	size_t length = 0;
	for (size_t i = 0; i < text.length; i++, length++) {
		decoded[length] = text.data[i];
		if (text.data[i] != '%')
			continue;
		if (!text_hex_decode(str_first(str_from_index(text, i + 1), 2), &decoded[length], 1))
			return false;
		i += 2;
	}
	*out = str_from(decoded, length);
	return true;
}

/* The value of "NAME=…" at the front of a part. */
static bool take_value(struct str part, struct str name, struct str *value)
{
	if (!str_starts_nocase(part, name))
		return false;
	*value = str_from_index(part, name.length);
	return true;
}

/* "INBOX;UIDVALIDITY=1"; the name may be empty. */
static bool parse_mailbox(struct arena *arena, struct str part, struct url *url)
{
	struct str name = str_first(part, str_find_char(part, ';'));
	struct str parameter = str_from_index(part, name.length), value;
	if (!str_is_empty(parameter)) {
		if (!take_value(parameter, STR(";UIDVALIDITY="), &value) || !str_to_u64(value, UINT32_MAX, &url->uidvalidity))
			return false;
		url->has_uidvalidity = true;
	}
	return decode_percent(arena, name, &url->mailbox) && text_is_utf8(url->mailbox);
}

/* What stands behind the mailbox: /;UID=20/;SECTION=1.2/;PARTIAL=0.1024 */
static bool parse_rest(struct arena *arena, struct str rest, struct url *url)
{
	struct str part, value;
	while (str_take_until(&rest, '/', &part)) {
		if (!url->uid && take_value(part, STR(";UID="), &value)) {
			if (!str_to_u64(value, UINT32_MAX, &url->uid) || !url->uid)
				return false;
		} else if (url->uid && str_is_empty(url->section) && take_value(part, STR(";SECTION="), &value)) {
			if (!decode_percent(arena, value, &url->section))
				return false;
		} else if (url->uid && str_is_empty(url->partial) && take_value(part, STR(";PARTIAL="), &value)) {
			url->partial = value;
		} else {
			return false;
		}
	}
	return url->uid;
}

static size_t find_nocase(struct str text, struct str part)
{
	size_t at = 0;
	while (at < text.length && !str_starts_nocase(str_from_index(text, at), part))
		at++;
	return at;
}

/* An absolute URL, also one of this server, is nobody's business here (RFC 4469 §3); so is one with URLAUTH. */
static bool parse_url(struct arena *arena, struct str text, struct url *url)
{
	size_t message = find_nocase(text, STR(";UID="));
	struct str before = str_first(text, message), rest = str_from_index(text, message);
	if (str_is_empty(before) || str_is_empty(rest))
		return !str_is_empty(rest) && parse_rest(arena, rest, url);
	if (before.length < 3 || before.data[0] != '/' || before.data[before.length - 1] != '/')
		return false;
	return parse_mailbox(arena, str_from(before.data + 1, before.length - 2), url) && parse_rest(arena, rest, url);
}

/* RFC 5092 §3: "0.1024" or "10", which is all from there on. */
static bool cut_partial(struct str partial, struct imap_place *place)
{
	uint64_t offset = 0, length = UINT64_MAX;
	struct str first = str_first(partial, str_find_char(partial, '.')), second = str_from_index(partial, first.length);
	if (str_is_empty(partial))
		return true;
	if (!str_to_u64(first, INT64_MAX, &offset) ||
	    (!str_is_empty(second) && (!str_to_u64(str_from_index(second, 1), INT64_MAX, &length) || length == 0)))
		return false;
	*place = imap_place_cut(*place, offset, length);
	return true;
}

/* RFC 5092 has BODY's section as FETCH has it, so FETCH's parser reads it. */
static bool parse_section(struct imap_session *s, struct str text, struct imap_section *section)
{
	struct imap_parser p;
	struct imap_fetch_items items;
	imap_parser_init(&p, s->arena, arena_printf(s->arena, "BODY.PEEK[%.*s]", STR_ARG(text)), true);
	imap_parse_fetch_items(&p, &items);
	if (!imap_parse_end(&p) || items.count != 1 || items.list[0].is_partial)
		return false;
	*section = items.list[0].section;
	return true;
}

static bool add_pieces(struct imap_session *s, struct imap_mail *mail, struct imap_place place,
                       struct imap_incoming *in, struct fail **fail)
{
	CLEANUP(imap_pieces_release) struct imap_pieces pieces = {};
	struct str piece;
	bool begun = imap_pieces_begin(&pieces, mail, place);
	while (begun && imap_pieces_next(&pieces, &piece))
		if (!imap_incoming_add(s, in, piece, fail))
			return false;
	if (begun && pieces.left == 0)
		return true;
	return fail_set(fail, mail->fail ? mail->fail->kind : FAIL_IO, "%s", fail_text(mail->fail));
}

/* Some fields of a header, which is bounded, unlike what else a section may be. */
static bool add_fields(struct imap_session *s, struct imap_mail *mail, const struct imap_section *section,
                       struct imap_place header, struct str partial, struct imap_incoming *in, struct fail **fail)
{
	CLEANUP(imap_fields_release) struct imap_fields fields = {};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(header.size + 2);
	struct str text;
	if (!imap_mail_text(mail, &text))
		return fail_set(fail, mail->fail->kind, "%s", fail_text(mail->fail));
	imap_fields_init(&fields, section);
	imap_fields_add(&out, str_first(str_from_index(text, header.offset), header.size), &fields, header.before_body);
	struct imap_place place = { .size = out.length };
	cut_partial(partial, &place);
	return imap_incoming_add(s, in, str_from(out.data + place.offset, place.size), fail);
}

static enum imap_url_result add_mail(struct imap_session *s, const struct url *url, const struct store_entry *entry,
                                     struct imap_incoming *in, struct fail **fail)
{
	CLEANUP(imap_mail_release) struct imap_mail mail = {};
	struct imap_section section = {};
	struct imap_place place, whole;
	if (!parse_section(s, url->section, &section))
		return IMAP_URL_BAD;
	imap_mail_init(&mail, s->reader);
	imap_mail_begin(&mail, entry->message, entry->size);
	struct mime_part *root = imap_mail_root(&mail);
	if (!root) {
		fail_set(fail, mail.fail->kind, "%s", fail_text(mail.fail));
		return IMAP_URL_FAILED;
	}
	if (!imap_section_find(root, &section, &place))
		return IMAP_URL_BAD;
	whole = place;
	if (!cut_partial(url->partial, &place))
		return IMAP_URL_BAD;
	bool fields = section.text == IMAP_SECTION_FIELDS || section.text == IMAP_SECTION_FIELDS_NOT;
	bool added = fields ? add_fields(s, &mail, &section, whole, url->partial, in, fail)
	                    : add_pieces(s, &mail, place, in, fail);
	return added ? IMAP_URL_DONE : IMAP_URL_FAILED;
}

static bool find_mailbox(struct imap_session *s, const struct url *url, uint64_t *id)
{
	struct store_mailbox mailbox = { .id = s->kept.view.mailbox, .uidvalidity = s->kept.view.uidvalidity };
	if (!str_is_empty(url->mailbox) && !store_read_mailbox(s->reader, url->mailbox, &mailbox, NULL))
		return false;
	*id = mailbox.id;
	return mailbox.id && (!url->has_uidvalidity || url->uidvalidity == mailbox.uidvalidity);
}

enum imap_url_result imap_catenate_url(struct imap_session *s, struct str text, struct imap_incoming *in,
                                       struct fail **fail)
{
	struct url url = {};
	struct store_entries entries = {};
	enum imap_url_result result = IMAP_URL_BAD;
	uint64_t mailbox;
	if (!parse_url(s->arena, text, &url) || !find_mailbox(s, &url, &mailbox))
		return IMAP_URL_BAD;
	const struct store_selection one = { mailbox, &(struct store_range){ (uint32_t)url.uid, (uint32_t)url.uid }, 1 };
	if (!store_read_entries(s->reader, &one, 0, &entries, fail))
		result = IMAP_URL_FAILED;
	else if (entries.list.count)
		result = add_mail(s, &url, &entries.list.items[0], in, fail);
	store_entries_release(&entries);
	return result;
}
