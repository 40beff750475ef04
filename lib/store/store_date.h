/*
 * When a mail was received, with the time zone in which that was told: INTERNALDATE (RFC 9051 §2.3.3) is answered as
 * APPEND gave it, and SEARCH BEFORE, ON and SINCE compare the day that it names there (RFC 9051 §6.4.4).
 *
 * One number for a column, a row and an archive: seconds since 1970 UTC, and in the bits above 47 the minutes east of
 * UTC, zigzag coded, so that a date in UTC is its plain seconds. Before 1970 no zone is kept.
 */
#ifndef POSTHORN_STORE_DATE_H
#define POSTHORN_STORE_DATE_H

#include <stdint.h>

enum { STORE_DATE_ZONE_SHIFT = 48, STORE_DATE_ZONE_MAX = 99 * 60 + 59 };

static inline int64_t store_date(int64_t seconds, int zone_minutes)
{
	if (seconds < 0 || seconds >> STORE_DATE_ZONE_SHIFT || zone_minutes < -STORE_DATE_ZONE_MAX ||
	    zone_minutes > STORE_DATE_ZONE_MAX)
		return seconds;
	int64_t zigzag = zone_minutes < 0 ? -2 * zone_minutes - 1 : 2 * zone_minutes;
	return zigzag << STORE_DATE_ZONE_SHIFT | seconds;
}

static inline int64_t store_date_seconds(int64_t date)
{
	return date < 0 ? date : date & (((int64_t)1 << STORE_DATE_ZONE_SHIFT) - 1);
}

static inline int store_date_zone(int64_t date)
{
	int zigzag = date < 0 ? 0 : (int)(date >> STORE_DATE_ZONE_SHIFT);
	return zigzag & 1 ? -(zigzag + 1) / 2 : zigzag / 2;
}

#endif
