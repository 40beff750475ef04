/*
 * Stands in for one of the programs and breaks the rules, once per life: POSTHORN_OFFENCE is "FROM>TO:OFFENCE", the
 * roles that it is done by and to. Its own role follows from its name. Of the two kinds of porters and smtpds only "world"
 * offends; "users" asks its peer something harmless again and again and says "probe-answered" for each answer.
 *
 *	offender SOCKET ACCOUNT    asks master, at its control socket, for that account's mailbox process
 */
#include "ipc.h"
#include "log.h"
#include "services.h"
#include "spawn.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ACCOUNT = 7, PROBE_EVERY_MS = 20, SESSIONS = 2100 };

static enum ipc_role own_role, target;
static struct str offence;
static bool offends;

static bool is(const char *name)
{
	return str_equal(offence, str_of(name));
}

static enum ipc_role role_named(struct str name)
{
	for (enum ipc_role role = ROLE_MASTER; role < ROLE_COUNT; role++)
		if (str_equal(name, str_of(ipc_role_name(role))))
			return role;
	return ROLE_COUNT;
}

static void send_empty(struct ipc_channel *to, enum msg_type type, uint64_t request, struct str payload)
{
	ipc_send(to, type, request, payload, NULL, 0);
}

/* A message that this role may send to that one, cut off. */
static enum msg_type permitted(void)
{
	static const struct {
		enum ipc_role from, to;
		enum msg_type type;
	} types[] = {
		{ ROLE_AUTH, ROLE_MASTER, MSG_SESSION_ACCOUNT }, { ROLE_QUEUE, ROLE_MASTER, MSG_WANT_MAILBOX },
		{ ROLE_SMTPD, ROLE_MASTER, MSG_LOAD },           { ROLE_ZYGOTE, ROLE_MASTER, MSG_FORKED },
		{ ROLE_MAILBOX, ROLE_MASTER, MSG_IDLE },         { ROLE_PORTER, ROLE_MASTER, MSG_SESSION },
		{ ROLE_PORTER, ROLE_AUTH, MSG_CONNECTION_OPENED }, { ROLE_SMTPD, ROLE_QUEUE, MSG_MAIL_BEGIN },
		{ ROLE_QUEUE, ROLE_AUTH, MSG_RESOLVE },          { ROLE_AUTH, ROLE_QUEUE, MSG_TOKEN },
		{ ROLE_AUTH, ROLE_PORTER, MSG_AUTH_OFFER },      { ROLE_MAILBOX, ROLE_QUEUE, MSG_DELIVERED },
		{ ROLE_QUEUE, ROLE_MAILBOX, MSG_DELIVER },       { ROLE_QUEUE, ROLE_SMTPD, MSG_MAIL_VERDICT },
		{ ROLE_QUEUE, ROLE_RELAY, MSG_RELAY_JOB },       { ROLE_QUEUE, ROLE_RESOLVER, MSG_DNS_ASK },
		{ ROLE_SMTPD, ROLE_RESOLVER, MSG_DNS_ASK },      { ROLE_RELAY, ROLE_RESOLVER, MSG_DNS_ASK },
		{ ROLE_RELAY, ROLE_QUEUE, MSG_RELAY_RESULT },    { ROLE_RELAY, ROLE_MASTER, MSG_TRANSPORT_CONNECT },
		{ ROLE_RESOLVER, ROLE_RELAY, MSG_DNS_ANSWER },   { ROLE_RESOLVER, ROLE_SMTPD, MSG_DNS_ANSWER },
		{ ROLE_RESOLVER, ROLE_MASTER, MSG_OFFENDER },
	};
	for (size_t i = 0; i < COUNT_OF(types); i++)
		if (types[i].from == own_role && types[i].to == target)
			return types[i].type;
	return MSG_NONE;
}

/* More sessions than may wait for auth's word; says how many master did not want. */
static void send_many_sessions(struct ipc_channel *to)
{
	struct ipc_frame frame;
	unsigned refused = 0;
	for (uint64_t request = 1; request <= SESSIONS && !to->broken; request++) {
		int given = dup(0);
		ipc_send(to, MSG_SESSION, request, STR("never joined"), &given, 1);
	}
	while (ipc_receive_wait(to, &frame, 1000) == IPC_FRAME) {
		refused += frame.type == MSG_SESSION_REFUSED;
		ipc_close_descriptors(&frame);
	}
	log_event(LOG_INFO, 0, "sessions-refused", LOG_NUMBER("count", refused));
}

static void send_session(struct ipc_channel *to, unsigned descriptors)
{
	int given[2] = { dup(0), dup(0) };
	for (unsigned i = descriptors; i < 2; i++)
		close(given[i]);
	ipc_send(to, MSG_SESSION, 1, STR("this is no session"), given, descriptors);
}

