#include "mailbox_page.h"

#include "account_form.h"
#include "checker.h"
#include "mail_list.h"
#include "mem.h"
#include "paced_scroll.h"
#include "password.h"
#include "preview_pane.h"
#include "tool_row.h"

#include <glib/gi18n.h>

enum { LIST_HEIGHT = 320, FOOT_HEIGHT = 46, NOTICE_WIDTH = 20 };

/* A mailbox that is open, or about to be. */
struct visit {
	struct mailbox_page *page;
	struct session *session; /* NULL while the password is asked for */
	char account[ACCOUNT_NAME_MAX + 1];
	bool is_ready;           /* the list is complete and nothing else goes on */
	bool deletes_after;      /* downloaded mails are ticked */
	uint64_t done, total;
};

struct mailbox_page {
	struct app *app;
	GtkWidget *widget, *chooser, *info, *message, *status, *progress, *cancel, *search, *mails, *empty, *add;
	struct mail_list *list;
	struct preview_pane *preview;
	GSimpleActionGroup *actions;
	GPtrArray *visits;
	bool downloads;          /* as soon as the lists are complete */
	bool waits;              /* for the end of a check, to open */
	GHashTable *refused;     /* accounts whose kept password was refused */
};

/* ---- words ---- */

static void say(struct mailbox_page *p, GtkMessageType type, const char *text)
{
	gtk_info_bar_set_message_type(GTK_INFO_BAR(p->info), type);
	gtk_label_set_text(GTK_LABEL(p->message), text);
	gtk_info_bar_set_revealed(GTK_INFO_BAR(p->info), TRUE);
}

static void show_status(struct mailbox_page *p)
{
	g_autofree char *size = g_format_size(mail_list_size(p->list));
	size_t count = mail_list_count(p->list), ticked = mail_list_ticked(p->list);
	g_autofree char *mails = g_strdup_printf(ngettext("%zu mail", "%zu mails", count), count);
	g_autofree char *marked = g_strdup_printf(
		ngettext("%zu is deleted when the mailbox is closed", "%zu are deleted when the mailbox is closed", ticked),
		ticked);
	g_autofree char *text = ticked ? g_strdup_printf("%s, %s; %s", mails, size, marked)
	                               : g_strdup_printf("%s, %s", mails, size);
	gtk_label_set_text(GTK_LABEL(p->status), text);
}

/* ---- what may be done now ---- */

static bool are_ready(const struct mailbox_page *p)
{
	for (guint i = 0; i < p->visits->len; i++)
		if (!((struct visit *)p->visits->pdata[i])->is_ready)
			return false;
	return true;
}

static void enable(struct mailbox_page *p, const char *name, bool enabled)
{
	GAction *action = g_action_map_lookup_action(G_ACTION_MAP(p->actions), name);
	g_simple_action_set_enabled(G_SIMPLE_ACTION(action), enabled);
}

static void show_progress(struct mailbox_page *p)
{
	uint64_t done = 0, total = 0;
	for (guint i = 0; i < p->visits->len; i++) {
		done += ((struct visit *)p->visits->pdata[i])->done;
		total += ((struct visit *)p->visits->pdata[i])->total;
	}
	gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(p->progress), total ? (double)done / (double)total : 0);
}

/* In the place of a list that has no mails. */
static void show_emptiness(struct mailbox_page *p, bool has_accounts, bool is_open, bool ready)
{
	const char *title = _("The mailbox is not open"),
		*text = _("Open it to see what is there; nothing is downloaded yet.");
	if (!has_accounts) {
		title = _("No account");
		text = _("There is no account yet: add one in the settings.");
	} else if (is_open) {
		title = ready ? _("No mails") : _("The mailbox is being opened");
		text = "";
	}
	adw_status_page_set_title(ADW_STATUS_PAGE(p->empty), title);
	adw_status_page_set_description(ADW_STATUS_PAGE(p->empty), text);
	gtk_widget_set_visible(p->add, !has_accounts);
	gtk_widget_set_visible(p->empty, mail_list_count(p->list) == 0);
	gtk_widget_set_visible(p->mails, mail_list_count(p->list) > 0);
}

