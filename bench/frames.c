/*
 * What a GTK program draws, and when: preloaded (LD_PRELOAD), this writes a line for each frame of the window that was
 * presented first to the file $POSTHORN_FRAMES: when the frame began (CLOCK_MONOTONIC), how long it took, how much of
 * that was processor time of the thread that draws, all in microseconds, and how many cells of lists the program had
 * made until then.
 */
#include "check.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtk/gtk.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int out = -1;
static gint64 begun_us, begun_cpu_us;
static unsigned cells;

static gint64 cpu_us(void)
{
	struct timespec used;
	must(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used) == 0);
	return used.tv_sec * G_USEC_PER_SEC + used.tv_nsec / 1000;
}

static void begin(GdkFrameClock *clock UNUSED, void *context UNUSED)
{
	begun_us = g_get_monotonic_time();
	begun_cpu_us = cpu_us();
}

static void end(GdkFrameClock *clock UNUSED, void *context UNUSED)
{
	dprintf(out, "%lld %lld %lld %u\n", (long long)begun_us, (long long)(g_get_monotonic_time() - begun_us),
	        (long long)(cpu_us() - begun_cpu_us), cells);
}

void gtk_list_item_set_child(GtkListItem *item, GtkWidget *child)
{
	void (*set_child)(GtkListItem *item, GtkWidget *child) =
		(void (*)(GtkListItem *, GtkWidget *))dlsym(RTLD_NEXT, "gtk_list_item_set_child");
	must(set_child);
	set_child(item, child);
	cells++;
}

void gtk_window_present(GtkWindow *window)
{
	void (*present)(GtkWindow *window) = (void (*)(GtkWindow *))dlsym(RTLD_NEXT, "gtk_window_present");
	const char *path = getenv("POSTHORN_FRAMES");
	must(present);
	present(window);
	if (!path || out >= 0)
		return;
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(out >= 0);
	GdkFrameClock *clock = gtk_widget_get_frame_clock(GTK_WIDGET(window));
	g_signal_connect(clock, "before-paint", G_CALLBACK(begin), NULL);
	g_signal_connect(clock, "after-paint", G_CALLBACK(end), NULL);
}