/* What may be said once, said twice; for queue to relay the word that ends a job that there is not any more. */
static void replay(struct ipc_channel *to)
{
	const struct msg_connection_opened opened = { .service = SERVICE_SMTP, .peer = STR("127.0.0.1") };
	const struct msg_mail_begin begin = { .sender = STR("a@example.test"), .protocol = STR("ESMTP") };
	for (int i = 0; i < 2; i++)
		switch (own_role) {
		case ROLE_PORTER: msg_connection_opened_send(to, 1, &opened, -1); break;
		case ROLE_SMTPD: msg_mail_begin_send(to, 1, &begin, -1); break;
		case ROLE_MAILBOX: msg_mailbox_opened_send(to, 0, &(struct msg_mailbox_opened){}, -1); break;
		case ROLE_RELAY: /* its greeting, twice */
			msg_relay_held_send(to, 1, &(struct msg_relay_held){ .mail = 1 }, -1);
			msg_relay_up_send(to, 0, &(struct msg_relay_up){ .jobs_max = 1 }, -1);
			break;
		case ROLE_QUEUE: msg_relay_noted_send(to, 0, &(struct msg_relay_noted){ .jobs = STR("no job's") }, -1); break;
		default: must(false);
		}
}

static void offend(struct ipc_channel *to)
{
	if (is("garbage"))
		must(send(to->descriptor, "garbage", 7, MSG_NOSIGNAL) == 7);
	else if (is("unknown"))
		send_empty(to, MSG_COUNT, 0, STR(""));
	else if (is("forbidden")) /* posthornctl alone says this */
		send_empty(to, MSG_CTL_ACCOUNT, 0, STR("\7\0\0\0\0\0\0"));
	else if (is("malformed"))
		send_empty(to, permitted(), 0, STR("x"));
	else if (is("replayed"))
		replay(to);
	else if (is("replayed-session")) {
		send_session(to, 1);
		send_session(to, 1);
	} else if (is("two-descriptors"))
		send_session(to, 2);
	else if (is("session"))
		send_session(to, 1);
	else if (is("many-sessions"))
		send_many_sessions(to);
	else if (is("flood"))
		for (int i = 0; i < 1000 && !to->broken; i++)
			send_empty(to, MSG_READY, 0, STR(""));
	else
		must(false); /* its caller names only what stands above */
}

/* The offences that lie in the greeting itself. */
static void greet(struct ipc_channel *master, enum ipc_role role)
{
	bool here = offends && target == ROLE_MASTER;
	struct msg_hello hello = { .version = ipc_version(), .role = (uint32_t)role, .pid = (uint32_t)getpid() };
	if (here && is("unready"))
		msg_ready_send(master, 0, &(struct msg_ready){}, -1);
	if (here && is("version"))
		hello.version++;
	if (here && is("role"))
		hello.role = ROLE_MASTER;
	msg_hello_send(master, 0, &hello, -1);
	if (here && is("replayed"))
		msg_hello_send(master, 0, &hello, -1);
	msg_ready_send(master, 0, &(struct msg_ready){}, -1);
	if (here && !is("silent") && !is("unready") && !is("version") && !is("role") && !is("replayed"))
		offend(master);
}

/* Something harmless, answered. */
static void probe(struct ipc_channel *peer)
{
	struct ipc_frame frame;
	uint64_t number = ipc_number_make();
	if (own_role == ROLE_PORTER)
		msg_connection_opened_send(peer, number, &(struct msg_connection_opened){ .service = SERVICE_POP3, .peer = STR("127.0.0.1") }, -1);
	else
		msg_mail_begin_send(peer, number, &(struct msg_mail_begin){ .sender = STR("a@example.test"), .protocol = STR("ESMTP") }, -1);
	while (ipc_receive_wait(peer, &frame, 5000) == IPC_FRAME) {
		ipc_close_descriptors(&frame);
		if (frame.type != MSG_CONNECTION_VERDICT && frame.type != MSG_MAIL_VERDICT)
			continue;
		log_event(LOG_INFO, 0, "probe-answered");
		if (own_role == ROLE_PORTER)
			msg_connection_closed_send(peer, number, &(struct msg_connection_closed){}, -1);
		else
			msg_mail_abort_send(peer, number, &(struct msg_mail_abort){}, -1);
		return;
	}
	log_event(LOG_ERROR, 0, "probe-failed");
	_exit(1);
}

/* From the pool: a client's session, whose porter is then told nonsense. */
static void return_nonsense(struct ipc_channel *pool, struct ipc_channel *master)
{
	struct ipc_frame frame;
	struct msg_session session;
	if (ipc_receive(pool, &frame) != IPC_FRAME || !msg_session_read(&frame, &session))
		return;
	char payload[20] = {};
	memcpy(payload, &session.porter, sizeof session.porter);
	ipc_send(master, MSG_SESSION_RETURN, session.connection, str_from(payload, sizeof payload), frame.descriptors,
	         frame.descriptor_count);
}

