#include "mail_list.h"

#include "check.h"
#include "mem.h"
#include "tick_box.h"

#include <glib/gi18n.h>
#include <math.h>

struct step {
	unsigned number;
	MailRow *row;
};

struct mail_list {
	struct mail_list_watch watch;
	GtkWidget *widget;
	GListStore *store;
	GtkFilter *filter;
	GtkSingleSelection *selection;
	char *wanted;          /* casefolded; "" for all */
	GArray *history;       /* of struct step */
	unsigned step;
	size_t ticked;
	uint64_t size;
};

enum { STEP_OF_RULES = 0, SIZE_BITS_MAX = 26 };

/* ---- ticks ---- */

static void drop_step(void *memory)
{
	g_object_unref(((struct step *)memory)->row);
}

static void set_ticked(struct mail_list *l, MailRow *row, bool ticked)
{
	if (mail_row_is_ticked(row) == ticked)
		return;
	mail_row_set_ticked(row, ticked);
	l->ticked += ticked ? 1 : (size_t)-1;
}

static void tick(struct mail_list *l, MailRow *row, bool ticked, unsigned number)
{
	const struct step step = { number, row };
	if (mail_row_is_ticked(row) == ticked)
		return;
	set_ticked(l, row, ticked);
	g_object_ref(row);
	g_array_append_val(l->history, step);
}

static void tick_one(struct mail_list *l, MailRow *row, bool ticked)
{
	tick(l, row, ticked, ++l->step);
	l->watch.ticks_changed(l->watch.context);
}

bool mail_list_can_undo(const struct mail_list *l)
{
	return l->history->len > 0;
}

void mail_list_undo(struct mail_list *l)
{
	unsigned number = l->history->len ? g_array_index(l->history, struct step, l->history->len - 1).number : 0;
	while (l->history->len && g_array_index(l->history, struct step, l->history->len - 1).number == number) {
		MailRow *row = g_array_index(l->history, struct step, l->history->len - 1).row;
		set_ticked(l, row, !mail_row_is_ticked(row));
		g_array_set_size(l->history, l->history->len - 1);
	}
	l->watch.ticks_changed(l->watch.context);
}

void mail_list_untick(struct mail_list *l)
{
	guint count = g_list_model_get_n_items(G_LIST_MODEL(l->store));
	for (guint i = 0; i < count && l->ticked; i++) {
		g_autoptr(MailRow) row = g_list_model_get_item(G_LIST_MODEL(l->store), i);
		set_ticked(l, row, false);
	}
	g_array_set_size(l->history, 0);
	l->watch.ticks_changed(l->watch.context);
}

/* ---- columns ---- */

static MailRow *row_of(GtkListItem *item)
{
	return MAIL_ROW(gtk_list_item_get_item(item));
}

/* What is ticked is also looked at. */
static void toggled(GtkCheckButton *button, GtkListItem *item)
{
	struct mail_list *l = g_object_get_data(G_OBJECT(button), "list");
	if (!gtk_list_item_get_item(item))
		return;
	tick_one(l, row_of(item), gtk_check_button_get_active(button));
	gtk_single_selection_set_selected(l->selection, gtk_list_item_get_position(item));
}

static void follow_tick(MailRow *row, GParamSpec *spec UNUSED, GtkListItem *item)
{
	GtkWidget *button = gtk_list_item_get_child(item);
	g_signal_handlers_block_by_func(button, toggled, item);
	gtk_check_button_set_active(GTK_CHECK_BUTTON(button), mail_row_is_ticked(row));
	g_signal_handlers_unblock_by_func(button, toggled, item);
}

static void setup_tick(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l)
{
	GtkWidget *button = tick_box_new();
	g_object_set_data(G_OBJECT(button), "list", l);
	g_signal_connect(button, "toggled", G_CALLBACK(toggled), item);
	gtk_list_item_set_child(item, button);
}

/* What the eye sees by weight and colour, in words. */
static const char *describe(const struct session_mail *mail)
{
	if (mail->action == RULE_MARK)
		return mail->is_new ? _("new; marked by a rule") : _("marked by a rule");
	return mail->is_new ? _("new since last time") : "";
}

