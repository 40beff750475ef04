#include "mail_row.h"

#include "check.h"

struct _MailRow {
	GObject parent_instance;
	struct session *session;
	struct session_mail mail;
	bool is_ticked;
};

G_DEFINE_TYPE(MailRow, mail_row, G_TYPE_OBJECT)

enum { PROPERTY_TICKED = 1, PROPERTY_COUNT };

static GParamSpec *properties[PROPERTY_COUNT];

static void get_property(GObject *object, guint id UNUSED, GValue *value, GParamSpec *spec UNUSED)
{
	g_value_set_boolean(value, MAIL_ROW(object)->is_ticked);
}

static void set_property(GObject *object, guint id UNUSED, const GValue *value, GParamSpec *spec UNUSED)
{
	mail_row_set_ticked(MAIL_ROW(object), g_value_get_boolean(value));
}

static void finalize(GObject *object)
{
	MailRow *row = MAIL_ROW(object);
	g_free(row->mail.texts);
	session_drop(row->session);
	G_OBJECT_CLASS(mail_row_parent_class)->finalize(object);
}

static void mail_row_class_init(MailRowClass *class)
{
	GObjectClass *object = G_OBJECT_CLASS(class);
	object->get_property = get_property;
	object->set_property = set_property;
	object->finalize = finalize;
	properties[PROPERTY_TICKED] = g_param_spec_boolean(
		"ticked", NULL, NULL, FALSE, G_PARAM_READWRITE | G_PARAM_EXPLICIT_NOTIFY | G_PARAM_STATIC_STRINGS);
	g_object_class_install_properties(object, PROPERTY_COUNT, properties);
}

static void mail_row_init(MailRow *row UNUSED)
{
}

MailRow *mail_row_new(struct session *session, struct session_mail *mail)
{
	MailRow *row = g_object_new(MAIL_TYPE_ROW, NULL);
	row->session = session_hold(session);
	row->mail = *mail;
	mail->texts = NULL;
	return row;
}

struct session *mail_row_session(MailRow *row)
{
	return row->session;
}

const struct session_mail *mail_row_mail(MailRow *row)
{
	return &row->mail;
}

const char *mail_row_from(MailRow *row)
{
	return row->mail.texts;
}

const char *mail_row_subject(MailRow *row)
{
	return mail_row_from(row) + strlen(mail_row_from(row)) + 1;
}

const char *mail_row_to(MailRow *row)
{
	return mail_row_subject(row) + strlen(mail_row_subject(row)) + 1;
}

bool mail_row_is_ticked(MailRow *row)
{
	return row->is_ticked;
}

void mail_row_set_ticked(MailRow *row, bool ticked)
{
	if (row->is_ticked == ticked)
		return;
	row->is_ticked = ticked;
	g_object_notify_by_pspec(G_OBJECT(row), properties[PROPERTY_TICKED]);
}