/* So much processor time that the kernel counts it. */
static void work_a_little(void)
{
	for (clock_t until = clock() + CLOCKS_PER_SEC / 100; clock() < until;)
		;
}

static void fork_mailbox(struct ipc_channel *zygote, struct ipc_frame *frame);

static void serve(struct ipc_channel *master)
{
	struct ipc_channel peer = { .descriptor = -1 }, pool = { .descriptor = -1 };
	struct ipc_frame frame;
	struct msg_wire wire;
	enum ipc_received got;
	while ((got = ipc_receive_wait(master, &frame, PROBE_EVERY_MS)) != IPC_CLOSED) {
		if (offends && is("silent"))
			work_a_little();
		if (got == IPC_AGAIN && !offends && peer.descriptor >= 0 && (own_role == ROLE_PORTER || own_role == ROLE_SMTPD))
			probe(&peer);
		if (got == IPC_AGAIN && offends && pool.descriptor >= 0 && is("return"))
			return_nonsense(&pool, master);
		if (got == IPC_AGAIN)
			continue;
		if (frame.type == MSG_PING && !(offends && is("silent")))
			msg_pong_send(master, frame.request, &(struct msg_pong){}, -1);
		if (frame.type == MSG_DRAIN)
			_exit(0);
		if (frame.type == MSG_FORK)
			fork_mailbox(master, &frame);
		if (frame.type == MSG_WIRE && msg_wire_read(&frame, &wire)) {
			bool is_pool = own_role == ROLE_SMTPD && wire.role == ROLE_PORTER;
			struct ipc_channel *channel = is_pool ? &pool : &peer;
			bool wanted = offends && wire.role == target && !is_pool;
			if (is_pool || wanted || wire.role == ROLE_AUTH || wire.role == ROLE_QUEUE)
				ipc_channel_init(channel, ipc_take_descriptor(&frame));
			/* auth names the account to whatever connection 1 is, for every porter that it meets. */
			if (own_role == ROLE_AUTH && is("session") && wire.role == ROLE_PORTER)
				msg_session_account_send(master, 1, &(struct msg_session_account){ .porter = wire.peer, .account = ACCOUNT }, -1);
			else if (wanted)
				offend(channel);
		}
		ipc_close_descriptors(&frame);
	}
}

/* Once for the account: the process that master takes for its mailbox. */
static void fork_mailbox(struct ipc_channel *zygote, struct ipc_frame *frame)
{
	struct ipc_channel control;
	struct msg_fork wanted;
	must(msg_fork_read(frame, &wanted));
	pid_t pid = fork();
	if (pid == 0) {
		ipc_channel_init(&control, ipc_take_descriptor(frame));
		ipc_channel_release(zygote);
		own_role = ROLE_MAILBOX;
		offends = true;
		greet(&control, ROLE_MAILBOX);
		serve(&control);
		_exit(0);
	}
	msg_forked_send(zygote, frame->request, &(struct msg_forked){ .account = wanted.account, .pid = (uint32_t)pid }, -1);
}

static int want_mailbox(const char *socket_path, const char *account)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ipc_channel master;
	struct msg_ctl_account wanted;
	size_t length = strlen(socket_path);
	must(length < sizeof address.sun_path && str_to_u64(str_of(account), UINT64_MAX, &wanted.account));
	memcpy(address.sun_path, socket_path, length);
	ipc_channel_init(&master, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	if (connect(master.descriptor, (struct sockaddr *)&address, sizeof address) != 0)
		return 1;
	msg_ctl_account_send(&master, 0, &wanted, -1);
	return master.broken;
}

/* posthorn-mailbox is the zygote: its offence may be its own or, with MAILBOX in the plan, its child's. */
int main(int argc, char **argv)
{
	struct ipc_channel master;
	const char *plan = getenv("POSTHORN_OFFENCE");
	struct str rest = str_of(plan ? plan : ""), from, to;
	if (argc == 3)
		return want_mailbox(argv[1], argv[2]);
	log_init("offender", LOG_INFO);
	must(str_take_until(&rest, '>', &from) && str_take_until(&rest, ':', &to));
	offence = rest;
	target = role_named(to);
	const char *name = basename(argv[0]);
	own_role = str_equal(str_of(name), STR("posthorn-mailbox"))
	               ? ROLE_ZYGOTE
	               : role_named(str_from_index(str_of(name), strlen("posthorn-")));
	offends = role_named(from) == own_role && (argc < 2 || str_equal(str_of(argv[1]), STR("world")));
	if (own_role == ROLE_AUTH && is("session"))
		offends = false;
	ipc_channel_init(&master, SPAWN_CONTROL);
	greet(&master, own_role);
	serve(&master);
	return 0;
}
