#include "autoconfig.h"

#include "check.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BEGIN "<?xml version=\"1.0\"?><clientConfig version=\"1.1\"><emailProvider id=\"x\">"
#define END "</emailProvider></clientConfig>"
#define POP3(host, port, socket, user)                                                                     \
	"<incomingServer type=\"pop3\"><hostname>" host "</hostname><port>" port "</port><socketType>" socket \
	"</socketType><username>" user "</username></incomingServer>"

static const struct {
	const char *document;
	const char *host, *user;
	uint16_t port;
	enum server_tls tls;
} good[] = {
	{ BEGIN POP3("pop.example.test", "995", "SSL", "%EMAILADDRESS%") END, "pop.example.test", "tim@example.test", 995,
	  SERVER_TLS_IMPLICIT },
	{ BEGIN "<incomingServer type=\"imap\"><hostname>imap.example.test</hostname></incomingServer>" POP3(
		  " POP.example.test ", "110", "STARTTLS", "%EMAILLOCALPART%") END,
	  "pop.example.test", "tim", 110, SERVER_TLS_STARTTLS },
	{ BEGIN POP3("plain.example.test", "110", "plain", "u") POP3("second.example.test", "1", "SSL", "u") END,
	  "second.example.test", "u", 1, SERVER_TLS_IMPLICIT },
};

static const char *const bad[] = {
	"",
	"no document",
	BEGIN END,
	BEGIN POP3("plain.example.test", "110", "plain", "u") END,
	BEGIN POP3("bad host/", "995", "SSL", "u") END,
	BEGIN POP3("pop.example.test", "995", "SSL", "") END,
	BEGIN POP3("pop.example.test", "995", "SSL", "\x1cuser") END,
};

static void test_good(void **state UNUSED)
{
	for (size_t i = 0; i < COUNT_OF(good); i++) {
		struct server server = {};
		assert_true(autoconfig_read(str_of(good[i].document), "tim@example.test", &server));
		assert_string_equal(server.host, good[i].host);
		assert_string_equal(server.user, good[i].user);
		assert_int_equal(server.port, good[i].port);
		assert_int_equal(server.tls, good[i].tls);
		assert_int_equal(server.protocol, SERVER_POP3);
	}
}

static void test_bad(void **state UNUSED)
{
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		struct server server = {};
		assert_false(autoconfig_read(str_of(bad[i]), "tim@example.test", &server));
		assert_string_equal(server.host, "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_good), cmocka_unit_test(test_bad) };
	return cmocka_run_group_tests(tests, NULL, NULL);
}
