#include "exerciser_page.h"

#include "dialogue.h"
#include "exerciser_command.h"
#include "mem.h"
#include "tool_row.h"
#include "transcript.h"
#include "words.h"

enum { COMMANDS_HEIGHT_MAX = 160, HOST_WIDTH = 16, ARGUMENT_MAX = 16384, LINE_MAX_OCTETS = 1 << 18 };

struct exerciser_page {
	struct app *app;
	GSimpleActionGroup *actions;
	GtkWidget *widget, *protocol, *host, *tls, *connect, *state, *commands, *line, *send, *password;
	GtkWidget *arguments[EXERCISER_ARGUMENTS_MAX];
	struct transcript *transcript;
	struct dialogue *dialogue;                          /* NULL: not connected */
	const struct exerciser_protocol_commands *language;
	const char *state_name;                             /* of language; NULL: not connected */
	unsigned facts;
	unsigned tag;
};

static const char *const argument_words[EXERCISER_ARGUMENTS_MAX] = { N_("First argument"), N_("Second argument") };

static enum server_protocol chosen_protocol(struct exerciser_page *p)
{
	return (enum server_protocol)gtk_drop_down_get_selected(GTK_DROP_DOWN(p->protocol));
}

/* ---- what may be done now ---- */

static void refresh(struct exerciser_page *p)
{
	bool connected = p->dialogue != NULL;
	GtkWidget *child = gtk_widget_get_first_child(p->commands);
	for (size_t i = 0; child && i < p->language->count; i++, child = gtk_widget_get_next_sibling(child)) {
		bool fits = connected &&
		            exerciser_command_fits(p->language, &p->language->commands[i], p->state_name, p->facts);
		gtk_widget_set_sensitive(gtk_flow_box_child_get_child(GTK_FLOW_BOX_CHILD(child)), fits);
	}
	gtk_widget_set_sensitive(p->protocol, !connected);
	gtk_widget_set_sensitive(p->host, !connected);
	gtk_widget_set_sensitive(p->tls, !connected);
	gtk_widget_set_sensitive(p->send, connected);
	gtk_button_set_label(GTK_BUTTON(p->connect), connected ? _("Disconnect") : _("Connect"));
	gtk_label_set_text(GTK_LABEL(p->state), p->state_name ? _(p->state_name) : _("not connected"));
}

/* ---- the dialogue ---- */

static const char *find_state(struct exerciser_page *p, const char *name)
{
	for (size_t i = 0; p->language->states[i]; i++)
		if (strcmp(p->language->states[i], name) == 0)
			return p->language->states[i];
	return NULL;
}

static void end(struct exerciser_page *p)
{
	if (p->dialogue)
		dialogue_close(TAKE(p->dialogue));
	p->state_name = NULL;
	p->facts = 0;
	refresh(p);
}

static void take_report(void *context, const struct dialogue_report *report)
{
	struct exerciser_page *p = context;
	switch (report->event) {
	case DIALOGUE_SENT: transcript_add_line(p->transcript, true, report->when_us, report->text); break;
	case DIALOGUE_RECEIVED: transcript_add_line(p->transcript, false, report->when_us, report->text); break;
	case DIALOGUE_EXPLAINED: transcript_add_remark(p->transcript, _(report->text), report->rfc); break;
	case DIALOGUE_PROTECTED: transcript_add_remark(p->transcript, report->text, NULL); break;
	case DIALOGUE_STATE:
		p->state_name = find_state(p, report->text);
		transcript_add_state(p->transcript, _(report->text));
		refresh(p);
		break;
	case DIALOGUE_FACTS:
		p->facts = report->facts;
		refresh(p);
		break;
	case DIALOGUE_ENDED:
		transcript_add_remark(p->transcript, *report->text ? report->text : _("The session is over."), NULL);
		end(p);
		break;
	}
}

/* A URL of the protocol that is chosen says which TLS it wants. */
static bool parse_host(const char *text, struct server *server, struct fail **fail)
{
	enum server_protocol chosen = server->protocol;
	if (!server_is_url(str_of(text)))
		return server_parse_host(str_of(text), server, fail);
	return server_parse_url(str_of(text), server, fail) &&
	       (server->protocol == chosen || fail_set(fail, FAIL_INVALID, "%s", _("The URL is for another protocol.")));
}

