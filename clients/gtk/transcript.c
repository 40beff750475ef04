#include "transcript.h"

#include "buf.h"
#include "file.h"
#include "mem.h"
#include "words.h"

#include <adwaita.h>

enum { LINES_MAX = 20000, LINES_DROPPED = 2000, FILE_MAX = 1 << 20, STAMP_LENGTH = 12 };

struct transcript {
	GtkWidget *view;
	GtkTextBuffer *buffer;
	bool in_answer; /* the line before was the server's */
};

static void set_colours(AdwStyleManager *manager, GParamSpec *spec UNUSED, struct transcript *t)
{
	bool dark = adw_style_manager_get_dark(manager);
	GtkTextTagTable *tags = gtk_text_buffer_get_tag_table(t->buffer);
	g_object_set(gtk_text_tag_table_lookup(tags, "client"), "foreground", dark ? "#99c1f1" : "#1a5fb4", NULL);
	g_object_set(gtk_text_tag_table_lookup(tags, "server"), "foreground", dark ? "#8ff0a4" : "#1f6d3a", NULL);
	g_object_set(gtk_text_tag_table_lookup(tags, "remark"), "foreground", dark ? "#c0bfbc" : "#5e5c64", NULL);
}

struct transcript *transcript_new(void)
{
	struct transcript *t = mem_alloc(sizeof *t);
	t->view = gtk_text_view_new();
	t->buffer = gtk_text_view_get_buffer(GTK_TEXT_VIEW(t->view));
	gtk_text_view_set_editable(GTK_TEXT_VIEW(t->view), FALSE);
	gtk_text_view_set_monospace(GTK_TEXT_VIEW(t->view), TRUE);
	gtk_text_view_set_wrap_mode(GTK_TEXT_VIEW(t->view), GTK_WRAP_CHAR);
	gtk_accessible_update_property(GTK_ACCESSIBLE(t->view), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Transcript"), -1);
	gtk_text_view_set_left_margin(GTK_TEXT_VIEW(t->view), 12);
	gtk_text_buffer_create_tag(t->buffer, "client", NULL);
	gtk_text_buffer_create_tag(t->buffer, "server", NULL);
	gtk_text_buffer_create_tag(t->buffer, "remark", "style", PANGO_STYLE_ITALIC, NULL);
	gtk_text_buffer_create_tag(t->buffer, "state", "weight", PANGO_WEIGHT_BOLD, NULL);
	gtk_text_buffer_create_tag(t->buffer, "more", NULL);
	gtk_text_buffer_create_tag(t->buffer, "dot", NULL);
	g_object_ref(t->buffer);
	set_colours(adw_style_manager_get_default(), NULL, t);
	g_signal_connect(adw_style_manager_get_default(), "notify::dark", G_CALLBACK(set_colours), t);
	return t;
}

void transcript_free(struct transcript *t)
{
	g_signal_handlers_disconnect_by_data(adw_style_manager_get_default(), t);
	g_object_unref(t->buffer);
	free(t);
}

GtkWidget *transcript_widget(struct transcript *t)
{
	return t->view;
}

static void forget_oldest(struct transcript *t)
{
	GtkTextIter start, end;
	if (gtk_text_buffer_get_line_count(t->buffer) < LINES_MAX)
		return;
	gtk_text_buffer_get_start_iter(t->buffer, &start);
	gtk_text_buffer_get_iter_at_line(t->buffer, &end, LINES_DROPPED);
	gtk_text_buffer_delete(t->buffer, &start, &end);
}

/* tag2 may be NULL. */
static void add(struct transcript *t, const char *text, const char *tag, const char *tag2)
{
	GtkTextIter end;
	gtk_text_buffer_get_end_iter(t->buffer, &end);
	gtk_text_buffer_insert_with_tags_by_name(t->buffer, &end, text, -1, tag, tag2, NULL);
}

static void show_end(struct transcript *t)
{
	GtkTextIter end;
	forget_oldest(t);
	gtk_text_buffer_get_end_iter(t->buffer, &end);
	gtk_text_buffer_place_cursor(t->buffer, &end);
	gtk_text_view_scroll_mark_onscreen(GTK_TEXT_VIEW(t->view), gtk_text_buffer_get_insert(t->buffer));
}

void transcript_add_line(struct transcript *t, bool is_client, int64_t when_us, const char *text)
{
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(when_us / G_USEC_PER_SEC);
	g_autofree char *clock = g_date_time_format(when, "%H:%M:%S");
	g_autofree char *stamp = g_strdup_printf("%s.%03d %c ", clock, (int)(when_us / 1000 % 1000), is_client ? 'C' : 'S');
	const char *who = is_client ? "client" : "server", *more = !is_client && t->in_answer ? "more" : NULL;
	t->in_answer = !is_client;
	add(t, stamp, who, more);
	if (more && g_str_has_prefix(text, "..")) {
		add(t, ".", who, "dot");
		text++;
	}
	add(t, text, who, more);
	add(t, "\n", who, more);
	show_end(t);
}

void transcript_add_remark(struct transcript *t, const char *text, const char *rfc)
{
	g_autofree char *line = rfc ? g_strdup_printf("%*s # %s (%s)\n", STAMP_LENGTH, "", text, rfc)
	                            : g_strdup_printf("%*s # %s\n", STAMP_LENGTH, "", text);
	add(t, line, "remark", NULL);
	show_end(t);
}

void transcript_add_state(struct transcript *t, const char *state)
{
	g_autofree char *line = g_strdup_printf("%*s = %s\n", STAMP_LENGTH, "", state);
	add(t, line, "state", NULL);
	show_end(t);
}

static GtkTextTag *tag_of(struct transcript *t, const char *name)
{
	return gtk_text_tag_table_lookup(gtk_text_buffer_get_tag_table(t->buffer), name);
}

void transcript_fold(struct transcript *t, bool fold)
{
	g_object_set(tag_of(t, "more"), "invisible", fold, NULL);
	g_object_set(tag_of(t, "dot"), "invisible", fold, NULL);
}

void transcript_show_dots(struct transcript *t, bool show)
{
	g_object_set(tag_of(t, "dot"), "background", show ? "#e5a50a" : NULL, NULL);
}

char *transcript_text(struct transcript *t)
{
	GtkTextIter start, end;
	gtk_text_buffer_get_bounds(t->buffer, &start, &end);
	return gtk_text_buffer_get_text(t->buffer, &start, &end, TRUE);
}

static bool is_client_line(struct str line)
{
	return line.length > STAMP_LENGTH + 3 - 1 && char_is_digit(line.data[0]) &&
	       str_starts(str_from_index(line, STAMP_LENGTH), STR(" C "));
}

bool transcript_replay(const char *path, void (*line)(void *context, const char *line), void *context,
                       struct fail **fail)
{
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(FILE_MAX);
	struct str part;
	if (!file_load(path, &content, fail))
		return false;
	for (struct str rest = buf_str(&content); str_take_until(&rest, '\n', &part);) {
		if (!is_client_line(part))
			continue;
		part = str_from_index(part, STAMP_LENGTH + strlen(" C "));
		g_autofree char *text = g_strndup(part.data, part.length);
		line(context, text);
	}
	return true;
}
