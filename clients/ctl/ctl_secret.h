/*
 * Passwords for commands: from a file, from standard input, or from the terminal without echo.
 *
 * Never from the command line, where every user of the host could read them. A password is the octets of a line without
 * its line end.
 */
#ifndef POSTHORN_CTL_SECRET_H
#define POSTHORN_CTL_SECRET_H

#include "ctl_command.h"

/* Adds the passwords that the call needs to words, each with a NUL behind it. Without --password-file they are asked
 * for on the terminal or, when standard input is none, are its first lines. */
bool ctl_secret_add(const struct ctl_call *call, struct buf *words, struct fail **fail);

#endif
