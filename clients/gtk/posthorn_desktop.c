/* posthorn-desktop(1): what is in a POP3 mailbox before it is downloaded, and the protocol exerciser. */
#include "app.h"
#include "checker.h"
#include "clock.h"
#include "exerciser_page.h"
#include "mailbox_page.h"
#include "mem.h"
#include "settings.h"
#include "words.h"

#include <sys/stat.h>

#define APPLICATION_ID "org.posthorn.Desktop"

/* ---- what is kept ---- */

static void add_account(void *context, const struct account *account)
{
	struct app *app = context;
	*array_add(&app->accounts) = *account;
}

void app_load_accounts(struct app *app)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	app->accounts.count = 0;
	if (!account_each(app->book, add_account, app, &why))
		app_tell(app, _("The accounts can't be read"), fail_text(why));
	if (app->mailbox)
		mailbox_page_show_accounts(app->mailbox);
}

static char *setting_key(const char *key, const char *account)
{
	return account ? g_strdup_printf("%s:%s", key, account) : g_strdup(key);
}

char *app_setting(struct app *app, const char *key, const char *account, const char *otherwise)
{
	g_autofree char *full = setting_key(key, account);
	return desk_get(app->desk, full, otherwise);
}

bool app_is_set(struct app *app, const char *key, const char *account)
{
	CLEANUP(mem_free) char *value = app_setting(app, key, account, "0");
	return strcmp(value, "1") == 0;
}

void app_set(struct app *app, const char *key, const char *account, const char *value)
{
	g_autofree char *full = setting_key(key, account);
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!desk_set(app->desk, full, value, &why))
		app_tell(app, _("The setting was not saved"), fail_text(why));
}

char *app_download_folder(struct app *app)
{
	const char *folder = g_get_user_special_dir(G_USER_DIRECTORY_DOWNLOAD);
	g_autofree char *usual = g_build_filename(folder ? folder : g_get_home_dir(), "Posthorn", NULL);
	char *chosen = app_setting(app, SETTING_FOLDER, NULL, usual);
	if (*chosen)
		return chosen;
	free(chosen);
	return mem_printf("%s", usual);
}

/* ---- words ---- */

void app_tell(struct app *app, const char *heading, const char *text)
{
	GtkWidget *dialog = adw_message_dialog_new(app->window, heading, NULL);
	adw_message_dialog_set_body(ADW_MESSAGE_DIALOG(dialog), text);
	adw_message_dialog_add_response(ADW_MESSAGE_DIALOG(dialog), "close", _("OK"));
	gtk_window_present(GTK_WINDOW(dialog));
}

char *app_explain(enum fail_kind kind, const char *detail)
{
	static const char *const sentences[FAIL_KIND_COUNT] = {
		[FAIL_DENIED] = N_("The server refused. Look at the user and the password in the settings."),
		[FAIL_BUSY] = N_("The server is busy, or the mailbox is in use; try again later."),
		[FAIL_CORRUPT] = N_("The server can't be trusted, or does not keep to the protocol: "
		                    "ask who runs it before you try again."),
		[FAIL_UNAVAILABLE] = N_("The connection could not be made, or was lost: "
		                        "check the network and the server's address, then try again."),
		[FAIL_TIMEOUT] = N_("The server was silent for too long: try again later."),
		[FAIL_NO_SPACE] = N_("The disk is full: make room, then try again."),
		[FAIL_IO] = N_("Something could not be saved: check the folder and who may write in it, then try again."),
		[FAIL_TOO_BIG] = N_("Something is larger than is allowed: ask who runs the server."),
	};
	const char *sentence = sentences[kind];
	return sentence ? g_strdup_printf("%s (%s)", _(sentence), detail) : g_strdup(detail);
}

/* ---- the window ---- */

static void show_settings(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	settings_show(context);
}

static void show_page(GSimpleAction *action UNUSED, GVariant *value, void *context)
{
	adw_view_stack_set_visible_child_name(((struct app *)context)->pages, g_variant_get_string(value, NULL));
}

static void find_mails(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	struct app *app = context;
	adw_view_stack_set_visible_child_name(app->pages, "mailbox");
	mailbox_page_focus_filter(app->mailbox);
}

/* Made when it is wanted: GTK 4.8 fails when a program asks its accessibility for a window that is hidden. */
static void show_shortcuts(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	g_autoptr(GtkBuilder) builder = gtk_builder_new_from_resource("/org/posthorn/Desktop/shortcuts.ui");
	GtkWindow *window = GTK_WINDOW(gtk_builder_get_object(builder, "shortcuts"));
	gtk_window_set_transient_for(window, ((struct app *)context)->window);
	gtk_window_present(window);
}

