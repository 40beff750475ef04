/*
 * The accounts of the person at this desk, in an SQLite database of one file: $XDG_DATA_HOME/posthorn/accounts.db.
 *
 * Invariant: there is never a password in it. Folder and file are readable by their owner only. Several programs may
 * use the database at once; each function is one transaction. What is read is checked as what is typed, since any
 * program of the user can write the file.
 */
#ifndef POSTHORN_COMMON_ACCOUNT_H
#define POSTHORN_COMMON_ACCOUNT_H

#include "login.h"
#include "server.h"

enum { ACCOUNT_NAME_MAX = 100 };

struct account {
	/* UTF-8 without control characters; names that differ in ASCII case only are one */
	char name[ACCOUNT_NAME_MAX + 1];
	struct server mailbox;             /* POP3, with its user */
	struct server submission;          /* SMTP; host "" where mail is not sent by it */
	enum login_method method;
	char address[LIMIT_ADDRESS_MAX + 1]; /* sender of mails; "" for the user of the submission server */
};

/* The place of the database by the XDG base directory rules; the caller frees it. NULL when there is no home. */
char *account_default_path(struct fail **fail);

struct account_book;

/* Makes file and folder where they are missing. FAIL_CORRUPT for a file that is something else or of a later
 * version. */
struct account_book *account_book_open(const char *path, struct fail **fail);
void account_book_close(struct account_book *b);
void account_book_cleanup(struct account_book **b);

/* FAIL_INVALID when the account makes no sense. FAIL_EXISTS for a name that is taken. */
bool account_add(struct account_book *b, const struct account *account, struct fail **fail);

/* Replaces the account of that name, whose new name may differ. FAIL_NOT_FOUND, FAIL_EXISTS. */
bool account_change(struct account_book *b, const char *name, const struct account *account, struct fail **fail);

bool account_remove(struct account_book *b, const char *name, struct fail **fail);

bool account_find(struct account_book *b, const char *name, struct account *account, struct fail **fail);

/* Calls visit for each in the order of their names. */
bool account_each(struct account_book *b, void (*visit)(void *context, const struct account *account), void *context,
                  struct fail **fail);

#endif