static void refresh(struct mailbox_page *p)
{
	bool is_open = mailbox_page_is_open(p), ready = !p->waits && are_ready(p);
	bool has_accounts = p->app->accounts.count > 0;
	enable(p, "open", !is_open && has_accounts);
	enable(p, "download", has_accounts && ready);
	enable(p, "close", is_open && ready);
	enable(p, "undo", mail_list_can_undo(p->list));
	enable(p, "cancel", is_open && !ready);
	gtk_widget_set_sensitive(p->chooser, !is_open && has_accounts);
	gtk_widget_set_visible(p->progress, is_open && !ready);
	gtk_widget_set_visible(p->cancel, is_open && !ready);
	show_emptiness(p, has_accounts, is_open, ready);
	show_progress(p);
	show_status(p);
}

static void ticks_changed(void *context)
{
	refresh(context);
}

static void selected(void *context, MailRow *row)
{
	struct mailbox_page *p = context;
	preview_pane_show(p->preview, row);
}

/* ---- visits ---- */

static void free_visit(void *memory)
{
	struct visit *visit = memory;
	if (visit->session) {
		session_abandon(visit->session);
		session_drop(visit->session);
	}
	g_free(visit);
}

static struct visit *find_visit(struct mailbox_page *p, const struct session *session)
{
	for (guint i = 0; i < p->visits->len; i++)
		if (((struct visit *)p->visits->pdata[i])->session == session)
			return p->visits->pdata[i];
	return NULL;
}

/* The mails stay in the list, to be read; ticks of a session that is over would mean nothing. */
static void end_visit(struct mailbox_page *p, struct visit *visit)
{
	g_ptr_array_remove(p->visits, visit);
	if (p->visits->len == 0)
		mail_list_untick(p->list);
	refresh(p);
}

static void set_busy(struct visit *visit)
{
	visit->is_ready = false;
	visit->done = visit->total = 0;
}

static void download(struct mailbox_page *p, struct visit *visit)
{
	size_t count;
	CLEANUP(mem_free) size_t *indexes = mail_list_indexes(p->list, visit->session, false, &count);
	set_busy(visit);
	session_download(visit->session, indexes, count);
	refresh(p);
}

/* ---- reports ---- */

static const char *fate_text(enum pop3_deletion deletion)
{
	switch (deletion) {
	case POP3_MARKED_DELETED: return _("The ticked mails were deleted.");
	case POP3_DELETION_UNKNOWN:
		return _("The server did not say what became of the ticked mails: open the mailbox again to see.");
	default: return _("Nothing was deleted.");
	}
}

static void on_failed(struct mailbox_page *p, struct visit *visit, const struct session_report *report)
{
	g_autofree char *why = app_explain(report->kind, report->text);
	g_autofree char *text = g_strdup_printf("%s: %s %s", visit->account, why, fate_text(report->deletion));
	if (report->kind == FAIL_DENIED)
		g_hash_table_add(p->refused, g_strdup(visit->account));
	p->downloads = false;
	say(p, GTK_MESSAGE_ERROR, text);
	if (report->kind == FAIL_CORRUPT)
		app_tell(p->app, _("The server can't be trusted"), text);
	end_visit(p, visit);
}

static void on_closed(struct mailbox_page *p, struct visit *visit, const struct session_report *report)
{
	g_autofree char *deleted =
		g_strdup_printf(ngettext("%zu mail was deleted.", "%zu mails were deleted.", (gulong)report->total),
	                    (size_t)report->total);
	g_autofree char *text =
		g_strdup_printf(_("%s: the mailbox is closed. %s"), visit->account,
	                    report->deletion == POP3_MARKED_DELETED ? deleted : fate_text(report->deletion));
	say(p, GTK_MESSAGE_INFO, text);
	end_visit(p, visit);
	if (p->visits->len == 0)
		mail_list_clear(p->list);
}

static void on_downloaded(struct mailbox_page *p, struct visit *visit, const struct session_report *report)
{
	g_autofree char *text = g_strdup_printf(_("Saved in %s: %zu; there already: %zu; not given by the server: %zu."),
	                                        report->text, report->saved, report->there, report->refused);
	bool complete = report->refused == 0 && report->done == report->total;
	visit->is_ready = true;
	say(p, complete ? GTK_MESSAGE_INFO : GTK_MESSAGE_WARNING, text);
	if (complete && visit->deletes_after)
		mail_list_tick_all(p->list, visit->session);
	refresh(p);
}

