/* The porter's side of the talk with auth. A request number is a connection's. */
#include "porter.h"

#include "log.h"

static bool waits(struct porter *porter, uint64_t id, struct connection **found)
{
	*found = map_get(porter->connections, MAP_KEY(id));
	return *found && (*found)->phase == PHASE_WAITING && (*found)->waits_for == WAITS_FOR_AUTH;
}

static bool on_offer(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = peer->owner;
	struct msg_auth_offer offer;
	if (!msg_auth_offer_read(frame, &offer))
		return false;
	porter->mechanisms = offer.mechanisms;
	porter->offers_apop = offer.apop != 0;
	return true;
}

static bool on_verdict(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct porter *porter = peer->owner;
	struct msg_connection_verdict verdict;
	struct connection *c = map_get(porter->connections, MAP_KEY(frame->request));
	if (!msg_connection_verdict_read(frame, &verdict))
		return false;
	if (!c)
		return true;
	c->trusted = verdict.trusted != 0;
	c->exempt = verdict.exempt != 0;
	if (c->exempt || c->trusted)
		c->flags |= SESSION_EXEMPT;
	/* A trusted network may submit on the ports of users, not relay through the one of strangers. */
	if (c->trusted && service_kind(c->service) == KIND_USERS && !(c->flags & SESSION_LOGGED_IN)) {
		c->token = verdict.token;
		c->flags |= SESSION_TRUSTED;
	}
	if (c->phase != PHASE_OPENING)
		return true; /* a new auth was told of it */
	str_copy_to_array(verdict.apop_timestamp, c->apop_timestamp, sizeof c->apop_timestamp);
	if (verdict.allowed) {
		connection_greet(c);
		return true;
	}
	log_event(LOG_INFO, c->id, "refused", LOG_TEXT("peer", str_of(c->peer)),
	          LOG_TEXT("why", STR("blocked or too many connections")));
	c->dialogue->farewell(c, FAIL_LIMIT);
	connection_close_after_output(c);
	return true;
}

static bool on_challenge(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_auth_challenge challenge;
	struct connection *c;
	if (!msg_auth_challenge_read(frame, &challenge))
		return false;
	if (waits(peer->owner, frame->request, &c)) {
		c->authenticating = true;
		c->dialogue->challenge(c, challenge.challenge);
	}
	return true;
}

static bool on_ok(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_auth_ok ok;
	struct connection *c;
	if (!msg_auth_ok_read(frame, &ok))
		return false;
	if (!waits(peer->owner, frame->request, &c))
		return true;
	c->authenticating = false;
	c->flags |= SESSION_LOGGED_IN;
	c->token = ok.token;
	str_copy_to_array(ok.account, c->account, sizeof c->account);
	if (!c->language[0])
		str_copy_to_array(ok.language, c->language, sizeof c->language);
	log_event(LOG_INFO, c->id, "logged-in", LOG_TEXT("account", ok.account), LOG_TEXT("peer", str_of(c->peer)),
	          LOG_TEXT("service", str_of(service_name(c->service))));
	c->dialogue->authenticated(c, ok.additional);
	return true;
}

static bool on_failed(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_auth_failed failed;
	struct connection *c;
	if (!msg_auth_failed_read(frame, &failed))
		return false;
	if (!waits(peer->owner, frame->request, &c))
		return true;
	c->authenticating = false;
	log_event(LOG_INFO, c->id, "login-failed", LOG_TEXT("peer", str_of(c->peer)),
	          LOG_TEXT("service", str_of(service_name(c->service))), LOG_TEXT("why", failed.text));
	c->dialogue->refused(c, (enum auth_reason)failed.reason, failed.text);
	return true;
}

static const struct ipc_permit permits[] = {
	{ MSG_AUTH_OFFER, (unsigned)IPC_ANY_STATE, 0, on_offer },
	{ MSG_CONNECTION_VERDICT, (unsigned)IPC_ANY_STATE, 0, on_verdict },
	{ MSG_AUTH_CHALLENGE, (unsigned)IPC_ANY_STATE, 0, on_challenge },
	{ MSG_AUTH_OK, (unsigned)IPC_ANY_STATE, 0, on_ok },
	{ MSG_AUTH_FAILED, (unsigned)IPC_ANY_STATE, 0, on_failed },
};

