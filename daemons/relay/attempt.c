/*
 * The way of one job through its hosts: the next address of the next host is tried until every recipient has a
 * result, the hosts are at their end, or TRIES_MAX connections were asked for. What one server says of a recipient
 * for good, or defers after the recipient was named, is its result; when a session fails before that, the next host
 * is asked (RFC 5321 §5.1).
 */
#include "connection.h"
#include "content.h"
#include "route.h"

#include "clock.h"

enum { TRIES_MAX = 10, JOB_SECONDS_MAX = 3600, OCTETS_PER_SECOND_MIN = 1000 };

struct problem {
	struct job_result result;
	bool set;
};

struct attempt {
	struct job *job;
	struct route route;
	size_t host;                   /* the one that is tried */
	struct ask mx, v4, v6;
	size_t asked;                  /* answers that are waited for */
	bool no_dns;                   /* an answer about this host failed */
	bool secure;                   /* DNSSEC vouches for the host's name and addresses */
	struct str canonical;          /* that the host's name is an alias of, or empty */
	struct policy policy;
	struct endpoint addresses[ROUTE_ADDRESSES_MAX];
	size_t address, address_count;
	unsigned tries;
	struct connection *connection; /* or NULL */
	bool rested;                   /* it had served before: that it is gone says nothing of the host */
	bool fresh;                    /* take no other one that rested at this address */
	bool plain;                    /* TLS failed at this address, and was not needed */
	struct host *waits_for;        /* in the list of those that wait for a connection */
	struct attempt *previous, *next;
	struct timer deadline;
	struct problem problem;        /* of the last host; a temporary one outweighs */
	bool reached, refused;
	bool answered;                 /* this connection brought a result, or a refusal that counts */
	uint32_t *named;               /* the recipients of the transaction: places in the job */
	struct smtp_sender_recipient *recipients;
	bool *here;                    /* by place: to be named to this host still */
	size_t named_count;
	struct content content;
	struct str host_address;       /* text, for results */
};

static void next_host(struct attempt *a);
static void next_address(struct attempt *a);

/* ---- the end ---- */

static void stop_waiting(struct attempt *a)
{
	struct relay *r = a->job->relay;
	if (!a->waits_for)
		return;
	*(a->previous ? &a->previous->next : &r->first_waiting) = a->next;
	*(a->next ? &a->next->previous : &r->last_waiting) = a->previous;
	host_let_go(a->waits_for);
	a->waits_for = NULL;
}

static struct str copy(struct attempt *a, struct str text)
{
	return arena_copy(a->job->arena, text);
}

/* Why a host could not be used. A temporary reason is not replaced by one for good: the mail waits then. */
static void note_problem(struct attempt *a, enum relay_outcome outcome, unsigned code, struct str status,
                         struct str text)
{
	struct job_result *result = &a->problem.result;
	bool has_host = a->host < a->route.count;
	if (a->problem.set && result->outcome == RELAY_DEFERRED && outcome == RELAY_FAILED)
		return;
	a->problem.set = true;
	*result = (struct job_result){
		.outcome = outcome, .code = code, .status = copy(a, status), .reply = copy(a, text), .address = a->host_address,
		.host = has_host ? a->route.hosts[a->host].name : STR(""),
		.tls = a->connection ? copy(a, str_of(a->connection->tls_text)) : STR(""),
	};
}

/* What is known for good of this mail says nothing against the destination, whose other mail goes on. */
static enum relay_reach reach_of(const struct attempt *a)
{
	if (a->reached)
		return RELAY_REACHED;
	if (a->refused)
		return RELAY_REFUSED;
	return a->problem.result.outcome == RELAY_FAILED ? RELAY_REACHED : RELAY_UNREACHABLE;
}