static void connect_now(struct exerciser_page *p)
{
	struct server server = { .protocol = chosen_protocol(p),
		                     .tls = (enum server_tls)gtk_drop_down_get_selected(GTK_DROP_DOWN(p->tls)) };
	CLEANUP(fail_free) struct fail *why = NULL;
	CLEANUP(mem_free) char *ca = app_setting(p->app, SETTING_CA, NULL, "");
	if (!parse_host(gtk_editable_get_text(GTK_EDITABLE(p->host)), &server, &why)) {
		transcript_add_remark(p->transcript, fail_text(why), NULL);
		return;
	}
	if (server.tls == SERVER_TLS_NONE)
		transcript_add_remark(p->transcript,
		                      _("The connection is not encrypted: do not send a password that matters."), NULL);
	p->tag = 0;
	p->dialogue = dialogue_open(&server, ca, take_report, p);
	refresh(p);
}

static void connect_clicked(GtkButton *button UNUSED, struct exerciser_page *p)
{
	if (p->dialogue)
		end(p);
	else
		connect_now(p);
}

/* ---- sending ---- */

static void send_line(GtkWidget *source UNUSED, struct exerciser_page *p)
{
	if (!p->dialogue)
		return;
	dialogue_send(p->dialogue, gtk_editable_get_text(GTK_EDITABLE(p->line)), false);
	gtk_editable_set_text(GTK_EDITABLE(p->line), "");
}

static void say_missing(struct exerciser_page *p, const struct exerciser_command *command, size_t i)
{
	g_autofree char *text = g_strdup_printf(_("%s needs: %s"), command->verb, _(command->arguments[i]));
	transcript_add_remark(p->transcript, text, NULL);
	gtk_widget_grab_focus(p->arguments[i]);
}

/* The fields say what the command under the pointer or the focus takes. A secret stays hidden on the way to its
 * button. */
static void show_arguments(struct exerciser_page *p, const struct exerciser_command *command)
{
	for (size_t i = 0; i < EXERCISER_ARGUMENTS_MAX; i++) {
		GtkEntry *field = GTK_ENTRY(p->arguments[i]);
		const char *what = command->arguments[i];
		bool holds_secret = !gtk_entry_get_visibility(field) && gtk_entry_get_text_length(field) > 0;
		gtk_entry_set_placeholder_text(field, what ? _(what) : "");
		gtk_entry_set_visibility(field, !exerciser_argument_is_secret(what) && !holds_secret);
	}
}

static void command_clicked(GtkButton *button, struct exerciser_page *p)
{
	const struct exerciser_command *command = g_object_get_data(G_OBJECT(button), "command");
	CLEANUP(buf_wipe) struct buf line = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	const char *texts[EXERCISER_ARGUMENTS_MAX];
	size_t missing;
	show_arguments(p, command);
	for (size_t i = 0; i < EXERCISER_ARGUMENTS_MAX; i++)
		texts[i] = gtk_editable_get_text(GTK_EDITABLE(p->arguments[i]));
	if (!exerciser_command_line(p->language, command, p->tag + 1, texts, &line, &missing)) {
		say_missing(p, command, missing);
		return;
	}
	p->tag++;
	dialogue_send(p->dialogue, buf_text(&line), false);
	for (size_t i = 0; i < EXERCISER_ARGUMENTS_MAX; i++)
		gtk_editable_set_text(GTK_EDITABLE(p->arguments[i]), "");
}

static void command_focused(GtkEventController *controller, struct exerciser_page *p)
{
	show_arguments(p, g_object_get_data(G_OBJECT(gtk_event_controller_get_widget(controller)), "command"));
}

static void command_entered(GtkEventController *controller, double x UNUSED, double y UNUSED, struct exerciser_page *p)
{
	command_focused(controller, p);
}

static void add_command(struct exerciser_page *p, const struct exerciser_command *command)
{
	GtkWidget *button = gtk_button_new_with_label(command->verb);
	GtkEventController *focus = gtk_event_controller_focus_new(), *motion = gtk_event_controller_motion_new();
	g_object_set_data(G_OBJECT(button), "command", (void *)command);
	g_signal_connect(button, "clicked", G_CALLBACK(command_clicked), p);
	g_signal_connect(focus, "enter", G_CALLBACK(command_focused), p);
	g_signal_connect(motion, "enter", G_CALLBACK(command_entered), p);
	gtk_widget_add_controller(button, focus);
	gtk_widget_add_controller(button, motion);
	gtk_flow_box_insert(GTK_FLOW_BOX(p->commands), button, -1);
	gtk_widget_set_focusable(gtk_widget_get_parent(button), FALSE);
}

static void protocol_chosen(GtkDropDown *chooser UNUSED, GParamSpec *spec UNUSED, struct exerciser_page *p)
{
	GtkWidget *child;
	while ((child = gtk_widget_get_first_child(p->commands)))
		gtk_flow_box_remove(GTK_FLOW_BOX(p->commands), child);
	p->language = exerciser_commands(chosen_protocol(p));
	for (size_t i = 0; i < p->language->count; i++)
		add_command(p, &p->language->commands[i]);
	refresh(p);
}

