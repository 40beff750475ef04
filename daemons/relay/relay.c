/* posthorn-relay: see relay.h and docs/processes.md. */
#include "relay.h"

#include "connection.h"
#include "file.h"
#include "mem.h"
#include "sts.h"
#include "tls.h"

#include <sys/random.h>
#include <unistd.h>

static struct tls_client *loaded_tls;
static char *loaded_password;
static struct own *loaded_own;
static struct sasl *loaded_sasl;

size_t relay_jobs_max(const struct relay *r)
{
	return r->daemon.config.relay_connections_max;
}

int64_t relay_scale_ms(const struct relay *r, int64_t seconds)
{
	int64_t ms = 10 * seconds * r->daemon.config.relay_timeout_percent;
	return ms > 0 ? ms : 1;
}

/* Many lots at a time: one for each would be two system calls for each mail. */
uint32_t relay_random(void)
{
	static uint32_t lots[64];
	static size_t left;
	if (left == 0) {
		must(getrandom(lots, sizeof lots, 0) == sizeof lots);
		left = COUNT_OF(lots);
	}
	return lots[--left];
}

void relay_end_if_drained(struct relay *r)
{
	if (r->draining && !r->jobs)
		_exit(0);
}

static bool on_wire(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay *r = peer->owner;
	struct msg_wire wire;
	if (!msg_wire_read(frame, &wire) || frame->descriptor_count != 1)
		return false;
	if (wire.role == ROLE_RESOLVER)
		asker_wire(&r->asker, ipc_take_descriptor(frame));
	else
		queue_link_wire(r, ipc_take_descriptor(frame));
	return true;
}

/* Takes no new job; what it has it brings to its end, for as long as that may take. */
static void begin_draining(struct relay *r)
{
	r->draining = true;
	queue_link_say_no_more(r);
	relay_end_if_drained(r);
}

void relay_retire(struct relay *r)
{
	if (r->draining)
		return;
	msg_retire_send(&r->daemon.master.channel, 0, &(struct msg_retire){}, -1);
	begin_draining(r);
}

static void retire(void *owner)
{
	relay_retire(owner);
}

static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)frame;
	begin_draining(peer->owner);
	return true;
}

/* A connection of master's making, or none. Nobody may wait for it any more. */
static bool on_transport_socket(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct relay *r = peer->owner;
	struct msg_transport_socket answer;
	int descriptor = ipc_take_descriptor(frame);
	if (!msg_transport_socket_read(frame, &answer)) {
		file_close(&descriptor);
		return false;
	}
	connection_take_socket(r, frame->request, descriptor);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_TRANSPORT_SOCKET, (unsigned)IPC_ANY_STATE, 0, on_transport_socket },
	{ MSG_WIRE, (unsigned)IPC_ANY_STATE, 0, on_wire },
	{ MSG_DRAIN, (unsigned)IPC_ANY_STATE, 0, on_drain },
};

/* The first line. */
static char *read_password(const char *path)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_PASSWORD_MAX + 2);
	struct fail *fail = NULL;
	if (!file_load(path, &text, &fail))
		daemon_die("cannot-start", fail);
	struct str line = str_first(buf_str(&text), str_find_char(buf_str(&text), '\n'));
	char *password = str_copy(str_trim(line));
	mem_wipe(text.data, text.length);
	return password;
}

/* A host that trusts nobody still sends mail: DANE and TLS without a name to verify ask no authority. */
static void read_authorities(const struct config *config, struct buf *authorities)
{
	struct fail *fail = NULL;
	bool is_named = config->relay_ca_file[0];
	if (tls_read_authorities(is_named ? config->relay_ca_file : NULL, authorities, &fail))
		return;
	if (is_named)
		daemon_die("cannot-start", fail);
	log_event(LOG_WARNING, 0, "no-authorities", LOG_TEXT("why", str_of(fail_text(fail))));
	buf_clear(authorities);
	fail_free(&fail);
}

static void preload(const struct config *config)
{
	struct fail *fail = NULL;
	enum tls_minimum minimum = config->tls_minimum == CONFIG_TLS_1_3 ? TLS_MINIMUM_1_3 : TLS_MINIMUM_1_2;
	CLEANUP(buf_release) struct buf authorities = BUF_WITH_LIMIT(TLS_AUTHORITIES_MAX);
	tls_preload();
	loaded_own = own_new(config);
	read_authorities(config, &authorities);
	loaded_tls = tls_client_new_from(minimum, buf_str(&authorities), &fail);
	if (!loaded_tls)
		daemon_die("cannot-start", fail);
	if (!config->smarthost_user[0])
		return;
	loaded_password = read_password(config->smarthost_password_file);
	loaded_sasl = sasl_new();
}

static const struct daemon_spec spec = {
	.program = "relay", .role = ROLE_RELAY, .preload = preload, .permits = permits, .permit_count = COUNT_OF(permits),
};

int main(void)
{
	static struct relay relay;
	daemon_begin(&relay.daemon, &spec, &relay);
	relay.by_number = map_new();
	relay.hosts = map_new();
	relay.socket_requests = map_new();
	relay.own = loaded_own;
	relay.tls = loaded_tls;
	relay.password = loaded_password;
	relay.sasl = loaded_sasl;
	asker_init(&relay.asker, relay.daemon.loop, retire, &relay);
	sts_init(&relay);
	daemon_ready(&relay.daemon);
	loop_run(relay.daemon.loop);
	return 0;
}
