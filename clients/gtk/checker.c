#include "checker.h"

#include "mailbox_page.h"
#include "mem.h"
#include "password.h"
#include "session.h"

#include <glib/gi18n.h>

enum { TICK_SECONDS = 60, MINUTES_MAX = 10080 };

struct checker {
	struct app *app;
	guint timer;
	uint64_t minutes;        /* since the last check */
	GPtrArray *sessions;
	GHashTable *told;        /* account → number of new mails that was told last */
};

static void drop_session(void *memory)
{
	session_abandon(memory);
	session_drop(memory);
}

static void tell(struct checker *c, const char *account, uint64_t count)
{
	g_autofree char *text =
		g_strdup_printf(ngettext("%zu new mail", "%zu new mails", (gulong)count), (size_t)count);
	g_autoptr(GNotification) notification = g_notification_new(account);
	g_notification_set_body(notification, text);
	g_notification_set_category(notification, "email.arrived");
	g_application_send_notification(G_APPLICATION(c->app->application), account, notification);
}

/* The same number again is no news. */
static void take_count(struct checker *c, const char *account, uint64_t count)
{
	uint64_t before = GPOINTER_TO_SIZE(g_hash_table_lookup(c->told, account));
	if (count > before)
		tell(c, account, count);
	g_hash_table_insert(c->told, g_strdup(account), GSIZE_TO_POINTER(count));
}

static void take_report(void *context, const struct session_report *report)
{
	struct checker *c = context;
	if (report->event == SESSION_READY) {
		take_count(c, session_account(report->session), report->total);
		session_close(report->session, NULL, 0);
	} else if (report->event == SESSION_CLOSED || report->event == SESSION_FAILED) {
		g_ptr_array_remove(c->sessions, report->session);
		mailbox_page_check_ended(c->app->mailbox);
	}
}

bool checker_is_at(const struct checker *c, const char *account)
{
	for (guint i = 0; i < c->sessions->len; i++)
		if (strcmp(session_account(c->sessions->pdata[i]), account) == 0)
			return true;
	return false;
}

static void password_given(void *context, const struct account *account, const char *password)
{
	struct checker *c = context;
	CLEANUP(mem_free) char *ca = app_setting(c->app, SETTING_CA, NULL, "");
	const struct session_options options = {
		.account = *account, .password = password, .ca_file = ca, .folder = "", .only_new = true,
		.desk_path = c->app->desk_path, .copy_folder = "", .report = take_report, .context = c,
	};
	if (password && !mailbox_page_is_open(c->app->mailbox))
		g_ptr_array_add(c->sessions, session_open(&options));
}

static gboolean every_minute(void *context)
{
	struct checker *c = context;
	CLEANUP(mem_free) char *text = app_setting(c->app, SETTING_MINUTES, NULL, "");
	uint64_t wanted;
	if (!str_to_u64(str_of(text), MINUTES_MAX, &wanted) || wanted == 0 || ++c->minutes < wanted)
		return G_SOURCE_CONTINUE;
	c->minutes = 0;
	if (!mailbox_page_is_open(c->app->mailbox) && c->sessions->len == 0)
		for (size_t i = 0; i < c->app->accounts.count; i++)
			password_find_silently(&c->app->accounts.items[i], password_given, c);
	return G_SOURCE_CONTINUE;
}

struct checker *checker_new(struct app *app)
{
	struct checker *c = mem_alloc(sizeof *c);
	c->app = app;
	c->sessions = g_ptr_array_new_with_free_func(drop_session);
	c->told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
	c->timer = g_timeout_add_seconds(TICK_SECONDS, every_minute, c);
	return c;
}

void checker_free(struct checker *c)
{
	if (!c)
		return;
	g_source_remove(c->timer);
	g_ptr_array_unref(c->sessions);
	g_hash_table_unref(c->told);
	free(c);
}
