#include "clock.h"
#include "doctor_check.h"
#include "socket.h"
#include "stream.h"

#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

enum { GREETING_MS = 10000, GREETING_LINE_MAX = 2048, SPARE_PERCENT = 10, RELEASE_YEAR_SECONDS = 1767225600 /* 2026 */ };

/* ---- ports ---- */

struct service {
	const char *name;
	const struct config_listeners *listeners;
	unsigned port; /* that the world looks for it at */
	bool greets_as_smtp;
};

/* A greeting of 220, RFC 5321 §3.1; others may not want this client. */
static bool is_greeted(int fd)
{
	const struct stream_options options = { .input_size = GREETING_LINE_MAX, .output_high = GREETING_LINE_MAX,
		.times = { .idle_ms = GREETING_MS, .command_ms = GREETING_MS, .write_ms = GREETING_MS } };
	CLEANUP(stream_cleanup) struct stream *stream = stream_new(fd, &options);
	struct str line;
	bool greeted = stream_read_line(stream, GREETING_LINE_MAX, STREAM_LF_TOO, &line) == STREAM_LINE &&
	               str_starts(line, STR("220"));
	stream_write(stream, STR("QUIT\r\n"));
	stream_finish(stream);
	return greeted;
}

static void try_port(struct doctor *d, const struct service *service, struct endpoint where, unsigned port,
                     struct buf *good)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	struct str address = doctor_address(d, &where);
	bool is_local = doctor_is_among(d->local.items, d->local.count, &where);
	endpoint_set_port(&where, (uint16_t)port);
	int fd = socket_connect(&where, DOCTOR_CONNECT_MS, &why);
	if (fd >= 0 && service->greets_as_smtp && !is_greeted(fd))
		fail_set(&why, FAIL_UNAVAILABLE, "it does not greet");
	else if (fd >= 0 && !service->greets_as_smtp)
		close(fd);
	if (!why)
		buf_printf(good, "%s%s on port %u of %.*s", good->length ? ", " : "", service->name, port, STR_ARG(address));
	else
		doctor_report(d, (struct doctor_finding){ is_local ? DOCTOR_ERROR : DOCTOR_WARNING,
			.text = arena_printf(d->arena, "%s does not answer on port %u of %.*s: %s", service->name, port,
				STR_ARG(address), fail_text(why)),
			.advice = is_local ? STR("See posthornctl status, and listen_… in posthorn.conf")
			                   : STR("A firewall may forbid it, or the router this way round; try it from another host") });
}

/* Several listeners of one service may share a port. */
static bool was_tried(const struct endpoint *tried, size_t count, unsigned port)
{
	for (size_t i = 0; i < count; i++)
		if (endpoint_port(&tried[i]) == port)
			return true;
	return false;
}

static void try_service(struct doctor *d, const struct service *service, struct buf *good)
{
	ARRAY(struct endpoint) tried = {};
	for (size_t i = 0; i < service->listeners->count && clock_monotonic_ms() < d->deadline_ms; i++) {
		struct endpoint listener;
		if (!config_listener_address(&d->config, service->listeners->items[i], &listener, NULL) ||
		    !endpoint_is_ip(&listener) || was_tried(tried.items, tried.count, endpoint_port(&listener)))
			continue;
		*array_add(&tried) = listener;
		for (size_t a = 0; a < d->addresses.count; a++)
			try_port(d, service, d->addresses.items[a], endpoint_port(&listener), good);
	}
	if (tried.count && !was_tried(tried.items, tried.count, service->port))
		doctor_note(d, "%s is on port %u, but others look for it on %u: right if a router brings it there",
		            service->name, endpoint_port(&tried.items[0]), service->port);
	array_release(&tried);
}

void doctor_check_ports(struct doctor *d, struct str host UNUSED)
{
	const struct service services[] = {
		{ "smtp", &d->config.listen_smtp, 25, true },         { "submission", &d->config.listen_submission, 587, true },
		{ "submissions", &d->config.listen_submissions, 465, false }, { "imap", &d->config.listen_imap, 143, false },
		{ "imaps", &d->config.listen_imaps, 993, false },     { "pop3", &d->config.listen_pop3, 110, false },
		{ "pop3s", &d->config.listen_pop3s, 995, false },
	};
	CLEANUP(buf_release) struct buf good = BUF_WITH_LIMIT(8192);
	for (size_t i = 0; i < COUNT_OF(services); i++)
		try_service(d, &services[i], &good);
	if (d->config.listen_smtp.count == 0)
		doctor_note(d, "mail from other hosts is not taken (listen_smtp)");
	if (good.length)
		doctor_ok(d, "these answer: %s", buf_text(&good));
	else if (d->addresses.count == 0)
		doctor_note(d, "no port was tried, because the host has no address in the DNS");
}

/* ---- clock ---- */

void doctor_check_clock(struct doctor *d, struct str host UNUSED)
{
	struct timex facts = {};
	int state = adjtimex(&facts);
	if (clock_wall_seconds() < RELEASE_YEAR_SECONDS)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = STR("the clock is years behind: certificates and signatures look as if they were of the future"),
			.advice = STR("Set it, and have it kept right by NTP (Debian: systemd-timesyncd or chrony)") });
	else if (state == TIME_ERROR || facts.status & STA_UNSYNC)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = STR("nobody keeps the clock right: the kernel says that it is not synchronised"),
			.advice = STR("Have it kept right by NTP (Debian: systemd-timesyncd or chrony)") });
	else
		doctor_ok(d, "the clock is synchronised");
}

/* ---- disk ---- */

void doctor_check_disk(struct doctor *d, struct str host UNUSED)
{
	struct statvfs facts;
	const char *path = d->config.data_directory;
	if (statvfs(path, &facts) != 0) {
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "the folder %s cannot be looked at: %m", path) });
		return;
	}
	uint64_t free_octets = (uint64_t)facts.f_bavail * facts.f_frsize;
	bool few_blocks = facts.f_bavail < facts.f_blocks / 100 * SPARE_PERCENT;
	bool few_files = facts.f_files && facts.f_favail < facts.f_files / 100 * SPARE_PERCENT;
	unsigned megabytes = (unsigned)(free_octets >> 20);
	if (free_octets < d->config.spool_headroom)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "%s has %u MB left: mail is refused for now (spool_headroom)", path,
				megabytes),
			.advice = STR("Make room, or take a larger disk") });
	else if (few_blocks || few_files)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "%s is nearly full: %u MB and %llu files are left", path, megabytes,
				(unsigned long long)facts.f_favail),
			.advice = STR("Make room, or take a larger disk") });
	else
		doctor_ok(d, "%s has %u MB left", path, megabytes);
}
