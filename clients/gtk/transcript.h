/*
 * The transcript of the page "Exerciser": who said what and when, in two colours, with states and explanations; and its
 * text form, as posthorn talk prints it:
 *	12:34:56.789 C USER tim
 *	12:34:56.801 S +OK
 *	             # an explanation
 *	             = the state
 */
#ifndef POSTHORN_GTK_TRANSCRIPT_H
#define POSTHORN_GTK_TRANSCRIPT_H

#include "fail.h"

#include <gtk/gtk.h>

struct transcript;

struct transcript *transcript_new(void);
void transcript_free(struct transcript *t);
GtkWidget *transcript_widget(struct transcript *t);

void transcript_add_line(struct transcript *t, bool is_client, int64_t when_us, const char *text);
void transcript_add_remark(struct transcript *t, const char *text, const char *rfc);
void transcript_add_state(struct transcript *t, const char *state);

/* Hides all but the first line of each answer. */
void transcript_fold(struct transcript *t, bool fold);

/* Marks the dot that byte-stuffing puts before a dot at the beginning of a line (RFC 1939 §3). */
void transcript_show_dots(struct transcript *t, bool show);

/* g_free */
char *transcript_text(struct transcript *t);

/* Calls line for each line of the client in the file. */
bool transcript_replay(const char *path, void (*line)(void *context, const char *line), void *context,
                       struct fail **fail);

#endif
