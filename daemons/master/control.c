/* posthornctl's door: reload, status, and the way to an account's mailbox process. */
#include "master.h"

#include "log.h"
#include "mem.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct control {
	struct master *master;
	struct ipc_peer peer;
};

static void control_ended(struct ipc_peer *peer, const char *why)
{
	(void)why;
	ipc_peer_release(peer);
	free(peer->owner);
}

static void done(struct ipc_peer *peer, const struct fail *fail)
{
	struct msg_ctl_done answer = { .status = fail ? 1 + (uint32_t)fail->kind : 0, .text = str_of(fail ? fail->text : "") };
	answer.text = str_first(answer.text, 1000);
	msg_ctl_done_send(&peer->channel, 0, &answer, -1);
}

static void add_field(struct buf *row, const char *key, const char *value)
{
	buf_append(row, key, strlen(key) + 1);
	buf_append(row, value, strlen(value) + 1);
}

static void send_process(struct ipc_peer *peer, const struct process *p)
{
	static const char *const states[] = { "starting", "running", "draining" };
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(1000);
	CLEANUP(mem_free) char *pid = mem_printf("%d", (int)p->pid),
		*account = mem_printf("%llu", (unsigned long long)p->account);
	bool has_kind = p->peer.role == ROLE_PORTER || p->peer.role == ROLE_SMTPD;
	add_field(&row, "program", ipc_role_name(p->peer.role));
	add_field(&row, "kind", !has_kind ? "-" : p->peer.kind == KIND_WORLD ? "world" : "users");
	add_field(&row, "pid", pid);
	add_field(&row, "account", p->account ? account : "-");
	add_field(&row, "state", p->busy ? "busy" : states[p->state]);
	msg_ctl_row_send(&peer->channel, 0, &(struct msg_ctl_row){ .fields = buf_str(&row) }, -1);
}

static bool status(struct master *m, struct ipc_peer *peer, struct fail **fail)
{
	(void)fail;
	for (enum ipc_role role = 0; role < ROLE_COUNT; role++)
		for (struct process *p = m->processes[role]; p; p = p->next)
			send_process(peer, p);
	return true;
}

static bool reload(struct master *m, struct ipc_peer *peer, struct fail **fail)
{
	(void)peer;
	return master_reload(m, fail);
}

static const struct {
	const char *verb;
	bool (*act)(struct master *m, struct ipc_peer *peer, struct fail **fail);
} verbs[] = {
	{ "status", status },
	{ "reload", reload },
};

static bool on_request(struct ipc_peer *peer, struct ipc_frame *frame)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct control *control = peer->owner;
	struct msg_ctl_request request;
	struct str verb;
	if (!msg_ctl_request_read(frame, &request) || !str_take_until(&request.words, '\0', &verb))
		return false;
	fail_set(&fail, FAIL_INVALID, "unknown request");
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (str_equal(verb, str_of(verbs[i].verb))) {
			fail_free(&fail);
			verbs[i].act(control->master, peer, &fail);
		}
	done(peer, fail);
	return true;
}

/* The connection itself moves to the mailbox process; it answers from there. */
static bool on_account(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct control *control = peer->owner;
	struct msg_ctl_account wanted;
	if (!msg_ctl_account_read(frame, &wanted) || wanted.account == 0)
		return false;
	ipc_close_descriptors(frame);
	frame->descriptors[0] = dup(peer->channel.descriptor);
	frame->descriptor_count = 1;
	mailbox_pass_session(control->master, wanted.account, NULL, frame);
	control_ended(peer, NULL);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_CTL_REQUEST, (unsigned)IPC_ANY_STATE, 0, on_request },
	{ MSG_CTL_ACCOUNT, (unsigned)IPC_ANY_STATE, 1, on_account },
};

void control_accept(void *owner, uint32_t events)
{
	struct master *m = owner;
	(void)events;
	int descriptor = accept4(m->control_listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (descriptor < 0)
		return;
	struct control *control = mem_alloc(sizeof *control);
	control->master = m;
	control->peer.role = ROLE_CTL;
	control->peer.owner = control;
	ipc_peer_start(&control->peer, m->loop, descriptor, permits, COUNT_OF(permits), control_ended);
}
