#include "paced_scroll.h"

#include "check.h"

#include <math.h>

struct paced_scroll {
	GtkAdjustment *adjustment;
	double pending;  /* pixels that wait for the next frame */
	double velocity; /* of a stroke that dies away; pixels per second */
	gint64 then_us;  /* the frame before */
	guint tick;
};

/* GtkScrolledWindow's numbers. */
static const double surface_factor = 2.5, friction = 4, slowest = 20;

static void halt(GtkEventControllerScroll *controller UNUSED, struct paced_scroll *p)
{
	p->velocity = 0;
}

static gboolean move(GtkWidget *window UNUSED, GdkFrameClock *clock, void *context)
{
	struct paced_scroll *p = context;
	gint64 now_us = gdk_frame_clock_get_frame_time(clock);
	double seconds = p->then_us ? (double)(now_us - p->then_us) / G_USEC_PER_SEC : 0;
	p->then_us = now_us;
	p->pending += p->velocity * seconds;
	p->velocity *= exp(-friction * seconds);
	if (fabs(p->velocity) < slowest)
		p->velocity = 0;
	gtk_adjustment_set_value(p->adjustment, gtk_adjustment_get_value(p->adjustment) + p->pending);
	p->pending = 0;
	if (p->velocity != 0)
		return G_SOURCE_CONTINUE;
	p->tick = 0;
	return G_SOURCE_REMOVE;
}

static void begin_moving(GtkEventControllerScroll *controller, struct paced_scroll *p)
{
	GtkWidget *window = gtk_event_controller_get_widget(GTK_EVENT_CONTROLLER(controller));
	if (p->tick)
		return;
	p->then_us = 0;
	p->tick = gtk_widget_add_tick_callback(window, move, p, NULL);
}

static double pixels(GtkEventControllerScroll *controller, const struct paced_scroll *p, double amount)
{
	if (gtk_event_controller_scroll_get_unit(controller) == GDK_SCROLL_UNIT_WHEEL)
		return amount * pow(gtk_adjustment_get_page_size(p->adjustment), 2.0 / 3.0);
	return amount * surface_factor;
}

/* Sideways, also by Shift and the wheel, is not ours. */
static gboolean scroll(GtkEventControllerScroll *controller, double x, double y, struct paced_scroll *p)
{
	GdkModifierType keys = gtk_event_controller_get_current_event_state(GTK_EVENT_CONTROLLER(controller));
	if (fabs(x) >= fabs(y) || keys & GDK_SHIFT_MASK)
		return FALSE;
	p->velocity = 0;
	p->pending += pixels(controller, p, y);
	begin_moving(controller, p);
	return TRUE;
}

static void decelerate(GtkEventControllerScroll *controller, double x UNUSED, double y, struct paced_scroll *p)
{
	p->velocity = pixels(controller, p, y);
	begin_moving(controller, p);
}

void paced_scroll_add(GtkScrolledWindow *window)
{
	GtkEventController *controller = gtk_event_controller_scroll_new(GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES |
	                                                                 GTK_EVENT_CONTROLLER_SCROLL_KINETIC);
	struct paced_scroll *p = g_new0(struct paced_scroll, 1);
	p->adjustment = gtk_scrolled_window_get_vadjustment(window);
	gtk_event_controller_set_propagation_phase(controller, GTK_PHASE_CAPTURE);
	g_signal_connect(controller, "scroll-begin", G_CALLBACK(halt), p);
	g_signal_connect(controller, "scroll", G_CALLBACK(scroll), p);
	g_signal_connect(controller, "decelerate", G_CALLBACK(decelerate), p);
	gtk_widget_add_controller(GTK_WIDGET(window), controller);
	g_object_set_data_full(G_OBJECT(window), "paced-scroll", p, g_free);
}
