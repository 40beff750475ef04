/* Porters and their clients' connections: who may connect, and what ends with a connection. */
#include "auth.h"

#include "clock.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

/* Connections open from one address, over all porters. */
struct address {
	struct recent_key key;
	unsigned open;
};

/* ---- addresses ----------------------------------------------------------------------------- */

static struct recent_key block_key(const struct auth *auth, const struct endpoint *endpoint)
{
	struct network block = network_around(endpoint, 32, 64);
	return auth_key(auth, block.v6 ? "ipv6" : "ipv4", str_from((const char *)block.prefix, sizeof block.prefix),
	                STR(""));
}

/* What is no IP address came over a Unix socket, from this host. */
static void source_init(struct source *source, const struct auth *auth, struct str peer)
{
	const struct config *config = &auth->daemon.config;
	struct endpoint endpoint;
	*source = (struct source){};
	must(peer.length < sizeof source->text);
	if (peer.length)
		memcpy(source->text, peer.data, peer.length);
	if (!endpoint_parse_ip(peer, 0, &endpoint, NULL)) {
		source->exempt = source->loopback = true;
		return;
	}
	source->loopback = endpoint_is_loopback(&endpoint);
	source->trusted = network_any_contains(config->trusted_networks.items, config->trusted_networks.count, &endpoint);
	source->exempt = network_any_contains(config->exempt_networks.items, config->exempt_networks.count, &endpoint);
	source->counted = !source->exempt;
	source->key = block_key(auth, &endpoint);
}

static unsigned open_from(const struct auth *auth, const struct source *source)
{
	const struct address *address = map_get(auth->addresses, MAP_KEY(source->key));
	return address ? address->open : 0;
}

static void count_open(struct auth *auth, const struct source *source)
{
	struct address *address = map_get(auth->addresses, MAP_KEY(source->key));
	if (!source->counted)
		return;
	if (!address) {
		address = mem_alloc(sizeof *address);
		address->key = source->key;
		map_set(auth->addresses, MAP_KEY(address->key), address);
	}
	address->open++;
}

static void count_closed(struct auth *auth, const struct source *source)
{
	struct address *address = source->counted ? map_get(auth->addresses, MAP_KEY(source->key)) : NULL;
	if (!address || --address->open > 0)
		return;
	map_remove(auth->addresses, MAP_KEY(source->key));
	free(address);
}

/* ---- connections --------------------------------------------------------------------------- */

bool connection_is_pop3(const struct connection *c)
{
	return c->service == SERVICE_POP3 || c->service == SERVICE_POP3S;
}

/* Mail is handed in there, so a trusted network may send through it. */
static bool takes_mail(enum service service)
{
	return service == SERVICE_SMTP || service == SERVICE_SUBMISSION || service == SERVICE_SUBMISSIONS;
}

static void end_token(struct connection *c)
{
	if (c->has_token)
		queue_token_ended(c->porter->auth, &c->token);
	c->has_token = false;
	c->token = (struct ipc_id){};
}

void connection_give_token(struct connection *c)
{
	end_token(c);
	c->token = ipc_id_make();
	c->has_token = true;
	queue_token(c);
}

void connection_drop(struct auth *auth, uint64_t porter, uint64_t connection)
{
	msg_session_drop_send(&auth->daemon.master.channel, connection, &(struct msg_session_drop){ .porter = porter }, -1);
}

void connection_log_out(struct connection *c)
{
	end_token(c);
	c->account = 0;
	c->address[0] = '\0';
}

static void connection_free(struct connection *c)
{
	struct porter *porter = c->porter;
	login_abandon(c);
	connection_log_out(c);
	count_closed(porter->auth, &c->source);
	map_remove(porter->connections, MAP_KEY(c->id));
	free(c);
}

static struct connection *connection_new(struct porter *porter, uint64_t id, enum service service,
                                         const struct source *source)
{
	struct connection *c = mem_alloc(sizeof *c);
	c->porter = porter;
	c->id = id;
	c->service = service;
	c->source = *source;
	c->since = clock_wall_seconds();
	count_open(porter->auth, source);
	map_set(porter->connections, MAP_KEY(c->id), c);
	return c;
}

/* RFC 1939 §7; offered only where an account can use it. */
static void make_timestamp(struct connection *c)
{
	struct auth *auth = c->porter->auth;
	CLEANUP(buf_release) struct buf timestamp = BUF_WITH_LIMIT(sizeof c->apop_timestamp - 1);
	if (!connection_is_pop3(c) || !auth->offers_apop)
		return;
	sasl_apop_timestamp(str_of(auth->daemon.config.hostname), &timestamp);
	if (timestamp.overflowed) {
		buf_clear(&timestamp);
		sasl_apop_timestamp(STR("localhost"), &timestamp);
	}
	memcpy(c->apop_timestamp, buf_text(&timestamp), timestamp.length + 1);
}