/* auth ended: who waited for its word gets a temporary failure; who is not greeted yet waits for the next auth. */
static void auth_ended(struct ipc_peer *peer, const char *why)
{
	struct porter *porter = peer->owner;
	size_t position = 0;
	void *value;
	porter->has_auth = false;
	ipc_peer_release(peer);
	/* An auth that ended comes again. One that sent what it may not stays: then a fresh porter is needed. */
	if (why) {
		log_event(LOG_ERROR, 0, "auth-channel-ended", LOG_TEXT("why", str_of(why)));
		porter_retire(porter);
	}
	while (map_next(porter->connections, &position, NULL, &value)) {
		struct connection *c = value;
		/* Whose turn it is to answer a challenge is told then. */
		c->exchange_lost = c->phase == PHASE_DIALOGUE && c->authenticating;
		if (c->phase != PHASE_WAITING || c->waits_for != WAITS_FOR_AUTH)
			continue;
		c->authenticating = false;
		c->dialogue->refused(c, AUTH_REASON_TEMPORARY, STR("the log-in service restarts"));
	}
}

static void open_again(struct porter *porter)
{
	size_t position = 0;
	void *value;
	while (map_next(porter->connections, &position, NULL, &value)) {
		struct connection *c = value;
		if (c->phase != PHASE_CLOSING)
			link_opened(c); /* a new auth counts them too, and answers only for connections it knows */
	}
}

bool link_wire(struct porter *porter, struct ipc_frame *frame)
{
	int descriptor = ipc_take_descriptor(frame);
	if (descriptor < 0)
		return false;
	if (porter->has_auth)
		auth_ended(&porter->auth, NULL);
	porter->auth.role = ROLE_AUTH;
	porter->auth.owner = porter;
	ipc_peer_start(&porter->auth, porter->daemon.loop, descriptor, permits, COUNT_OF(permits), auth_ended);
	porter->has_auth = true;
	open_again(porter);
	return true;
}

void link_opened(struct connection *c)
{
	struct msg_connection_opened opened = { .service = (uint32_t)c->service, .peer = str_of(c->peer) };
	if (c->porter->has_auth)
		msg_connection_opened_send(&c->porter->auth.channel, c->id, &opened, -1);
}

void link_closed(struct connection *c)
{
	if (c->porter->has_auth)
		msg_connection_closed_send(&c->porter->auth.channel, c->id, &(struct msg_connection_closed){}, -1);
}

/* True when auth can be asked; else the dialogue has been told. */
static bool begin_waiting(struct connection *c)
{
	bool lost = c->exchange_lost;
	c->phase = PHASE_WAITING;
	c->waits_for = WAITS_FOR_AUTH;
	c->exchange_lost = false;
	if (c->porter->has_auth && !lost)
		return true;
	c->authenticating = false;
	c->dialogue->refused(c, AUTH_REASON_TEMPORARY, STR("the log-in service restarts"));
	return false;
}

void link_auth_start(struct connection *c, struct str mechanism, bool has_initial, struct str initial)
{
	struct tls_facts facts = {};
	struct msg_auth_start start = {
		.service = (uint32_t)c->service, .tls = connection_is_secure(c), .mechanism = mechanism,
		.has_initial = has_initial, .initial = initial,
	};
	if (!begin_waiting(c))
		return;
	if (c->tls) {
		tls_get_facts(c->tls, &facts);
		start.exporter = str_from((const char *)facts.binding, facts.has_binding ? sizeof facts.binding : 0);
	}
	msg_auth_start_send(&c->porter->auth.channel, c->id, &start, -1);
}

void link_auth_step(struct connection *c, struct str response)
{
	if (begin_waiting(c))
		msg_auth_step_send(&c->porter->auth.channel, c->id, &(struct msg_auth_step){ .response = response }, -1);
}

void link_auth_cancel(struct connection *c)
{
	c->authenticating = false;
	c->exchange_lost = false;
	if (c->porter->has_auth)
		msg_auth_cancel_send(&c->porter->auth.channel, c->id, &(struct msg_auth_cancel){}, -1);
}

void link_auth_password(struct connection *c, struct str user, struct str password)
{
	struct msg_auth_password login = {
		.service = (uint32_t)c->service, .tls = connection_is_secure(c), .user = user, .password = password,
	};
	if (begin_waiting(c))
		msg_auth_password_send(&c->porter->auth.channel, c->id, &login, -1);
}

void link_auth_apop(struct connection *c, struct str user, struct str digest)
{
	if (begin_waiting(c))
		msg_auth_apop_send(&c->porter->auth.channel, c->id,
			&(struct msg_auth_apop){ .user = user, .digest = digest }, -1);
}
