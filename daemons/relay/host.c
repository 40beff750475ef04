#include "host.h"

#include "mem.h"

#include <stdlib.h>

static struct str key_of(const struct endpoint *address)
{
	return str_from((const char *)&address->any, address->length);
}

struct host *host_get(struct relay *r, const struct endpoint *address)
{
	struct host *host = map_get(r->hosts, key_of(address));
	if (!host) {
		host = mem_alloc(sizeof *host);
		host->relay = r;
		host->address = *address;
		map_set(r->hosts, key_of(address), host);
	}
	host->users++;
	return host;
}

static void forget_if_unused(struct host *host)
{
	struct relay *r = host->relay;
	int64_t now = loop_now_ms(r->daemon.loop);
	int64_t until = host->off_until_ms > host->plain_until_ms ? host->off_until_ms : host->plain_until_ms;
	if (host->users)
		return;
	if (until > now && map_count(r->hosts) <= HOSTS_MAX)
		return;
	loop_stop_timer(r->daemon.loop, &host->timer);
	map_remove(r->hosts, key_of(&host->address));
	free(host);
}

void host_let_go(struct host *host)
{
	must(host->users > 0);
	host->users--;
	forget_if_unused(host);
}

bool host_is_off(const struct host *host)
{
	return host->off_until_ms > loop_now_ms(host->relay->daemon.loop);
}

bool host_is_plain(const struct host *host)
{
	return host->plain_until_ms > loop_now_ms(host->relay->daemon.loop);
}

static void on_time(void *owner)
{
	forget_if_unused(owner);
}

/* The later one of the two times counts; on_time looks again. */
static int64_t remember(struct host *host, int64_t seconds)
{
	struct relay *r = host->relay;
	int64_t delay_ms = relay_scale_ms(r, seconds);
	int64_t until = loop_now_ms(r->daemon.loop) + delay_ms;
	if (!host->timer.place || host->timer.due_ms < until)
		loop_start_timer(r->daemon.loop, &host->timer, delay_ms + 1, on_time, host);
	return until;
}

void host_failed(struct host *host, const char *status, struct str why)
{
	int64_t seconds = BACK_OFF_SECONDS;
	for (unsigned i = 0; i < host->failures && seconds < BACK_OFF_SECONDS_MAX; i++)
		seconds *= 2;
	if (host_is_off(host)) /* several connections at a time fail once */
		return;
	host->failures++;
	host->off_until_ms = remember(host, seconds < BACK_OFF_SECONDS_MAX ? seconds : BACK_OFF_SECONDS_MAX);
	str_copy_to_array(str_of(status), host->status, sizeof host->status);
	str_copy_to_array(why, host->why, sizeof host->why);
}

void host_works(struct host *host)
{
	host->failures = 0;
	host->off_until_ms = 0;
}

void host_tls_failed(struct host *host)
{
	host->plain_until_ms = remember(host, PLAIN_SECONDS);
}
