#include "account_form.h"

#include "autoconfig.h"
#include "password.h"
#include "tool_row.h"

#include <glib/gi18n.h>

struct account_form {
	struct app *app;
	GtkWidget *window, *address, *find, *name, *host, *port, *tls, *user, *method, *password, *deletes, *error;
	struct account before; /* name "": a new one */
	GCancellable *search;
	void (*saved)(void *context);
	void *context;
};

static const char *const tls_words[SERVER_TLS_COUNT] = {
	[SERVER_TLS_IMPLICIT] = N_("TLS from the start"),
	[SERVER_TLS_STARTTLS] = N_("TLS begun by STLS"),
	[SERVER_TLS_NONE] = N_("None: everybody on the way can read it"),
};

static void free_form(void *memory)
{
	struct account_form *f = memory;
	g_cancellable_cancel(f->search);
	g_object_unref(f->search);
	g_free(f);
}

static const char *text_of(GtkWidget *row)
{
	return gtk_editable_get_text(GTK_EDITABLE(row));
}

static void show_error(struct account_form *f, const char *text)
{
	gtk_label_set_text(GTK_LABEL(f->error), text);
	gtk_widget_set_visible(f->error, *text != '\0');
}

/* ---- from the form to the account ---- */

static bool copy(char *to, size_t size, const char *text, const char *what, struct fail **fail)
{
	if (strlen(text) >= size)
		return fail_set(fail, FAIL_INVALID, _("%s is too long"), what);
	str_copy_to_array(str_of(text), to, size);
	return true;
}

static bool take_port(const char *text, uint16_t *port, struct fail **fail)
{
	uint64_t number = 0;
	if (*text && (!str_to_u64(str_of(text), UINT16_MAX, &number) || number == 0))
		return fail_set(fail, FAIL_INVALID, "%s",
		                _("The port is a number from 1 to 65535, or empty for the usual one."));
	*port = (uint16_t)number;
	return true;
}

/* A URL, or a port behind the host, says more than the other rows, and wins. */
static bool parse_server(const char *text, struct server *server, struct fail **fail)
{
	return server_is_url(str_of(text)) ? server_parse_url(str_of(text), server, fail)
	                                   : server_parse_host(str_of(text), server, fail);
}

static bool take(struct account_form *f, struct account *account, struct fail **fail)
{
	struct server *server = &account->mailbox;
	*account = f->before;
	*server = (struct server){ .protocol = SERVER_POP3,
		                       .tls = (enum server_tls)adw_combo_row_get_selected(ADW_COMBO_ROW(f->tls)) };
	account->method = (enum login_method)adw_combo_row_get_selected(ADW_COMBO_ROW(f->method));
	return parse_server(text_of(f->host), server, fail) &&
	       (server->port || take_port(text_of(f->port), &server->port, fail)) &&
	       (server->user[0] || copy(server->user, sizeof server->user, text_of(f->user), _("User"), fail)) &&
	       copy(account->name, sizeof account->name, *text_of(f->name) ? text_of(f->name) : text_of(f->address),
	            _("Name"), fail) &&
	       copy(account->address, sizeof account->address, text_of(f->address), _("Address"), fail);
}

static void save(GtkButton *button UNUSED, struct account_form *f)
{
	struct account account;
	CLEANUP(fail_free) struct fail *why = NULL;
	bool good = take(f, &account, &why) &&
	            (f->before.name[0] ? account_change(f->app->book, f->before.name, &account, &why)
	                               : account_add(f->app->book, &account, &why));
	if (!good) {
		show_error(f, fail_text(why));
		return;
	}
	if (*text_of(f->password))
		password_keep(f->app, &account, text_of(f->password));
	app_set(f->app, SETTING_DELETE_AFTER, account.name, gtk_switch_get_active(GTK_SWITCH(f->deletes)) ? "1" : "0");
	app_load_accounts(f->app);
	if (f->saved)
		f->saved(f->context);
	gtk_window_destroy(GTK_WINDOW(f->window));
}

/* ---- autoconfiguration ---- */

static void fill_server(struct account_form *f, const struct server *server)
{
	g_autofree char *port = server->port ? g_strdup_printf("%u", server->port) : g_strdup("");
	gtk_editable_set_text(GTK_EDITABLE(f->host), server->host);
	gtk_editable_set_text(GTK_EDITABLE(f->port), port);
	gtk_editable_set_text(GTK_EDITABLE(f->user), server->user);
	adw_combo_row_set_selected(ADW_COMBO_ROW(f->tls), server->tls);
}

static void found(void *context, const struct server *server, const char *why)
{
	struct account_form *f = context;
	gtk_widget_set_sensitive(f->find, TRUE);
	show_error(f, server ? "" : why);
	if (server)
		fill_server(f, server);
}

static void find(GtkButton *button UNUSED, struct account_form *f)
{
	gtk_widget_set_sensitive(f->find, FALSE);
	show_error(f, _("Looking for the servers of this address …"));
	autoconfig_find(text_of(f->address), f->search, found, f);
}

/* ---- widgets ---- */

static GtkWidget *add_entry(AdwPreferencesGroup *group, GtkWidget *row, const char *title, const char *text)
{
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
	gtk_editable_set_text(GTK_EDITABLE(row), text);
	adw_preferences_group_add(group, row);
	return row;
}