/* ---- transcripts ---- */

static void save_chosen(GtkNativeDialog *chooser, int response, struct exerciser_page *p)
{
	if (response == GTK_RESPONSE_ACCEPT) {
		g_autoptr(GFile) file = gtk_file_chooser_get_file(GTK_FILE_CHOOSER(chooser));
		g_autofree char *text = transcript_text(p->transcript);
		g_autoptr(GError) error = NULL;
		if (!g_file_replace_contents(file, text, strlen(text), NULL, FALSE, G_FILE_CREATE_PRIVATE, NULL, NULL, &error))
			transcript_add_remark(p->transcript, error->message, NULL);
	}
	g_object_unref(chooser);
}

static void replay_line(void *context, const char *line)
{
	struct exerciser_page *p = context;
	dialogue_replay(p->dialogue, line, gtk_editable_get_text(GTK_EDITABLE(p->password)));
}

static void replay_chosen(GtkNativeDialog *chooser, int response, struct exerciser_page *p)
{
	if (response == GTK_RESPONSE_ACCEPT) {
		g_autoptr(GFile) file = gtk_file_chooser_get_file(GTK_FILE_CHOOSER(chooser));
		g_autofree char *path = g_file_get_path(file);
		CLEANUP(fail_free) struct fail *why = NULL;
		if (!p->dialogue)
			connect_now(p);
		if (p->dialogue && path && !transcript_replay(path, replay_line, p, &why))
			transcript_add_remark(p->transcript, fail_text(why), NULL);
	}
	g_object_unref(chooser);
}

static void choose_file(struct exerciser_page *p, const char *title, GtkFileChooserAction action, GCallback chosen)
{
	GtkFileChooserNative *chooser =
		gtk_file_chooser_native_new(title, GTK_WINDOW(p->app->window), action, NULL, NULL);
	if (action == GTK_FILE_CHOOSER_ACTION_SAVE)
		gtk_file_chooser_set_current_name(GTK_FILE_CHOOSER(chooser), "transcript.txt");
	g_signal_connect(chooser, "response", chosen, p);
	gtk_native_dialog_show(GTK_NATIVE_DIALOG(chooser));
}

static void save_clicked(GtkButton *button UNUSED, struct exerciser_page *p)
{
	choose_file(p, _("Save transcript"), GTK_FILE_CHOOSER_ACTION_SAVE, G_CALLBACK(save_chosen));
}

static void replay_clicked(GtkButton *button UNUSED, struct exerciser_page *p)
{
	choose_file(p, _("Replay transcript"), GTK_FILE_CHOOSER_ACTION_OPEN, G_CALLBACK(replay_chosen));
}

static void fold_toggled(GtkToggleButton *button, struct exerciser_page *p)
{
	transcript_fold(p->transcript, gtk_toggle_button_get_active(button));
}

static void dots_toggled(GtkToggleButton *button, struct exerciser_page *p)
{
	transcript_show_dots(p->transcript, gtk_toggle_button_get_active(button));
}

/* ---- the keyboard ---- */

static void act_connect(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	connect_clicked(NULL, context);
}

static void act_line(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	gtk_widget_grab_focus(((struct exerciser_page *)context)->line);
}

static void act_save(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	save_clicked(NULL, context);
}

static void act_replay(GSimpleAction *action UNUSED, GVariant *value UNUSED, void *context)
{
	replay_clicked(NULL, context);
}

static void set_actions_enabled(GActionMap *actions, bool enabled)
{
	g_auto(GStrv) names = g_action_group_list_actions(G_ACTION_GROUP(actions));
	for (char **name = names; *name; name++)
		g_simple_action_set_enabled(G_SIMPLE_ACTION(g_action_map_lookup_action(actions, *name)), enabled);
}

static void mapped(GtkWidget *widget UNUSED, GActionMap *actions)
{
	set_actions_enabled(actions, true);
}

static void unmapped(GtkWidget *widget UNUSED, GActionMap *actions)
{
	set_actions_enabled(actions, false);
}

static void make_actions(struct exerciser_page *p)
{
	static const GActionEntry entries[] = {
		{ .name = "connect", .activate = act_connect },
		{ .name = "line", .activate = act_line },
		{ .name = "save", .activate = act_save },
		{ .name = "replay", .activate = act_replay },
	};
	p->actions = g_simple_action_group_new();
	g_action_map_add_action_entries(G_ACTION_MAP(p->actions), entries, (int)COUNT_OF(entries), p);
	set_actions_enabled(G_ACTION_MAP(p->actions), false);
	g_signal_connect_object(p->widget, "map", G_CALLBACK(mapped), p->actions, 0);
	g_signal_connect_object(p->widget, "unmap", G_CALLBACK(unmapped), p->actions, 0);
}

