/*
 * The settings window: accounts, how mails are saved and looked for, rules, and the log of deletions. What is changed
 * there holds at once.
 */
#ifndef POSTHORN_GTK_SETTINGS_H
#define POSTHORN_GTK_SETTINGS_H

#include "app.h"

void settings_show(struct app *app);

#endif
