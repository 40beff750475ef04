/*
 * posthornctl doctor: is everything in place that a mail server needs, in the DNS, on this host and in its
 * certificates?
 *
 * It looks at the post office from outside, as other mail servers would: asks the DNS as the resolver does, connects
 * to the ports, and asks the running post office for its domains and DKIM keys. It changes nothing. It takes two
 * minutes at most, whatever the network does: each question has a time, and all have one together. Without a network
 * it says so once, and checks what can be checked.
 */
#ifndef POSTHORN_CTL_DOCTOR_H
#define POSTHORN_CTL_DOCTOR_H

#include "ctl_command.h"

#include <stdio.h>

/* How long all certificates in a PEM file are good; not positive when one has expired. */
bool doctor_certificate_life(const char *path, int64_t *seconds, struct fail **fail);

/* *is_healthy: no error was found (warnings and notes do not count). False when it could not begin. */
bool doctor_run(const struct ctl_call *call, FILE *out, bool *is_healthy, struct fail **fail);

#endif