static void on_outcome(struct mailbox_page *p, struct visit *visit, const struct desk_outcome *outcome)
{
	g_autofree char *there = g_strdup_printf(
		ngettext("%zu mail that was to be deleted last time is still on the server.",
	             "%zu mails that were to be deleted last time are still on the server.", outcome->still_there),
		outcome->still_there);
	g_autofree char *gone = g_strdup_printf(
		ngettext("%zu mail was deleted last time.", "%zu mails were deleted last time.", outcome->gone), outcome->gone);
	g_autofree char *text = g_strdup_printf("%s: %s %s", visit->account, outcome->still_there ? there : "",
	                                        outcome->gone ? gone : "");
	say(p, outcome->still_there ? GTK_MESSAGE_WARNING : GTK_MESSAGE_INFO, text);
}

static void on_ready(struct mailbox_page *p, struct visit *visit)
{
	visit->is_ready = true;
	if (p->downloads)
		download(p, visit);
	p->downloads &= !are_ready(p);
	refresh(p);
}

static void on_progress(struct mailbox_page *p, struct visit *visit, const struct session_report *report)
{
	visit->done = report->done;
	visit->total = report->total;
	show_progress(p);
}

static void take_report(void *context, const struct session_report *report)
{
	struct mailbox_page *p = context;
	struct visit *visit = find_visit(p, report->session);
	if (!visit)
		return;
	switch (report->event) {
	case SESSION_MAILS:
		mail_list_add(p->list, report->session, report->mails, report->mail_count);
		on_progress(p, visit, report);
		break;
	case SESSION_READY: on_ready(p, visit); break;
	case SESSION_OUTCOME: on_outcome(p, visit, &report->outcome); break;
	case SESSION_PROGRESS: on_progress(p, visit, report); break;
	case SESSION_WARNING: say(p, GTK_MESSAGE_WARNING, report->text); break;
	case SESSION_PREVIEW: preview_pane_show_body(p->preview, report->session, report->index, report->text); break;
	case SESSION_DOWNLOADED: on_downloaded(p, visit, report); break;
	case SESSION_CLOSED: on_closed(p, visit, report); break;
	case SESSION_FAILED: on_failed(p, visit, report); break;
	}
}

/* ---- opening ---- */

static enum mail_format format_of(struct app *app)
{
	CLEANUP(mem_free) char *name = app_setting(app, SETTING_FORMAT, NULL, "eml");
	enum mail_format format = MAIL_EML;
	mail_format_find(str_of(name), &format);
	return format;
}

static struct session *start(struct mailbox_page *p, const struct account *account, const char *password)
{
	CLEANUP(mem_free) char *folder = app_download_folder(p->app);
	CLEANUP(mem_free) char *ca = app_setting(p->app, SETTING_CA, NULL, "");
	const struct session_options options = {
		.account = *account, .password = password, .ca_file = ca, .folder = folder, .format = format_of(p->app),
		.keeps_copies = app_is_set(p->app, SETTING_COPIES, NULL), .desk_path = p->app->desk_path,
		.copy_folder = p->app->copy_folder, .report = take_report, .context = p,
	};
	return session_open(&options);
}

static void password_given(void *context, const struct account *account, const char *password)
{
	struct visit *visit = context;
	struct mailbox_page *p = visit->page;
	if (password) {
		if (account->mailbox.tls == SERVER_TLS_NONE)
			say(p, GTK_MESSAGE_WARNING,
			    _("The connection is not encrypted: everybody on the way can read it. Settings can change that."));
		visit->session = start(p, account, password);
		refresh(p);
	} else {
		p->downloads = false;
		end_visit(p, visit);
	}
}