/* The job is done; nothing may touch the attempt after it. */
static void finish(struct attempt *a)
{
	struct job *job = a->job;
	struct relay *r = job->relay;
	if (!a->problem.set)
		note_problem(a, RELAY_DEFERRED, 0, STR("4.3.0"), STR("no host could be asked"));
	enum relay_reach reach = reach_of(a);
	job_settle_rest(job, &a->problem.result);
	must(job->open == 0 && !a->connection);
	ask_stop(&a->mx);
	ask_stop(&a->v4);
	ask_stop(&a->v6);
	policy_end(&a->policy);
	content_release(&a->content);
	stop_waiting(a);
	loop_stop_timer(r->daemon.loop, &a->deadline);
	job->attempt = NULL;
	job_end(job, reach);
}

/* ---- a transaction ---- */

static size_t name_recipients(struct attempt *a)
{
	struct job *job = a->job;
	a->named_count = 0;
	for (size_t i = 0; i < job->count; i++) {
		const struct relay_recipient *given = &job->recipients[i].as_given;
		if (job->recipients[i].has_result || !a->here[i])
			continue;
		a->here[i] = false;
		a->recipients[a->named_count] = (struct smtp_sender_recipient){ given->address, given->notify, given->orcpt };
		a->named[a->named_count++] = (uint32_t)i;
	}
	return a->named_count;
}

/* False when it cannot be sent now. */
static bool send_mail(struct attempt *a)
{
	const struct msg_relay_job *ask = &a->job->ask;
	struct smtp_sender_mail mail = {
		.sender = ask->sender, .recipients = a->recipients, .recipient_count = a->named_count,
		.require_tls = ask->flags & RELAY_REQUIRETLS, .ret = (enum smtp_return)ask->return_full,
		.envid = ask->envelope_id, .priority = (int)ask->priority, .has_by = ask->deliver_by != 0,
		.by_return = ask->flags & RELAY_BY_RETURN, .by_trace = ask->flags & RELAY_BY_TRACE,
		.by_seconds = ask->deliver_by ? ask->deliver_by - clock_wall_seconds() : 0,
	};
	if (!content_fit(&a->content, smtp_sender_offers(a->connection->sender), &mail)) {
		note_problem(a, RELAY_DEFERRED, 0, STR("4.3.1"),
		             STR("there is no room to convert the message for this host now"));
		return false;
	}
	connection_mail(a->connection, &mail);
	return true;
}

static void begin_at_host(struct attempt *a)
{
	for (size_t i = 0; i < a->job->count; i++)
		a->here[i] = true;
}

void attempt_ready(struct attempt *a)
{
	if (a->job->open && name_recipients(a) && send_mail(a))
		return;
	connection_leave(TAKE(a->connection));
	if (a->job->open)
		next_host(a);
	else
		finish(a);
}

/* A server that closed a connection that rested, and said nothing any more, took nothing. */
static bool was_stale(const struct attempt *a)
{
	return a->rested && !a->connection->heard;
}

/* Does this result stand, or may another host do better? */
static bool is_final(const struct attempt *a, const struct smtp_sender_event *event)
{
	/* what this host does not offer another one may */
	if (event->outcome == SMTP_SENDER_FAILED && !event->by_server && event->stage == SMTP_SENDER_AT_MAIL)
		return false;
	if (event->outcome != SMTP_SENDER_DEFERRED)
		return true;
	if (was_stale(a))
		return false;
	/* sent, and the answer was lost: another host now would be a second copy for sure */
	if (!event->by_server)
		return event->stage == SMTP_SENDER_AT_END;
	return event->code != 421 && (event->stage == SMTP_SENDER_AT_RCPT || event->stage == SMTP_SENDER_AT_END);
}

static enum relay_outcome outcome_of(const struct attempt *a, enum smtp_sender_outcome outcome)
{
	if (outcome == SMTP_SENDER_FAILED)
		return RELAY_FAILED;
	if (outcome != SMTP_SENDER_ACCEPTED)
		return RELAY_DEFERRED;
	unsigned offered = smtp_sender_offers(a->connection->sender)->extensions;
	bool time_is_lost = a->job->ask.deliver_by && !(a->job->ask.flags & RELAY_BY_RETURN) && !(offered & SMTP_DELIVERBY);
	return offered & SMTP_DSN && !time_is_lost ? RELAY_DELIVERED : RELAY_RELAYED; /* RFC 3461 §5.2.2, RFC 2852 §4.1.4.2 */
}

