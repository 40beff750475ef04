/*
 * TickBox: a check button that assistive technologies can press: GTK 4.8 gives its own check buttons no action.
 */
#ifndef POSTHORN_GTK_TICK_BOX_H
#define POSTHORN_GTK_TICK_BOX_H

#include <gtk/gtk.h>

#define TICK_TYPE_BOX (tick_box_get_type())
G_DECLARE_FINAL_TYPE(TickBox, tick_box, TICK, BOX, GtkCheckButton)

GtkWidget *tick_box_new(void);

#endif