static void open_account(struct mailbox_page *p, const struct account *account)
{
	struct visit *visit = g_new0(struct visit, 1);
	visit->page = p;
	visit->deletes_after = app_is_set(p->app, SETTING_DELETE_AFTER, account->name);
	str_copy_to_array(str_of(account->name), visit->account, sizeof visit->account);
	g_ptr_array_add(p->visits, visit);
	password_find(p->app, account, g_hash_table_remove(p->refused, account->name), password_given, visit);
}

/* The last entry of several means all. */
static bool is_chosen(const struct mailbox_page *p, guint account)
{
	guint chosen = gtk_drop_down_get_selected(GTK_DROP_DOWN(p->chooser));
	return chosen == account || chosen == p->app->accounts.count;
}

static bool is_checked(const struct mailbox_page *p)
{
	for (guint i = 0; i < p->app->accounts.count; i++)
		if (is_chosen(p, i) && checker_is_at(p->app->checker, p->app->accounts.items[i].name))
			return true;
	return false;
}

/* A check that goes on would make the server say that the mailbox is in use. */
static void open_chosen(struct mailbox_page *p)
{
	gtk_info_bar_set_revealed(GTK_INFO_BAR(p->info), FALSE);
	mail_list_clear(p->list);
	p->waits = is_checked(p);
	if (p->waits)
		say(p, GTK_MESSAGE_INFO, _("A check for new mail is going on; the mailbox is opened as soon as it has ended."));
	for (guint i = 0; i < p->app->accounts.count && !p->waits; i++)
		if (is_chosen(p, i))
			open_account(p, &p->app->accounts.items[i]);
	refresh(p);
}

static void stop_waiting(struct mailbox_page *p)
{
	p->waits = p->downloads = false;
	gtk_info_bar_set_revealed(GTK_INFO_BAR(p->info), FALSE);
	refresh(p);
}

/* ---- actions ---- */

static void do_open(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	open_chosen(context);
}

static void do_download(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	struct mailbox_page *p = context;
	if (p->visits->len == 0) {
		p->downloads = true;
		open_chosen(p);
		return;
	}
	for (guint i = 0; i < p->visits->len; i++)
		download(p, p->visits->pdata[i]);
}

static void do_close(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	struct mailbox_page *p = context;
	for (guint i = 0; i < p->visits->len; i++) {
		struct visit *visit = p->visits->pdata[i];
		size_t count;
		CLEANUP(mem_free) size_t *indexes = mail_list_indexes(p->list, visit->session, true, &count);
		set_busy(visit);
		session_close(visit->session, indexes, count);
	}
	refresh(p);
}

static void do_undo(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	mail_list_undo(((struct mailbox_page *)context)->list);
}

static void do_cancel(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	struct mailbox_page *p = context;
	if (p->waits)
		stop_waiting(p);
	for (guint i = 0; i < p->visits->len; i++)
		if (((struct visit *)p->visits->pdata[i])->session)
			session_cancel(((struct visit *)p->visits->pdata[i])->session);
}

static const GActionEntry entries[] = {
	{ .name = "open", .activate = do_open },   { .name = "download", .activate = do_download },
	{ .name = "close", .activate = do_close }, { .name = "undo", .activate = do_undo },
	{ .name = "cancel", .activate = do_cancel },
};

/* ---- the widgets ---- */

static void search_changed(GtkSearchEntry *entry, struct mailbox_page *p)
{
	mail_list_filter(p->list, gtk_editable_get_text(GTK_EDITABLE(entry)));
}

static void search_done(GtkSearchEntry *entry UNUSED, struct mailbox_page *p)
{
	gtk_widget_grab_focus(mail_list_widget(p->list));
}

static GtkWidget *make_button(const char *label, const char *action, const char *tip)
{
	GtkWidget *button = gtk_button_new_with_label(label);
	gtk_actionable_set_action_name(GTK_ACTIONABLE(button), action);
	gtk_widget_set_tooltip_text(button, tip);
	return button;
}