void attempt_result(struct attempt *a, const struct smtp_sender_event *event)
{
	size_t which[LIMIT_RELAY_RECIPIENTS_MAX];
	struct str status = str_of(event->status);
	if (event->by_server && event->code != 421)
		a->reached = a->answered = true;
	else if (event->outcome == SMTP_SENDER_FAILED) /* it is there, and what it offers does not do for this mail */
		a->reached = true;
	for (size_t i = 0; i < event->recipient_count; i++) {
		which[i] = a->named[event->recipients[i]];
		a->here[which[i]] = event->outcome == SMTP_SENDER_AGAIN;
	}
	if (event->outcome == SMTP_SENDER_AGAIN)
		return;
	if (!is_final(a, event)) {
		if (event->outcome == SMTP_SENDER_FAILED || !was_stale(a))
			note_problem(a, outcome_of(a, event->outcome), (unsigned)event->code, status, event->text);
		return;
	}
	job_settle(a->job, which, event->recipient_count, &(struct job_result){
		.outcome = outcome_of(a, event->outcome), .code = (unsigned)event->code, .status = status, .reply = event->text,
		.host = a->route.hosts[a->host].name, .address = a->host_address, .tls = str_of(a->connection->tls_text),
	});
}

/* ---- connections ---- */

/* RFC 8689 §5: a report goes on without, too. */
static bool insists_on_tls(const struct attempt *a)
{
	return a->job->ask.flags & RELAY_REQUIRETLS && a->job->ask.sender.length;
}

static void note_failure(struct attempt *a, const struct failure *failure)
{
	bool final = failure->by_server && failure->code / 100 == 5 && failure->stage != SMTP_SENDER_AT_AUTH;
	bool needed = failure->kind == FAILURE_TLS && insists_on_tls(a); /* RFC 8689 §4.2.1 */
	a->refused = a->refused || failure->by_server;
	note_problem(a, final || needed ? RELAY_FAILED : RELAY_DEFERRED, (unsigned)failure->code,
	             needed ? STR("5.7.10") : str_of(failure->status), failure->text);
}

void attempt_over(struct attempt *a, const struct failure *failure)
{
	enum config_relay_tls tls = a->connection->demand.tls;
	bool tls_was_optional = failure->kind == FAILURE_TLS && tls == CONFIG_RELAY_TLS_MAY && !a->plain &&
	                        !a->connection->demand.login;
	bool stale = a->rested && failure->kind == FAILURE_DIALOGUE && !a->answered;
	if (stale || tls_was_optional) { /* the same address once more, otherwise */
		a->fresh = true;
		a->plain = tls_was_optional;
		a->address--;
	} else if (a->job->open) {
		note_failure(a, failure);
	}
	a->connection = NULL;
	if (a->job->open)
		next_address(a);
	else
		finish(a);
}

static bool may_open(const struct host *host)
{
	const struct config *config = &host->relay->daemon.config;
	return host->connections < config->relay_connections_per_host_max;
}

/* Those that rest go first: they may have been made for another of the host's names, of which it may have thousands. */
static bool make_room(struct host *host)
{
	struct relay *r = host->relay;
	bool has_room = may_open(host) || (host->resting && connection_end_oldest(r, host));
	return has_room && (r->connection_count < r->daemon.config.relay_connections_max || connection_end_oldest(r, NULL));
}

static enum config_relay_tls at_least(enum config_relay_tls a, enum config_relay_tls b)
{
	return a > b ? a : b;
}

