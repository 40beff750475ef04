/*
 * The page "Mailbox": what is in the mailboxes of one account, or of all, before anything is downloaded.
 */
#ifndef POSTHORN_GTK_MAILBOX_PAGE_H
#define POSTHORN_GTK_MAILBOX_PAGE_H

#include "app.h"

struct mailbox_page *mailbox_page_new(struct app *app);

/* Sessions end without deleting anything; call it when the window goes. */
void mailbox_page_free(struct mailbox_page *p);
GtkWidget *mailbox_page_widget(struct mailbox_page *p);

/* The actions that the window takes over: open, download, close, undo, cancel. */
GActionGroup *mailbox_page_actions(struct mailbox_page *p);

void mailbox_page_focus_filter(struct mailbox_page *p);

/* The accounts have changed. */
void mailbox_page_show_accounts(struct mailbox_page *p);

/* True while a mailbox is open, or about to be: a check would only find it locked. */
bool mailbox_page_is_open(struct mailbox_page *p);

/* A mailbox that waited for the check is opened. */
void mailbox_page_check_ended(struct mailbox_page *p);

#endif
