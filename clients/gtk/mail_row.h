/*
 * MailRow: a mail in the list of the Mailbox page. It is as small as a GObject can be, because there are many.
 * Property "ticked": the mail is deleted when the mailbox is closed.
 */
#ifndef POSTHORN_GTK_MAIL_ROW_H
#define POSTHORN_GTK_MAIL_ROW_H

#include "session.h"

#include <glib-object.h>

#define MAIL_TYPE_ROW (mail_row_get_type())
G_DECLARE_FINAL_TYPE(MailRow, mail_row, MAIL, ROW, GObject)

/* Takes the texts of the mail; session stays alive as long as the row. */
MailRow *mail_row_new(struct session *session, struct session_mail *mail);

struct session *mail_row_session(MailRow *row);
const struct session_mail *mail_row_mail(MailRow *row);
const char *mail_row_from(MailRow *row);
const char *mail_row_subject(MailRow *row);
const char *mail_row_to(MailRow *row);
bool mail_row_is_ticked(MailRow *row);
void mail_row_set_ticked(MailRow *row, bool ticked);

#endif
