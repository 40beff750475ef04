/*
 * Passwords: from the Secret Service where there is one and it has it, else asked for. They are never written to a
 * file, and wiped when they were given out.
 */
#ifndef POSTHORN_GTK_PASSWORD_H
#define POSTHORN_GTK_PASSWORD_H

#include "app.h"

/* given: the password, only during the call; NULL when the person gave none. is_wrong: the kept one was refused, so it
 * is asked for. */
void password_find(struct app *app, const struct account *account, bool is_wrong,
                   void (*given)(void *context, const struct account *account, const char *password), void *context);

/* The same without asking a person: for checks in the background. */
void password_find_silently(const struct account *account,
                            void (*given)(void *context, const struct account *account, const char *password),
                            void *context);

/* Keeps it in the Secret Service. The person is told when that fails, and then asked for it each time. */
void password_keep(struct app *app, const struct account *account, const char *password);

/* Takes it out of there. */
void password_forget(const struct account *account);

#endif
