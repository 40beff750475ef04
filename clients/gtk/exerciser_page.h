/*
 * The page "Exerciser": the exchange with a POP3, IMAP or SMTP server as it is, with the state of the session and a
 * sentence about each answer. Right and wrong commands are sent alike.
 */
#ifndef POSTHORN_GTK_EXERCISER_PAGE_H
#define POSTHORN_GTK_EXERCISER_PAGE_H

#include "app.h"

struct exerciser_page *exerciser_page_new(struct app *app);
void exerciser_page_free(struct exerciser_page *p);
GtkWidget *exerciser_page_widget(struct exerciser_page *p);

/* For shortcuts: connect, line, save, replay; enabled while the page is to be seen. */
GActionGroup *exerciser_page_actions(struct exerciser_page *p);

#endif