static void bind_tick(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	MailRow *row = row_of(item);
	/* Translators: the name of the tick box of a mail; %s is its subject */
	g_autofree char *name = g_strdup_printf(_("Delete: %s"), mail_row_subject(row));
	gtk_accessible_update_property(GTK_ACCESSIBLE(gtk_list_item_get_child(item)), GTK_ACCESSIBLE_PROPERTY_LABEL, name,
	                               GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, describe(mail_row_mail(row)), -1);
	follow_tick(row, NULL, item);
	g_signal_connect(row, "notify::ticked", G_CALLBACK(follow_tick), item);
}

static void unbind_tick(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	g_signal_handlers_disconnect_by_func(row_of(item), follow_tick, item);
}

static void setup_text(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	GtkWidget *label = gtk_label_new(NULL);
	gtk_label_set_xalign(GTK_LABEL(label), 0);
	gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_END);
	gtk_label_set_single_line_mode(GTK_LABEL(label), TRUE);
	gtk_list_item_set_child(item, label);
}

static void show_text(GtkListItem *item, const char *text)
{
	MailRow *row = row_of(item);
	GtkWidget *label = gtk_list_item_get_child(item);
	gtk_label_set_text(GTK_LABEL(label), text);
	if (mail_row_mail(row)->is_new)
		gtk_widget_add_css_class(label, "heading");
	else
		gtk_widget_remove_css_class(label, "heading");
	if (mail_row_mail(row)->action == RULE_MARK)
		gtk_widget_add_css_class(label, "warning");
	else
		gtk_widget_remove_css_class(label, "warning");
}

static void bind_from(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	show_text(item, mail_row_from(row_of(item)));
}

static void bind_subject(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	show_text(item, mail_row_subject(row_of(item)));
}

static void bind_date(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	const struct session_mail *mail = mail_row_mail(row_of(item));
	g_autoptr(GDateTime) date = mail->has_date ? g_date_time_new_from_unix_local(mail->seconds) : NULL;
	g_autofree char *text = date ? g_date_time_format(date, "%x %H:%M") : NULL;
	show_text(item, text ? text : "");
}

static void bind_account(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	show_text(item, session_account(mail_row_session(row_of(item))));
}

static void setup_size(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6), *label = gtk_label_new(NULL),
		*bar = gtk_level_bar_new();
	gtk_label_set_xalign(GTK_LABEL(label), 1);
	gtk_widget_set_hexpand(label, TRUE);
	gtk_level_bar_set_max_value(GTK_LEVEL_BAR(bar), SIZE_BITS_MAX);
	gtk_widget_set_size_request(bar, 60, -1);
	gtk_widget_set_valign(bar, GTK_ALIGN_CENTER);
	gtk_box_append(GTK_BOX(box), label);
	gtk_box_append(GTK_BOX(box), bar);
	gtk_list_item_set_child(item, box);
}

/* The bar grows with the logarithm: from one octet to 64 MB. */
static void bind_size(GtkSignalListItemFactory *factory UNUSED, GtkListItem *item, struct mail_list *l UNUSED)
{
	uint64_t size = mail_row_mail(row_of(item))->size;
	GtkWidget *label = gtk_widget_get_first_child(gtk_list_item_get_child(item));
	g_autofree char *text = g_format_size(size);
	double bits = log2((double)size + 1);
	gtk_label_set_text(GTK_LABEL(label), text);
	gtk_level_bar_set_value(GTK_LEVEL_BAR(gtk_widget_get_next_sibling(label)),
	                        bits < SIZE_BITS_MAX ? bits : SIZE_BITS_MAX);
}

static int compare_ticks(const void *a, const void *b, void *context UNUSED)
{
	return (int)mail_row_is_ticked(MAIL_ROW((void *)b)) - (int)mail_row_is_ticked(MAIL_ROW((void *)a));
}

static int compare_from(const void *a, const void *b, void *context UNUSED)
{
	return g_utf8_collate(mail_row_from(MAIL_ROW((void *)a)), mail_row_from(MAIL_ROW((void *)b)));
}

static int compare_subject(const void *a, const void *b, void *context UNUSED)
{
	return g_utf8_collate(mail_row_subject(MAIL_ROW((void *)a)), mail_row_subject(MAIL_ROW((void *)b)));
}

