#include "imap_calendar.h"

#include "check.h"

/* After H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the leap day is their last; 400 years
 * of 146097 days are an era. */
int64_t imap_calendar_days(struct imap_day d)
{
	int64_t year = d.year - (d.month <= 2), era = (year >= 0 ? year : year - 399) / 400, year_of_era = year - era * 400;
	int64_t day_of_year = (153 * ((int64_t)d.month + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;
	return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

struct imap_day imap_calendar_day(int64_t days)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097, day_of_era = days - era * 146097;
	int64_t year = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	int64_t day_of_year = day_of_era - (365 * year + year / 4 - year / 100), month = (5 * day_of_year + 2) / 153;
	return (struct imap_day){
		.year = year + era * 400 + (month >= 10), .month = (unsigned)(month < 10 ? month + 3 : month - 9),
		.day = (unsigned)(day_of_year - (153 * month + 2) / 5 + 1),
	};
}

unsigned imap_calendar_month_length(int64_t year, unsigned month)
{
	must(month >= 1 && month <= 12);
	if (month == 2)
		return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
	return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct str imap_calendar_month_name(unsigned month)
{
	must(month >= 1 && month <= 12);
	return str_from(names + 3 * (month - 1), 3);
}

unsigned imap_calendar_month(struct str name)
{
	for (unsigned month = 1; month <= 12; month++)
		if (str_equal_nocase(name, imap_calendar_month_name(month)))
			return month;
	return 0;
}