static GtkWidget *make_tools(struct mailbox_page *p)
{
	GtkWidget *box, *row = tool_row_new(&box);
	p->chooser = tool_row_name(gtk_drop_down_new(NULL, NULL), _("Account"));
	gtk_box_append(GTK_BOX(box), p->chooser);
	GtkWidget *open = make_button(_("Open mailbox"), "mailbox.open", _("Lists what is on the server"));
	gtk_widget_add_css_class(open, "suggested-action");
	gtk_box_append(GTK_BOX(box), open);
	gtk_box_append(GTK_BOX(box),
	               make_button(_("Download mail"), "mailbox.download", _("Saves the mails that are not ticked")));
	gtk_box_append(GTK_BOX(box), make_button(_("Close mailbox"), "mailbox.close",
	                                         _("Deletes the ticked mails and ends the session")));
	gtk_box_append(GTK_BOX(box), make_button(_("Undo"), "mailbox.undo", _("Takes back the last tick")));
	p->search = tool_row_name(gtk_search_entry_new(), _("Filter"));
	gtk_widget_set_hexpand(p->search, TRUE);
	g_object_set(p->search, "placeholder-text", _("Filter"), NULL);
	g_signal_connect(p->search, "search-changed", G_CALLBACK(search_changed), p);
	g_signal_connect(p->search, "activate", G_CALLBACK(search_done), p);
	gtk_box_append(GTK_BOX(box), p->search);
	return row;
}

static void hide_info(GtkInfoBar *info, int response UNUSED, void *context UNUSED)
{
	gtk_info_bar_set_revealed(info, FALSE);
}

/* The info bar's own one has no name. */
static GtkWidget *make_hide(void)
{
	GtkWidget *button = gtk_button_new_from_icon_name("window-close-symbolic");
	gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Hide this notice"), -1);
	gtk_widget_set_tooltip_text(button, _("Hide this notice"));
	gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
	gtk_widget_add_css_class(button, "flat");
	return button;
}

static GtkWidget *make_info(struct mailbox_page *p)
{
	p->info = gtk_info_bar_new();
	p->message = gtk_label_new(NULL);
	gtk_label_set_wrap(GTK_LABEL(p->message), TRUE);
	gtk_label_set_wrap_mode(GTK_LABEL(p->message), PANGO_WRAP_WORD_CHAR);
	/* GTK 4.8 complains about one that may become as narrow as a letter */
	gtk_label_set_width_chars(GTK_LABEL(p->message), NOTICE_WIDTH);
	gtk_label_set_selectable(GTK_LABEL(p->message), TRUE);
	gtk_label_set_xalign(GTK_LABEL(p->message), 0);
	gtk_info_bar_add_child(GTK_INFO_BAR(p->info), p->message);
	gtk_info_bar_add_action_widget(GTK_INFO_BAR(p->info), make_hide(), GTK_RESPONSE_CLOSE);
	gtk_info_bar_set_revealed(GTK_INFO_BAR(p->info), FALSE);
	g_signal_connect(p->info, "response", G_CALLBACK(hide_info), NULL);
	return p->info;
}

static GtkWidget *make_foot(struct mailbox_page *p)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
	p->status = gtk_label_new(NULL);
	p->progress = gtk_progress_bar_new();
	gtk_label_set_ellipsize(GTK_LABEL(p->status), PANGO_ELLIPSIZE_END);
	gtk_widget_set_hexpand(p->progress, TRUE);
	gtk_widget_set_valign(p->progress, GTK_ALIGN_CENTER);
	gtk_box_append(GTK_BOX(box), p->status);
	gtk_box_append(GTK_BOX(box), p->progress);
	p->cancel = make_button(_("Cancel"), "mailbox.cancel", _("Breaks the connection; nothing is deleted"));
	gtk_box_append(GTK_BOX(box), p->cancel);
	gtk_widget_add_css_class(box, "toolbar");
	gtk_widget_set_size_request(box, -1, FOOT_HEIGHT);
	return box;
}

static void add_account(GtkButton *button UNUSED, struct mailbox_page *p)
{
	account_form_show(p->app, p->app->window, NULL, NULL, NULL);
}