static int compare_date(const void *a, const void *b, void *context UNUSED)
{
	int64_t left = mail_row_mail(MAIL_ROW((void *)a))->seconds, right = mail_row_mail(MAIL_ROW((void *)b))->seconds;
	return (left > right) - (left < right);
}

static int compare_size(const void *a, const void *b, void *context UNUSED)
{
	uint64_t left = mail_row_mail(MAIL_ROW((void *)a))->size, right = mail_row_mail(MAIL_ROW((void *)b))->size;
	return (left > right) - (left < right);
}

static int compare_account(const void *a, const void *b, void *context UNUSED)
{
	return g_utf8_collate(session_account(mail_row_session(MAIL_ROW((void *)a))),
	                      session_account(mail_row_session(MAIL_ROW((void *)b))));
}

typedef void item_function(GtkSignalListItemFactory *factory, GtkListItem *item, struct mail_list *l);

static const struct column {
	const char *title;
	item_function *setup, *bind, *unbind;
	GCompareDataFunc compare;
	int width; /* 0: takes what is left */
} columns[] = {
	{ N_("Delete"), setup_tick, bind_tick, unbind_tick, compare_ticks, 70 },
	{ N_("From"), setup_text, bind_from, NULL, compare_from, 230 },
	{ N_("Subject"), setup_text, bind_subject, NULL, compare_subject, 0 },
	{ N_("Date"), setup_text, bind_date, NULL, compare_date, 140 },
	{ N_("Size"), setup_size, bind_size, NULL, compare_size, 170 },
	{ N_("Account"), setup_text, bind_account, NULL, compare_account, 110 },
};

static void add_column(struct mail_list *l, GtkColumnView *view, const struct column *c)
{
	GtkListItemFactory *factory = gtk_signal_list_item_factory_new();
	GtkColumnViewColumn *column = gtk_column_view_column_new(_(c->title), factory);
	g_autoptr(GtkSorter) sorter = GTK_SORTER(gtk_custom_sorter_new(c->compare, NULL, NULL));
	g_signal_connect(factory, "setup", G_CALLBACK(c->setup), l);
	g_signal_connect(factory, "bind", G_CALLBACK(c->bind), l);
	if (c->unbind)
		g_signal_connect(factory, "unbind", G_CALLBACK(c->unbind), l);
	gtk_column_view_column_set_sorter(column, sorter);
	gtk_column_view_column_set_resizable(column, TRUE);
	gtk_column_view_column_set_expand(column, c->width == 0);
	if (c->width)
		gtk_column_view_column_set_fixed_width(column, c->width);
	gtk_column_view_append_column(view, column);
	g_object_unref(column);
}

/* ---- the table ---- */

static bool holds(struct mail_list *l, const char *text)
{
	g_autofree char *folded = g_utf8_casefold(text, -1);
	return strstr(folded, l->wanted) != NULL;
}

static gboolean is_wanted(void *object, void *context)
{
	struct mail_list *l = context;
	MailRow *row = MAIL_ROW(object);
	return !*l->wanted || holds(l, mail_row_from(row)) || holds(l, mail_row_subject(row)) ||
	       holds(l, mail_row_to(row));
}

static void activated(GtkColumnView *view UNUSED, guint position, struct mail_list *l)
{
	g_autoptr(MailRow) row = g_list_model_get_item(G_LIST_MODEL(l->selection), position);
	tick_one(l, row, !mail_row_is_ticked(row));
}

static void selection_changed(GtkSingleSelection *selection, GParamSpec *spec UNUSED, struct mail_list *l)
{
	l->watch.selected(l->watch.context, gtk_single_selection_get_selected_item(selection));
}

