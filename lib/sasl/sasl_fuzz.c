/*
 * The server side of an exchange against any client. Input: one byte for the mechanism and
 * whether there is an initial response, then messages, each with its length before it. Nobody
 * knows the one user's password, so no exchange may end in success.
 */
#include "sasl.h"

#include <stdlib.h>

static const char *const names[] = { "PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256",
	                                 "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS" };

static const struct sasl_facts facts = {
	.tls = true,
	.scram_sha1 = true,
	.cram_md5 = true,
	.tls_exporter = { "0123456789abcdef0123456789abcdef", 32 },
};

static void find(void *context, struct str name, enum sasl_secret_kind kind, struct sasl_secret *secret)
{
	(void)context;
	(void)kind;
	must(name.length > 0 && name.length <= SASL_NAME_MAX);
	memcpy(secret->canonical, name.data, name.length);
	secret->known = str_equal(name, STR("alice"));
	secret->iterations = 4096;
	secret->salt_length = 16;
	memset(secret->stored_key, 0xa5, sizeof secret->stored_key);
	memset(secret->server_key, 0x5a, sizeof secret->server_key);
	memcpy(secret->clear, "nobody can guess this, it is too long", 37);
}

static void check(const struct sasl_exchange *x, enum sasl_result result, const struct buf *output)
{
	must(result != SASL_DONE);
	must(!output->overflowed);
	if (result == SASL_PASSWORD) {
		must(sasl_identity(x).length > 0 && sasl_identity(x).length <= SASL_NAME_MAX);
		must(sasl_password(x).length > 0 && sasl_password(x).length <= LIMIT_PASSWORD_MAX);
		must(output->length == 0);
	}
	if (result == SASL_FAILED)
		must(output->length == 0 && sasl_why(x)[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct sasl_directory directory = { .find = find };
	static struct sasl *library;
	if (!library)
		library = sasl_new();
	if (size < 1)
		return 0;
	bool initial = data[0] & 0x80;
	struct str name = str_of(names[(data[0] & 0x7f) % COUNT_OF(names)]);
	CLEANUP(sasl_exchange_cleanup)
	struct sasl_exchange *x = sasl_server_start(library, name, &facts, &directory, NULL);
	CLEANUP(buf_release) struct buf output = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	struct str rest = str_from((const char *)data + 1, size - 1);
	must(x);
	enum sasl_result result = SASL_MORE;
	unsigned steps = 0;
	if (!initial) {
		result = sasl_server_step(x, STR(""), false, &output);
		steps++;
		check(x, result, &output);
	}
	while (result == SASL_MORE) {
		size_t length = rest.length > 0 ? (unsigned char)rest.data[0] : 0;
		struct str message = str_first(str_from_index(rest, 1), length);
		rest = str_from_index(rest, 1 + message.length);
		result = sasl_server_step(x, message, initial && steps == 0, &output);
		must(++steps <= SASL_STEPS_MAX + 1);
		check(x, result, &output);
	}
	must(sasl_server_step(x, STR(""), false, &output) == SASL_FAILED);
	return 0;
}
