#include "password.h"

#include "tick_box.h"

#include <glib/gi18n.h>
#include <libsecret/secret.h>

static const SecretSchema schema = {
	"org.posthorn.Desktop", SECRET_SCHEMA_NONE, { { "mailbox", SECRET_SCHEMA_ATTRIBUTE_STRING }, { NULL, 0 } }
};

struct search {
	struct app *app; /* NULL: nobody is asked */
	struct account account;
	char *mailbox;
	bool has_service;
	GtkWidget *entry, *keep;
	void (*given)(void *context, const struct account *account, const char *password);
	void *context;
};

static char *mailbox_name(const struct account *account)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(2000);
	server_print_mailbox(&name, &account->mailbox);
	return g_strdup(buf_text(&name));
}

static void give(struct search *search, const char *password)
{
	search->given(search->context, &search->account, password);
	g_free(search->mailbox);
	g_free(search);
}

static void answered(AdwMessageDialog *dialog UNUSED, const char *response, struct search *search)
{
	const char *password = gtk_editable_get_text(GTK_EDITABLE(search->entry));
	bool good = g_strcmp0(response, "open") == 0 && *password;
	if (good && search->has_service && gtk_check_button_get_active(GTK_CHECK_BUTTON(search->keep)))
		password_keep(search->app, &search->account, password);
	give(search, good ? password : NULL);
}

static void ask(struct search *search)
{
	GtkWidget *dialog = adw_message_dialog_new(search->app->window, _("Password"), NULL);
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 12);
	search->entry = gtk_entry_new();
	search->keep = tick_box_new();
	gtk_check_button_set_label(GTK_CHECK_BUTTON(search->keep), _("Keep it in the keyring"));
	adw_message_dialog_format_body(ADW_MESSAGE_DIALOG(dialog), "%s", search->mailbox);
	gtk_entry_set_visibility(GTK_ENTRY(search->entry), FALSE);
	gtk_entry_set_input_purpose(GTK_ENTRY(search->entry), GTK_INPUT_PURPOSE_PASSWORD);
	gtk_entry_set_activates_default(GTK_ENTRY(search->entry), TRUE);
	gtk_accessible_update_property(GTK_ACCESSIBLE(search->entry), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Password"), -1);
	gtk_box_append(GTK_BOX(box), search->entry);
	if (search->has_service)
		gtk_box_append(GTK_BOX(box), search->keep);
	else
		g_object_ref_sink(search->keep);
	adw_message_dialog_set_extra_child(ADW_MESSAGE_DIALOG(dialog), box);
	adw_message_dialog_add_responses(ADW_MESSAGE_DIALOG(dialog), "cancel", _("Cancel"), "open", _("Log in"), NULL);
	adw_message_dialog_set_default_response(ADW_MESSAGE_DIALOG(dialog), "open");
	adw_message_dialog_set_close_response(ADW_MESSAGE_DIALOG(dialog), "cancel");
	adw_message_dialog_set_response_appearance(ADW_MESSAGE_DIALOG(dialog), "open", ADW_RESPONSE_SUGGESTED);
	g_signal_connect(dialog, "response", G_CALLBACK(answered), search);
	gtk_window_present(GTK_WINDOW(dialog));
	gtk_widget_grab_focus(search->entry);
}

static void found(GObject *source UNUSED, GAsyncResult *result, void *memory)
{
	struct search *search = memory;
	g_autoptr(GError) error = NULL;
	char *password = secret_password_lookup_finish(result, &error);
	search->has_service = error == NULL;
	if (password)
		give(search, password);
	else if (search->app)
		ask(search);
	else
		give(search, NULL);
	secret_password_free(password);
}

static struct search *begin(struct app *app, const struct account *account,
                            void (*given)(void *context, const struct account *account, const char *password),
                            void *context)
{
	struct search *search = g_new0(struct search, 1);
	search->app = app;
	search->account = *account;
	search->mailbox = mailbox_name(account);
	search->given = given;
	search->context = context;
	return search;
}

void password_find(struct app *app, const struct account *account, bool is_wrong,
                   void (*given)(void *context, const struct account *account, const char *password), void *context)
{
	struct search *search = begin(app, account, given, context);
	search->has_service = is_wrong;
	if (is_wrong)
		ask(search);
	else
		secret_password_lookup(&schema, NULL, found, search, "mailbox", search->mailbox, NULL);
}

void password_find_silently(const struct account *account,
                            void (*given)(void *context, const struct account *account, const char *password),
                            void *context)
{
	struct search *search = begin(NULL, account, given, context);
	secret_password_lookup(&schema, NULL, found, search, "mailbox", search->mailbox, NULL);
}

static void kept(GObject *source UNUSED, GAsyncResult *result, void *memory)
{
	struct app *app = memory;
	g_autoptr(GError) error = NULL;
	if (secret_password_store_finish(result, &error) || !error)
		return;
	bool no_service = g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN);
	g_autofree char *text = g_strdup_printf(_("The keyring did not take it: %s. You are asked for it each time."),
	                                        error->message);
	app_tell(app, _("The password was not kept"),
	         no_service ? _("There is no keyring; you are asked for it each time.") : text);
}

void password_keep(struct app *app, const struct account *account, const char *password)
{
	g_autofree char *mailbox = mailbox_name(account);
	secret_password_store(&schema, SECRET_COLLECTION_DEFAULT, mailbox, password, NULL, kept, app, "mailbox", mailbox,
	                      NULL);
}

void password_forget(const struct account *account)
{
	g_autofree char *mailbox = mailbox_name(account);
	secret_password_clear(&schema, NULL, NULL, NULL, "mailbox", mailbox, NULL);
}
