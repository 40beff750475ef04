#include "tls_test_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

struct test_authority authority;
struct test_certificate plain, wildcard, international, address, nameless, expired, early, for_clients;

int tls_kit_setup(void **state)
{
	(void)state;
	tls_preload();
	test_authority_init(&authority, "Test Authority");
	plain = test_certificate_sign(&authority, "plain", "DNS:mail.example.org,DNS:MX.example.org", -1, 5);
	wildcard = test_certificate_sign(&authority, "wildcard", "DNS:*.example.net,DNS:*.example.org", -1, 5);
	international = test_certificate_sign(&authority, "international", "DNS:xn--mller-kva.example", -1, 5);
	address = test_certificate_sign(&authority, "address", "IP:127.0.0.1,IP:::1", -1, 5);
	nameless = test_certificate_sign(&authority, "nameless.example.com", NULL, -1, 5);
	expired = test_certificate_sign(&authority, "expired", "DNS:mail.example.org", -3, -1);
	early = test_certificate_sign(&authority, "early", "DNS:mail.example.org", 1, 5);
	for_clients = test_certificate_sign_for(&authority, "for clients", "DNS:mail.example.org", "clientAuth", -1, 5);
	return 0;
}

int tls_kit_teardown(void **state)
{
	(void)state;
	struct test_certificate *all[] = { &plain,    &wildcard, &international, &address,
		                               &nameless, &expired,  &early,         &for_clients };
	for (size_t i = 0; i < COUNT_OF(all); i++)
		test_certificate_release(all[i]);
	test_authority_release(&authority);
	return 0;
}

void add_certificate(struct tls_server *server, const struct test_certificate *certificate)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!tls_server_add(server, str_of(certificate->chain), str_of(certificate->key), &fail))
		fail_msg("%s", fail_text(fail));
}

struct tls_server *server_with(const struct test_certificate *certificate)
{
	struct tls_server *server = tls_server_new(TLS_MINIMUM_1_2);
	add_certificate(server, certificate);
	return server;
}

struct tls_client *new_client(void)
{
	struct tls_client *client = tls_client_new(TLS_MINIMUM_1_2, authority.file, NULL);
	assert_non_null(client);
	return client;
}

void open_sockets(struct pair *p)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
}

void open_pair(struct pair *p, struct tls_server *server, struct tls_client *client, const char *host)
{
	*p = (struct pair){};
	open_sockets(p);
	p->ends[0] = tls_connect(client, p->fds[0], host, NULL);
	assert_non_null(p->ends[0]);
	p->ends[1] = tls_accept(server, p->fds[1]);
}

void close_pair(struct pair *p)
{
	for (int i = 0; i < 2; i++) {
		tls_cleanup(&p->ends[i]);
		if (p->fds[i] >= 0)
			close(p->fds[i]);
		p->fds[i] = -1;
	}
}

static bool waits(enum tls_result result)
{
	return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

bool shake_hands(struct pair *p)
{
	p->results[0] = p->results[1] = TLS_WANT_READ;
	for (int round = 0; round < 20 && (waits(p->results[0]) || waits(p->results[1])); round++)
		for (int i = 0; i < 2; i++)
			p->results[i] = tls_handshake(p->ends[i]);
	return p->results[0] == TLS_DONE && p->results[1] == TLS_DONE;
}

void must_shake_hands(struct pair *p)
{
	if (!shake_hands(p))
		fail_msg("client: %s; server: %s", tls_failure(p->ends[0]), tls_failure(p->ends[1]));
}
