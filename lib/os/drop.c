#include "drop.h"

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

static bool become(const char *user, struct fail **fail)
{
	const struct passwd *entry = getpwnam(user);
	if (!entry)
		return fail_set(fail, FAIL_NOT_FOUND,
		                "there is no user %s; systemd-sysusers creates it from posthorn's sysusers file", user);
	uid_t uid = entry->pw_uid;
	gid_t gid = entry->pw_gid;
	if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		return fail_set_errno(fail, FAIL_DENIED, "cannot become user %s", user);
	if (uid != 0 && setuid(0) == 0)
		return fail_set(fail, FAIL_DENIED, "could become root again after becoming %s", user);
	return true;
}

bool drop_privileges(const char *user, struct fail **fail)
{
	if (geteuid() == 0 && !become(user, fail))
		return false;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return fail_set_errno(fail, FAIL_DENIED, "cannot give up privileges");
	/* Changing ids clears it, so it comes last; a parent that died before shows as parent 1 or closed control
	 * socket. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return fail_set_errno(fail, FAIL_DENIED, "cannot bind its life to its parent's");
	return true;
}
