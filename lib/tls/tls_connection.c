#include "tls_internal.h"

#include "mem.h"

#include <openssl/err.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

struct tls_connection {
	SSL *ssl;
	int fd;
	bool never_wait;         /* tls_buffered looks, but does not wait */
	int error;               /* errno of the last recv or send that failed, for a cut connection */
	enum tls_result ended;   /* TLS_DONE while it lives */
	bool said_goodbye;
	char failure[160];
};

/* ---- the descriptor below ---- */

static int bio_result(BIO *bio, ssize_t done, int retry)
{
	struct tls_connection *c = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	if (done >= 0)
		return (int)done;
	c->error = errno;
	if (errno == EAGAIN || errno == EINTR)
		BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
	return -1;
}

static int bio_read(BIO *bio, char *room, int size)
{
	struct tls_connection *c = BIO_get_data(bio);
	ssize_t done = recv(c->fd, room, (size_t)size, c->never_wait ? MSG_DONTWAIT : 0);
	if (done == 0)
		BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
	return bio_result(bio, done, BIO_FLAGS_READ);
}

static int bio_write(BIO *bio, const char *data, int length)
{
	struct tls_connection *c = BIO_get_data(bio);
	return bio_result(bio, send(c->fd, data, (size_t)length, MSG_NOSIGNAL), BIO_FLAGS_WRITE);
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
	(void)number;
	(void)pointer;
	if (command == BIO_CTRL_EOF)
		return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
	return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *tls_bio_method_new(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "descriptor");
	must(method && BIO_meth_set_read(method, bio_read) && BIO_meth_set_write(method, bio_write) &&
	     BIO_meth_set_ctrl(method, bio_control));
	return method;
}

/* ---- the connection ---- */

struct tls_connection *tls_connection_new(SSL_CTX *context, const BIO_METHOD *method, int fd)
{
	struct tls_connection *c = mem_alloc(sizeof *c);
	BIO *bio = BIO_new(method);
	c->ssl = SSL_new(context);
	must(bio && c->ssl);
	c->fd = fd;
	BIO_set_data(bio, c);
	BIO_set_init(bio, 1);
	SSL_set_bio(c->ssl, bio, bio);
	return c;
}

SSL *tls_connection_ssl(const struct tls_connection *c)
{
	return c->ssl;
}

void tls_free(struct tls_connection *c)
{
	if (!c)
		return;
	SSL_free(c->ssl);
	free(c);
}

void tls_cleanup(struct tls_connection **c)
{
	tls_free(*c);
	*c = NULL;
}

static enum tls_result failed(struct tls_connection *c, const char *why)
{
	snprintf(c->failure, sizeof c->failure, "%s", why);
	c->ended = TLS_FAILED;
	return TLS_FAILED;
}

/* What a call that gave result <= 0 means. */
static enum tls_result outcome(struct tls_connection *c, int result)
{
	switch (SSL_get_error(c->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return TLS_WANT_READ;
	case SSL_ERROR_WANT_WRITE:
		return TLS_WANT_WRITE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return failed(c, c->error ? strerror(c->error) : "the peer cut the connection without ending TLS");
	default:
		return failed(c, tls_explain(c->ssl));
	}
}

/* OpenSSL's error queue belongs to the thread: what others left there is not ours. */
static void begin(struct tls_connection *c)
{
	ERR_clear_error();
	c->error = 0;
}

enum tls_result tls_handshake(struct tls_connection *c)
{
	if (c->ended != TLS_DONE)
		return c->ended;
	begin(c);
	int result = SSL_do_handshake(c->ssl);
	return result == 1 ? TLS_DONE : outcome(c, result);
}

enum tls_result tls_read(struct tls_connection *c, void *room, size_t size, size_t *got)
{
	*got = 0;
	if (c->ended != TLS_DONE)
		return c->ended;
	begin(c);
	int result = SSL_read_ex(c->ssl, room, size, got);
	return result == 1 ? TLS_DONE : outcome(c, result);
}

enum tls_result tls_write(struct tls_connection *c, const void *data, size_t length, size_t *written)
{
	*written = 0;
	must(length > 0);
	if (c->ended != TLS_DONE)
		return c->ended;
	begin(c);
	int result = SSL_write_ex(c->ssl, data, length, written);
	return result == 1 ? TLS_DONE : outcome(c, result);
}

size_t tls_buffered(struct tls_connection *c)
{
	size_t pending = (size_t)SSL_pending(c->ssl);
	if (pending || c->ended != TLS_DONE || !SSL_has_pending(c->ssl))
		return pending;
	/* Bytes were read ahead: decode them if they are a whole record. */
	char byte;
	size_t got = 0;
	begin(c);
	c->never_wait = true;
	int result = SSL_peek_ex(c->ssl, &byte, 1, &got);
	c->never_wait = false;
	if (result != 1)
		outcome(c, result);
	return (size_t)SSL_pending(c->ssl);
}

enum tls_result tls_shutdown(struct tls_connection *c)
{
	if (c->ended == TLS_FAILED)
		return TLS_FAILED;
	if (c->said_goodbye || !SSL_is_init_finished(c->ssl))
		return TLS_DONE;
	begin(c);
	int result = SSL_shutdown(c->ssl);
	if (result < 0)
		return outcome(c, result);
	c->said_goodbye = true;
	return TLS_DONE;
}

const char *tls_failure(const struct tls_connection *c)
{
	return c->failure;
}

/* RFC 9266 §2: the context is a zero-length string; TLS 1.2 needs the extended master secret. */
static void get_binding(SSL *ssl, struct tls_facts *facts)
{
	static const char label[] = "EXPORTER-Channel-Binding";
	static const unsigned char context[1] = "";
	if (SSL_version(ssl) < TLS1_3_VERSION && SSL_get_extms_support(ssl) != 1)
		return;
	facts->has_binding = SSL_export_keying_material(ssl, facts->binding, sizeof facts->binding, label,
	                                                sizeof label - 1, context, 0, 1) == 1;
}

void tls_get_facts(const struct tls_connection *c, struct tls_facts *facts)
{
	*facts = (struct tls_facts){};
	snprintf(facts->version, sizeof facts->version, "%s", SSL_get_version(c->ssl));
	snprintf(facts->cipher, sizeof facts->cipher, "%s", SSL_get_cipher_name(c->ssl));
	facts->bits = SSL_get_cipher_bits(c->ssl, NULL);
	if (!tls_host_name(str_of(SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name)), facts->server_name))
		facts->server_name[0] = '\0';
	get_binding(c->ssl, facts);
	ERR_clear_error();
}
