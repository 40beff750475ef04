#include "server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
	const char *text, *printed; /* NULL: refused */
	enum server_protocol protocol;
	enum server_tls tls;
	unsigned port;
	const char *host, *user;
} urls[] = {
	{ "pop3s://alice@example.org", "pop3s://alice@example.org", SERVER_POP3, SERVER_TLS_IMPLICIT, 995, "example.org",
	  "alice" },
	{ "POP3S://alice@Example.ORG:995/", "pop3s://alice@example.org", SERVER_POP3, SERVER_TLS_IMPLICIT, 995,
	  "example.org", "alice" },
	{ "pop3://a@b.test", "pop3://a@b.test", SERVER_POP3, SERVER_TLS_STARTTLS, 110, "b.test", "a" },
	{ "pop3://a@b.test:1", "pop3://a@b.test:1", SERVER_POP3, SERVER_TLS_STARTTLS, 1, "b.test", "a" },
	{ "smtps://a@example.org@mail.example.org", "smtps://a@example.org@mail.example.org", SERVER_SMTP,
	  SERVER_TLS_IMPLICIT, 465, "mail.example.org", "a@example.org" },
	{ "smtp://a%40example.org@mail.example.org", "smtp://a@example.org@mail.example.org", SERVER_SMTP,
	  SERVER_TLS_STARTTLS, 587, "mail.example.org", "a@example.org" },
	{ "pop3://a%20b%3Ac@h", "pop3://a%20b%3Ac@h", SERVER_POP3, SERVER_TLS_STARTTLS, 110, "h", "a b:c" },
	{ "imaps://[::1]:1993", "imaps://[::1]:1993", SERVER_IMAP, SERVER_TLS_IMPLICIT, 1993, "::1", "" },
	{ "imap://a@[2001:DB8:0::1]", "imap://a@[2001:db8::1]", SERVER_IMAP, SERVER_TLS_STARTTLS, 143, "2001:db8::1",
	  "a" },
	{ "pop3s://a@127.0.0.1:2", "pop3s://a@127.0.0.1:2", SERVER_POP3, SERVER_TLS_IMPLICIT, 2, "127.0.0.1", "a" },
	{ "pop3s://a@poštá.sk", "pop3s://a@xn--pot-gla25d.sk", SERVER_POP3, SERVER_TLS_IMPLICIT, 995, "xn--pot-gla25d.sk",
	  "a" },
	{ "pop3s://", NULL },
	{ "pop3s://a@", NULL },
	{ "pop3s://@h", NULL },
	{ "http://a@h", NULL },
	{ "://h", NULL },
	{ "s://h", NULL },
	{ "", NULL },
	{ "pop3s:a@h", NULL },
	{ "pop3s://a:secret@h", NULL },
	{ "pop3s://a@h:", NULL },
	{ "pop3s://a@h:0", NULL },
	{ "pop3s://a@h:65536", NULL },
	{ "pop3s://a@h:12x", NULL },
	{ "pop3s://a%0Ab@h", NULL },
	{ "pop3s://a%00b@h", NULL },
	{ "pop3s://a%4@h", NULL },
	{ "pop3s://a%ff@h", NULL },
	{ "pop3s://a@[::1", NULL },
	{ "pop3s://a@[::1]x", NULL },
	{ "pop3s://a@h h", NULL },
	{ "pop3s://a@h\r\nX", NULL },
};

static void test_urls(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(urls); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(buf_release) struct buf printed = BUF_WITH_LIMIT(2000);
		struct server s;
		bool good = server_parse_url(str_of(urls[i].text), &s, &fail);
		if (good != (urls[i].printed != NULL))
			print_error("%s: %s\n", urls[i].text, good ? "accepted" : fail_text(fail));
		assert_int_equal(good, urls[i].printed != NULL);
		assert_int_equal(good, fail == NULL);
		if (!good)
			continue;
		server_print_url(&printed, &s);
		assert_string_equal(buf_text(&printed), urls[i].printed);
		assert_string_equal(s.host, urls[i].host);
		assert_string_equal(s.user, urls[i].user);
		assert_int_equal(server_port(&s), urls[i].port);
		assert_true(s.protocol == urls[i].protocol && s.tls == urls[i].tls);
	}
}

static void test_password_is_not_repeated(void **state)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct server s;
	(void)state;
	assert_false(server_parse_url(STR("pop3s://a:tanstaaf@h"), &s, &fail));
	assert_null(strstr(fail_text(fail), "tanstaaf"));
}

static void test_long_parts(void **state)
{
	CLEANUP(buf_release) struct buf url = BUF_WITH_LIMIT(2000);
	struct server s;
	(void)state;
	for (size_t length = LIMIT_ADDRESS_MAX; length <= LIMIT_ADDRESS_MAX + 1; length++) {
		buf_clear(&url);
		buf_add_str(&url, STR("pop3s://"));
		for (size_t i = 0; i < length; i++)
			buf_add_char(&url, 'u');
		buf_add_str(&url, STR("@h"));
		assert_int_equal(server_parse_url(buf_str(&url), &s, NULL), length == LIMIT_ADDRESS_MAX);
	}
}

static void test_hosts(void **state)
{
	struct server s = { .protocol = SERVER_SMTP, .tls = SERVER_TLS_NONE };
	(void)state;
	assert_true(server_parse_host(STR("localhost"), &s, NULL));
	assert_string_equal(s.host, "localhost");
	assert_int_equal(server_port(&s), 587);
	assert_true(server_parse_host(STR("localhost:25"), &s, NULL));
	assert_int_equal(server_port(&s), 25);
	assert_true(server_parse_host(STR("::1"), &s, NULL));
	assert_string_equal(s.host, "::1");
	assert_int_equal(s.port, 0);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < SERVER_PROTOCOL_COUNT; i++) {
		enum server_protocol found;
		assert_true(server_protocol_find(str_of(server_protocol_name((enum server_protocol)i)), &found) && found == i);
	}
	for (unsigned i = 0; i < SERVER_TLS_COUNT; i++) {
		enum server_tls found;
		assert_true(server_tls_find(str_of(server_tls_name((enum server_tls)i)), &found) && found == i);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls), cmocka_unit_test(test_password_is_not_repeated), cmocka_unit_test(test_long_parts),
		cmocka_unit_test(test_hosts), cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
