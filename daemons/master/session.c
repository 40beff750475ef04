/* Joins a SESSION that porter passed with the account that auth named, in whichever order they come. */
#include "master.h"

#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

enum { JOINING_MAX = 10000, JOINING_OLD_MS = 10000 };

struct joining {
	struct {
		uint64_t porter;
		uint64_t connection;
	} key;
	uint64_t account; /* from auth */
	int64_t since_ms;
	/* Set when the session came before auth's word. */
	bool has_session;
	char *payload;
	size_t length;
	int descriptor;
};

static void forget(struct master *m, struct joining *j)
{
	map_remove(m->joining, MAP_KEY(j->key));
	if (j->has_session)
		close(j->descriptor);
	free(j->payload);
	free(j);
}

static struct joining *add(struct master *m, uint64_t porter, uint64_t connection)
{
	struct joining *j = mem_alloc(sizeof *j);
	j->key.porter = porter;
	j->key.connection = connection;
	j->since_ms = loop_now_ms(m->loop);
	map_set(m->joining, MAP_KEY(j->key), j);
	return j;
}

static struct joining *find(struct master *m, uint64_t porter, uint64_t connection)
{
	struct joining key = { .key = { porter, connection } };
	return map_get(m->joining, MAP_KEY(key.key));
}

bool session_from_porter(struct process *porter, struct ipc_frame *frame)
{
	struct master *m = porter->master;
	struct joining *j = find(m, porter->peer.id, frame->request);
	if (j && !j->has_session) {
		uint64_t account = j->account;
		forget(m, j);
		mailbox_pass_session(m, account, porter, frame);
		return true;
	}
	if (j)
		return false;
	if (map_count(m->joining) >= JOINING_MAX)
		return true; /* the descriptor is closed with the frame */
	j = add(m, porter->peer.id, frame->request);
	j->has_session = true;
	j->payload = str_copy(frame->payload);
	j->length = frame->payload.length;
	j->descriptor = ipc_take_descriptor(frame);
	return true;
}

void session_account_from_auth(struct master *m, uint64_t porter_id, uint64_t connection, uint64_t account)
{
	struct joining *j = find(m, porter_id, connection);
	struct process *porter = process_find(m, ROLE_PORTER, porter_id);
	if (!porter)
		return;
	if (!j) {
		if (map_count(m->joining) < JOINING_MAX)
			add(m, porter_id, connection)->account = account;
		return;
	}
	if (!j->has_session) {
		j->account = account;
		return;
	}
	struct ipc_frame frame = { .type = MSG_SESSION, .request = connection, .payload = str_from(j->payload, j->length),
		                       .descriptors = { j->descriptor }, .descriptor_count = 1 };
	j->has_session = false;
	mailbox_pass_session(m, account, porter, &frame);
	forget(m, j);
}

void session_forget_old(struct master *m)
{
	size_t position = 0;
	void *value;
	while (map_next(m->joining, &position, NULL, &value)) {
		struct joining *j = value;
		if (loop_now_ms(m->loop) - j->since_ms > JOINING_OLD_MS)
			forget(m, j);
	}
}
