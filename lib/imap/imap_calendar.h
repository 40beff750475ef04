/*
 * Days and dates of the Gregorian calendar without the C library's locks and time zones. Days count from 1970-01-01.
 */
#ifndef POSTHORN_IMAP_CALENDAR_H
#define POSTHORN_IMAP_CALENDAR_H

#include "str.h"

struct imap_day {
	int64_t year;
	unsigned month, day; /* from 1 */
};

int64_t imap_calendar_days(struct imap_day day);
struct imap_day imap_calendar_day(int64_t days);
unsigned imap_calendar_month_length(int64_t year, unsigned month);

/* "Jan"; 1 to 12. */
struct str imap_calendar_month_name(unsigned month);

/* In any case; 0: none. */
unsigned imap_calendar_month(struct str name);

#endif
