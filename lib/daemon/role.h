/*
 * What each program may do, in one place: the user it becomes and its sandbox. The programs enter it through
 * role_confine, and so do the tests that try to break out of it (tests/sandbox). docs/processes.md says what it
 * leaves possible.
 */
#ifndef POSTHORN_DAEMON_ROLE_H
#define POSTHORN_DAEMON_ROLE_H

#include "fail.h"
#include "ipc.h"

struct role_rights {
	const char *user;
	/* A folder of data_directory that it may read and write, or NULL. A mailbox process has its account's below it
	 * instead. */
	const char *folder;
	unsigned needs; /* enum sandbox_need */
};

/* Of every role but master and ctl. */
const struct role_rights *role_rights(enum ipc_role role);

/* Enters the sandbox of that role for folder (absolute, or NULL); landlock_abi_max as in struct sandbox. */
bool role_confine(enum ipc_role role, const char *folder, int landlock_abi_max, struct fail **fail);

#endif
