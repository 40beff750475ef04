/* posthorn-mailbox: see mailbox.h and docs/processes.md. */
#include "mailbox.h"

#include "charset.h"

static void preload(const struct config *config)
{
	(void)config;
	charset_preload();
}

extern const struct ipc_permit zygote_permits[];
extern const size_t zygote_permit_count;

int main(void)
{
	static struct account account;
	int control;
	struct daemon_spec spec = {
		.program = "mailbox", .user = "posthorn-mail", .role = ROLE_ZYGOTE, .folder = "accounts",
		.needs = SANDBOX_NEEDS_FILES | SANDBOX_NEEDS_THREADS | SANDBOX_NEEDS_FORK,
		.preload = preload, .permits = zygote_permits, .permit_count = zygote_permit_count,
	};
	daemon_begin(&account.daemon, &spec, &account);
	uint64_t number = zygote_serve(&account.daemon, &control);
	account_serve(&account, number, control);
	return 0;
}
