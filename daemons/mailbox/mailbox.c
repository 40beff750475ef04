/* posthorn-mailbox: see mailbox.h and docs/processes.md. */
#include "mailbox.h"

#include "charset.h"

static void preload(const struct config *config)
{
	(void)config;
	charset_preload();
	store_preload();
}

int main(void)
{
	static struct account account;
	int control;
	struct daemon_spec spec = {
		.program = "mailbox", .role = ROLE_ZYGOTE,
		.preload = preload, .permits = zygote_permits, .permit_count = zygote_permit_count,
	};
	daemon_begin(&account.daemon, &spec, &account);
	uint64_t number = zygote_serve(&account.daemon, &control);
	account_serve(&account, number, control);
	return 0;
}
