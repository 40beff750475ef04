/* MAIL and RCPT arguments: values within their bounds, refusals of the right class, decoded text without control
 * octets. */
#include "smtp_parameter.h"
#include "text.h"

static void check_text(struct str s, size_t max)
{
	must(s.length <= max && text_is_utf8(s));
	for (size_t i = 0; i < s.length; i++)
		must((unsigned char)s.data[i] >= 0x20 && s.data[i] != 0x7f);
}

static void check_mail(struct arena *a, struct str input, unsigned extensions, unsigned flags)
{
	struct smtp_mail mail;
	const struct smtp_reply *reply = smtp_mail_parse(a, input, extensions, flags, &mail);
	if (reply) {
		must(reply->code == 501 || reply->code == 553 || reply->code == 555);
		return;
	}
	must(!mail.from.is_utf8 || mail.utf8);
	must(mail.priority >= -9 && mail.priority <= 9);
	must(mail.hold_seconds <= 999999999 && mail.hold_until >= 0 && !(mail.hold_seconds && mail.hold_until));
	must(mail.by_seconds >= -999999999 && mail.by_seconds <= 999999999 && (!mail.by_return || mail.by_seconds > 0));
	check_text(mail.envid, LIMIT_SMTP_ENVID_MAX);
	check_text(mail.auth, LIMIT_SMTP_AUTH_PARAMETER_MAX);
	must(extensions & SMTP_BINARYMIME || mail.body != SMTP_BODY_BINARYMIME);
}

static void check_rcpt(struct arena *a, struct str input, unsigned extensions, unsigned flags, bool utf8)
{
	struct smtp_rcpt rcpt;
	const struct smtp_reply *reply = smtp_rcpt_parse(a, input, extensions, flags, utf8, &rcpt);
	if (reply) {
		must(reply->code == 501 || reply->code == 553 || reply->code == 555);
		return;
	}
	must(rcpt.to.mailbox.length > 0 && (utf8 || !rcpt.to.is_utf8));
	must(!(rcpt.notify & SMTP_NOTIFY_NEVER) || rcpt.notify == SMTP_NOTIFY_NEVER);
	check_text(rcpt.orcpt_address, LIMIT_SMTP_ORCPT_MAX);
	must(!rcpt.orcpt_type.length == !rcpt.orcpt_address.length);
}

static void check_xtext(struct str input)
{
	CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(3 * 2048), decoded = BUF_WITH_LIMIT(2048);
	smtp_xtext_encode(&encoded, input);
	must(smtp_xtext_decode(&decoded, buf_str(&encoded)) && str_equal(buf_str(&decoded), input));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1 || size > 2048)
		return 0;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 17);
	struct str input = str_from((const char *)data + 1, size - 1);
	unsigned flags = data[0] & 1 ? SMTP_PATH_SLOPPY : 0;
	unsigned extensions = data[0] & 2 ? ~0u : ~(unsigned)(SMTP_SMTPUTF8 | SMTP_BINARYMIME);
	check_mail(a, input, extensions, flags);
	check_rcpt(a, input, extensions, flags, data[0] & 4);
	check_xtext(input);
	return 0;
}
