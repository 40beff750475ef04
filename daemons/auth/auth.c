/* posthorn-auth: see auth.h and docs/processes.md. */
#include "auth.h"

#include "clock.h"
#include "directory_secret.h"
#include "log.h"
#include "mem.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FAILURES_MAX = 50000, VERIFIED_MAX = 50000, POP3_LOGINS_MAX = 100000, REVOKED_MAX = 50000 };
enum { REVOKED_MS = 3600000 }; /* queue tells of older tokens when it is wired to a new auth: in a moment, unless it hangs */

struct recent_key auth_key(const struct auth *auth, const char *kind, struct str one, struct str two)
{
	struct recent_key key;
	crypto_generichash_state state;
	const uint64_t length = one.length; /* so that no other cut between the two gives the same */
	must(crypto_generichash_init(&state, auth->hash_key, sizeof auth->hash_key, sizeof key.bytes) == 0);
	crypto_generichash_update(&state, (const unsigned char *)kind, strlen(kind) + 1);
	crypto_generichash_update(&state, (const unsigned char *)&length, sizeof length);
	if (one.length)
		crypto_generichash_update(&state, (const unsigned char *)one.data, one.length);
	if (two.length)
		crypto_generichash_update(&state, (const unsigned char *)two.data, two.length);
	must(crypto_generichash_final(&state, key.bytes, sizeof key.bytes) == 0);
	mem_wipe(&state, sizeof state);
	return key;
}

/* The frame's bytes are this thread's own receive buffer, which the next frame overwrites only in part. */
void auth_wipe(struct str secret)
{
	if (secret.length)
		mem_wipe((void *)(uintptr_t)secret.data, secret.length);
}

/* ---- what changes mean to others ----------------------------------------------------------- */

static void find_offer(struct auth *auth)
{
	unsigned parts = 0;
	directory_credential_parts(auth->directory, &parts, NULL);
	auth->offers_apop = parts & DIRECTORY_CHALLENGE;
	auth->mechanisms = MECHANISM_SCRAM_SHA_256_PLUS | MECHANISM_SCRAM_SHA_256 | MECHANISM_PLAIN | MECHANISM_LOGIN;
	if (parts & DIRECTORY_SCRAM_SHA1)
		auth->mechanisms |= MECHANISM_SCRAM_SHA_1_PLUS | MECHANISM_SCRAM_SHA_1;
	if (parts & DIRECTORY_CHALLENGE)
		auth->mechanisms |= MECHANISM_CRAM_MD5;
}

void auth_directory_changed(struct auth *auth)
{
	unsigned mechanisms = auth->mechanisms;
	bool offers_apop = auth->offers_apop;
	if (auth->generation_told == directory_generation(auth->directory))
		return;
	auth->generation_told = directory_generation(auth->directory);
	find_offer(auth);
	for (struct porter *porter = auth->porters; porter; porter = porter->next)
		if (auth->mechanisms != mechanisms || auth->offers_apop != offers_apop)
			porter_offer(porter);
	queue_directory_changed(auth);
}

/* Sessions of POP3 and IMAP are with the account's mailbox process, which master tells; one that submits is with
 * porter or an smtpd. */
static void end_session_of(struct connection *c, void *account)
{
	if (c->account != *(uint64_t *)account)
		return;
	if (c->has_token)
		connection_drop(c->porter->auth, c->porter->peer.id, c->id);
	connection_log_out(c);
}

static struct recent_key revoked_key(const struct auth *auth, uint64_t account)
{
	return auth_key(auth, "revoked", MAP_KEY(account), STR(""));
}

bool auth_has_revoked(const struct auth *auth, uint64_t account)
{
	struct recent_key key = revoked_key(auth, account);
	return recent_find(auth->revoked, &key, clock_monotonic_ms());
}

void auth_revoke(struct auth *auth, uint64_t account)
{
	must(account != 0);
	struct recent_key key = revoked_key(auth, account);
	int64_t now = clock_monotonic_ms();
	recent_put(auth->revoked, &key, now, now + REVOKED_MS)->account = account;
	auth->revocations++;
	recent_forget_account(auth->verified, account);
	connection_each(auth, end_session_of, &account);
	connection_revoke_earlier(auth, account);
	msg_account_drop_send(&auth->daemon.master.channel, 0, &(struct msg_account_drop){ .account = account }, -1);
}

/* ---- configuration ------------------------------------------------------------------------- */

static void make_decoy(struct auth *auth)
{
	const struct config *config = &auth->daemon.config;
	struct directory_credential_cost cost = DIRECTORY_CREDENTIAL_COST;
	cost.argon2_operations = config->argon2_operations;
	cost.argon2_memory = (size_t)config->argon2_memory_kb * 1024;
	if (auth->cost.argon2_operations == cost.argon2_operations && auth->cost.argon2_memory == cost.argon2_memory)
		return;
	auth->cost = cost;
	directory_credential_decoy(&cost, &auth->decoy);
}

