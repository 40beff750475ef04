/*
 * Where the log is: the file of an instance, or the journal of the unit (journalctl). Gives its lines, oldest first.
 */
#ifndef POSTHORN_CTL_LOG_SOURCE_H
#define POSTHORN_CTL_LOG_SOURCE_H

#include "fail.h"
#include "str.h"

struct ctl_log_source {
	const char *directory; /* of an instance; NULL: the journal */
	bool follow;           /* waits for more at the end, until the log is taken away */
	bool all;              /* not only what comes from now on */
	int64_t since;         /* seconds since 1970: the journal gives nothing older, a file does */
	void (*take)(void *owner, struct str line); /* a view; what is longer than CTL_LOG_LINE_MAX is cut */
	void (*waits)(void *owner);                 /* nothing more is there now; may be NULL when follow is not set */
	void *owner;
};

bool ctl_log_source_read(const struct ctl_log_source *source, struct fail **fail);

#endif
