/*
 * The sandbox: Landlock for the file tree and TCP, seccomp for system calls.
 *
 * A program states what it needs as data (struct sandbox) and calls sandbox_enter once, after drop_privileges and
 * before its first thread. From then on: no file but below the given paths, no new network socket unless it needs the
 * internet, no exec, no signal to others, no ptrace, no new code in memory (PROT_EXEC): what is to run must be loaded
 * before. A system call outside the profile ends the process; a few that libraries try and can do without fail with
 * EPERM.
 *
 * Debian 12 has Landlock ABI 2, which knows no truncate(2) (3), TCP (4), abstract sockets and signals (6): seccomp
 * refuses those calls in every profile, and what changes a file by its path (truncate, chmod, utimensat), so the
 * promise does not depend on the ABI. Not prevented: learning with stat whether a path exists, how large and how old
 * it is, where the user may search its folder. landlock_abi_max lowers the ABI for tests.
 */
#ifndef POSTHORN_OS_SANDBOX_H
#define POSTHORN_OS_SANDBOX_H

#include "fail.h"

#include <stddef.h>

enum sandbox_access {
	SANDBOX_READ = 1,  /* open for reading, list */
	SANDBOX_WRITE = 2, /* write, create, rename and remove below it */
};

struct sandbox_path {
	const char *path;
	unsigned access;
};

enum sandbox_need {
	SANDBOX_NEEDS_THREADS = 1 << 0,
	SANDBOX_NEEDS_FILES = 1 << 1,   /* opens, renames, removes files (below its paths) */
	SANDBOX_NEEDS_ACCEPT = 1 << 2,  /* accepts on inherited listening sockets */
	SANDBOX_NEEDS_SOCKETS = 1 << 3, /* makes connected pairs of Unix sockets */
	SANDBOX_NEEDS_FORK = 1 << 4,    /* forks, never execs */
	SANDBOX_NEEDS_SEALED_MEMORY = 1 << 5, /* makes files in memory that nobody can change */
	SANDBOX_NEEDS_INTERNET = 1 << 6, /* connects and sends to other hosts; still listens nowhere */
};

struct sandbox {
	const struct sandbox_path *paths;
	size_t path_count;
	unsigned needs;
	int landlock_abi_max; /* 0: what the kernel has */
};

/* False with FAIL_UNAVAILABLE where the kernel has no Landlock or seccomp: the program must not serve then. */
bool sandbox_enter(const struct sandbox *sandbox, struct fail **fail);

/* The kernel's Landlock ABI, 0 for none. */
int sandbox_landlock_abi(void);

#endif
