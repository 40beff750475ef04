/*
 * Folders with all that is in them. Names are relative to an open directory; symbolic links are never followed, and a
 * folder is at most FOLDER_DEPTH_MAX deep. Descriptors belong to the caller.
 */
#ifndef POSTHORN_OS_FOLDER_H
#define POSTHORN_OS_FOLDER_H

#include "fail.h"

#include <stdint.h>

enum { FOLDER_DEPTH_MAX = 16 };

/* A new empty folder, opened; -1 with FAIL_BUSY when it is there already: somebody else is at the same work. */
int folder_make(int parent, const char *name, struct fail **fail);

/* Octets of disk that the open folder takes with all in it; what cannot be read counts nothing. */
uint64_t folder_octets(int folder);

/* Removes what has that name, a folder with all in it, as far as that goes: the first failure is told. What is not
 * there is no failure. */
bool folder_remove(int parent, const char *name, struct fail **fail);

#endif