static enum config_relay_tls tls_of(const struct attempt *a)
{
	static const enum config_relay_tls demanded[] = {
		[POLICY_AS_CONFIGURED] = CONFIG_RELAY_TLS_NO, [POLICY_ENCRYPTED] = CONFIG_RELAY_TLS_MUST,
		[POLICY_VERIFIED] = CONFIG_RELAY_TLS_VERIFY,  [POLICY_DANE] = CONFIG_RELAY_TLS_MUST,
	};
	const struct config *config = &a->job->relay->daemon.config;
	enum config_relay_tls tls = at_least(a->route.smarthost ? config->smarthost_tls : config->relay_tls,
	                                     demanded[a->policy.demand.level]);
	if (insists_on_tls(a) && a->policy.demand.level != POLICY_DANE) /* RFC 8689 §4.2.1 */
		tls = at_least(tls, CONFIG_RELAY_TLS_VERIFY);
	if (a->plain && tls == CONFIG_RELAY_TLS_MAY)
		tls = CONFIG_RELAY_TLS_NO;
	return tls;
}

static void make_demand(const struct attempt *a, struct demand *demand)
{
	const struct config *config = &a->job->relay->daemon.config;
	*demand = (struct demand){ .tls = tls_of(a), .policy = a->policy.demand, .lmtp = a->route.lmtp, .login = a->route.smarthost && config->smarthost_user[0] };
	str_copy_to_array(a->route.hosts[a->host].name, demand->name, sizeof demand->name);
}

/* False: there is no room for a connection now. */
static bool take_connection(struct attempt *a, struct host *host)
{
	struct demand demand;
	make_demand(a, &demand);
	begin_at_host(a);
	a->rested = a->answered = false;
	a->connection = a->fresh ? NULL : connection_take(host, &demand, a);
	if (a->connection) {
		a->rested = true;
		attempt_ready(a);
		return true;
	}
	if (!make_room(host))
		return false;
	a->tries++;
	a->connection = connection_open(host, &demand, a);
	return true;
}

static void begin_waiting(struct attempt *a, struct host *host)
{
	struct relay *r = a->job->relay;
	host->users++;
	a->waits_for = host;
	a->next = NULL;
	a->previous = r->last_waiting;
	*(r->last_waiting ? &r->last_waiting->next : &r->first_waiting) = a;
	r->last_waiting = a;
}

static bool may_go_on(const struct attempt *a)
{
	const struct host *host = a->waits_for;
	const struct relay *r = host->relay;
	bool room = r->connection_count < r->daemon.config.relay_connections_max || r->oldest_resting;
	return host_is_off(host) || host->resting || (room && may_open(host));
}

/* Those that have to wait again come behind the last one. */
static void wake(void *owner)
{
	struct relay *r = owner;
	struct attempt *last = r->last_waiting, *next = r->first_waiting;
	for (struct attempt *a = NULL; next && a != last;) {
		a = next;
		next = a->next;
		if (!may_go_on(a))
			continue;
		stop_waiting(a);
		a->address--;
		next_address(a);
	}
}

void attempt_wake_waiting(struct relay *r)
{
	if (r->first_waiting)
		loop_start_timer(r->daemon.loop, &r->wake, 0, wake, r);
}

/* Nothing may happen until one that rests may go. */
static void look_again(struct relay *r)
{
	if (!r->wake.place)
		loop_start_timer(r->daemon.loop, &r->wake, CONNECTION_REST_MS, wake, r);
}

/* ---- addresses ---- */

static void print_address(struct attempt *a, const struct endpoint *address)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(64);
	endpoint_print_ip(&text, address);
	a->host_address = copy(a, buf_str(&text));
}

static void try_address(struct attempt *a, const struct endpoint *address)
{
	struct host *host = host_get(a->job->relay, address);
	print_address(a, address);
	if (host_is_off(host)) {
		note_problem(a, RELAY_DEFERRED, 0, str_of(host->status), str_of(host->why));
		host_let_go(host);
		next_address(a);
		return;
	}
	if (!take_connection(a, host)) {
		begin_waiting(a, host);
		if (host->resting)
			look_again(host->relay);
	}
	host_let_go(host);
}

/* a->address is behind the one that is tried. */
static void next_address(struct attempt *a)
{
	if (a->tries >= TRIES_MAX) {
		finish(a);
	} else if (a->address < a->address_count) {
		try_address(a, &a->addresses[a->address++]);
	} else {
		next_host(a);
	}
}

/* ---- hosts ---- */

