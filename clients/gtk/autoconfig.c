#include "autoconfig.h"

#include "check.h"
#include "connection.h"

#include <glib/gi18n.h>

enum { TIMEOUT_MS = 10000, HTTPS_PORT = 443, VALUE_MAX = 512 };

/* ---- the document ---- */

struct reading {
	const char *address;
	struct server server;
	bool is_pop3;        /* inside <incomingServer type="pop3"> */
	bool has_tls, is_found;
	char value[VALUE_MAX + 1];
};

static const char *attribute(const char **names, const char **values, const char *name)
{
	for (; *names; names++, values++)
		if (strcmp(*names, name) == 0)
			return *values;
	return "";
}

static void start_element(GMarkupParseContext *context UNUSED, const char *name, const char **names,
                          const char **values, void *memory, GError **error UNUSED)
{
	struct reading *r = memory;
	r->value[0] = '\0';
	if (r->is_found || strcmp(name, "incomingServer") != 0)
		return;
	r->is_pop3 = strcmp(attribute(names, values, "type"), "pop3") == 0;
	r->has_tls = false;
	r->server = (struct server){ .protocol = SERVER_POP3 };
}

static void take_text(GMarkupParseContext *context UNUSED, const char *text, gsize length, void *memory,
                      GError **error UNUSED)
{
	struct reading *r = memory;
	str_copy_to_array(str_trim(str_from(text, length)), r->value, sizeof r->value);
}

static void take_user(struct reading *r)
{
	size_t local = str_find_last_char(str_of(r->address), '@');
	struct str user = str_of(r->value);
	if (str_equal(user, STR("%EMAILADDRESS%")))
		user = str_of(r->address);
	else if (str_equal(user, STR("%EMAILLOCALPART%")))
		user = str_first(str_of(r->address), local);
	str_copy_to_array(user, r->server.user, sizeof r->server.user);
}

static void take_tls(struct reading *r)
{
	r->has_tls = strcmp(r->value, "SSL") == 0 || strcmp(r->value, "STARTTLS") == 0;
	r->server.tls = strcmp(r->value, "SSL") == 0 ? SERVER_TLS_IMPLICIT : SERVER_TLS_STARTTLS;
}

static void end_element(GMarkupParseContext *context UNUSED, const char *name, void *memory, GError **error UNUSED)
{
	struct reading *r = memory;
	uint64_t port;
	if (r->is_found || !r->is_pop3)
		return;
	if (strcmp(name, "hostname") == 0) {
		struct server host = {};
		if (server_parse_host(str_of(r->value), &host, NULL))
			str_copy_to_array(str_of(host.host), r->server.host, sizeof r->server.host);
	} else if (strcmp(name, "port") == 0 && str_to_u64(str_of(r->value), UINT16_MAX, &port)) {
		r->server.port = (uint16_t)port;
	} else if (strcmp(name, "socketType") == 0) {
		take_tls(r);
	} else if (strcmp(name, "username") == 0) {
		take_user(r);
	} else if (strcmp(name, "incomingServer") == 0) {
		r->is_found = r->has_tls && r->server.host[0] && r->server.user[0];
		r->is_pop3 = false;
	}
}

/* What no URL could say, a stranger's control characters for one, is no user. */
static bool is_sound(const struct server *server)
{
	CLEANUP(buf_release) struct buf url = BUF_WITH_LIMIT(8192);
	struct server again = {};
	server_print_url(&url, server);
	return server_parse_url(buf_str(&url), &again, NULL) && strcmp(again.user, server->user) == 0 &&
	       strcmp(again.host, server->host) == 0;
}

bool autoconfig_read(struct str document, const char *address, struct server *server)
{
	static const GMarkupParser parser = { start_element, end_element, take_text, NULL, NULL };
	struct reading r = { .address = address };
	g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, &r, NULL);
	if (document.length == 0 || document.length > AUTOCONFIG_MAX ||
	    !g_markup_parse_context_parse(context, document.data, (gssize)document.length, NULL) || !r.is_found ||
	    !is_sound(&r.server))
		return false;
	*server = r.server;
	return true;
}

/* ---- fetching it ---- */

static bool read_answer(struct connection *c, struct buf *answer)
{
	size_t got;
	char room[4096];
	while ((got = stream_read_some(c->stream, room, sizeof room)) > 0)
		if (!buf_append(answer, room, got))
			return false;
	return true;
}