static const char *why_refused(struct porter *porter, enum service service, const struct source *source)
{
	const struct config *config = &porter->auth->daemon.config;
	struct endpoint endpoint;
	if (map_count(porter->connections) >= config->connections_max)
		return "too many connections";
	if (service == SERVICE_LMTP && endpoint_parse_ip(str_of(source->text), 0, &endpoint, NULL) &&
	    !network_any_contains(config->lmtp_networks.items, config->lmtp_networks.count, &endpoint))
		return "not in lmtp_networks";
	if (!source->counted)
		return NULL;
	if (open_from(porter->auth, source) >= config->connections_per_address_max)
		return "too many connections from its address";
	return penalty_is_blocked(porter->auth, &source->key) ? "blocked after failed log-ins" : NULL;
}

/* ---- sessions of before -------------------------------------------------------------------- */

/* Who it is; the connection itself is porter's to tell of. */
struct earlier {
	uint64_t connection;
	uint64_t account;
	bool has_token; /* it submits */
	struct ipc_id token;
};

/* So that it is listed and ends with its account's right: what serves it does not ask whose it is again. */
static void restore_log_in(struct connection *c)
{
	CLEANUP(mem_free) struct earlier *e = map_remove(c->porter->logged_in, MAP_KEY(c->id));
	struct directory_account account;
	if (!e || !directory_account_get_by_id(c->porter->auth->directory, (int64_t)e->account, &account, NULL))
		return;
	connection_log_out(c); /* a trusted network's token, which porter does not take for one that is logged in */
	c->account = e->account;
	memcpy(c->address, account.address, strlen(account.address) + 1);
	if (!e->has_token)
		return;
	c->token = e->token;
	c->has_token = true;
	queue_token(c); /* this auth vouches for it now */
}

/* It may have lost its right while there was no auth, or before queue's word came. */
static bool may_go_on(struct auth *auth, uint64_t account_id)
{
	struct directory_account account;
	return !auth_has_revoked(auth, account_id) &&
	       directory_account_get_by_id(auth->directory, (int64_t)account_id, &account, NULL) && account.enabled &&
	       !account.purge_at;
}

static void end_submission(struct auth *auth, uint64_t porter, uint64_t connection, const struct ipc_id *token)
{
	queue_token_ended(auth, token);
	connection_drop(auth, porter, connection);
}

static void keep_earlier(struct porter *porter, const struct earlier *told)
{
	struct earlier *e = mem_alloc(sizeof *e);
	*e = *told;
	free(map_set(porter->logged_in, MAP_KEY(e->connection), e));
	struct connection *c = map_get(porter->connections, MAP_KEY(told->connection));
	if (c)
		restore_log_in(c);
}

bool connection_was_logged_in(struct auth *auth, uint64_t porter_id, uint64_t id, uint64_t account,
                              const struct ipc_id *token)
{
	static const struct ipc_id none;
	struct porter *porter = auth->porters;
	while (porter && porter->peer.id != porter_id)
		porter = porter->next;
	if (token && (!porter || !may_go_on(auth, account)))
		end_submission(auth, porter_id, id, token);
	else if (porter && map_count(porter->logged_in) >= LIMIT_QUEUE_TOKENS_MAX)
		return false;
	else if (porter)
		keep_earlier(porter, &(struct earlier){ id, account, token != NULL, token ? *token : none });
	return true;
}

void connection_revoke_earlier(struct auth *auth, uint64_t account)
{
	for (struct porter *porter = auth->porters; porter; porter = porter->next) {
		size_t position = 0;
		void *value;
		while (map_next(porter->logged_in, &position, NULL, &value)) {
			struct earlier *e = value;
			if (e->account != account)
				continue;
			if (e->has_token)
				end_submission(auth, porter->peer.id, e->connection, &e->token);
			map_remove(porter->logged_in, MAP_KEY(e->connection));
			free(e);
		}
	}
}

