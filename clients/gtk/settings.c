#include "settings.h"

#include "account_form.h"
#include "clock.h"
#include "display.h"
#include "mail_file.h"
#include "mem.h"
#include "password.h"

#include <glib/gi18n.h>

struct settings {
	struct app *app;
	GtkWidget *window, *accounts, *rules, *property, *action, *value;
	AdwPreferencesPage *accounts_page, *rules_page, *log_page;
};

static void build_accounts(struct settings *s);
static void build_rules(struct settings *s);

static void tell(struct settings *s, const char *text)
{
	adw_preferences_window_add_toast(ADW_PREFERENCES_WINDOW(s->window), adw_toast_new(text));
}

static GtkWidget *flat_button(const char *icon, const char *name, const char *of)
{
	GtkWidget *button = gtk_button_new_from_icon_name(icon);
	g_autofree char *label = g_strdup_printf("%s: %s", name, of);
	gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, label, -1);
	gtk_widget_set_tooltip_text(button, name);
	gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
	gtk_widget_add_css_class(button, "flat");
	return button;
}

static GtkWidget *named_row(const char *title, const char *subtitle)
{
	GtkWidget *row = adw_action_row_new();
	adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
	adw_action_row_set_subtitle(ADW_ACTION_ROW(row), subtitle);
	return row;
}

static void add_group(AdwPreferencesPage *page, GtkWidget **group, const char *title)
{
	if (*group)
		adw_preferences_page_remove(page, ADW_PREFERENCES_GROUP(*group));
	*group = adw_preferences_group_new();
	adw_preferences_group_set_title(ADW_PREFERENCES_GROUP(*group), title);
	adw_preferences_page_add(page, ADW_PREFERENCES_GROUP(*group));
}

/* ---- accounts ---- */

static void accounts_changed(void *context)
{
	build_accounts(context);
}

static const struct account *account_of(struct settings *s, GtkWidget *button)
{
	const char *name = g_object_get_data(G_OBJECT(button), "account");
	for (size_t i = 0; i < s->app->accounts.count; i++)
		if (strcmp(s->app->accounts.items[i].name, name) == 0)
			return &s->app->accounts.items[i];
	return NULL;
}

static void change_account(GtkWidget *button, struct settings *s)
{
	account_form_show(s->app, GTK_WINDOW(s->window), account_of(s, button), accounts_changed, s);
}

static void add_account(GtkWidget *button UNUSED, struct settings *s)
{
	account_form_show(s->app, GTK_WINDOW(s->window), NULL, accounts_changed, s);
}

struct removal {
	struct settings *settings;
	char *account;
};

static void removal_answered(AdwMessageDialog *dialog UNUSED, const char *response, struct removal *removal)
{
	struct settings *s = removal->settings;
	CLEANUP(fail_free) struct fail *why = NULL;
	struct account account;
	if (g_strcmp0(response, "remove") == 0 && account_find(s->app->book, removal->account, &account, &why)) {
		password_forget(&account);
		if (!account_remove(s->app->book, removal->account, &why))
			tell(s, fail_text(why));
		app_load_accounts(s->app);
		build_accounts(s);
	}
	g_free(removal->account);
	g_free(removal);
}

static void remove_account(GtkWidget *button, struct settings *s)
{
	const struct account *account = account_of(s, button);
	struct removal *removal = g_new0(struct removal, 1);
	GtkWidget *dialog =
		adw_message_dialog_new(GTK_WINDOW(s->window), _("Remove the account?"),
	                           _("Its mails on the server are not touched; its password leaves the keyring."));
	*removal = (struct removal){ s, g_strdup(account->name) };
	adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("Cancel"), "remove", _("Remove"), NULL);
	adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "remove", ADW_RESPONSE_DESTRUCTIVE);
	g_signal_connect(dialog, "response", G_CALLBACK(removal_answered), removal);
	gtk_window_present(GTK_WINDOW(dialog));
}

