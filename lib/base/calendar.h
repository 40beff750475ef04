/*
 * The Gregorian calendar, without the C library's locks, locale and time zones. Days count from 1970-01-01; nothing
 * fails. Source: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
 */
#ifndef POSTHORN_BASE_CALENDAR_H
#define POSTHORN_BASE_CALENDAR_H

#include "buf.h"

struct calendar_day {
	int64_t year;
	unsigned month, day; /* from 1 */
};

/* The day may lie beyond its month's end. */
int64_t calendar_days(struct calendar_day day);
struct calendar_day calendar_day(int64_t days);
unsigned calendar_month_length(int64_t year, unsigned month);

/* "Jan"; 1 to 12. */
struct str calendar_month_name(unsigned month);

/* In any case; 0: none. */
unsigned calendar_month(struct str name);

/* "Sat, 5 Jan 2002 10:11:12 +0100" (RFC 5322 §3.3): seconds since 1970 UTC, told in the zone so many minutes east of
 * it. */
void calendar_write_date_time(struct buf *out, int64_t seconds, int zone_minutes);

#endif
