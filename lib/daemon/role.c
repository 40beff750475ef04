#include "role.h"

#include "sandbox.h"

static const struct role_rights rights[ROLE_COUNT] = {
	[ROLE_PORTER] = { "posthorn-porter", NULL, SANDBOX_NEEDS_ACCEPT | SANDBOX_NEEDS_SOCKETS },
	[ROLE_SMTPD] = { "posthorn-smtpd", NULL, 0 },
	[ROLE_AUTH] = { "posthorn-auth", "directory", SANDBOX_NEEDS_FILES | SANDBOX_NEEDS_THREADS | SANDBOX_NEEDS_ACCEPT },
	[ROLE_QUEUE] = { "posthorn-queue", "spool",
	                 SANDBOX_NEEDS_FILES | SANDBOX_NEEDS_THREADS | SANDBOX_NEEDS_ACCEPT | SANDBOX_NEEDS_SEALED_MEMORY },
	[ROLE_ZYGOTE] = { "posthorn-mail", "accounts", SANDBOX_NEEDS_FILES | SANDBOX_NEEDS_THREADS | SANDBOX_NEEDS_FORK },
	[ROLE_RESOLVER] = { "posthorn-dns", NULL, SANDBOX_NEEDS_THREADS | SANDBOX_NEEDS_INTERNET },
	[ROLE_RELAY] = { "posthorn-relay", NULL, SANDBOX_NEEDS_INTERNET },
	[ROLE_MAILBOX] = { "posthorn-mail", NULL, SANDBOX_NEEDS_FILES | SANDBOX_NEEDS_THREADS },
};

const struct role_rights *role_rights(enum ipc_role role)
{
	must((unsigned)role < ROLE_COUNT && rights[role].user);
	return &rights[role];
}

bool role_confine(enum ipc_role role, const char *folder, int landlock_abi_max, struct fail **fail)
{
	const struct sandbox_path path = { folder, SANDBOX_READ | SANDBOX_WRITE };
	const struct sandbox sandbox = {
		.paths = &path,
		.path_count = folder != NULL,
		.needs = role_rights(role)->needs,
		.landlock_abi_max = landlock_abi_max,
	};
	return sandbox_enter(&sandbox, fail);
}