static void add_account_row(struct settings *s, const struct account *account)
{
	CLEANUP(buf_release) struct buf url = BUF_WITH_LIMIT(2000);
	GtkWidget *change = flat_button("document-edit-symbolic", _("Change"), account->name);
	GtkWidget *remove = flat_button("user-trash-symbolic", _("Remove"), account->name);
	server_print_url(&url, &account->mailbox);
	if (account->mailbox.tls == SERVER_TLS_NONE)
		buf_printf(&url, " (%s)", _("not encrypted"));
	GtkWidget *row = named_row(account->name, buf_text(&url));
	g_object_set_data_full(G_OBJECT(change), "account", g_strdup(account->name), g_free);
	g_object_set_data_full(G_OBJECT(remove), "account", g_strdup(account->name), g_free);
	g_signal_connect(change, "clicked", G_CALLBACK(change_account), s);
	g_signal_connect(remove, "clicked", G_CALLBACK(remove_account), s);
	adw_action_row_add_suffix(ADW_ACTION_ROW(row), change);
	adw_action_row_add_suffix(ADW_ACTION_ROW(row), remove);
	adw_preferences_group_add(ADW_PREFERENCES_GROUP(s->accounts), row);
}

static void build_accounts(struct settings *s)
{
	GtkWidget *button = gtk_button_new_with_label(_("Add account"));
	add_group(s->accounts_page, &s->accounts, _("Accounts"));
	g_signal_connect(button, "clicked", G_CALLBACK(add_account), s);
	adw_preferences_group_set_header_suffix(ADW_PREFERENCES_GROUP(s->accounts), button);
	if (s->app->accounts.count == 0)
		adw_preferences_group_set_description(ADW_PREFERENCES_GROUP(s->accounts), _("No account"));
	for (size_t i = 0; i < s->app->accounts.count; i++)
		add_account_row(s, &s->app->accounts.items[i]);
}

/* ---- saving and looking ---- */

static const char *const format_names[MAIL_FORMAT_COUNT] = { "eml", "maildir", "mbox" };

static void entry_applied(GtkWidget *row, struct settings *s)
{
	app_set(s->app, g_object_get_data(G_OBJECT(row), "key"), NULL, gtk_editable_get_text(GTK_EDITABLE(row)));
}

static void add_entry(struct settings *s, GtkWidget *group, const char *key, const char *title, char *text)
{
	GtkWidget *row = adw_entry_row_new();
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
	gtk_editable_set_text(GTK_EDITABLE(row), text);
	g_object_set_data(G_OBJECT(row), "key", (void *)key);
	g_signal_connect(row, "changed", G_CALLBACK(entry_applied), s);
	adw_preferences_group_add(ADW_PREFERENCES_GROUP(group), row);
	free(text);
}

static void format_chosen(AdwComboRow *row, GParamSpec *spec UNUSED, struct settings *s)
{
	app_set(s->app, SETTING_FORMAT, NULL, format_names[adw_combo_row_get_selected(row)]);
}

static void add_format(struct settings *s, GtkWidget *group)
{
	static const char *const words[] = { N_("One .eml file per mail"), N_("Maildir"), N_("mbox"), NULL };
	GtkWidget *row = adw_combo_row_new();
	g_autoptr(GtkStringList) list = gtk_string_list_new(NULL);
	CLEANUP(mem_free) char *chosen = app_setting(s->app, SETTING_FORMAT, NULL, "eml");
	enum mail_format format = MAIL_EML;
	mail_format_find(str_of(chosen), &format);
	for (size_t i = 0; words[i]; i++)
		gtk_string_list_append(list, _(words[i]));
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), _("Downloads are saved as"));
	adw_combo_row_set_model(ADW_COMBO_ROW(row), G_LIST_MODEL(list));
	adw_combo_row_set_selected(ADW_COMBO_ROW(row), format);
	g_signal_connect(row, "notify::selected", G_CALLBACK(format_chosen), s);
	adw_preferences_group_add(ADW_PREFERENCES_GROUP(group), row);
}

static void copies_switched(GtkSwitch *button, GParamSpec *spec UNUSED, struct settings *s)
{
	app_set(s->app, SETTING_COPIES, NULL, gtk_switch_get_active(button) ? "1" : "0");
}

