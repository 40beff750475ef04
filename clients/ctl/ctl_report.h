/*
 * dmarc show: a DMARC report that others sent, read from a file or a pipe and printed.
 *
 * It may be the XML, packed or not, or the whole mail that it came in. Nothing in it is trusted (dmarc_feedback.h),
 * and where the kernel can, posthornctl gives up files and the network before it looks at it.
 */
#ifndef POSTHORN_CTL_REPORT_H
#define POSTHORN_CTL_REPORT_H

#include "ctl_command.h"

#include <stdio.h>

bool ctl_report_run(const struct ctl_call *call, FILE *out, struct fail **fail);

#endif