static bool fetch(const char *host, const char *path, struct buf *answer)
{
	struct server server = { .protocol = SERVER_POP3, .tls = SERVER_TLS_IMPLICIT, .port = HTTPS_PORT };
	struct connection c = {};
	if (strlen(host) >= sizeof server.host)
		return false;
	str_copy_to_array(str_of(host), server.host, sizeof server.host);
	bool good = connection_open(&c, &server, NULL, TIMEOUT_MS, NULL);
	if (good) {
		/* HTTP/1.0: an answer in one piece, which ends with the connection (RFC 1945 §5, §7.2.2). */
		stream_printf(c.stream, "GET %s HTTP/1.0\r\nHost: %s\r\nAccept: text/xml\r\n\r\n", path, host);
		good = stream_flush(c.stream) && read_answer(&c, answer);
	}
	connection_close(&c);
	return good;
}

static bool try_document(const char *host, const char *path, const char *address, struct server *server)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(AUTOCONFIG_MAX);
	if (!fetch(host, path, &answer))
		return false;
	struct str text = buf_str(&answer);
	bool is_ok = (str_starts(text, STR("HTTP/1.0 200")) || str_starts(text, STR("HTTP/1.1 200")));
	size_t end = str_find(text, STR("\r\n\r\n"));
	return is_ok && autoconfig_read(str_from_index(text, end + 4), address, server);
}

static bool find_document(const char *domain, const char *address, struct server *server)
{
	g_autofree char *host = g_strdup_printf("autoconfig.%s", domain);
	g_autofree char *escaped = g_uri_escape_string(address, NULL, FALSE);
	g_autofree char *path = g_strdup_printf("/mail/config-v1.1.xml?emailaddress=%s", escaped);
	return try_document(host, path, address, server) ||
	       try_document(domain, "/.well-known/autoconfig/mail/config-v1.1.xml", address, server);
}

/* ---- SRV ---- */

/* RFC 6186 §3.4: a target of "." says that there is none. */
static bool find_service(const char *service, enum server_tls tls, const char *domain, const char *address,
                         struct server *server, GCancellable *cancellable)
{
	GList *targets =
		g_resolver_lookup_service(g_resolver_get_default(), service, "tcp", domain, cancellable, NULL);
	GSrvTarget *target = targets ? targets->data : NULL;
	const char *host = target ? g_srv_target_get_hostname(target) : "";
	struct server found = { .protocol = SERVER_POP3, .tls = tls };
	bool good = *host && strcmp(host, ".") != 0 && server_parse_host(str_of(host), &found, NULL) &&
	            strlen(address) < sizeof found.user;
	if (good) {
		found.port = g_srv_target_get_port(target);
		str_copy_to_array(str_of(address), found.user, sizeof found.user);
		*server = found;
	}
	g_resolver_free_targets(targets);
	return good;
}

/* ---- the search ---- */

struct search {
	char *address;
	struct server server;
	void (*found)(void *context, const struct server *server, const char *why);
	void *context;
};

static void free_search(void *memory)
{
	g_free(((struct search *)memory)->address);
	g_free(memory);
}

static void look(GTask *task, void *source UNUSED, void *memory, GCancellable *cancellable)
{
	struct search *search = memory;
	const char *at = strrchr(search->address, '@'), *address = search->address;
	g_autofree char *domain = at ? g_hostname_to_ascii(at + 1) : NULL;
	bool good = domain && *domain &&
	            strspn(domain, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-") == strlen(domain);
	good = good && (find_service("pop3s", SERVER_TLS_IMPLICIT, domain, address, &search->server, cancellable) ||
	                find_service("pop3", SERVER_TLS_STARTTLS, domain, address, &search->server, cancellable) ||
	                find_document(domain, address, &search->server));
	g_task_return_boolean(task, good);
}

static void looked(GObject *source UNUSED, GAsyncResult *result, void *memory UNUSED)
{
	struct search *search = g_task_get_task_data(G_TASK(result));
	g_autoptr(GError) error = NULL;
	bool good = g_task_propagate_boolean(G_TASK(result), &error);
	if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
		return;
	search->found(search->context, good ? &search->server : NULL,
	              _("The domain says nothing about its servers; fill in what your provider told you."));
}

void autoconfig_find(const char *address, GCancellable *cancellable,
                     void (*found)(void *context, const struct server *server, const char *why), void *context)
{
	struct search *search = g_new0(struct search, 1);
	g_autoptr(GTask) task = g_task_new(NULL, cancellable, looked, NULL);
	search->address = g_strdup(address);
	search->found = found;
	search->context = context;
	g_task_set_task_data(task, search, free_search);
	g_task_run_in_thread(task, look);
}
