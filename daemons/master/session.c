/* Joins a SESSION that porter passed with the account that auth named, in whichever order they come; and knows which
 * mailbox process has it then, so that porter hears of its end. */
#include "master.h"

#include "mem.h"

#include <stdlib.h>
#include <unistd.h>

/* Per porter: none can take the others' room. */
enum { JOINING_MAX = 2000, JOINING_OLD_MS = 10000 };

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
	struct process *porter = process_find(m, ROLE_PORTER, j->key.porter);
	map_remove(m->joining, MAP_KEY(j->key));
	if (porter)
		porter->joining--;
	if (j->has_session)
		close(j->descriptor);
	free(j->payload);
	free(j);
}

/* NULL: it has too many. */
static struct joining *add(struct process *porter, uint64_t connection)
{
	struct master *m = porter->master;
	if (porter->joining >= JOINING_MAX)
		return NULL;
	struct joining *j = mem_alloc(sizeof *j);
	porter->joining++;
	j->key.porter = porter->peer.id;
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
	j = add(porter, frame->request);
	if (!j) {
		struct msg_session_refused refused = { .kind = FAIL_LIMIT, .text = STR("too many log-ins at once") };
		msg_session_refused_send(&porter->peer.channel, frame->request, &refused, -1);
		return true; /* the descriptor is closed with the frame */
	}
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
	if (!j)
		j = add(porter, connection);
	if (!j)
		return;
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

/* ---- where it is ---------------------------------------------------------------------------------- */

struct served {
	struct {
		uint64_t porter;
		uint64_t connection;
	} key;
};

void session_passed(struct process *mailbox, uint64_t porter, uint64_t connection)
{
	struct served *s = mem_alloc(sizeof *s);
	s->key.porter = porter;
	s->key.connection = connection;
	free(map_set(mailbox->sessions, MAP_KEY(s->key), s));
}

bool session_is_at(const struct process *mailbox, uint64_t porter, uint64_t connection)
{
	struct served wanted = { .key = { porter, connection } };
	return mailbox->sessions && map_get(mailbox->sessions, MAP_KEY(wanted.key));
}

void session_left(struct process *mailbox, uint64_t porter, uint64_t connection)
{
	struct served left = { .key = { porter, connection } };
	free(map_remove(mailbox->sessions, MAP_KEY(left.key)));
}

void session_tell_all(const struct process *mailbox, struct process *auth)
{
	size_t position = 0;
	void *value;
	while (map_next(mailbox->sessions, &position, NULL, &value)) {
		const struct served *s = value;
		struct msg_session_account named = { .porter = s->key.porter, .account = mailbox->account };
		msg_session_account_send(&auth->peer.channel, s->key.connection, &named, -1);
	}
}

static void tell_ended(struct master *m, uint64_t porter_id, uint64_t connection)
{
	struct process *porter = process_find(m, ROLE_PORTER, porter_id);
	if (porter)
		msg_session_ended_send(&porter->peer.channel, connection, &(struct msg_session_ended){}, -1);
}

void session_closed(struct process *mailbox, uint64_t porter, uint64_t connection)
{
	if (!session_is_at(mailbox, porter, connection))
		return;
	session_left(mailbox, porter, connection);
	tell_ended(mailbox->master, porter, connection);
}

void session_all_closed(struct process *mailbox)
{
	size_t position = 0;
	void *value;
	while (map_next(mailbox->sessions, &position, NULL, &value)) {
		struct served *s = value;
		tell_ended(mailbox->master, s->key.porter, s->key.connection);
		free(s);
	}
	map_free(mailbox->sessions);
	mailbox->sessions = NULL;
}

/* The porter counts the connection until now, whichever way the session ended. */
void session_left_smtpd(struct process *smtpd)
{
	struct process *porter = process_find(smtpd->master, ROLE_PORTER, smtpd->session_porter);
	if (smtpd->busy && porter && porter->peer.kind == smtpd->peer.kind)
		msg_session_ended_send(&porter->peer.channel, smtpd->session_connection, &(struct msg_session_ended){}, -1);
}

void session_drop(struct master *m, uint64_t porter_id, uint64_t connection)
{
	struct process *porter = process_find(m, ROLE_PORTER, porter_id);
	if (!porter)
		return;
	msg_session_drop_send(&porter->peer.channel, connection, &(struct msg_session_drop){ .porter = porter_id }, -1);
	mailbox_drop_session(m, porter_id, connection);
	for (struct process *p = m->processes[ROLE_SMTPD], *next; p; p = next) {
		next = p->next;
		if (!p->busy || p->session_porter != porter_id || p->session_connection != connection)
			continue;
		process_set_state(p, PROCESS_DRAINING); /* its end is wanted */
		process_end(p, "its session was dropped");
		return;
	}
}