static void answer(struct porter *porter, uint64_t id, enum service service, const struct source *source)
{
	struct msg_connection_verdict verdict = { .trusted = source->trusted, .exempt = source->exempt };
	const char *why = why_refused(porter, service, source);
	if (why) {
		log_event(LOG_INFO, id, "connection-refused", LOG_TEXT("service", str_of(service_name(service))),
		          LOG_TEXT("peer", str_of(source->text)), LOG_TEXT("why", str_of(why)));
		msg_connection_verdict_send(&porter->peer.channel, id, &verdict, -1);
		return;
	}
	struct connection *c = connection_new(porter, id, service, source);
	make_timestamp(c);
	if (source->trusted && takes_mail(service))
		connection_give_token(c);
	verdict.allowed = 1;
	verdict.apop_timestamp = str_of(c->apop_timestamp);
	verdict.token = c->token;
	msg_connection_verdict_send(&porter->peer.channel, id, &verdict, -1);
	restore_log_in(c);
}

static bool on_opened(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = peer->owner;
	struct msg_connection_opened opened;
	struct source source;
	if (!msg_connection_opened_read(frame, &opened) || opened.service >= SERVICE_CONTROL ||
	    service_kind((enum service)opened.service) != porter->peer.kind ||
	    map_get(porter->connections, MAP_KEY(frame->request)))
		return false;
	source_init(&source, porter->auth, opened.peer);
	answer(porter, frame->request, (enum service)opened.service, &source);
	return true;
}

static bool on_closed(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = peer->owner;
	struct connection *c = map_get(porter->connections, MAP_KEY(frame->request));
	/* One that was refused, or that an auth before this one knew. */
	if (c)
		connection_free(c);
	return true;
}

void connection_each(struct auth *auth, void (*visit)(struct connection *c, void *context), void *context)
{
	for (struct porter *porter = auth->porters; porter; porter = porter->next) {
		size_t position = 0;
		void *value;
		while (map_next(porter->connections, &position, NULL, &value))
			visit(value, context);
	}
}

/* ---- porters ------------------------------------------------------------------------------- */

#define ANY (unsigned)IPC_ANY_STATE

/* Strangers cannot log in, so their porters cannot ask for it. */
static const struct ipc_permit permits_world[] = {
	{ MSG_CONNECTION_OPENED, ANY, 0, on_opened },
	{ MSG_CONNECTION_CLOSED, ANY, 0, on_closed },
};
static const struct ipc_permit permits_users[] = {
	{ MSG_CONNECTION_OPENED, ANY, 0, on_opened }, { MSG_CONNECTION_CLOSED, ANY, 0, on_closed },
	{ MSG_AUTH_START, ANY, 0, login_start },      { MSG_AUTH_STEP, ANY, 0, login_step },
	{ MSG_AUTH_CANCEL, ANY, 0, login_cancel },    { MSG_AUTH_PASSWORD, ANY, 0, login_password },
	{ MSG_AUTH_APOP, ANY, 0, login_apop },
};

static void porter_ended(struct ipc_peer *peer, const char *why)
{
	struct porter *porter = peer->owner;
	struct porter **place = &porter->auth->porters;
	size_t position = 0;
	void *value;
	if (why) {
		log_event(LOG_ERROR, 0, "porter-channel-ended", LOG_TEXT("why", str_of(why)));
		daemon_report(&porter->auth->daemon, ROLE_PORTER, peer->id);
	}
	ipc_peer_release(peer);
	while (map_next(porter->connections, &position, NULL, &value))
		connection_free(value);
	map_free(porter->connections);
	for (position = 0; map_next(porter->logged_in, &position, NULL, &value);)
		free(value);
	map_free(porter->logged_in);
	while (*place != porter)
		place = &(*place)->next;
	*place = porter->next;
	free(porter);
}

void porter_offer(struct porter *porter)
{
	struct msg_auth_offer offer = { .mechanisms = porter->auth->mechanisms, .apop = porter->auth->offers_apop };
	msg_auth_offer_send(&porter->peer.channel, 0, &offer, -1);
}

void porter_add(struct auth *auth, const struct msg_wire *wire, int descriptor)
{
	struct porter *porter = mem_alloc(sizeof *porter);
	bool users = wire->kind == KIND_USERS;
	porter->auth = auth;
	porter->connections = map_new();
	porter->logged_in = map_new();
	porter->next = auth->porters;
	auth->porters = porter;
	porter->peer.role = ROLE_PORTER;
	porter->peer.id = wire->peer;
	porter->peer.kind = wire->kind;
	porter->peer.owner = porter;
	ipc_peer_start(&porter->peer, auth->daemon.loop, descriptor, users ? permits_users : permits_world,
	               users ? COUNT_OF(permits_users) : COUNT_OF(permits_world), porter_ended);
	porter_offer(porter);
}
