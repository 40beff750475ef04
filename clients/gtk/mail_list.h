/*
 * struct mail_list: the list of mails as a table that sorts, filters and ticks, with the history of ticks for Undo.
 *
 * Only the rows in sight have widgets. Sorting and filtering go on in small steps between frames.
 */
#ifndef POSTHORN_GTK_MAIL_LIST_H
#define POSTHORN_GTK_MAIL_LIST_H

#include "mail_row.h"

#include <gtk/gtk.h>

struct mail_list;

struct mail_list_watch {
	void (*ticks_changed)(void *context);
	void (*selected)(void *context, MailRow *row); /* NULL: none */
	void *context;
};

/* The widgets belong to their parents; free the list after them. */
struct mail_list *mail_list_new(const struct mail_list_watch *watch);
void mail_list_free(struct mail_list *l);
GtkWidget *mail_list_widget(struct mail_list *l);

/* Takes the texts of the mails. Those that a rule wants ticked are ticked, and can be undone together. */
void mail_list_add(struct mail_list *l, struct session *session, struct session_mail *mails, size_t count);
void mail_list_clear(struct mail_list *l);
void mail_list_filter(struct mail_list *l, const char *text);

size_t mail_list_count(const struct mail_list *l);
uint64_t mail_list_size(const struct mail_list *l);
size_t mail_list_ticked(const struct mail_list *l);
bool mail_list_can_undo(const struct mail_list *l);

/* Takes back the last tick, or the last that were made together. */
void mail_list_undo(struct mail_list *l);

/* Takes back all, without a history. */
void mail_list_untick(struct mail_list *l);

/* The indexes of the session's mails that are ticked, or not. The caller frees them. */
size_t *mail_list_indexes(struct mail_list *l, const struct session *session, bool ticked, size_t *count);

/* Ticks the session's mails that are not ticked, as one step. */
void mail_list_tick_all(struct mail_list *l, const struct session *session);

#endif
