/*
 * For the tests of this folder: certificates of one authority, made before the first test, and both ends of a connection in
 * one thread. A failure here fails the test.
 */
#ifndef POSTHORN_TLS_TLS_TEST_KIT_H
#define POSTHORN_TLS_TLS_TEST_KIT_H

#include "tls_test_certificates.h"

/* By what is special about them. */
extern struct test_authority authority;
extern struct test_certificate plain, wildcard, international, address, nameless, expired, early, for_clients;

/* Of the group of tests. */
int tls_kit_setup(void **state);
int tls_kit_teardown(void **state);

void add_certificate(struct tls_server *server, const struct test_certificate *certificate);
struct tls_server *server_with(const struct test_certificate *certificate);

/* Which trusts the authority. */
struct tls_client *new_client(void);

/* Both ends of a non-blocking socketpair; index 0 is the client. */
struct pair {
	int fds[2];
	struct tls_connection *ends[2];
	enum tls_result results[2];
};

void open_sockets(struct pair *p);
void open_pair(struct pair *p, struct tls_server *server, struct tls_client *client, const char *host);
void close_pair(struct pair *p);

/* Both ends in turn, until neither waits; true when both are done. */
bool shake_hands(struct pair *p);
void must_shake_hands(struct pair *p);

#endif
