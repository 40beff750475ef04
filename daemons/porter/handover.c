/* Sessions go to the process that serves them, and come back. */
#include "porter.h"

#include "log.h"
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INNER_SILENCE_MS = 30000 };

/* The descriptor to give away: the socket itself, or for TLS one end of a pair; *kept gets the other end. -1: none
 * left, or answers that the client does not read, which would be lost with the socket. */
static int descriptor_for_session(struct connection *c, int *kept)
{
	int pair[2];
	*kept = -1;
	connection_flush(c);
	if (c->phase == PHASE_GONE || (!c->tls && c->output.length))
		return -1;
	if (!c->tls)
		return dup(c->descriptor);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
	*kept = pair[0];
	return pair[1];
}

static void fill_tls_facts(struct connection *c, struct msg_session *session, struct tls_facts *facts)
{
	if (!c->tls)
		return;
	tls_get_facts(c->tls, facts);
	session->tls_version = str_of(facts->version);
	session->tls_cipher = str_of(facts->cipher);
	session->server_name = str_of(facts->server_name);
	session->exporter = str_from((const char *)facts->binding, facts->has_binding ? sizeof facts->binding : 0);
}

static void send_session(struct connection *c, struct ipc_channel *to, int descriptor)
{
	struct tls_facts facts = {};
	struct msg_session session = {
		.service = (uint32_t)c->service, .flags = c->flags, .connection = c->id, .porter = 0, .token = c->token,
		.account = str_of(c->account), .peer = str_of(c->peer), .peer_port = c->peer_port, .local = str_of(c->local),
		.helo = str_of(c->helo), .language = str_of(c->language), .errors = c->errors, .transactions = c->transactions,
		.tag = imap_dialogue_tag(c), .client_id = str_of(c->client_id), .leftover = buf_str(&c->input),
	};
	fill_tls_facts(c, &session, &facts);
	session.porter = c->porter->id;
	msg_session_send(to, c->id, &session, descriptor);
	buf_clear(&c->input);
}

/* From now on the other process has the socket, or the pump its end of the pair. */
static void let_go(struct connection *c, int kept)
{
	imap_dialogue_end(c);
	if (c->tls) {
		pump_begin(c, kept);
		return;
	}
	loop_unwatch(c->porter->daemon.loop, &c->watch);
	buf_release(&c->input);
	buf_release(&c->output);
	c->phase = PHASE_HANDED;
	close(c->descriptor);
	c->descriptor = -1;
	loop_stop_timer(c->porter->daemon.loop, &c->timer);
}

bool handover_to_smtpd(struct connection *c)
{
	struct porter *porter = c->porter;
	int kept;
	if (!porter->has_pool || porter->pool_full || c->input.length > LIMIT_LEFTOVER_MAX)
		return false;
	int descriptor = descriptor_for_session(c, &kept);
	if (descriptor < 0)
		return false;
	c->flags &= ~(unsigned)SESSION_POOL_WAIT;
	send_session(c, &porter->pool, descriptor);
	if (porter->pool.broken || porter->pool.full) {
		close(kept);
		return false;
	}
	let_go(c, kept);
	return true;
}

void handover_to_mailbox(struct connection *c)
{
	int kept;
	int descriptor = descriptor_for_session(c, &kept);
	if (descriptor < 0) {
		c->dialogue->session_refused(c, STR("no more descriptors"));
		return;
	}
	send_session(c, &c->porter->daemon.master.channel, descriptor);
	c->phase = PHASE_WAITING;
	c->waits_for = WAITS_FOR_MASTER;
	c->inner = kept;
	connection_set_timer(c, INNER_SILENCE_MS, connection_on_silence);
}

void handover_taken(struct connection *c)
{
	if (c->waits_for != WAITS_FOR_MASTER)
		return;
	int kept = c->inner;
	c->waits_for = WAITS_FOR_NOTHING;
	let_go(c, kept);
}

void handover_ended(struct connection *c)
{
	if (c->phase == PHASE_HANDED)
		connection_end(c);
}

void handover_drop(struct connection *c)
{
	if (c->phase == PHASE_DIALOGUE) {
		c->dialogue->farewell(c, FAIL_DENIED);
		connection_close_after_output(c);
	} else if (c->phase != PHASE_HANDED) {
		connection_end(c);
	}
}

/* What the other process wrote last, and what it did not read, must not be lost. */
static void drain_inner(struct connection *c, int returned)
{
	char piece[PUMP_PIECE];
	ssize_t got;
	while ((got = recv(c->inner, piece, sizeof piece, MSG_DONTWAIT)) > 0)
		buf_append(&c->output, piece, (size_t)got);
	while ((got = recv(returned, piece, sizeof piece, MSG_DONTWAIT)) > 0)
		buf_append(&c->input, piece, (size_t)got);
	buf_add_str(&c->input, buf_str(&c->to_inner));
	buf_clear(&c->to_inner);
	pump_stop(c);
}

bool handover_returned(struct porter *porter, struct ipc_frame *frame)
{
	struct msg_session_return back;
	CLEANUP(file_close) int descriptor = ipc_take_descriptor(frame);
	/* Master passes it on unread: what is wrong with it is not master's fault. */
	if (!msg_session_return_read(frame, &back) || descriptor < 0) {
		log_event(LOG_ERROR, frame->request, "malformed-return");
		return true;
	}
	struct connection *c = map_get(porter->connections, MAP_KEY(frame->request));
	if (!c || (c->phase != PHASE_HANDED && c->phase != PHASE_PUMPING))
		return true; /* ended meanwhile */
	buf_clear(&c->input);
	buf_add_str(&c->input, back.leftover);
	if (c->phase == PHASE_PUMPING)
		drain_inner(c, descriptor);
	else
		connection_take_descriptor(c, dup(descriptor));
	c->flags = back.flags;
	c->errors = back.errors;
	c->transactions = back.transactions;
	memcpy(c->helo, back.helo.data, back.helo.length);
	c->helo[back.helo.length] = '\0';
	if (c->input.overflowed) {
		connection_end(c);
		return true;
	}
	c->dialogue->returned(c);
	return true;
}
