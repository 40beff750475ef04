/*
 * Dates of mail: RFC 5322 §3.3 with the obsolete forms of §4.3 and the sloppy ones of real mail. No locale, no time
 * zone of the machine. (The date-time of IMAP is imap_parse.h's and imap_write.h's.)
 */
#ifndef POSTHORN_MAIL_DATE_H
#define POSTHORN_MAIL_DATE_H

#include "buf.h"

struct date {
	int64_t seconds;  /* since 1970-01-01 UTC */
	int zone_minutes; /* east of UTC of the clock that wrote it */
};

/* Understands Date fields, asctime and ISO 8601 forms. False when there is no day, month and year. A missing
 * or unknown zone is UTC (RFC 5322 §4.3). *date is untouched on failure. */
bool date_parse(struct str text, struct date *date);

/* "Sat, 5 Jan 2002 10:11:12 +0100" */
void date_format(struct buf *out, struct date date);

#endif
