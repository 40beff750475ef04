/* Whatever a document holds: what is taken from it has TLS, a host, a user without controls, and fits a URL. */
#include "autoconfig.h"

#include "check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct server server = {}, again = {};
	if (!autoconfig_read(str_from((const char *)data, size), "tim@example.test", &server))
		return 0;
	CLEANUP(buf_release) struct buf url = BUF_WITH_LIMIT(8192);
	must(server.tls != SERVER_TLS_NONE && server.host[0] && server.user[0]);
	server_print_url(&url, &server);
	must(server_parse_url(buf_str(&url), &again, NULL));
	must(strcmp(again.host, server.host) == 0 && strcmp(again.user, server.user) == 0);
	return 0;
}
