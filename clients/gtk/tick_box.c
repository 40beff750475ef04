#include "tick_box.h"

#include "check.h"

struct _TickBox {
	GtkCheckButton parent_instance;
};

G_DEFINE_TYPE(TickBox, tick_box, GTK_TYPE_CHECK_BUTTON)

static void click(GtkWidget *widget, const char *name UNUSED, GVariant *value UNUSED)
{
	GtkCheckButton *button = GTK_CHECK_BUTTON(widget);
	gtk_check_button_set_active(button, !gtk_check_button_get_active(button));
}

static void tick_box_class_init(TickBoxClass *class)
{
	gtk_widget_class_install_action(GTK_WIDGET_CLASS(class), "click", NULL, click);
}

static void tick_box_init(TickBox *box UNUSED)
{
}

GtkWidget *tick_box_new(void)
{
	return g_object_new(TICK_TYPE_BOX, NULL);
}
