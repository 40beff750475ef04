/*
 * account purge: removes what is kept of deleted accounts, and their numbers from the directory.
 *
 * posthornctl removes the files itself, as the user who asks, because no program of the post office may touch an
 * account that is not its own. Links are not followed, and an account whose process still runs is left alone
 * (FAIL_BUSY).
 */
#ifndef POSTHORN_CTL_PURGE_H
#define POSTHORN_CTL_PURGE_H

#include "ctl_command.h"

#include <stdio.h>

/* The account of the number that is given, or all whose time is over; prints one row for each. */
bool ctl_purge_run(const struct ctl_call *call, FILE *out, struct fail **fail);

#endif
