/*
 * The commands that need no running post office: check-config and print-config.
 */
#ifndef POSTHORN_CTL_LOCAL_H
#define POSTHORN_CTL_LOCAL_H

#include "ctl_command.h"

#include <stdio.h>

bool ctl_local_run(const struct ctl_call *call, FILE *out, struct fail **fail);

#endif
