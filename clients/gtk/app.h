/*
 * struct app: what the pages of the window share: the accounts, the desk, and the window they belong to. One per
 * process, used in the window's thread only.
 */
#ifndef POSTHORN_GTK_APP_H
#define POSTHORN_GTK_APP_H

#include "account.h"
#include "desk.h"

#include <adwaita.h>

struct mailbox_page;
struct exerciser_page;
struct checker;

struct app {
	AdwApplication *application;
	GtkWindow *window;
	AdwViewStack *pages;
	struct mailbox_page *mailbox;
	struct exerciser_page *exerciser;
	struct checker *checker;
	struct account_book *book;
	struct desk *desk;
	bool failed;                /* what is kept could not be opened */
	char *desk_path;
	char *copy_folder;          /* of kept copies of deleted mails */
	ARRAY(struct account) accounts;
};

/* Keys of desk settings. Those of an account have its name behind a colon. */
#define SETTING_FOLDER "folder"
#define SETTING_FORMAT "format"
#define SETTING_CA "ca"
#define SETTING_COPIES "copies"
#define SETTING_MINUTES "minutes"
#define SETTING_DELETE_AFTER "delete-after-download"

/* Reads the accounts again and tells the pages. */
void app_load_accounts(struct app *app);

/* A setting; NULL for no account. The caller frees the text. */
char *app_setting(struct app *app, const char *key, const char *account, const char *otherwise);
bool app_is_set(struct app *app, const char *key, const char *account);
void app_set(struct app *app, const char *key, const char *account, const char *value);

/* Where downloads go: the setting, or the user's download folder. */
char *app_download_folder(struct app *app);

/* A word in a dialog over the window. */
void app_tell(struct app *app, const char *heading, const char *text);

/* What a failure means to a person, in the language of the window; the detail stands behind it. */
char *app_explain(enum fail_kind kind, const char *detail);

#endif