GActionGroup *exerciser_page_actions(struct exerciser_page *p)
{
	return G_ACTION_GROUP(p->actions);
}

/* ---- widgets ---- */

static GtkWidget *name_it(GtkWidget *widget, const char *name)
{
	gtk_widget_set_tooltip_text(widget, name);
	return tool_row_name(widget, name);
}

static GtkWidget *make_connection_row(struct exerciser_page *p)
{
	static const char *const protocols[] = { "POP3", "IMAP", "SMTP", NULL };
	const char *const tls[] = { _("TLS from the start"), _("STARTTLS"), _("No TLS"), NULL };
	GtkWidget *row, *scrolled = tool_row_new(&row);
	p->protocol = name_it(gtk_drop_down_new_from_strings(protocols), _("Protocol"));
	p->host = name_it(gtk_entry_new(), _("Host"));
	p->tls = name_it(gtk_drop_down_new_from_strings(tls), _("Encryption"));
	p->connect = gtk_button_new_with_label(_("Connect"));
	p->state = gtk_label_new(NULL);
	gtk_entry_set_placeholder_text(GTK_ENTRY(p->host), _("host or host:port"));
	gtk_widget_set_hexpand(p->host, TRUE);
	gtk_editable_set_width_chars(GTK_EDITABLE(p->host), HOST_WIDTH);
	gtk_widget_add_css_class(p->state, "heading");
	g_signal_connect(p->protocol, "notify::selected", G_CALLBACK(protocol_chosen), p);
	g_signal_connect(p->connect, "clicked", G_CALLBACK(connect_clicked), p);
	g_signal_connect(p->host, "activate", G_CALLBACK(connect_clicked), p);
	gtk_box_append(GTK_BOX(row), p->protocol);
	gtk_box_append(GTK_BOX(row), p->host);
	gtk_box_append(GTK_BOX(row), p->tls);
	gtk_box_append(GTK_BOX(row), p->connect);
	gtk_box_append(GTK_BOX(row), p->state);
	return scrolled;
}

static GtkWidget *make_argument_row(struct exerciser_page *p)
{
	GtkWidget *row, *scrolled = tool_row_new(&row);
	for (size_t i = 0; i < EXERCISER_ARGUMENTS_MAX; i++) {
		p->arguments[i] = name_it(gtk_entry_new(), _(argument_words[i]));
		gtk_entry_set_placeholder_text(GTK_ENTRY(p->arguments[i]), _(argument_words[i]));
		gtk_entry_set_max_length(GTK_ENTRY(p->arguments[i]), ARGUMENT_MAX);
		gtk_widget_set_hexpand(p->arguments[i], TRUE);
		gtk_box_append(GTK_BOX(row), p->arguments[i]);
	}
	return scrolled;
}

static GtkWidget *make_line_row(struct exerciser_page *p)
{
	GtkWidget *row, *scrolled = tool_row_new(&row);
	p->line = name_it(gtk_entry_new(), _("Line"));
	p->send = gtk_button_new_with_label(_("Send"));
	gtk_entry_set_placeholder_text(GTK_ENTRY(p->line), _("Anything, also wrong commands"));
	gtk_entry_set_max_length(GTK_ENTRY(p->line), ARGUMENT_MAX);
	gtk_widget_set_hexpand(p->line, TRUE);
	g_signal_connect(p->line, "activate", G_CALLBACK(send_line), p);
	g_signal_connect(p->send, "clicked", G_CALLBACK(send_line), p);
	gtk_box_append(GTK_BOX(row), p->line);
	gtk_box_append(GTK_BOX(row), p->send);
	return scrolled;
}

static void add_tool(GtkWidget *row, GtkWidget *button, const char *signal, GCallback callback,
                     struct exerciser_page *p)
{
	g_signal_connect(button, signal, callback, p);
	gtk_box_append(GTK_BOX(row), button);
}