/* The two take turns. */
static GtkWidget *make_list(struct mailbox_page *p, const struct mail_list_watch *watch)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
	p->list = mail_list_new(watch);
	p->mails = gtk_scrolled_window_new();
	p->empty = adw_status_page_new();
	p->add = gtk_button_new_with_label(_("Add an account"));
	gtk_widget_set_halign(p->add, GTK_ALIGN_CENTER);
	gtk_widget_add_css_class(p->add, "pill");
	gtk_widget_add_css_class(p->add, "suggested-action");
	g_signal_connect(p->add, "clicked", G_CALLBACK(add_account), p);
	adw_status_page_set_child(ADW_STATUS_PAGE(p->empty), p->add);
	adw_status_page_set_icon_name(ADW_STATUS_PAGE(p->empty), "mail-read-symbolic");
	gtk_widget_add_css_class(p->empty, "compact");
	gtk_widget_set_vexpand(p->empty, TRUE);
	gtk_widget_set_vexpand(p->mails, TRUE);
	gtk_scrolled_window_set_child(GTK_SCROLLED_WINDOW(p->mails), mail_list_widget(p->list));
	paced_scroll_add(GTK_SCROLLED_WINDOW(p->mails));
	gtk_box_append(GTK_BOX(box), p->empty);
	gtk_box_append(GTK_BOX(box), p->mails);
	return box;
}

struct mailbox_page *mailbox_page_new(struct app *app)
{
	struct mailbox_page *p = mem_alloc(sizeof *p);
	const struct mail_list_watch watch = { ticks_changed, selected, p };
	GtkWidget *paned = gtk_paned_new(GTK_ORIENTATION_VERTICAL);
	p->app = app;
	p->visits = g_ptr_array_new_with_free_func(free_visit);
	p->refused = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	p->actions = g_simple_action_group_new();
	g_action_map_add_action_entries(G_ACTION_MAP(p->actions), entries, (int)COUNT_OF(entries), p);
	p->widget = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
	gtk_box_append(GTK_BOX(p->widget), make_tools(p));
	gtk_box_append(GTK_BOX(p->widget), make_info(p));
	p->preview = preview_pane_new(app);
	gtk_paned_set_start_child(GTK_PANED(paned), make_list(p, &watch));
	gtk_paned_set_end_child(GTK_PANED(paned), preview_pane_widget(p->preview));
	gtk_paned_set_shrink_start_child(GTK_PANED(paned), FALSE);
	gtk_paned_set_position(GTK_PANED(paned), LIST_HEIGHT);
	gtk_widget_set_vexpand(paned, TRUE);
	gtk_box_append(GTK_BOX(p->widget), paned);
	gtk_box_append(GTK_BOX(p->widget), make_foot(p));
	gtk_widget_insert_action_group(p->widget, "mailbox", G_ACTION_GROUP(p->actions));
	mailbox_page_show_accounts(p);
	return p;
}

void mailbox_page_free(struct mailbox_page *p)
{
	if (!p)
		return;
	g_ptr_array_unref(p->visits);
	g_hash_table_unref(p->refused);
	g_object_unref(p->actions);
	preview_pane_free(p->preview);
	mail_list_free(p->list);
	free(p);
}

GtkWidget *mailbox_page_widget(struct mailbox_page *p)
{
	return p->widget;
}

GActionGroup *mailbox_page_actions(struct mailbox_page *p)
{
	return G_ACTION_GROUP(p->actions);
}

void mailbox_page_focus_filter(struct mailbox_page *p)
{
	gtk_widget_grab_focus(p->search);
}

void mailbox_page_show_accounts(struct mailbox_page *p)
{
	g_autoptr(GtkStringList) names = gtk_string_list_new(NULL);
	for (size_t i = 0; i < p->app->accounts.count; i++)
		gtk_string_list_append(names, p->app->accounts.items[i].name);
	if (p->app->accounts.count > 1)
		gtk_string_list_append(names, _("All accounts"));
	gtk_drop_down_set_model(GTK_DROP_DOWN(p->chooser), G_LIST_MODEL(names));
	if (p->waits)
		stop_waiting(p);
	if (p->visits->len == 0)
		gtk_info_bar_set_revealed(GTK_INFO_BAR(p->info), FALSE);
	refresh(p);
}

bool mailbox_page_is_open(struct mailbox_page *p)
{
	return p->visits->len > 0 || p->waits;
}

void mailbox_page_check_ended(struct mailbox_page *p)
{
	if (p->waits && !is_checked(p))
		open_chosen(p);
}
