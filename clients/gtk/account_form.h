/*
 * The form for one account, new or known. Its password goes to the Secret Service only.
 */
#ifndef POSTHORN_GTK_ACCOUNT_FORM_H
#define POSTHORN_GTK_ACCOUNT_FORM_H

#include "app.h"

/* account: NULL for a new one. saved, which may be NULL, is called after it was stored. */
void account_form_show(struct app *app, GtkWindow *parent, const struct account *account, void (*saved)(void *context),
                       void *context);

#endif