static GtkWidget *make_transcript_row(struct exerciser_page *p)
{
	GtkWidget *row, *scrolled = tool_row_new(&row);
	add_tool(row, gtk_toggle_button_new_with_label(_("Fold answers")), "toggled", G_CALLBACK(fold_toggled), p);
	add_tool(row, gtk_toggle_button_new_with_label(_("Show doubled dots")), "toggled", G_CALLBACK(dots_toggled), p);
	add_tool(row, gtk_button_new_with_label(_("Save transcript")), "clicked", G_CALLBACK(save_clicked), p);
	add_tool(row, gtk_button_new_with_label(_("Replay transcript")), "clicked", G_CALLBACK(replay_clicked), p);
	p->password = name_it(gtk_entry_new(), _("Password that a replay puts in the place of ***"));
	gtk_entry_set_placeholder_text(GTK_ENTRY(p->password), _("Password for ***"));
	gtk_widget_set_hexpand(p->password, TRUE);
	gtk_entry_set_visibility(GTK_ENTRY(p->password), FALSE);
	gtk_entry_set_input_purpose(GTK_ENTRY(p->password), GTK_INPUT_PURPOSE_PASSWORD);
	gtk_box_append(GTK_BOX(row), p->password);
	return scrolled;
}

static GtkSizeRequestMode request_mode(GtkWidget *widget UNUSED)
{
	return GTK_SIZE_REQUEST_HEIGHT_FOR_WIDTH;
}

/* As high as the commands are at this width, up to a bound; a scrolled window by itself would not ask for the width. */
static void measure_commands(GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                             int *minimum_baseline, int *natural_baseline)
{
	GtkWidget *scrolled = gtk_widget_get_first_child(widget);
	*minimum_baseline = *natural_baseline = -1;
	if (orientation == GTK_ORIENTATION_HORIZONTAL) {
		gtk_widget_measure(scrolled, orientation, -1, minimum, natural, NULL, NULL);
		return;
	}
	GtkWidget *commands = g_object_get_data(G_OBJECT(widget), "commands");
	gtk_widget_measure(commands, orientation, for_size, NULL, natural, NULL, NULL);
	*natural = MIN(*natural, COMMANDS_HEIGHT_MAX);
	*minimum = *natural;
}

static void allocate_commands(GtkWidget *widget, int width, int height, int baseline)
{
	gtk_widget_allocate(gtk_widget_get_first_child(widget), width, height, baseline, NULL);
}

/* Many lines of them in a narrow window: they scroll before they push everything else out of it. */
static GtkWidget *make_commands(struct exerciser_page *p)
{
	GtkWidget *scrolled = gtk_scrolled_window_new(), *bin = adw_bin_new();
	p->commands = gtk_flow_box_new();
	gtk_flow_box_set_max_children_per_line(GTK_FLOW_BOX(p->commands), 30);
	gtk_flow_box_set_selection_mode(GTK_FLOW_BOX(p->commands), GTK_SELECTION_NONE);
	gtk_widget_set_valign(p->commands, GTK_ALIGN_START);
	gtk_scrolled_window_set_policy(GTK_SCROLLED_WINDOW(scrolled), GTK_POLICY_NEVER, GTK_POLICY_AUTOMATIC);
	gtk_scrolled_window_set_child(GTK_SCROLLED_WINDOW(scrolled), p->commands);
	adw_bin_set_child(ADW_BIN(bin), scrolled);
	g_object_set_data(G_OBJECT(bin), "commands", p->commands);
	gtk_widget_set_layout_manager(bin, gtk_custom_layout_new(request_mode, measure_commands, allocate_commands));
	return bin;
}

struct exerciser_page *exerciser_page_new(struct app *app)
{
	struct exerciser_page *p = mem_alloc(sizeof *p);
	GtkWidget *scrolled = gtk_scrolled_window_new();
	p->app = app;
	p->transcript = transcript_new();
	p->widget = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
	gtk_box_append(GTK_BOX(p->widget), make_connection_row(p));
	gtk_scrolled_window_set_child(GTK_SCROLLED_WINDOW(scrolled), transcript_widget(p->transcript));
	gtk_widget_set_vexpand(scrolled, TRUE);
	gtk_box_append(GTK_BOX(p->widget), scrolled);
	gtk_box_append(GTK_BOX(p->widget), make_transcript_row(p));
	gtk_box_append(GTK_BOX(p->widget), make_argument_row(p));
	gtk_box_append(GTK_BOX(p->widget), make_commands(p));
	gtk_box_append(GTK_BOX(p->widget), make_line_row(p));
	protocol_chosen(NULL, NULL, p);
	make_actions(p);
	return p;
}

void exerciser_page_free(struct exerciser_page *p)
{
	if (!p)
		return;
	if (p->dialogue)
		dialogue_close(p->dialogue);
	transcript_free(p->transcript);
	g_object_unref(p->actions);
	free(p);
}

GtkWidget *exerciser_page_widget(struct exerciser_page *p)
{
	return p->widget;
}
