#include "preview_pane.h"

#include "display.h"
#include "mem.h"
#include "tool_row.h"

#include <glib/gi18n.h>

enum { LINES = 20, SHOWN_MAX = 100000 };

struct preview_pane {
	struct app *app;
	GtkWidget *widget, *raw, *text, *body_button, *block_button;
	MailRow *row;
	char *body; /* or NULL */
};

static void add_field(struct buf *out, const char *name, struct str value)
{
	if (value.length == 0)
		return;
	buf_printf(out, "%s: ", name);
	buf_add_str(out, value);
	buf_add_char(out, '\n');
}

static void add_readable(struct buf *out, struct str header)
{
	struct display_summary summary;
	display_summary_init(&summary);
	display_summary_take(&summary, header);
	add_field(out, _("From"), buf_str(&summary.from));
	add_field(out, _("To"), buf_str(&summary.to));
	add_field(out, _("Cc"), buf_str(&summary.cc));
	add_field(out, _("Date"), buf_str(&summary.date));
	add_field(out, _("Subject"), buf_str(&summary.subject));
	display_summary_release(&summary);
}

/* Cut where a character begins. The accessibility of GTK 4.8 reads up to a NUL whatever length is given. */
static void set_text(struct preview_pane *v, struct buf *text)
{
	size_t length = text->length < SHOWN_MAX ? text->length : SHOWN_MAX;
	while (length < text->length && length > 0 && ((unsigned char)text->data[length] & 0xc0) == 0x80)
		length--;
	GtkTextBuffer *buffer = gtk_text_view_get_buffer(GTK_TEXT_VIEW(v->text));
	buf_truncate(text, length);
	gtk_text_buffer_set_text(buffer, buf_text(text), -1);
}

static void refresh(struct preview_pane *v)
{
	CLEANUP(buf_release) struct buf header = BUF_WITH_LIMIT(LIMIT_CLIENT_HEADER_MAX);
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT((size_t)16 * LIMIT_CLIENT_HEADER_MAX);
	gtk_widget_set_sensitive(v->body_button, v->row != NULL);
	gtk_widget_set_sensitive(v->block_button, v->row != NULL);
	if (v->row) {
		session_header(mail_row_session(v->row), mail_row_mail(v->row)->index, &header);
		if (gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(v->raw)))
			display_lines(&shown, buf_str(&header));
		else
			add_readable(&shown, buf_str(&header));
	}
	if (v->body) {
		buf_add_char(&shown, '\n');
		buf_add_str(&shown, str_first(str_of(v->body), SHOWN_MAX));
	}
	set_text(v, &shown);
}

void preview_pane_show(struct preview_pane *v, MailRow *row)
{
	g_set_object(&v->row, row);
	g_clear_pointer(&v->body, g_free);
	refresh(v);
}

void preview_pane_show_body(struct preview_pane *v, const struct session *session, size_t index, const char *text)
{
	if (!v->row || mail_row_session(v->row) != session || mail_row_mail(v->row)->index != index)
		return;
	g_free(v->body);
	v->body = g_strdup(text);
	refresh(v);
}

static void raw_toggled(GtkToggleButton *button UNUSED, struct preview_pane *v)
{
	refresh(v);
}

static void body_wanted(GtkButton *button UNUSED, struct preview_pane *v)
{
	if (v->row)
		session_preview(mail_row_session(v->row), mail_row_mail(v->row)->index, LINES);
}

/* "Name <local@host>" blocks local@host. */
static void block(GtkButton *button UNUSED, struct preview_pane *v)
{
	struct rule rule = { .property = RULE_FROM, .action = RULE_TICK };
	struct desk_rules rules = {};
	CLEANUP(fail_free) struct fail *why = NULL;
	struct str from = str_of(v->row ? mail_row_from(v->row) : "");
	size_t open = str_find_last_char(from, '<');
	struct str address = open < from.length ? str_from_index(from, open + 1) : from;
	str_copy_to_array(str_first(address, str_find_char(address, '>')), rule.value, sizeof rule.value);
	bool good = rule_is_valid(&rule) && desk_load_rules(v->app->desk, &rules, &why);
	if (good) {
		*array_add(&rules.list) = rule;
		good = desk_save_rules(v->app->desk, &rules, &why);
	}
	array_release(&rules.list);
	g_autofree char *text =
		g_strdup_printf(_("Mails from %s are ticked from now on, when a mailbox is opened."), rule.value);
	app_tell(v->app, good ? _("Sender blocked") : _("The sender was not blocked"), good ? text : fail_text(why));
}

static GtkWidget *make_tools(struct preview_pane *v)
{
	GtkWidget *box, *row = tool_row_new(&box);
	v->raw = gtk_toggle_button_new_with_label(_("Raw headers"));
	v->body_button = gtk_button_new_with_label(_("Show beginning"));
	v->block_button = gtk_button_new_with_label(_("Block sender"));
	g_signal_connect(v->raw, "toggled", G_CALLBACK(raw_toggled), v);
	g_signal_connect(v->body_button, "clicked", G_CALLBACK(body_wanted), v);
	g_signal_connect(v->block_button, "clicked", G_CALLBACK(block), v);
	gtk_box_append(GTK_BOX(box), v->raw);
	gtk_box_append(GTK_BOX(box), v->body_button);
	gtk_box_append(GTK_BOX(box), v->block_button);
	return row;
}

struct preview_pane *preview_pane_new(struct app *app)
{
	struct preview_pane *v = mem_alloc(sizeof *v);
	GtkWidget *scrolled = gtk_scrolled_window_new();
	v->app = app;
	v->widget = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
	gtk_box_append(GTK_BOX(v->widget), make_tools(v));
	v->text = gtk_text_view_new();
	gtk_text_view_set_editable(GTK_TEXT_VIEW(v->text), FALSE);
	gtk_text_view_set_monospace(GTK_TEXT_VIEW(v->text), TRUE);
	gtk_text_view_set_wrap_mode(GTK_TEXT_VIEW(v->text), GTK_WRAP_WORD_CHAR);
	gtk_text_view_set_left_margin(GTK_TEXT_VIEW(v->text), 12);
	gtk_text_view_set_right_margin(GTK_TEXT_VIEW(v->text), 12);
	gtk_accessible_update_property(GTK_ACCESSIBLE(v->text), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Preview"), -1);
	gtk_scrolled_window_set_child(GTK_SCROLLED_WINDOW(scrolled), v->text);
	gtk_widget_set_vexpand(scrolled, TRUE);
	gtk_box_append(GTK_BOX(v->widget), scrolled);
	refresh(v);
	return v;
}

void preview_pane_free(struct preview_pane *v)
{
	g_clear_object(&v->row);
	g_free(v->body);
	free(v);
}

GtkWidget *preview_pane_widget(struct preview_pane *v)
{
	return v->widget;
}
