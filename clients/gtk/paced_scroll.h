/*
 * paced_scroll: turns of the wheel and strokes on a touchpad move a list once per frame, however many there were.
 *
 * GtkListView of GTK 4.8 takes rows that it made since the last frame for rows without height: moved twice within a
 * frame it skips hundreds of rows and makes them all anew. A free-running wheel, or a slow machine, then leaves no time
 * to draw at all. The strength of each move, and the way a stroke dies away, are those of GtkScrolledWindow.
 */
#ifndef POSTHORN_GTK_PACED_SCROLL_H
#define POSTHORN_GTK_PACED_SCROLL_H

#include <gtk/gtk.h>

/* For the life of the window; other ways of scrolling stay as they are. */
void paced_scroll_add(GtkScrolledWindow *window);

#endif
