#include "doctor.h"

#include "clock.h"
#include "doctor_check.h"
#include "tls.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <unistd.h>

enum { TIME_MAX_MS = 120000, DOMAINS_MAX = 1000 };

struct check {
	const char *name;
	void (*run)(struct doctor *d, struct str subject);
};

/* In this order: address finds what reverse, dnsbl, ports and spf look at. */
static const struct check host_checks[] = {
	{ "clock", doctor_check_clock },     { "disk", doctor_check_disk }, { "certificate", doctor_check_certificate },
	{ "dns", doctor_check_dns },         { "helo", doctor_check_helo }, { "address", doctor_check_address },
	{ "ptr", doctor_check_reverse },     { "tlsa", doctor_check_tlsa }, { "dnsbl", doctor_check_lists },
	{ "ports", doctor_check_ports },
};

static const struct check domain_checks[] = {
	{ "mx", doctor_check_mx },           { "spf", doctor_check_spf },   { "dkim", doctor_check_dkim },
	{ "dmarc", doctor_check_dmarc },     { "mta-sts", doctor_check_mta_sts }, { "tlsrpt", doctor_check_tls_report },
	{ "clients", doctor_check_clients },
};

/* subject: who is looked at, and title: as it is shown, which of a host is what the configuration says. */
static void run_checks(struct doctor *d, struct str title, struct str subject, const struct check *checks, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		doctor_output_about(d->output, title, checks[i].name);
		if (doctor_dns_is_silent(d->dns) && checks != host_checks)
			doctor_report(d,
				(struct doctor_finding){ DOCTOR_ERROR, .text = STR("not checked, because the DNS does not answer") });
		else if (!d->host.length && checks != host_checks)
			doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
				.text = STR("not checked, because this host has no name that others could find it by") });
		else if (clock_monotonic_ms() >= d->deadline_ms)
			doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
				.text = STR("not checked, because the network took too long for what stands above") });
		else
			checks[i].run(d, subject);
	}
}

/* ---- whom it looks at ---- */

static void find_host(struct doctor *d)
{
	struct str name;
	if (dns_name_normalise(d->arena, str_of(d->config.hostname), &name) && dns_name_is_host(name))
		d->host = name;
}

static void find_local_addresses(struct doctor *d)
{
	struct ifaddrs *list = NULL;
	if (getifaddrs(&list) != 0)
		return;
	for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
		struct endpoint address;
		if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) ||
		    (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		socklen_t length = i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
		endpoint_from_socket(&address, i->ifa_addr, length);
		endpoint_set_port(&address, 0);
		*array_add(&d->local) = address;
	}
	freeifaddrs(list);
}

static void add_domain(struct doctor *d, struct str name)
{
	struct str domain;
	if (d->domains.count < DOMAINS_MAX && dns_name_normalise(d->arena, name, &domain))
		*array_add(&d->domains) = domain;
}

static void take_domain(void *owner, struct str row)
{
	struct str key, value;
	while (ctl_row_next(&row, &key, &value))
		if (str_equal(key, STR("domain")))
			add_domain(owner, value);
}

static bool find_domains(struct doctor *d, struct fail **fail)
{
	if (d->call->argument_count) {
		add_domain(d, str_of(d->call->arguments[0]));
		return d->domains.count || fail_set(fail, FAIL_INVALID, "%s is no domain", d->call->arguments[0]);
	}
	CLEANUP(ipc_channel_release) struct ipc_channel auth = { .descriptor = -1 };
	const struct ctl_request request = { .words = STR("domain\0list\0"), .descriptor = -1 };
	if (!ctl_connect(d->runtime_directory, CTL_AUTH, &auth, fail))
		return false;
	return ctl_ask(&auth, &request, take_domain, d, fail);
}

static bool load_config(struct doctor *d, struct fail **fail)
{
	CLEANUP(mem_free) char *path = ctl_config_path(d->call->directory, d->call->config);
	d->runtime_directory = ctl_runtime_directory(d->call->directory, d->call->config, fail);
	return d->runtime_directory && config_load(path, &d->config, fail);
}

static bool prepare(struct doctor *d, struct fail **fail)
{
	if (!load_config(d, fail))
		return false;
	tls_preload();
	find_host(d);
	find_local_addresses(d);
	return find_domains(d, fail) && (d->dns = doctor_dns_begin(d, fail));
}

/* ---- all ---- */

static void examine(struct doctor *d, FILE *out)
{
	d->output = doctor_output_begin(d->call, out);
	run_checks(d, str_of(d->config.hostname), d->host, host_checks, COUNT_OF(host_checks));
	for (size_t i = 0; i < d->domains.count; i++)
		run_checks(d, d->domains.items[i], d->domains.items[i], domain_checks, COUNT_OF(domain_checks));
	if (d->call->zone)
		doctor_zone_print(d, out);
	doctor_output_end(d);
}

static void release(struct doctor *d)
{
	doctor_dns_end(d->dns);
	config_release(&d->config);
	free(d->runtime_directory);
	array_release(&d->local);
	array_release(&d->addresses);
	array_release(&d->domains);
	array_release(&d->zone);
	arena_free(d->arena);
}

bool doctor_run(const struct ctl_call *call, FILE *out, bool *is_healthy, struct fail **fail)
{
	CLEANUP(release) struct doctor d = { .call = call, .arena = arena_new(DOCTOR_ARENA_MAX),
		.deadline_ms = clock_monotonic_ms() + TIME_MAX_MS };
	if (!prepare(&d, fail))
		return false;
	examine(&d, out);
	*is_healthy = d.counts[DOCTOR_ERROR] == 0;
	return true;
}
