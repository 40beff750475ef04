#include "sendmail_message.h"

#include "address.h"
#include "header.h"
#include "limits.h"
#include "smtp_path.h"
#include "text.h"
#include "words.h"

/* Parsing stays within a few copies of the header block. */
static const size_t memory_max = (size_t)64 * LIMIT_HEADER_SIZE_MAX;

enum { NAME_MAX_OCTETS = 45 }; /* of a person's name: one encoded word, RFC 2047 §2 */

void sendmail_message_init(struct sendmail_message *m, const char *domain, size_t size_max)
{
	*m = (struct sendmail_message){ .memory = arena_new(memory_max), .domain = domain };
	buf_init(&m->content, size_max);
}

void sendmail_message_release(struct sendmail_message *m)
{
	buf_release(&m->content);
	array_release(&m->recipients);
	arena_free(m->memory);
	*m = (struct sendmail_message){};
}

/* local@host in the form that SMTP takes, or FAIL_INVALID. */
static bool canonical(struct sendmail_message *m, struct str local, struct str host, struct str *mailbox,
                      struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX * 2);
	struct smtp_path path;
	/* What has a sign for a host and none behind it lacks more than our domain. */
	if (host.length == 0 && str_find_char(local, '@') < local.length)
		return fail_set(fail, FAIL_INVALID, _("\"%.*s\" is not an address"), STR_ARG(local));
	smtp_local_part_write(&text, local);
	buf_printf(&text, "@%.*s", STR_ARG(host.length ? host : str_of(m->domain)));
	if (text.overflowed || !smtp_mailbox_parse(m->memory, buf_str(&text), SMTP_PATH_UTF8 | SMTP_PATH_SLOPPY, &path))
		return fail_set(fail, FAIL_INVALID, _("\"%.*s\" is not an address"), STR_ARG(buf_str(&text)));
	m->needs_utf8 |= path.is_utf8;
	*mailbox = path.mailbox;
	return true;
}

bool sendmail_set_sender(struct sendmail_message *m, struct str text, struct fail **fail)
{
	struct address_list list = {};
	text = str_trim(text);
	m->sender = STR("");
	if (text.length == 0 || str_equal(text, STR("<>")))
		return true;
	address_parse(m->memory, text, 2, &list);
	if (list.count != 1 || !address_is_mailbox(list.first))
		return fail_set(fail, FAIL_INVALID, _("\"%.*s\" is not one address"), STR_ARG(text));
	return canonical(m, list.first->mailbox, list.first->host, &m->sender, fail);
}

static bool is_recipient(const struct sendmail_message *m, struct str mailbox)
{
	for (size_t i = 0; i < m->recipients.count; i++)
		if (str_equal(m->recipients.items[i], mailbox))
			return true;
	return false;
}

bool sendmail_add_recipients(struct sendmail_message *m, struct str text, struct fail **fail)
{
	struct address_list list = {};
	address_parse(m->memory, text, LIMIT_SMTP_RECIPIENTS_MAX + 1, &list);
	for (const struct address *address = list.first; address; address = address->next) {
		struct str mailbox;
		if (!address_is_mailbox(address))
			continue;
		if (!canonical(m, address->mailbox, address->host, &mailbox, fail))
			return false;
		if (is_recipient(m, mailbox))
			continue;
		if (m->recipients.count == LIMIT_SMTP_RECIPIENTS_MAX)
			return fail_set(fail, FAIL_LIMIT, _("more than %d recipients"), LIMIT_SMTP_RECIPIENTS_MAX);
		*array_add(&m->recipients) = mailbox;
	}
	return true;
}

static void add_with_crlf(struct buf *out, struct str text)
{
	while (text.length) {
		size_t length = str_find_char(text, '\n');
		bool ended = length < text.length;
		struct str line = str_first(text, length);
		if (ended && line.length && line.data[line.length - 1] == '\r')
			line.length--;
		buf_add_str(out, line);
		if (ended)
			buf_add_str(out, STR("\r\n"));
		text = str_from_index(text, length + ended);
	}
}

