#include "doctor_check.h"

/* RFC 6186 §3.2, §3.3 and RFC 8314 §5.1: names below which mail programs look for who serves a domain. Those with
 * STARTTLS only are not proposed (RFC 8314 §3). */
struct service {
	const char *name;
	const struct config_listeners *listeners;
};

struct srv_facts {
	bool is_here;
	struct dns_srv other; /* the first record that leads elsewhere, when its host is not empty */
};

static unsigned port_of(const struct doctor *d, const struct config_listeners *listeners)
{
	struct endpoint listener;
	for (size_t i = 0; i < listeners->count; i++)
		if (config_listener_address(&d->config, listeners->items[i], &listener, NULL) && endpoint_is_ip(&listener))
			return endpoint_port(&listener);
	return 0;
}

static bool ask(struct doctor *d, struct str owner, unsigned port, struct srv_facts *facts)
{
	struct dns_answer answer;
	struct dns_srv srv;
	if (!doctor_ask(d, owner, DNS_SRV, &answer))
		return false;
	for (size_t i = 0; i < answer.count; i++) {
		if (!dns_read_srv(d->arena, answer.records[i], &srv))
			continue;
		if (srv.port == port && str_equal_nocase(srv.host, d->host))
			facts->is_here = true;
		else if (str_is_empty(facts->other.host))
			facts->other = srv;
	}
	return true;
}

/* A domain may well be served elsewhere, or by several hosts. */
static void tell_elsewhere(struct doctor *d, struct str owner, const struct dns_srv *srv, struct str record)
{
	doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
		.text = arena_printf(d->arena, "%.*s sends mail programs to %.*s, port %u, not to this host", STR_ARG(owner),
			STR_ARG(srv->host), srv->port),
		.advice = STR("Publish the record instead"), .record = record });
}

void doctor_check_clients(struct doctor *d, struct str domain)
{
	const struct service services[] = {
		{ "_submissions._tcp", &d->config.listen_submissions },
		{ "_imaps._tcp", &d->config.listen_imaps },
		{ "_pop3s._tcp", &d->config.listen_pop3s },
	};
	CLEANUP(buf_release) struct buf missing = BUF_WITH_LIMIT(8192);
	unsigned served = 0, found = 0;
	for (size_t i = 0; i < COUNT_OF(services) && d->host.length; i++) {
		struct str owner = arena_printf(d->arena, "%s.%.*s", services[i].name, STR_ARG(domain));
		unsigned port = port_of(d, services[i].listeners);
		struct srv_facts facts = {};
		if (!port || !ask(d, owner, port, &facts))
			continue;
		struct str data = arena_printf(d->arena, "0 1 %u %.*s.", port, STR_ARG(d->host));
		struct str record = doctor_record(d, owner, "SRV", data);
		doctor_zone_add(d, owner, "SRV", data);
		served++;
		found += facts.is_here;
		if (!facts.is_here && facts.other.host.length)
			tell_elsewhere(d, owner, &facts.other, record);
		else if (!facts.is_here)
			buf_printf(&missing, "%s%.*s", missing.length ? "\n" : "", STR_ARG(record));
	}
	if (missing.length)
		doctor_report(d, (struct doctor_finding){ DOCTOR_NOTE,
			.text = STR("mail programs are not told which host serves the domain (SRV, RFC 6186)"),
			.advice = STR("Publish the records, and people need to know nothing but their address and password"),
			.record = arena_copy(d->arena, buf_str(&missing)) });
	else if (served && found == served)
		doctor_ok(d, "mail programs find this host by themselves");
}