static GtkWidget *add_choice(AdwPreferencesGroup *group, const char *title, GtkStringList *words, unsigned selected)
{
	GtkWidget *row = adw_combo_row_new();
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
	adw_combo_row_set_model(ADW_COMBO_ROW(row), G_LIST_MODEL(words));
	adw_combo_row_set_selected(ADW_COMBO_ROW(row), selected);
	adw_preferences_group_add(group, row);
	g_object_unref(words);
	return row;
}

static GtkStringList *tls_list(void)
{
	GtkStringList *words = gtk_string_list_new(NULL);
	for (size_t i = 0; i < COUNT_OF(tls_words); i++)
		gtk_string_list_append(words, _(tls_words[i]));
	return words;
}

static GtkStringList *method_list(void)
{
	GtkStringList *words = gtk_string_list_new(NULL);
	for (enum login_method method = LOGIN_BEST; method < LOGIN_METHOD_COUNT; method++) {
		g_autofree char *name = g_ascii_strup(login_method_name(method), -1);
		gtk_string_list_append(words, method == LOGIN_BEST ? _("The best that is offered") : name);
	}
	return words;
}

static GtkWidget *add_switch(AdwPreferencesGroup *group, const char *title, bool active)
{
	GtkWidget *row = adw_action_row_new(), *button = gtk_switch_new();
	adw_preferences_row_set_title(ADW_PREFERENCES_ROW(row), title);
	gtk_switch_set_active(GTK_SWITCH(button), active);
	gtk_widget_set_valign(button, GTK_ALIGN_CENTER);
	adw_action_row_add_suffix(ADW_ACTION_ROW(row), button);
	adw_action_row_set_activatable_widget(ADW_ACTION_ROW(row), button);
	adw_preferences_group_add(group, row);
	return button;
}

static GtkWidget *make_rows(struct account_form *f)
{
	const struct server *server = &f->before.mailbox;
	GtkWidget *page = adw_preferences_page_new();
	AdwPreferencesGroup *group = ADW_PREFERENCES_GROUP(adw_preferences_group_new());
	g_autofree char *port = server->port ? g_strdup_printf("%u", server->port) : g_strdup("");
	f->address = add_entry(group, adw_entry_row_new(), _("Address"), f->before.address);
	f->find = gtk_button_new_with_label(_("Find servers"));
	gtk_widget_set_valign(f->find, GTK_ALIGN_CENTER);
	g_signal_connect(f->find, "clicked", G_CALLBACK(find), f);
	adw_entry_row_add_suffix(ADW_ENTRY_ROW(f->address), f->find);
	f->name = add_entry(group, adw_entry_row_new(), _("Name"), f->before.name);
	f->host = add_entry(group, adw_entry_row_new(), _("POP3 server"), server->host);
	f->port = add_entry(group, adw_entry_row_new(), _("Port"), port);
	f->tls = add_choice(group, _("Encryption"), tls_list(), server->tls);
	f->user = add_entry(group, adw_entry_row_new(), _("User"), server->user);
	f->password = add_entry(group, adw_password_entry_row_new(), _("Password"), "");
	tool_row_name_buttons(f->password);
	f->method = add_choice(group, _("Log-in"), method_list(), f->before.method);
	f->deletes = add_switch(group, _("Tick mails for deletion when they are downloaded"),
	                        app_is_set(f->app, SETTING_DELETE_AFTER, f->before.name));
	f->error = gtk_label_new(NULL);
	gtk_label_set_wrap(GTK_LABEL(f->error), TRUE);
	gtk_widget_add_css_class(f->error, "error");
	gtk_widget_set_visible(f->error, FALSE);
	adw_preferences_group_add(group, f->error);
	adw_preferences_page_add(ADW_PREFERENCES_PAGE(page), group);
	return page;
}

void account_form_show(struct app *app, GtkWindow *parent, const struct account *account, void (*saved)(void *context),
                       void *context)
{
	struct account_form *f = g_new0(struct account_form, 1);
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0), *bar = adw_header_bar_new();
	GtkWidget *button = gtk_button_new_with_label(_("Save"));
	f->app = app;
	f->saved = saved;
	f->context = context;
	f->search = g_cancellable_new();
	if (account)
		f->before = *account;
	f->window = adw_window_new();
	gtk_window_set_title(GTK_WINDOW(f->window), account ? _("Change account") : _("New account"));
	gtk_window_set_transient_for(GTK_WINDOW(f->window), parent);
	gtk_window_set_modal(GTK_WINDOW(f->window), TRUE);
	gtk_window_set_default_size(GTK_WINDOW(f->window), 520, 640);
	gtk_widget_add_css_class(button, "suggested-action");
	g_signal_connect(button, "clicked", G_CALLBACK(save), f);
	adw_header_bar_pack_end(ADW_HEADER_BAR(bar), button);
	gtk_box_append(GTK_BOX(box), bar);
	GtkWidget *rows = make_rows(f);
	gtk_widget_set_vexpand(rows, TRUE);
	gtk_box_append(GTK_BOX(box), rows);
	adw_window_set_content(ADW_WINDOW(f->window), box);
	g_object_set_data_full(G_OBJECT(f->window), "form", f, free_form);
	gtk_window_present(GTK_WINDOW(f->window));
	gtk_widget_grab_focus(f->address);
}
