/*
 * Rows of tools: they may become narrower than what is in them, and scroll then. And names for the inner buttons of
 * widgets of GTK 4.8, which tells assistive technologies the name of their class only.
 */
#ifndef POSTHORN_GTK_TOOL_ROW_H
#define POSTHORN_GTK_TOOL_ROW_H

#include <gtk/gtk.h>

/* *box: where the tools are put, from left to right. */
GtkWidget *tool_row_new(GtkWidget **box);

/* Names the widget; the button inside a drop-down, or the icons of an entry, are named like it. */
GtkWidget *tool_row_name(GtkWidget *widget, const char *name);

/* Names the buttons in the widget that have a picture and a tooltip only by their tooltip. */
void tool_row_name_buttons(GtkWidget *widget);

#endif
