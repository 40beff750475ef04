/*
 * posthornctl trace: the whole way of one mail, out of the log, and where it is now.
 *
 * The log is read twice. First the mails are found that the word means: those whose Message-ID it is, or the one with
 * that queue-id; and the reports that were made of them. Then their events are taken: all that name a queue-id of
 * theirs, and of the sessions that brought them the connection, log-in and checks, but not other mails of the same
 * session. They are shown in the order of the log. What queue still holds stands behind it, if the post office runs.
 */
#ifndef POSTHORN_CTL_TRACE_H
#define POSTHORN_CTL_TRACE_H

#include "ctl_command.h"

#include <stdio.h>

/* FAIL_NOT_FOUND when the log knows no such mail. */
bool ctl_trace_run(const struct ctl_call *call, FILE *out, struct fail **fail);

#endif
