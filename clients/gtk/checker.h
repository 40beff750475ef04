/*
 * struct checker: looks for new mail in all accounts every so many minutes, and tells it as a desktop notification. It
 * opens a session like anybody, deletes and marks nothing, and asks no person for a password.
 */
#ifndef POSTHORN_GTK_CHECKER_H
#define POSTHORN_GTK_CHECKER_H

#include "app.h"

struct checker *checker_new(struct app *app);
void checker_free(struct checker *c);

/* True while the account is being checked, which keeps its mailbox locked; mailbox_page_check_ended follows. */
bool checker_is_at(const struct checker *c, const char *account);

#endif