static void show_about(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	adw_show_about_window(((struct app *)context)->window, "application-name", "Posthorn", "application-icon",
	                      APPLICATION_ID, "version", POSTHORN_VERSION, "comments",
	                      _("See what is in a mailbox before you download it."), NULL);
}

static void quit(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	gtk_window_close(((struct app *)context)->window);
}

static void make_actions(struct app *app)
{
	static const GActionEntry entries[] = {
		{ .name = "settings", .activate = show_settings },
		{ .name = "page", .activate = show_page, .parameter_type = "s" },
		{ .name = "find", .activate = find_mails },
		{ .name = "shortcuts", .activate = show_shortcuts },
		{ .name = "about", .activate = show_about },
		{ .name = "quit", .activate = quit },
	};
	static const struct {
		const char *action, *keys[2];
	} shortcuts[] = {
		{ "app.settings", { "<Control>comma" } }, { "app.quit", { "<Control>q" } },
		{ "mailbox.open", { "<Control>o" } },     { "mailbox.download", { "<Control>d" } },
		{ "mailbox.close", { "<Control>w" } },    { "mailbox.undo", { "<Control>z" } },
		{ "mailbox.cancel", { "Escape" } },       { "app.find", { "<Control>f" } },
		{ "app.shortcuts", { "<Control>question" } },
		{ "app.page::mailbox", { "<Alt>1" } },    { "app.page::exerciser", { "<Alt>2" } },
		{ "exerciser.connect", { "<Control>Return" } }, { "exerciser.line", { "<Control>l" } },
		{ "exerciser.save", { "<Control>s" } },   { "exerciser.replay", { "<Control>r" } },
	};
	g_action_map_add_action_entries(G_ACTION_MAP(app->application), entries, (int)COUNT_OF(entries), app);
	gtk_widget_insert_action_group(GTK_WIDGET(app->window), "mailbox", mailbox_page_actions(app->mailbox));
	gtk_widget_insert_action_group(GTK_WIDGET(app->window), "exerciser", exerciser_page_actions(app->exerciser));
	for (size_t i = 0; i < COUNT_OF(shortcuts); i++)
		gtk_application_set_accels_for_action(GTK_APPLICATION(app->application), shortcuts[i].action,
		                                      (const char *const[]){ shortcuts[i].keys[0], NULL });
}

static GtkWidget *make_menu(void)
{
	GtkWidget *button = gtk_menu_button_new();
	g_autoptr(GMenu) menu = g_menu_new();
	g_menu_append(menu, _("Keyboard shortcuts"), "app.shortcuts");
	g_menu_append(menu, _("About Posthorn"), "app.about");
	g_menu_append(menu, _("Quit"), "app.quit");
	gtk_menu_button_set_icon_name(GTK_MENU_BUTTON(button), "open-menu-symbolic");
	gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(button), G_MENU_MODEL(menu));
	gtk_menu_button_set_primary(GTK_MENU_BUTTON(button), TRUE);
	gtk_accessible_update_property(GTK_ACCESSIBLE(button), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Menu"), -1);
	gtk_widget_set_tooltip_text(button, _("Menu"));
	return button;
}

static GtkWidget *make_header(GtkWidget *switcher)
{
	GtkWidget *bar = adw_header_bar_new();
	GtkWidget *settings = gtk_button_new_from_icon_name("emblem-system-symbolic");
	adw_header_bar_set_title_widget(ADW_HEADER_BAR(bar), switcher);
	gtk_actionable_set_action_name(GTK_ACTIONABLE(settings), "app.settings");
	gtk_accessible_update_property(GTK_ACCESSIBLE(settings), GTK_ACCESSIBLE_PROPERTY_LABEL, _("Settings"), -1);
	gtk_widget_set_tooltip_text(settings, _("Settings"));
	adw_header_bar_pack_end(ADW_HEADER_BAR(bar), make_menu());
	adw_header_bar_pack_end(ADW_HEADER_BAR(bar), settings);
	return bar;
}

/* Without a stack the bar is empty: else who looks for a page by its name would find it twice. */
static void place_pages(AdwSqueezer *squeezer, GParamSpec *spec UNUSED, AdwViewSwitcherBar *bar)
{
	GtkWidget *switcher = gtk_widget_get_first_child(GTK_WIDGET(squeezer));
	bool is_narrow = adw_squeezer_get_visible_child(squeezer) != switcher;
	adw_view_switcher_bar_set_stack(bar, is_narrow ? adw_view_switcher_get_stack(ADW_VIEW_SWITCHER(switcher)) : NULL);
	adw_view_switcher_bar_set_reveal(bar, is_narrow);
}