static void add_copies(struct settings *s, GtkWidget *group)
{
	GtkWidget *row = named_row(_("Keep a full copy of deleted mails"),
	                           _("Each is fetched before it is deleted, and kept for 30 days"));
	GtkWidget *button = gtk_switch_new();
	gtk_switch_set_active(GTK_SWITCH(button), app_is_set(s->app, SETTING_COPIES, NULL));
	gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
	g_signal_connect(button, "notify::active", G_CALLBACK(copies_switched), s);
	adw_action_row_add_suffix(ADW_ACTION_ROW(row), button);
	adw_action_row_set_activatable_widget(ADW_ACTION_ROW(row), button);
	adw_preferences_group_add(ADW_PREFERENCES_GROUP(group), row);
}

static AdwPreferencesPage *add_page(struct settings *s, const char *title, const char *icon)
{
	AdwPreferencesPage *page = ADW_PREFERENCES_PAGE(adw_preferences_page_new());
	adw_preferences_page_set_title(page, title);
	adw_preferences_page_set_icon_name(page, icon);
	adw_preferences_window_add(ADW_PREFERENCES_WINDOW(s->window), page);
	return page;
}

static void build_mailbox(struct settings *s)
{
	AdwPreferencesPage *page = add_page(s, _("Mailbox"), "mail-read-symbolic");
	GtkWidget *saving = NULL, *checking = NULL;
	add_group(page, &saving, _("Saving"));
	add_entry(s, saving, SETTING_FOLDER, _("Download folder"), app_download_folder(s->app));
	add_format(s, saving);
	add_copies(s, saving);
	add_group(page, &checking, _("Connections"));
	add_entry(s, checking, SETTING_MINUTES, _("Minutes between checks for new mail; empty for none"),
	          app_setting(s->app, SETTING_MINUTES, NULL, ""));
	add_entry(s, checking, SETTING_CA, _("File of trusted authorities; empty for those of the system"),
	          app_setting(s->app, SETTING_CA, NULL, ""));
}

/* ---- rules ---- */

static const char *const property_words[RULE_PROPERTY_COUNT] = {
	[RULE_FROM] = N_("From contains"),          [RULE_TO] = N_("To contains"),
	[RULE_SUBJECT] = N_("Subject contains"),    [RULE_LIST_ID] = N_("List-Id contains"),
	[RULE_SIZE] = N_("Larger than (kB)"),       [RULE_AGE] = N_("Older than (days)"),
	[RULE_SPAM] = N_("Spam score of at least"),
};

static const char *const action_words[RULE_ACTION_COUNT] = {
	[RULE_NOTHING] = "", [RULE_MARK] = N_("Mark"), [RULE_TICK] = N_("Tick for deletion")
};

static void remove_rule(GtkWidget *button, struct settings *s)
{
	struct desk_rules rules = {};
	size_t at = GPOINTER_TO_SIZE(g_object_get_data(G_OBJECT(button), "rule"));
	CLEANUP(fail_free) struct fail *why = NULL;
	bool good = desk_load_rules(s->app->desk, &rules, &why);
	if (good && at < rules.list.count) {
		array_remove(&rules.list, at);
		good = desk_save_rules(s->app->desk, &rules, &why);
	}
	array_release(&rules.list);
	if (!good)
		tell(s, fail_text(why));
	build_rules(s);
}

static void add_rule(GtkWidget *button UNUSED, struct settings *s)
{
	struct desk_rules rules = {};
	CLEANUP(fail_free) struct fail *why = NULL;
	struct rule rule = { .property = (enum rule_property)adw_combo_row_get_selected(ADW_COMBO_ROW(s->property)),
		                 .action = (enum rule_action)(adw_combo_row_get_selected(ADW_COMBO_ROW(s->action)) +
		                                              RULE_MARK) };
	str_copy_to_array(str_of(gtk_editable_get_text(GTK_EDITABLE(s->value))), rule.value, sizeof rule.value);
	if (!rule_is_valid(&rule)) {
		tell(s, _("This rule lacks its text, or its number."));
		return;
	}
	bool good = desk_load_rules(s->app->desk, &rules, &why);
	if (good) {
		*array_add(&rules.list) = rule;
		good = desk_save_rules(s->app->desk, &rules, &why);
	}
	array_release(&rules.list);
	if (!good)
		tell(s, fail_text(why));
	build_rules(s);
}

