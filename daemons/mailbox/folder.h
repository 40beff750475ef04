/*
 * Small work on folders inside the account's directory. Names are relative to an open directory; symbolic links are
 * never followed.
 */
#ifndef POSTHORN_MAILBOX_FOLDER_H
#define POSTHORN_MAILBOX_FOLDER_H

#include "fail.h"

#include <stdint.h>

/* A new empty folder, opened; -1 with FAIL_BUSY when it is there already: somebody else is at the same work. */
int folder_make(int parent, const char *name, struct fail **fail);

/* Octets of disk that the open folder takes with all in it; what cannot be read counts nothing. */
uint64_t folder_octets(int folder);

/* Removes a folder with all in it, as far as that goes; what is not there is no failure. */
void folder_remove(int parent, const char *name);

#endif
