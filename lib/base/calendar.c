#include "calendar.h"

#include "check.h"

#include <stdlib.h>

/* Years begin in March, so that the leap day is their last; 400 years of 146097 days are an era. */
int64_t calendar_days(struct calendar_day d)
{
	int64_t year = d.year - (d.month <= 2), era = (year >= 0 ? year : year - 399) / 400, year_of_era = year - era * 400;
	int64_t day_of_year = (153 * ((int64_t)d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct calendar_day calendar_day(int64_t days)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097, day_of_era = days - era * 146097;
	int64_t year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100), month = (5 * day_of_year + 2) / 153;
	return (struct calendar_day){
		.year = year + era * 400 + (month >= 10), .month = (unsigned)(month < 10 ? month + 3 : month - 9),
		.day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
	};
}

unsigned calendar_month_length(int64_t year, unsigned month)
{
	must(month >= 1 && month <= 12);
	if (month == 2)
		return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

static const char month_names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct str calendar_month_name(unsigned month)
{
	must(month >= 1 && month <= 12);
	return str_from(month_names + 3 * (month - 1), 3);
}

unsigned calendar_month(struct str name)
{
	for (unsigned month = 1; month <= 12; month++)
		if (str_equal_nocase(name, calendar_month_name(month)))
			return month;
	return 0;
}

void calendar_write_date_time(struct buf *out, int64_t seconds, int zone_minutes)
{
	static const char weekday_names[] = "SunMonTueWedThuFriSat";
	int64_t there = seconds + (int64_t)zone_minutes * 60;
	int64_t days = (there >= 0 ? there : there - 86399) / 86400, weekday = ((days + 4) % 7 + 7) % 7;
	struct calendar_day day = calendar_day(days);
	struct str month = calendar_month_name(day.month);
	int second = (int)(there - days * 86400), zone = abs(zone_minutes);
	buf_printf(out, "%.3s, %u %.*s %04lld %02d:%02d:%02d %c%02d%02d", weekday_names + 3 * weekday, day.day,
	           STR_ARG(month), (long long)day.year, second / 3600, second / 60 % 60, second % 60,
	           zone_minutes < 0 ? '-' : '+', zone / 60, zone % 60);
}