static GtkWidget *add_words(GtkWidget *group, const char *title, const char *const *words, size_t count)
{
	GtkWidget *row = adw_combo_row_new();
	g_autoptr(GtkStringList) list = gtk_string_list_new(NULL);
	for (size_t i = 0; i < count; i++)
		gtk_string_list_append(list, _(words[i]));
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
	adw_combo_row_set_model(ADW_COMBO_ROW(row), G_LIST_MODEL(list));
	adw_preferences_group_add(ADW_PREFERENCES_GROUP(group), row);
	return row;
}

static void add_rule_form(struct settings *s)
{
	GtkWidget *button = gtk_button_new_with_label(_("Add rule"));
	s->property = add_words(s->rules, _("Mails whose"), property_words, COUNT_OF(property_words));
	s->value = adw_entry_row_new();
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(s->value), _("Text or number"));
	adw_preferences_group_add(ADW_PREFERENCES_GROUP(s->rules), s->value);
	s->action = add_words(s->rules, _("What is done"), action_words + RULE_MARK, COUNT_OF(action_words) - RULE_MARK);
	g_signal_connect(button, "clicked", G_CALLBACK(add_rule), s);
	adw_preferences_group_set_header_suffix(ADW_PREFERENCES_GROUP(s->rules), button);
}

static void build_rules(struct settings *s)
{
	struct desk_rules rules = {};
	desk_load_rules(s->app->desk, &rules, NULL);
	add_group(s->rules_page, &s->rules, _("Rules"));
	add_rule_form(s);
	for (size_t i = 0; i < rules.list.count; i++) {
		const struct rule *rule = &rules.list.items[i];
		g_autofree char *title = g_strdup_printf("%s: %s", _(property_words[rule->property]), rule->value);
		GtkWidget *row = named_row(title, _(action_words[rule->action]));
		GtkWidget *button = flat_button("user-trash-symbolic", _("Remove"), title);
		g_object_set_data(G_OBJECT(button), "rule", GSIZE_TO_POINTER(i));
		g_signal_connect(button, "clicked", G_CALLBACK(remove_rule), s);
		adw_action_row_add_suffix(ADW_ACTION_ROW(row), button);
		adw_preferences_group_add(ADW_PREFERENCES_GROUP(s->rules), row);
	}
	array_release(&rules.list);
}

/* ---- the log of deletions ---- */

static void save_chosen(GtkNativeDialog *chooser, int response, struct settings *s)
{
	if (response == GTK_RESPONSE_ACCEPT) {
		g_autoptr(GFile) to = gtk_file_chooser_get_file(GTK_FILE_CHOOSER(chooser));
		g_autoptr(GFile) from = g_file_new_for_path(g_object_get_data(G_OBJECT(chooser), "copy"));
		g_autoptr(GError) error = NULL;
		g_file_copy(from, to, G_FILE_COPY_OVERWRITE, NULL, NULL, NULL, &error);
		tell(s, error ? error->message : _("The copy is saved."));
	}
	g_object_unref(chooser);
}

static void save_copy(GtkWidget *button, struct settings *s)
{
	GtkFileChooserNative *chooser = gtk_file_chooser_native_new(_("Save the kept copy"), GTK_WINDOW(s->window),
	                                                            GTK_FILE_CHOOSER_ACTION_SAVE, NULL, NULL);
	gtk_file_chooser_set_current_name(GTK_FILE_CHOOSER(chooser), "mail.eml");
	g_object_set_data_full(G_OBJECT(chooser), "copy", g_strdup(g_object_get_data(G_OBJECT(button), "copy")), g_free);
	g_signal_connect(chooser, "response", G_CALLBACK(save_chosen), s);
	gtk_native_dialog_show(GTK_NATIVE_DIALOG(chooser));
}

struct log_list {
	struct settings *settings;
	GtkWidget *group;
	size_t count;
};