struct mail_list *mail_list_new(const struct mail_list_watch *watch)
{
	struct mail_list *l = mem_alloc(sizeof *l);
	l->watch = *watch;
	l->wanted = g_strdup("");
	l->history = g_array_new(FALSE, FALSE, sizeof(struct step));
	g_array_set_clear_func(l->history, drop_step);
	l->store = g_list_store_new(MAIL_TYPE_ROW);
	l->filter = GTK_FILTER(gtk_custom_filter_new(is_wanted, l, NULL));
	GtkFilterListModel *filtered = gtk_filter_list_model_new(G_LIST_MODEL(g_object_ref(l->store)),
	                                                         g_object_ref(l->filter));
	gtk_filter_list_model_set_incremental(filtered, TRUE);
	GtkColumnView *view = GTK_COLUMN_VIEW(gtk_column_view_new(NULL));
	GtkSortListModel *sorted = gtk_sort_list_model_new(G_LIST_MODEL(filtered),
	                                                   g_object_ref(gtk_column_view_get_sorter(view)));
	gtk_sort_list_model_set_incremental(sorted, TRUE);
	l->selection = gtk_single_selection_new(G_LIST_MODEL(sorted));
	gtk_single_selection_set_autoselect(l->selection, FALSE);
	gtk_single_selection_set_can_unselect(l->selection, TRUE);
	gtk_column_view_set_model(view, GTK_SELECTION_MODEL(l->selection));
	for (size_t i = 0; i < COUNT_OF(columns); i++)
		add_column(l, view, &columns[i]);
	g_signal_connect(l->selection, "notify::selected-item", G_CALLBACK(selection_changed), l);
	g_signal_connect(view, "activate", G_CALLBACK(activated), l);
	gtk_accessible_update_property(GTK_ACCESSIBLE(view), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Mails"), -1);
	l->widget = GTK_WIDGET(view);
	return l;
}

void mail_list_free(struct mail_list *l)
{
	if (!l)
		return;
	g_signal_handlers_disconnect_by_data(l->selection, l);
	g_object_unref(l->selection);
	g_object_unref(l->store);
	g_object_unref(l->filter);
	g_array_unref(l->history);
	g_free(l->wanted);
	free(l);
}

GtkWidget *mail_list_widget(struct mail_list *l)
{
	return l->widget;
}

void mail_list_add(struct mail_list *l, struct session *session, struct session_mail *mails, size_t count)
{
	void **rows = g_new(void *, count);
	for (size_t i = 0; i < count; i++) {
		l->size += mails[i].size;
		rows[i] = mail_row_new(session, &mails[i]);
		if (mail_row_mail(rows[i])->action == RULE_TICK)
			tick(l, rows[i], true, STEP_OF_RULES);
	}
	g_list_store_splice(l->store, g_list_model_get_n_items(G_LIST_MODEL(l->store)), 0, rows, (guint)count);
	for (size_t i = 0; i < count; i++)
		g_object_unref(rows[i]);
	g_free(rows);
	l->watch.ticks_changed(l->watch.context);
}

void mail_list_clear(struct mail_list *l)
{
	g_array_set_size(l->history, 0);
	g_list_store_remove_all(l->store);
	l->ticked = 0;
	l->size = 0;
	l->watch.ticks_changed(l->watch.context);
}

void mail_list_filter(struct mail_list *l, const char *text)
{
	g_free(l->wanted);
	l->wanted = g_utf8_casefold(text, -1);
	gtk_filter_changed(l->filter, GTK_FILTER_CHANGE_DIFFERENT);
}

size_t mail_list_count(const struct mail_list *l)
{
	return g_list_model_get_n_items(G_LIST_MODEL(l->store));
}

uint64_t mail_list_size(const struct mail_list *l)
{
	return l->size;
}

size_t mail_list_ticked(const struct mail_list *l)
{
	return l->ticked;
}

size_t *mail_list_indexes(struct mail_list *l, const struct session *session, bool ticked, size_t *count)
{
	guint all = g_list_model_get_n_items(G_LIST_MODEL(l->store));
	size_t *indexes = mem_resize(NULL, (size_t)all + 1, sizeof *indexes);
	*count = 0;
	for (guint i = 0; i < all; i++) {
		g_autoptr(MailRow) row = g_list_model_get_item(G_LIST_MODEL(l->store), i);
		if (mail_row_session(row) == session && mail_row_is_ticked(row) == ticked)
			indexes[(*count)++] = mail_row_mail(row)->index;
	}
	return indexes;
}

void mail_list_tick_all(struct mail_list *l, const struct session *session)
{
	guint all = g_list_model_get_n_items(G_LIST_MODEL(l->store));
	l->step++;
	for (guint i = 0; i < all; i++) {
		g_autoptr(MailRow) row = g_list_model_get_item(G_LIST_MODEL(l->store), i);
		if (mail_row_session(row) == session)
			tick(l, row, true, l->step);
	}
	l->watch.ticks_changed(l->watch.context);
}
