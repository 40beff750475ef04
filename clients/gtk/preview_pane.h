/*
 * The lower part of the page "Mailbox": the headers of one mail, readable or as they came, and on request the first
 * lines of its body as plain text. Nothing is ever loaded from elsewhere, and no markup is followed.
 */
#ifndef POSTHORN_GTK_PREVIEW_PANE_H
#define POSTHORN_GTK_PREVIEW_PANE_H

#include "app.h"
#include "mail_row.h"

struct preview_pane;

struct preview_pane *preview_pane_new(struct app *app);
void preview_pane_free(struct preview_pane *v);
GtkWidget *preview_pane_widget(struct preview_pane *v);

/* NULL: no mail. */
void preview_pane_show(struct preview_pane *v, MailRow *row);

/* The beginning of a body has come; it is shown if its mail is still the one in sight. */
void preview_pane_show_body(struct preview_pane *v, const struct session *session, size_t index, const char *text);

#endif