enum { LOG_SHOWN_MAX = 500 };

static void add_deletion(void *context, const struct desk_deletion *one)
{
	static const char *const fates[] = {
		[DESK_PENDING] = N_("not finished"), [DESK_DELETED] = N_("deleted"),
		[DESK_UNKNOWN] = N_("unknown whether deleted"), [DESK_GONE] = N_("deleted, and seen to be gone"),
		[DESK_STILL_THERE] = N_("still on the server"),
	};
	struct log_list *l = context;
	if (l->count++ >= LOG_SHOWN_MAX)
		return;
	CLEANUP(buf_release) struct buf header = BUF_WITH_LIMIT((size_t)4 * LIMIT_CLIENT_HEADER_MAX);
	g_autoptr(GDateTime) when = g_date_time_new_from_unix_local(one->when);
	g_autofree char *date = g_date_time_format(when, "%x %H:%M");
	const char *fate = (unsigned)one->fate < COUNT_OF(fates) ? _(fates[one->fate]) : "";
	g_autofree char *text = g_strdup_printf("%s, %s, %s, %s", one->from, one->mailbox, date, fate);
	GtkWidget *row = adw_expander_row_new(), *label = gtk_label_new(NULL);
	adw_preferences_row_set_use_markup(ADW_PREFERENCES_ROW(row), FALSE);
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), one->subject);
	adw_expander_row_set_subtitle(ADW_EXPANDER_ROW(row), text);
	display_lines(&header, one->header);
	gtk_label_set_text(GTK_LABEL(label), buf_text(&header));
	gtk_label_set_wrap(GTK_LABEL(label), TRUE);
	gtk_label_set_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
	gtk_label_set_selectable(GTK_LABEL(label), TRUE);
	gtk_label_set_xalign(GTK_LABEL(label), 0);
	adw_expander_row_add_row(ADW_EXPANDER_ROW(row), label);
	if (*one->copy) {
		GtkWidget *button = flat_button("document-save-symbolic", _("Save the kept copy"), one->subject);
		g_object_set_data_full(G_OBJECT(button), "copy", g_strdup(one->copy), g_free);
		g_signal_connect(button, "clicked", G_CALLBACK(save_copy), l->settings);
		adw_expander_row_add_action(ADW_EXPANDER_ROW(row), button);
	}
	adw_preferences_group_add(ADW_PREFERENCES_GROUP(l->group), row);
}

static void build_log(struct settings *s)
{
	struct log_list list = { .settings = s };
	CLEANUP(fail_free) struct fail *why = NULL;
	s->log_page = add_page(s, _("Deleted"), "user-trash-symbolic");
	add_group(s->log_page, &list.group, _("Deleted within the last 30 days"));
	if (!desk_log_purge(s->app->desk, clock_wall_seconds(), &why) ||
	    !desk_log_each(s->app->desk, add_deletion, &list, &why))
		tell(s, fail_text(why));
	g_autofree char *text = g_strdup_printf(ngettext("%zu mail", "%zu mails", list.count), list.count);
	adw_preferences_group_set_description(ADW_PREFERENCES_GROUP(list.group), text);
}

void settings_show(struct app *app)
{
	struct settings *s = g_new0(struct settings, 1);
	s->app = app;
	s->window = adw_preferences_window_new();
	gtk_window_set_title(GTK_WINDOW(s->window), _("Settings"));
	gtk_window_set_transient_for(GTK_WINDOW(s->window), app->window);
	gtk_window_set_modal(GTK_WINDOW(s->window), TRUE);
	adw_preferences_window_set_search_enabled(ADW_PREFERENCES_WINDOW(s->window), FALSE);
	g_object_set_data_full(G_OBJECT(s->window), "settings", s, g_free);
	s->accounts_page = add_page(s, _("Accounts"), "system-users-symbolic");
	build_accounts(s);
	build_mailbox(s);
	s->rules_page = add_page(s, _("Rules"), "mail-mark-important-symbolic");
	build_rules(s);
	build_log(s);
	gtk_window_present(GTK_WINDOW(s->window));
}