static void no_address(struct attempt *a)
{
	if (a->no_dns)
		note_problem(a, RELAY_DEFERRED, 0, STR("4.4.3"), STR("the DNS did not answer for the host's address"));
	else if (a->route.kind == ROUTE_IMPLICIT)
		note_problem(a, RELAY_FAILED, 0, STR("5.1.2"), STR("the domain has no host that takes mail"));
	else
		note_problem(a, a->route.kind == ROUTE_GIVEN ? RELAY_DEFERRED : RELAY_FAILED, 0,
		             a->route.kind == ROUTE_GIVEN ? STR("4.4.4") : STR("5.4.4"), STR("the host has no address"));
}

/* What we say ourselves of a way is all that is demanded of it. */
static bool has_policy(const struct attempt *a)
{
	return a->route.kind == ROUTE_BY_MX || a->route.kind == ROUTE_IMPLICIT;
}

void attempt_tls(struct attempt *a, enum tlsrpt_result result, struct str reason)
{
	CLEANUP(buf_release) struct buf local = BUF_WITH_LIMIT(64);
	struct endpoint from;
	if (!has_policy(a))
		return;
	if (endpoint_of_local(a->connection->descriptor, &from, NULL))
		endpoint_print_ip(&local, &from);
	policy_report(&a->policy, result, a->host_address, buf_str(&local), reason);
}

static void on_policy(void *owner)
{
	struct attempt *a = owner;
	const struct policy_demand *demand = &a->policy.demand;
	if (demand->use == POLICY_USE) {
		next_address(a);
		return;
	}
	note_problem(a, demand->use == POLICY_NEVER ? RELAY_FAILED : RELAY_DEFERRED, 0, str_of(demand->status),
	             str_of(demand->why));
	next_host(a);
}

/* What our own configuration says may lead to this host, on another port or by another service of it. */
static bool leads_back(const struct attempt *a)
{
	for (size_t i = 0; i < a->address_count && a->route.kind != ROUTE_GIVEN; i++)
		if (own_has(a->job->relay->own, &a->addresses[i]))
			return true;
	return false;
}

/* RFC 5321 §5.1: this host, known by its address, and all that are not better are dropped. The better ones were
 * tried. */
static void drop_own(struct attempt *a)
{
	if (a->route.hosts[0].preference == a->route.hosts[a->host].preference)
		note_problem(a, RELAY_FAILED, 0, STR("5.4.6"), STR("mail for the domain loops back to this host"));
	finish(a);
}

/* RFC 5321 §5.2, RFC 6724 §2.1: whichever answer came first. */
static void put_ipv6_first(struct attempt *a)
{
	static const sa_family_t families[] = { AF_INET6, AF_INET };
	struct endpoint ordered[ROUTE_ADDRESSES_MAX];
	size_t count = 0;
	for (size_t f = 0; f < COUNT_OF(families); f++)
		for (size_t i = 0; i < a->address_count; i++)
			if (a->addresses[i].any.sa_family == families[f])
				ordered[count++] = a->addresses[i];
	memcpy(a->addresses, ordered, count * sizeof *ordered);
}

static void on_address(struct ask *ask, const struct dns_answer *answer)
{
	struct attempt *a = ask->owner;
	a->no_dns = a->no_dns || answer->status == DNS_FAILED || answer->status == DNS_BOGUS;
	a->secure = a->secure && answer->secure;
	if (answer->canonical.length)
		a->canonical = copy(a, answer->canonical);
	route_add_addresses(answer, ask->type, a->route.port, relay_random, a->addresses, &a->address_count);
	if (--a->asked)
		return;
	put_ipv6_first(a);
	if (a->address_count == 0) {
		no_address(a);
		next_host(a);
	} else if (leads_back(a)) {
		drop_own(a);
	} else if (has_policy(a)) {
		policy_look(&a->policy, &(struct policy_host){ a->route.hosts[a->host].name, a->canonical, a->route.port,
			a->route.secure, a->secure });
	} else {
		next_address(a);
	}
}

