/*
 * MAIL and RCPT as a client writes them (RFC 5321 §4.1.1.2, §4.1.1.3): with the parameters that the server offers,
 * and no other.
 */
#ifndef POSTHORN_SMTP_SENDER_COMMAND_H
#define POSTHORN_SMTP_SENDER_COMMAND_H

#include "smtp_sender.h"

/* Does it need SMTPUTF8 (RFC 6531 §3.4)? Some clients ask for it with every mail, so their word alone does not
 * count. */
bool smtp_sender_mail_is_utf8(const struct smtp_sender_mail *mail);

void smtp_sender_write_mail(struct buf *out, const struct smtp_ehlo *offers, const struct smtp_sender_mail *mail);
void smtp_sender_write_rcpt(struct buf *out, const struct smtp_ehlo *offers, const struct smtp_sender_mail *mail,
                            const struct smtp_sender_recipient *recipient);

#endif
