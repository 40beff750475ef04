/* Local users change their own password: words "password", address, old and new one. Whoever may connect to the socket
 * may guess here as at any other door, so it costs the same; users are told apart by their number instead of an
 * address. */
#include "auth.h"

#include "directory_secret.h"
#include "log.h"
#include "mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LOCAL_PEERS_MAX = 50, PATIENCE_MS = 30000 };
enum { LOCAL_ASKS = 1, LOCAL_WAITS = 2 };

struct local {
	struct auth *auth;
	struct ipc_peer peer;
	struct timer timer;
	struct source source;
	struct attempt *attempt;
	struct change *change;
	struct directory_password wanted;
};

/* The new credential is being made; it is stored even if the one who asked is gone. */
struct change {
	struct auth *auth;
	struct local *local;
	int64_t account;
	uint64_t began; /* revocations then */
	char address[DIRECTORY_ADDRESS_TEXT_MAX + 1];
};

static void answer(struct local *local, const struct fail *fail)
{
	control_done(&local->peer, fail);
	local->peer.state = LOCAL_ASKS;
}

static void refuse(struct local *local, enum fail_kind kind, const char *text)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	fail_set(&fail, kind, "%s", text);
	answer(local, fail);
}

static void made(struct hashing *h)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct change *change = h->owner;
	struct auth *auth = change->auth;
	/* If the administrator has just taken the account from a thief, it stays taken. */
	if (change->began != auth->revocations)
		fail_set(&fail, FAIL_BUSY, "passwords were changed meanwhile, try again");
	else if (directory_credential_set(auth->directory, change->account, &h->made, &fail)) {
		log_event(LOG_INFO, 0, "password-changed", LOG_TEXT("account", str_of(change->address)));
		auth_revoke(auth, (uint64_t)change->account);
		auth_directory_changed(auth);
	}
	if (change->local) {
		change->local->change = NULL;
		answer(change->local, fail);
	}
	free(change);
	hashing_free(h);
}

static void make(struct local *local, const struct directory_account *account)
{
	struct auth *auth = local->auth;
	struct change *change = mem_alloc(sizeof *change);
	struct hashing *h = hashing_new(&auth->cost, change, made);
	change->auth = auth;
	change->local = local;
	change->account = account->id;
	change->began = auth->revocations;
	memcpy(change->address, account->address, sizeof change->address);
	h->makes = true;
	h->make_parts = account->mechanisms;
	h->password = local->wanted;
	if (worker_submit(auth->workers, h)) {
		local->change = change;
		return;
	}
	free(change);
	hashing_free(h);
	refuse(local, FAIL_BUSY, "too many log-ins wait, try again");
}

static void settled(struct attempt *a)
{
	struct local *local = a->owner;
	local->attempt = NULL;
	if (a->passed)
		make(local, &a->login.account);
	else if (a->reason == AUTH_REASON_CREDENTIALS)
		refuse(local, FAIL_DENIED, "the address or the old password is wrong");
	else if (a->reason == AUTH_REASON_BLOCKED)
		refuse(local, FAIL_LIMIT, "too many wrong passwords, try again later");
	else
		refuse(local, FAIL_UNAVAILABLE, "passwords cannot be changed now, try again later");
	mem_wipe(&local->wanted, sizeof local->wanted);
	attempt_free(a);
}

static bool split(struct str text, struct str words[4])
{
	for (size_t i = 0; i < 4; i++)
		if (!str_take_until(&text, '\0', &words[i]))
			return false;
	return str_is_empty(text) && str_equal(words[0], STR("password"));
}

static void begin(struct local *local, struct str address, struct str old, struct str wanted)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!directory_password_normalise(wanted, &local->wanted, &fail) ||
	    !directory_password_acceptable(&local->wanted, local->auth->daemon.config.password_minimum_length, &fail)) {
		answer(local, fail);
		return;
	}
	local->peer.state = LOCAL_WAITS;
	local->attempt = attempt_new(local->auth, 0, service_name(SERVICE_PASSWORD), &local->source, local, settled);
	/* One for a single program must not be the key to all. */
	local->attempt->no_app_passwords = true;
	attempt_password(local->attempt, address, old);
}

static bool on_request(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_ctl_request request;
	struct str words[4];
	if (!msg_ctl_request_read(frame, &request) || !split(request.words, words))
		return false;
	begin(peer->owner, words[1], words[2], words[3]);
	auth_wipe(frame->payload);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_CTL_REQUEST, LOCAL_ASKS, 0, on_request },
};

static void local_ended(struct ipc_peer *peer, const char *why)
{
	struct local *local = peer->owner;
	if (why)
		log_event(LOG_WARNING, 0, "password-channel-ended", LOG_TEXT("peer", str_of(local->source.text)),
		          LOG_TEXT("why", str_of(why)));
	if (local->attempt)
		attempt_abandon(local->attempt);
	if (local->change)
		local->change->local = NULL;
	loop_stop_timer(local->auth->daemon.loop, &local->timer);
	local->auth->local_peers--;
	ipc_peer_release(peer);
	mem_wipe(local, sizeof *local);
	free(local);
}

static void on_silence(void *owner)
{
	struct local *local = owner;
	ipc_peer_end(&local->peer, NULL);
}

static void name_user(struct local *local, int descriptor)
{
	struct ucred user = { .uid = (uid_t)-1 };
	socklen_t length = sizeof user;
	getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &user, &length);
	snprintf(local->source.text, sizeof local->source.text, "uid:%u", user.uid);
	local->source.counted = true;
	local->source.key = auth_key(local->auth, "uid", MAP_KEY(user.uid), STR(""));
}

void password_accepted(struct auth *auth, int descriptor)
{
	if (auth->local_peers >= LOCAL_PEERS_MAX) {
		close(descriptor);
		return;
	}
	struct local *local = mem_alloc(sizeof *local);
	auth->local_peers++;
	local->auth = auth;
	local->peer.role = ROLE_CTL;
	local->peer.owner = local;
	name_user(local, descriptor);
	ipc_peer_start(&local->peer, auth->daemon.loop, descriptor, permits, COUNT_OF(permits), local_ended);
	loop_start_timer(auth->daemon.loop, &local->timer, PATIENCE_MS, on_silence, local);
}