/* The configuration decides; the directory only keeps what it works with. */
static void set_separator(struct auth *auth)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	char separator[2] = { auth->daemon.config.subaddress_separator };
	if (strcmp(directory_setting(auth->directory, DIRECTORY_SEPARATORS), separator) != 0 &&
	    !directory_setting_set(auth->directory, DIRECTORY_SEPARATORS, str_of(separator), &fail))
		log_event(LOG_ERROR, 0, "setting-refused", LOG_TEXT("why", str_of(fail_text(fail))));
}

static bool on_reconfigure(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct auth *auth = peer->owner;
	if (!daemon_reconfigure(&auth->daemon, frame))
		return false;
	make_decoy(auth);
	set_separator(auth);
	auth->generation_told = directory_generation(auth->directory);
	queue_directory_changed(auth);
	return true;
}

/* ---- doors --------------------------------------------------------------------------------- */

struct door {
	struct auth *auth;
	struct door *next;
	struct watch watch;
	void (*accepted)(struct auth *auth, int descriptor);
};

static void knock(void *owner, uint32_t events)
{
	struct door *door = owner;
	(void)events;
	int descriptor = accept4(door->watch.descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (descriptor >= 0)
		door->accepted(door->auth, descriptor);
}

/* Serves a listening socket until the process ends. */
static void door_open(struct auth *auth, int descriptor, void (*accepted)(struct auth *auth, int descriptor))
{
	struct door *door = mem_alloc(sizeof *door);
	door->auth = auth;
	door->accepted = accepted;
	door->next = auth->doors;
	auth->doors = door;
	loop_watch(auth->daemon.loop, &door->watch, descriptor, EPOLLIN, knock, door);
}

static bool on_listener(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct auth *auth = peer->owner;
	struct msg_listener listener;
	if (!msg_listener_read(frame, &listener) || frame->descriptor_count != 1)
		return false;
	if (listener.service != SERVICE_CONTROL && listener.service != SERVICE_PASSWORD)
		return false;
	door_open(auth, ipc_take_descriptor(frame),
	          listener.service == SERVICE_CONTROL ? control_accepted : password_accepted);
	return true;
}

/* ---- master -------------------------------------------------------------------------------- */

static bool on_wire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct auth *auth = peer->owner;
	struct msg_wire wire;
	if (!msg_wire_read(frame, &wire) || frame->descriptor_count != 1)
		return false;
	if (wire.role == ROLE_PORTER && wire.kind < KIND_COUNT)
		porter_add(auth, &wire, ipc_take_descriptor(frame));
	else if (wire.role == ROLE_QUEUE)
		queue_wire(auth, ipc_take_descriptor(frame));
	else
		return false;
	return true;
}

static bool on_session_account(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_session_account named;
	if (!msg_session_account_read(frame, &named))
		return false;
	return connection_was_logged_in(peer->owner, named.porter, frame->request, named.account, NULL);
}

static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)frame;
	loop_stop(((struct auth *)peer->owner)->daemon.loop);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_WIRE, (unsigned)IPC_ANY_STATE, 0, on_wire },
	{ MSG_LISTENER, (unsigned)IPC_ANY_STATE, 0, on_listener },
	{ MSG_RECONFIGURE, (unsigned)IPC_ANY_STATE, 0, on_reconfigure },
	{ MSG_SESSION_ACCOUNT, (unsigned)IPC_ANY_STATE, 0, on_session_account },
	{ MSG_DRAIN, (unsigned)IPC_ANY_STATE, 1, on_drain },
};

static struct sasl *preloaded;

static void preload(const struct config *config)
{
	(void)config;
	directory_credential_init();
	preloaded = sasl_new();
}

static const struct daemon_spec spec = {
	.program = "auth", .role = ROLE_AUTH,
	.preload = preload, .permits = permits, .permit_count = COUNT_OF(permits),
};

void auth_directory_replaced(struct auth *auth)
{
	directory_key(auth->directory, "fake SCRAM salts", auth->secrets.fake_key);
	set_separator(auth);
}

static void open_directory(struct auth *auth)
{
	struct fail *fail = NULL;
	CLEANUP(mem_free) char *path = mem_printf("%s/directory.db", auth->daemon.folder);
	auth->directory = directory_open(path, &fail);
	if (!auth->directory)
		daemon_die("cannot-open-directory", fail);
	auth->generation_told = directory_generation(auth->directory);
	auth->secrets = (struct sasl_directory){ .find = login_find_secret, .context = auth };
	auth_directory_replaced(auth);
	find_offer(auth);
}

int main(void)
{
	static struct auth auth;
	daemon_begin(&auth.daemon, &spec, &auth);
	auth.sasl = preloaded;
	randombytes_buf(auth.hash_key, sizeof auth.hash_key);
	auth.failures = recent_new(FAILURES_MAX);
	auth.verified = recent_new(VERIFIED_MAX);
	auth.pop3_logins = recent_new(POP3_LOGINS_MAX);
	auth.revoked = recent_new(REVOKED_MAX);
	auth.addresses = map_new();
	auth.quotas_told = map_new();
	open_directory(&auth);
	make_decoy(&auth);
	auth.workers = workers_new(auth.daemon.loop);
	daemon_ready(&auth.daemon);
	loop_run(auth.daemon.loop);
	workers_free(auth.workers);
	directory_close(auth.directory);
	_exit(0); /* nothing else is to be done, and what libraries do at exit is not for the sandbox */
}
