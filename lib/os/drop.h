/*
 * Giving up privileges for good. As root: the supplementary groups are dropped and real,
 * effective and saved ids become the user's; otherwise nothing changes. Either way the
 * process can never gain privileges again (no_new_privs), leaves no core with secrets, and dies with its parent.
 */
#ifndef POSTHORN_OS_DROP_H
#define POSTHORN_OS_DROP_H

#include "fail.h"

/* user is a name like "posthorn-mail"; FAIL_NOT_FOUND when root is to become a user that does not exist. */
bool drop_privileges(const char *user, struct fail **fail);

#endif
