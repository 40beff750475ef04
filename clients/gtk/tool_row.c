#include "tool_row.h"

GtkWidget *tool_row_new(GtkWidget **box)
{
	GtkWidget *scrolled = gtk_scrolled_window_new();
	*box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
	gtk_widget_add_css_class(*box, "toolbar");
	gtk_scrolled_window_set_policy(GTK_SCROLLED_WINDOW(scrolled), GTK_POLICY_AUTOMATIC, GTK_POLICY_NEVER);
	gtk_scrolled_window_set_child(GTK_SCROLLED_WINDOW(scrolled), *box);
	return scrolled;
}

GtkWidget *tool_row_name(GtkWidget *widget, const char *name)
{
	gtk_accessible_update_property(GTK_ACCESSIBLE(widget), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
	for (GtkWidget *part = gtk_widget_get_first_child(widget); part; part = gtk_widget_get_next_sibling(part))
		if (GTK_IS_TOGGLE_BUTTON(part) || GTK_IS_IMAGE(part))
			gtk_accessible_update_property(GTK_ACCESSIBLE(part), GTK_ACCESSIBLE_PROPERTY_LABEL, name, -1);
	return widget;
}

void tool_row_name_buttons(GtkWidget *widget)
{
	const char *tooltip = gtk_widget_get_tooltip_text(widget);
	if (GTK_IS_BUTTON(widget) && tooltip && !gtk_button_get_label(GTK_BUTTON(widget)))
		gtk_accessible_update_property(GTK_ACCESSIBLE(widget), GTK_ACCESSIBLE_PROPERTY_LABEL, tooltip, -1);
	for (GtkWidget *part = gtk_widget_get_first_child(widget); part; part = gtk_widget_get_next_sibling(part))
		tool_row_name_buttons(part);
}
