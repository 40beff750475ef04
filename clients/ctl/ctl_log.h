/*
 * posthornctl log: the lines of the running post office that are wanted, from the file of an instance or from journald.
 *
 * Lines are printed as they stand in the log, where bytes from outside are escaped already; what is no line of ours is
 * made harmless here. An account is looked for by its address and, if the post office can be asked, by its number; the
 * lines of a session that logged in to it belong to it from then on.
 */
#ifndef POSTHORN_CTL_LOG_H
#define POSTHORN_CTL_LOG_H

#include "ctl_command.h"

#include <stdio.h>

/* Returns at the log's end; with --follow when the log is taken away, or never. */
bool ctl_log_run(const struct ctl_call *call, FILE *out, struct fail **fail);

#endif