/* The pages are chosen in the header bar, and at the foot of a narrow window. */
static void add_pages(GtkWidget *box, AdwViewStack *stack)
{
	GtkWidget *squeezer = adw_squeezer_new(), *switcher = adw_view_switcher_new(), *bar = adw_view_switcher_bar_new();
	adw_view_switcher_set_stack(ADW_VIEW_SWITCHER(switcher), stack);
	adw_view_switcher_set_policy(ADW_VIEW_SWITCHER(switcher), ADW_VIEW_SWITCHER_POLICY_WIDE);
	adw_squeezer_add(ADW_SQUEEZER(squeezer), switcher);
	adw_squeezer_add(ADW_SQUEEZER(squeezer), adw_window_title_new("Posthorn", NULL));
	g_signal_connect(squeezer, "notify::visible-child", G_CALLBACK(place_pages), bar);
	gtk_widget_set_vexpand(GTK_WIDGET(stack), TRUE);
	gtk_box_append(GTK_BOX(box), make_header(squeezer));
	gtk_box_append(GTK_BOX(box), GTK_WIDGET(stack));
	gtk_box_append(GTK_BOX(box), bar);
}

static void make_window(struct app *app)
{
	GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0), *stack = adw_view_stack_new();
	app->window = GTK_WINDOW(adw_application_window_new(GTK_APPLICATION(app->application)));
	gtk_window_set_title(app->window, "Posthorn");
	gtk_window_set_default_size(app->window, 1000, 720);
	app->pages = ADW_VIEW_STACK(stack);
	app->mailbox = mailbox_page_new(app);
	app->exerciser = exerciser_page_new(app);
	adw_view_stack_add_titled_with_icon(ADW_VIEW_STACK(stack), mailbox_page_widget(app->mailbox), "mailbox",
	                                    _("Mailbox"), "mail-read-symbolic");
	adw_view_stack_add_titled_with_icon(ADW_VIEW_STACK(stack), exerciser_page_widget(app->exerciser), "exerciser",
	                                    _("Exerciser"), "utilities-terminal-symbolic");
	add_pages(box, ADW_VIEW_STACK(stack));
	adw_application_window_set_content(ADW_APPLICATION_WINDOW(app->window), box);
	make_actions(app);
	app->checker = checker_new(app);
}

/* ---- start and end ---- */

static bool open_data(struct app *app, struct fail **fail)
{
	CLEANUP(mem_free) char *path = account_default_path(fail);
	app->book = path ? account_book_open(path, fail) : NULL;
	if (!app->book)
		return false;
	g_autofree char *folder = g_path_get_dirname(path);
	app->desk_path = g_build_filename(folder, "desktop.db", NULL);
	app->copy_folder = g_build_filename(folder, "deleted", NULL);
	app->desk = desk_open(app->desk_path, fail);
	return app->desk && desk_log_purge(app->desk, clock_wall_seconds(), fail);
}

static void start_up(GApplication *application, struct app *app)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	if (open_data(app, &why))
		return;
	g_printerr("posthorn-desktop: %s\n", fail_text(why));
	app->failed = true;
	g_application_quit(application);
}

static void activate(GApplication *application UNUSED, struct app *app)
{
	if (!app->desk)
		return;
	if (!app->window) {
		app_load_accounts(app);
		make_window(app);
	}
	gtk_window_present(app->window);
}

static int take_options(GApplication *application UNUSED, GVariantDict *options, void *context UNUSED)
{
	if (!g_variant_dict_contains(options, "version"))
		return -1;
	g_print("posthorn-desktop %s\n", POSTHORN_VERSION);
	return 0;
}

static void release(struct app *app)
{
	checker_free(app->checker);
	exerciser_page_free(app->exerciser);
	mailbox_page_free(app->mailbox);
	desk_close(app->desk);
	account_book_close(app->book);
	array_release(&app->accounts);
	g_free(app->desk_path);
	g_free(app->copy_folder);
}

int main(int argc, char **argv)
{
	struct app app = {};
	words_begin();
	umask(077);
	/* Lists and texts need no GPU, and without one the GL renderer takes 100 MB. */
	g_setenv("GSK_RENDERER", "cairo", FALSE);
	app.application = adw_application_new(APPLICATION_ID, G_APPLICATION_DEFAULT_FLAGS);
	g_application_add_main_option(G_APPLICATION(app.application), "version", 0, 0, G_OPTION_ARG_NONE,
	                              _("Shows the version"), NULL);
	g_signal_connect(app.application, "handle-local-options", G_CALLBACK(take_options), NULL);
	gtk_window_set_default_icon_name(APPLICATION_ID);
	g_signal_connect(app.application, "startup", G_CALLBACK(start_up), &app);
	g_signal_connect(app.application, "activate", G_CALLBACK(activate), &app);
	int status = g_application_run(G_APPLICATION(app.application), argc, argv);
	release(&app);
	g_object_unref(app.application);
	return app.failed ? 1 : status;
}
