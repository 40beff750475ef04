/*
 * A line of the log (lib/os/log.h), taken apart, and the question whether it is one of those that are wanted.
 *
 * All views die with the line. What a crashed program or a library wrote to standard error stands between such lines;
 * it is no line of ours and has text only.
 */
#ifndef POSTHORN_CTL_LOG_LINE_H
#define POSTHORN_CTL_LOG_LINE_H

#include "buf.h"

enum { CTL_LOG_LINE_MAX = 65536 };

struct ctl_log_line {
	struct str time, program, session, level, event;
	struct str fields; /* still escaped: ctl_log_field_next */
};

/* False for what is no line of ours. */
bool ctl_log_line_parse(struct str text, struct ctl_log_line *line);

/* Seconds since 1970; 0 for a time that is none. */
int64_t ctl_log_line_seconds(const struct ctl_log_line *line);

/* Takes the next key and its value out of *fields; value gets the bytes that were escaped. False at the end. */
bool ctl_log_field_next(struct str *fields, struct str *key, struct buf *value);

/* As ctl_table takes it: time, program, session, level, event, then the fields. */
void ctl_log_line_row(const struct ctl_log_line *line, struct buf *row);

/* KEY=VALUE: session, program, level, event, or the key of a field. A session without its leading zeros is the same. */
bool ctl_log_line_has(const struct ctl_log_line *line, struct str key, struct str value);

/* "2026-11-22", "2026-11-22 06:30", "2026-11-22 06:30:15", T for the blank, Z behind it for UTC instead of local time;
 * or so long before now: "90s", "10m", "2h", "3d". */
bool ctl_log_since_parse(const char *text, int64_t now_seconds, int64_t *seconds);

#endif
