#include "smtp_sender_command.h"

#include "text.h"

bool smtp_sender_mail_is_utf8(const struct smtp_sender_mail *mail)
{
	return !text_is_ascii(mail->sender) || (mail->utf8 && mail->has_8bit);
}

static bool any_utf8(const struct smtp_sender_mail *mail)
{
	for (size_t i = 0; i < mail->recipient_count; i++)
		if (!text_is_ascii(mail->recipients[i].address))
			return true;
	return smtp_sender_mail_is_utf8(mail);
}

/* RFC 3461 §4.3, §4.4 */
static void write_dsn(struct buf *out, const struct smtp_sender_mail *mail)
{
	if (mail->ret != SMTP_RETURN_UNSPECIFIED)
		buf_add_str(out, mail->ret == SMTP_RETURN_FULL ? STR(" RET=FULL") : STR(" RET=HDRS"));
	if (mail->envid.length) {
		buf_add_str(out, STR(" ENVID="));
		smtp_xtext_encode(out, mail->envid);
	}
}

/* RFC 2852 §4 */
static void write_by(struct buf *out, const struct smtp_sender_mail *mail)
{
	buf_printf(out, " BY=%lld;%c%s", (long long)mail->by_seconds, mail->by_return ? 'R' : 'N',
	           mail->by_trace ? "T" : "");
}

void smtp_sender_write_mail(struct buf *out, const struct smtp_ehlo *offers, const struct smtp_sender_mail *mail)
{
	unsigned offered = offers->extensions;
	buf_add_str(out, STR("MAIL FROM:<"));
	buf_add_str(out, mail->sender);
	buf_add_char(out, '>');
	if (offered & SMTP_SIZE)
		buf_printf(out, " SIZE=%llu", (unsigned long long)mail->size);
	if (offered & SMTP_8BITMIME && mail->has_8bit)
		buf_add_str(out, STR(" BODY=8BITMIME"));
	if (offered & SMTP_SMTPUTF8 && any_utf8(mail))
		buf_add_str(out, STR(" SMTPUTF8"));
	if (offered & SMTP_REQUIRETLS && mail->require_tls)
		buf_add_str(out, STR(" REQUIRETLS"));
	if (offered & SMTP_DSN)
		write_dsn(out, mail);
	if (offered & SMTP_MT_PRIORITY && mail->priority)
		buf_printf(out, " MT-PRIORITY=%d", mail->priority);
	if (offered & SMTP_DELIVERBY && mail->has_by)
		write_by(out, mail);
	buf_add_str(out, STR("\r\n"));
}

/* RFC 3461 §4.1 */
static void write_notify(struct buf *out, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *name;
	} names[] = { { SMTP_NOTIFY_NEVER, "NEVER" }, { SMTP_NOTIFY_SUCCESS, "SUCCESS" },
	              { SMTP_NOTIFY_FAILURE, "FAILURE" },
		          { SMTP_NOTIFY_DELAY, "DELAY" } };
	char separator = '=';
	buf_add_str(out, STR(" NOTIFY"));
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!(notify & names[i].bit))
			continue;
		buf_add_char(out, separator);
		buf_add_str(out, str_of(names[i].name));
		separator = ',';
	}
}

/* RFC 6533 §3: utf-8-addr-unitext where the transaction is SMTPUTF8, else utf-8-addr-xtext. */
static void write_utf8_address(struct buf *out, struct str address, bool unitext)
{
	uint32_t code;
	for (size_t length; (length = text_utf8_next(address, &code)) > 0; address = str_from_index(address, length)) {
		if (code <= 0x20 || code == 0x7f || code == '+' || code == '=' || code == '\\' || (code >= 0x80 && !unitext))
			buf_printf(out, "\\x{%02X}", code);
		else
			buf_add_str(out, str_first(address, length));
	}
}

/* RFC 3461 §4.2 */
static void write_orcpt(struct buf *out, struct str orcpt, bool unitext)
{
	size_t semicolon = str_find_char(orcpt, ';');
	struct str type = str_first(orcpt, semicolon), address = str_from_index(orcpt, semicolon + 1);
	if (type.length == 0 || address.length == 0 || !str_is_printable(type) || str_find_char(type, ' ') < type.length)
		return;
	buf_add_str(out, STR(" ORCPT="));
	buf_add_str(out, type);
	buf_add_char(out, ';');
	if (str_equal_nocase(type, STR("utf-8")))
		write_utf8_address(out, address, unitext);
	else
		smtp_xtext_encode(out, address);
}

/* RFC 2852 §4.1.4.2: where nobody minds the time, the sender is to hear of delays. */
static unsigned notify_of(const struct smtp_ehlo *offers, const struct smtp_sender_mail *mail, unsigned notify)
{
	if (!mail->has_by || mail->by_return || offers->extensions & SMTP_DELIVERBY || notify & SMTP_NOTIFY_NEVER)
		return notify;
	return (notify ? notify : SMTP_NOTIFY_FAILURE) | SMTP_NOTIFY_DELAY;
}

void smtp_sender_write_rcpt(struct buf *out, const struct smtp_ehlo *offers, const struct smtp_sender_mail *mail,
                            const struct smtp_sender_recipient *recipient)
{
	unsigned notify = notify_of(offers, mail, recipient->notify);
	buf_add_str(out, STR("RCPT TO:<"));
	buf_add_str(out, recipient->address);
	buf_add_char(out, '>');
	if (offers->extensions & SMTP_DSN) {
		if (notify)
			write_notify(out, notify);
		write_orcpt(out, recipient->orcpt, offers->extensions & SMTP_SMTPUTF8 && !text_is_ascii(recipient->address));
	}
	buf_add_str(out, STR("\r\n"));
}
