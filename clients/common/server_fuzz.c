/* URLs: what is accepted prints as a URL that means the same, and nothing in it could break a protocol line. */
#include "server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(buf_release) struct buf printed = BUF_WITH_LIMIT(4096);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct server s, again;
	if (!server_parse_url(str_from((const char *)data, size), &s, &fail)) {
		must(fail != NULL);
		return 0;
	}
	must(s.host[0] && strlen(s.host) <= LIMIT_DOMAIN_MAX && str_is_printable(str_of(s.host)) && !strchr(s.host, ' '));
	must(strlen(s.user) <= LIMIT_ADDRESS_MAX && !strpbrk(s.user, "\r\n"));
	must(server_port(&s) > 0);
	server_print_url(&printed, &s);
	must(!printed.overflowed && server_parse_url(buf_str(&printed), &again, NULL));
	must(str_equal(str_of(s.host), str_of(again.host)) && str_equal(str_of(s.user), str_of(again.user)));
	must(s.protocol == again.protocol && s.tls == again.tls && server_port(&s) == server_port(&again));
	return 0;
}