static void ask_addresses(struct attempt *a, struct str name)
{
	struct relay *r = a->job->relay;
	const struct config *config = &r->daemon.config;
	a->asked = (size_t)config->relay_ipv4 + (size_t)config->relay_ipv6;
	if (config->relay_ipv6)
		ask_start(&r->asker, &a->v6, name, DNS_AAAA, on_address, a);
	if (config->relay_ipv4)
		ask_start(&r->asker, &a->v4, name, DNS_A, on_address, a);
	if (a->asked == 0) {
		note_problem(a, RELAY_DEFERRED, 0, STR("4.4.4"), STR("neither IPv4 nor IPv6 may be used"));
		finish(a);
	}
}

static void begin_host(struct attempt *a)
{
	const struct route_host *host = &a->route.hosts[a->host];
	a->address = a->address_count = 0;
	a->no_dns = a->fresh = a->plain = false;
	a->host_address = a->canonical = STR("");
	a->secure = a->route.secure;
	if (host->has_address) {
		a->addresses[a->address_count++] = host->address;
		if (leads_back(a))
			drop_own(a);
		else
			next_address(a);
	} else {
		ask_addresses(a, host->name);
	}
}

static void next_host(struct attempt *a)
{
	if (a->host + 1 < a->route.count) {
		a->host++;
		begin_host(a);
	} else {
		finish(a);
	}
}

/* ---- the job ---- */

static void follow_route(struct attempt *a)
{
	struct route *route = &a->route;
	if (route->count) {
		uint32_t flags = a->job->ask.flags & ~(insists_on_tls(a) ? 0 : (uint32_t)RELAY_REQUIRETLS);
		if (has_policy(a))
			policy_begin(&a->policy, a->job->relay, a->job->ask.destination, flags, on_policy, a);
		begin_host(a);
		return;
	}
	note_problem(a, route->outcome, route->code, route->status, route->text);
	finish(a);
}

static void on_mx(struct ask *ask, const struct dns_answer *answer)
{
	struct attempt *a = ask->owner;
	route_by_mx(a->job->arena, &a->job->relay->daemon.config, a->job->ask.destination, answer, relay_random, &a->route);
	follow_route(a);
}

static void on_deadline(void *owner)
{
	struct attempt *a = owner;
	struct connection *c = a->connection;
	a->tries = TRIES_MAX;
	if (c) {
		a->rested = false;
		a->plain = true;
		connection_break(c, "4.4.7", "bringing the mail took too long");
		return;
	}
	note_problem(a, RELAY_DEFERRED, 0, STR("4.4.7"), STR("bringing the mail took too long"));
	finish(a);
}

static void start_deadline(struct attempt *a)
{
	struct relay *r = a->job->relay;
	int64_t seconds = JOB_SECONDS_MAX + (int64_t)(a->job->ask.size / OCTETS_PER_SECOND_MIN);
	loop_start_timer(r->daemon.loop, &a->deadline, relay_scale_ms(r, seconds), on_deadline, a);
}

void attempt_begin(struct job *job)
{
	struct relay *r = job->relay;
	struct attempt *a = arena_alloc(job->arena, sizeof *a);
	a->job = job;
	job->attempt = a;
	a->named = arena_alloc_array(job->arena, job->count, sizeof *a->named);
	a->recipients = arena_alloc_array(job->arena, job->count, sizeof *a->recipients);
	a->here = arena_alloc_array(job->arena, job->count, sizeof *a->here);
	content_init(&a->content, job);
	start_deadline(a);
	if (job->ask.flags & RELAY_BY_RETURN && job->ask.deliver_by && job->ask.deliver_by <= clock_wall_seconds()) {
		note_problem(a, RELAY_FAILED, 0, STR("5.4.7"), STR("the time by which it was to be delivered is over")); /* RFC 2852 §4.1.3 */
		finish(a);
	} else if (route_without_mx(job->arena, &r->daemon.config, job->ask.destination, &a->route))
		follow_route(a);
	else
		ask_start(&r->asker, &a->mx, job->ask.destination, DNS_MX, on_mx, a);
}