static bool is_bcc(enum header_name id)
{
	return id == HEADER_BCC || id == HEADER_RESENT_BCC;
}

static bool is_resent_recipient(enum header_name id)
{
	return id == HEADER_RESENT_TO || id == HEADER_RESENT_CC || id == HEADER_RESENT_BCC;
}

static bool is_recipient_field(enum header_name id, bool resent)
{
	return resent ? is_resent_recipient(id) : id == HEADER_TO || id == HEADER_CC || id == HEADER_BCC;
}

static bool is_resent(struct str text)
{
	struct header_reader reader;
	struct header_field field;
	header_begin(&reader, text);
	while (header_next(&reader, &field))
		if (is_resent_recipient(field.id))
			return true;
	return false;
}

static bool take_recipients(struct sendmail_message *m, struct str text, struct fail **fail)
{
	struct header_reader reader;
	struct header_field field;
	bool resent = is_resent(text);
	header_begin(&reader, text);
	while (header_next(&reader, &field))
		if (is_recipient_field(field.id, resent) && !sendmail_add_recipients(m, field.value, fail))
			return false;
	return m->recipients.count > 0 ||
	       fail_set(fail, FAIL_INVALID, _("no recipient in the header or among the arguments"));
}

/* An encoded word where the name is not plain, RFC 2047 §2. */
static void add_name(struct buf *out, struct str name)
{
	name = str_trim(name);
	if (name.length == 0 || name.length > NAME_MAX_OCTETS || !text_is_utf8(name))
		return;
	bool plain = true;
	for (size_t i = 0; i < name.length; i++)
		plain &= char_is_alpha(name.data[i]) || char_is_digit(name.data[i]) || name.data[i] == ' ';
	if (plain) {
		buf_printf(out, "%.*s ", STR_ARG(name));
		return;
	}
	buf_add_str(out, STR("=?UTF-8?B?"));
	text_base64_encode(out, name);
	buf_add_str(out, STR("?= "));
}

/* The header block, without the fields that must not travel. */
static void add_header(struct sendmail_message *m, struct str text, bool without_bcc, struct str from, struct str name)
{
	struct header_reader reader;
	struct header_field field;
	bool has_from = header_find(text, STR("From"), &field);
	if (!has_from) {
		buf_add_str(&m->content, STR("From: "));
		add_name(&m->content, name);
		buf_printf(&m->content, "<%.*s>\r\n", STR_ARG(from));
	}
	header_begin(&reader, text);
	while (header_next(&reader, &field))
		if (!without_bcc || !is_bcc(field.id))
			add_with_crlf(&m->content, str_first(str_from_index(text, field.offset), field.length));
}

bool sendmail_take_text(struct sendmail_message *m, struct str text, struct str from, struct str name,
                        bool recipients_too, struct fail **fail)
{
	size_t body = header_size(text);
	if (body > LIMIT_HEADER_SIZE_MAX)
		return fail_set(fail, FAIL_TOO_BIG, _("the header is larger than %d octets"), LIMIT_HEADER_SIZE_MAX);
	if (recipients_too && !take_recipients(m, text, fail))
		return false;
	add_header(m, text, recipients_too, from, name);
	size_t header_end = m->content.length;
	if (header_end && m->content.data[header_end - 1] != '\n')
		buf_add_str(&m->content, STR("\r\n"));
	m->needs_utf8 |= !text_is_ascii(buf_str(&m->content));
	buf_add_str(&m->content, STR("\r\n"));
	add_with_crlf(&m->content, str_from_index(text, body));
	m->has_8bit = !text_is_ascii(buf_str(&m->content));
	return !m->content.overflowed ||
	       fail_set(fail, FAIL_TOO_BIG, _("the message is larger than %zu octets"), m->content.limit);
}
