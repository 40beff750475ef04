#include "dns_unbound.h"

#include <sys/resource.h>

enum { TTL_MAX_SECONDS = 86400 };

/* Each question that is under way has one. libunbound's own 16 are all taken as soon as so many name servers are
 * silent: then nobody else is asked. */
enum { SOCKETS_MAX = 4000 };

/* A server that questions are forwarded to is not slow itself when nobody answers it for some names; libunbound would
 * leave it alone for minutes. */
#define FORWARDER_BLAMED_SECONDS "1"

static bool check(int status, const char *what, struct fail **fail)
{
	return status == 0 || fail_set(fail, FAIL_INVALID, "%s: %s", what, ub_strerror(status));
}

static bool set(struct ub_ctx *unbound, const char *option, const char *value, struct fail **fail)
{
	return check(ub_ctx_set_option(unbound, option, value), option, fail);
}

/* "192.0.2.1:5353" is written 192.0.2.1@5353 there. */
static bool forward_to(struct ub_ctx *unbound, const struct endpoint *server, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(100);
	endpoint_print_ip(&text, server);
	buf_printf(&text, "@%u", endpoint_port(server));
	return check(ub_ctx_set_fwd(unbound, buf_text(&text)), "dns_forward", fail);
}

/* Half of what this process may have. */
static bool set_sockets(struct ub_ctx *unbound, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(20);
	struct rlimit limit = { .rlim_cur = SOCKETS_MAX };
	getrlimit(RLIMIT_NOFILE, &limit);
	buf_add_u64(&text, limit.rlim_cur / 2 < SOCKETS_MAX ? limit.rlim_cur / 2 : SOCKETS_MAX);
	return set(unbound, "outgoing-range:", buf_text(&text), fail);
}

static bool configure(struct ub_ctx *unbound, const struct dns_unbound_options *options, struct fail **fail)
{
	bool validates = options->trust_anchor;
	bool ok = set(unbound, "module-config:", validates ? "validator iterator" : "iterator", fail) &&
	          set(unbound, "do-not-query-localhost:", "no", fail) && set(unbound, "msg-cache-size:", "16m", fail) &&
	          set(unbound, "rrset-cache-size:", "32m", fail) && set(unbound, "cache-max-ttl:", "86400", fail) &&
	          set(unbound, "harden-below-nxdomain:", "yes", fail) && set(unbound, "aggressive-nsec:", "yes", fail) &&
	          set(unbound, "qname-minimisation:", "yes", fail) && set(unbound, "edns-buffer-size:", "1232", fail) &&
	          set(unbound, "use-syslog:", "no", fail) && set(unbound, "chroot:", "", fail) &&
	          set_sockets(unbound, fail);
	ok = ok && set(unbound, "unblock-lan-zones:", options->forward_count ? "yes" : "no", fail);
	ok = ok && (options->forward_count == 0 || set(unbound, "infra-host-ttl:", FORWARDER_BLAMED_SECONDS, fail));
	for (size_t i = 0; ok && i < options->forward_count; i++)
		ok = forward_to(unbound, &options->forward[i], fail);
	return ok && (!validates || check(ub_ctx_add_ta_file(unbound, options->trust_anchor), "dns_trust_anchor", fail));
}

/* The first question makes libunbound read all that it has been told of; this one it answers itself (RFC 6761 §6.3). */
static bool load(struct ub_ctx *unbound, struct fail **fail)
{
	struct ub_result *result = NULL;
	int status = ub_resolve(unbound, "localhost", DNS_A, 1, &result);
	ub_resolve_free(result);
	return check(status, "libunbound", fail);
}

/* Names that mean nothing in the world (RFC 6761, RFC 6303) may mean something to servers that the administrator
 * names. */
static bool ask_for_all(struct ub_ctx *unbound, struct fail **fail)
{
	return check(ub_ctx_zone_add(unbound, "test.", "transparent"), "test.", fail) &&
	       check(ub_ctx_zone_remove(unbound, "127.in-addr.arpa."), "127.in-addr.arpa.", fail);
}

struct ub_ctx *dns_unbound_new(const struct dns_unbound_options *options, struct fail **fail)
{
	struct ub_ctx *unbound = ub_ctx_create();
	must(unbound);
	ub_ctx_async(unbound, true); /* in a thread of this process */
	ub_ctx_debugout(unbound, NULL);
	bool forwards = options->forward_count > 0;
	if (configure(unbound, options, fail) && load(unbound, fail) && (!forwards || ask_for_all(unbound, fail)))
		return unbound;
	ub_ctx_delete(unbound);
	return NULL;
}

static enum dns_status status_of(const struct ub_result *result)
{
	if (result->bogus)
		return DNS_BOGUS;
	if (result->havedata)
		return DNS_FOUND;
	if (result->rcode == 3)
		return DNS_NO_NAME;
	return result->rcode == 0 ? DNS_NO_DATA : DNS_FAILED;
}

/* Records that would not fit into a frame are left out: nobody needs thousands. */
static void add_records(struct arena *a, const struct ub_result *result, struct dns_answer *answer)
{
	size_t octets = 0;
	size_t count = 0;
	while (result->data[count])
		count++;
	answer->records = arena_alloc_array(a, count, sizeof *answer->records);
	for (size_t i = 0; i < count && octets + (size_t)result->len[i] + 2 < DNS_UNBOUND_ANSWER_MAX - 1000; i++) {
		answer->records[answer->count++] = str_from(result->data[i], (size_t)result->len[i]);
		octets += (size_t)result->len[i] + 2;
	}
}

void dns_unbound_answer(struct arena *a, const struct ub_result *result, struct dns_answer *answer)
{
	*answer = (struct dns_answer){ .status = DNS_FAILED };
	if (!result)
		return;
	answer->status = status_of(result);
	answer->secure = result->secure;
	answer->ttl_seconds = result->ttl < 0 ? 0 : result->ttl > TTL_MAX_SECONDS ? TTL_MAX_SECONDS : (uint32_t)result->ttl;
	struct str canonical = str_of(result->canonname);
	if (canonical.length && canonical.data[canonical.length - 1] == '.')
		canonical.length--;
	if (dns_name_is_valid(canonical) && !str_equal_nocase(canonical, str_of(result->qname)))
		answer->canonical = canonical;
	if (answer->status == DNS_FOUND)
		add_records(a, result, answer);
	if (answer->status == DNS_FOUND && answer->count == 0)
		answer->status = DNS_FAILED;
}
