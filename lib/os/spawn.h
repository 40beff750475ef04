/*
 * Starting a program with exactly the descriptors it is given.
 */
#ifndef POSTHORN_OS_SPAWN_H
#define POSTHORN_OS_SPAWN_H

#include "fail.h"

#include <sys/types.h>

enum {
	SPAWN_CONTROL = 3, /* every daemon: its socket to master */
	SPAWN_CONFIG = 4,  /* every daemon: the configuration, a sealed memory file */
};

/* Runs path with arguments (NULL-terminated, arguments[0] the name); control and config become descriptors 3 and 4,
 * 0 is /dev/null, 1 and 2 are kept, all others are closed. The caller keeps its own copies. -1 on failure. */
pid_t spawn_program(const char *path, char *const arguments[], int control, int config, struct fail **fail);

#endif
