#include "sasl.h"

#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <gsasl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPORTER "0123456789abcdef0123456789abcdef"

static const struct sasl_facts all = {
	.tls = true,
	.scram_sha1 = true,
	.cram_md5 = true,
	.tls_exporter = { EXPORTER, 32 },
	.tls_unique = { "finished-msg", 12 },
};
static const struct sasl_facts clear = { .tls = false };

static void hmac_sha256(const char *key, struct str message, unsigned char *mac)
{
	assert_non_null(HMAC(EVP_sha256(), key, 32, (const unsigned char *)message.data, message.length, mac, NULL));
}

/* alice's verifiers, made once: 4096 rounds take their time. */
static struct sasl_secret verifiers[2];

static void make_verifier(enum sasl_secret_kind kind)
{
	struct sasl_secret *secret = &verifiers[kind == SASL_SCRAM_SHA_1];
	char salted[32];
	char client_key[32];
	secret->salt_length = 16;
	memcpy(secret->salt, "sixteen octets!!", 16);
	assert_int_equal(gsasl_scram_secrets_from_password(kind == SASL_SCRAM_SHA_1 ? GSASL_HASH_SHA1 : GSASL_HASH_SHA256,
	                                                   "pencil", 4096, (char *)secret->salt, 16, salted, client_key,
	                                                   (char *)secret->server_key, (char *)secret->stored_key),
	                 GSASL_OK);
}

/* A directory with one user, "alice" in any case, whose password is "pencil". */
static void find(void *context, struct str name, enum sasl_secret_kind kind, struct sasl_secret *secret)
{
	unsigned *count = context;
	(*count)++;
	if (kind != SASL_CLEAR)
		*secret = verifiers[kind == SASL_SCRAM_SHA_1];
	for (size_t i = 0; i < name.length; i++)
		secret->canonical[i] = char_lower(name.data[i]);
	secret->iterations = 4096;
	secret->known = str_equal(str_of(secret->canonical), STR("alice"));
	memcpy(secret->clear, "pencil", 7);
}

static unsigned asked;
static struct sasl_directory directory = {
	.find = find,
	.context = &asked,
	.fake_key = "the key of this post office.....",
};
static struct sasl *library;

static int init(void **state)
{
	(void)state;
	library = sasl_new();
	make_verifier(SASL_SCRAM_SHA_256);
	make_verifier(SASL_SCRAM_SHA_1);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sasl_cleanup(&library);
	assert_null(library);
	return 0;
}

static struct sasl_exchange *server(const char *mechanism, const struct sasl_facts *facts)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct sasl_exchange *x = sasl_server_start(library, str_of(mechanism), facts, &directory, &fail);
	if (!x)
		fail_msg("%s: %s", mechanism, fail_text(fail));
	return x;
}

static struct sasl_exchange *client(const char *mechanism, const struct sasl_facts *facts, const char *name,
                                    const char *password)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct sasl_exchange *x =
		sasl_client_start(library, str_of(mechanism), facts, str_of(name), str_of(password), &fail);
	if (!x)
		fail_msg("%s: %s", mechanism, fail_text(fail));
	return x;
}

/* A message on its way is changed by xor at one byte; message 0 is the client's first. */
struct tampering {
	int message;
	size_t byte;
	unsigned char with;
	bool out_of_range;
};

static void tamper(struct tampering *t, int message, struct buf *bytes)
{
	if (!t || t->message != message)
		return;
	t->out_of_range = t->byte >= bytes->length;
	if (!t->out_of_range)
		bytes->data[t->byte] = (char)((unsigned char)bytes->data[t->byte] ^ t->with);
}

struct outcome {
	enum sasl_result client;
	enum sasl_result server;
};

/* Lets the two talk as they would over a protocol until the server has decided. */
static struct outcome talk(struct sasl_exchange *c, struct sasl_exchange *s, struct tampering *t)
{
	CLEANUP(buf_release) struct buf up = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	CLEANUP(buf_release) struct buf down = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	struct outcome o = { SASL_MORE, SASL_MORE };
	int message = 0;
	bool initial = sasl_client_speaks_first(c);
	if (initial)
		o.client = sasl_client_step(c, STR(""), &up);
	while (o.server == SASL_MORE && o.client != SASL_FAILED) {
		tamper(t, message++, &up);
		o.server = sasl_server_step(s, buf_str(&up), initial && message == 1, &down);
		tamper(t, message++, &down);
		if (o.server == SASL_MORE)
			o.client = sasl_client_step(c, buf_str(&down), &up);
		assert_true(message < 20);
	}
	return o;
}

static const char *const secret_mechanisms[] = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS",
	                                             "SCRAM-SHA-1", "CRAM-MD5" };

/* tls-exporter and tls-unique, each alone and both; without, "n" is what the client says. */
static const struct sasl_facts connections[] = {
	{ .tls = true, .scram_sha1 = true, .cram_md5 = true, .tls_exporter = { EXPORTER, 32 } },
	{ .tls = true, .scram_sha1 = true, .cram_md5 = true, .tls_unique = { "finished-msg", 12 } },
	{ .tls = true, .scram_sha1 = true, .cram_md5 = true, .tls_exporter = { EXPORTER, 32 }, .tls_unique = { "f", 1 } },
};

static void the_right_password_succeeds(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(secret_mechanisms); i++) {
		for (size_t n = 0; n < COUNT_OF(connections); n++) {
			CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server(secret_mechanisms[i], &connections[n]);
			CLEANUP(sasl_exchange_cleanup)
			struct sasl_exchange *c = client(secret_mechanisms[i], &connections[n], "Alice", "pencil");
			asked = 0;
			struct outcome o = talk(c, s, NULL);
			if (o.server != SASL_DONE || o.client != SASL_DONE)
				fail_msg("%s over connection %zu: client %d (%s), server %d (%s)", secret_mechanisms[i], n, o.client,
				         sasl_why(c), o.server, sasl_why(s));
			assert_true(str_equal(sasl_identity(s), STR("alice")));
			assert_int_equal(asked, 1);
		}
	}
}

static void a_wrong_password_or_user_fails(void **state)
{
	(void)state;
	static const char *const pairs[][2] = { { "alice", "pencils" }, { "bob", "pencil" }, { "alice", "Pencil" } };
	for (size_t i = 0; i < COUNT_OF(secret_mechanisms); i++) {
		for (size_t n = 0; n < COUNT_OF(pairs); n++) {
			CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server(secret_mechanisms[i], &all);
			bool binds = strstr(secret_mechanisms[i], "PLUS");
			CLEANUP(sasl_exchange_cleanup)
			struct sasl_exchange *c = client(secret_mechanisms[i], binds ? &all : &clear, pairs[n][0], pairs[n][1]);
			struct outcome o = talk(c, s, NULL);
			assert_int_equal(o.server, SASL_FAILED);
			const char *why = binds ? "wrong password or channel binding" : "wrong password";
			assert_string_equal(sasl_why(s), n == 1 ? "unknown user, or one without a secret for this mechanism" : why);
		}
	}
}

static void another_connection_does_not_bind(void **state)
{
	(void)state;
	struct sasl_facts other = all;
	other.tls_exporter = STR("0123456789abcdef0123456789abcdeF");
	other.tls_unique = STR("another-msg");
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server("SCRAM-SHA-256-PLUS", &all);
	CLEANUP(sasl_exchange_cleanup)
	struct sasl_exchange *c = client("SCRAM-SHA-256-PLUS", &other, "alice", "pencil");
	assert_int_equal(talk(c, s, NULL).server, SASL_FAILED);
}

/* RFC 5802 §6: a client that could bind but was not offered it says "y"; where it was offered,
 * somebody took the offer out. */
static void a_downgrade_is_noticed(void **state)
{
	(void)state;
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server("SCRAM-SHA-256", &all);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	assert_int_equal(sasl_server_step(s, STR("y,,n=alice,r=abcdefgh"), true, &out), SASL_FAILED);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *plain = server("SCRAM-SHA-256", &clear);
	assert_int_equal(sasl_server_step(plain, STR("y,,n=alice,r=abcdefgh"), true, &out), SASL_MORE);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *bound = server("SCRAM-SHA-256", &all);
	assert_int_equal(sasl_server_step(bound, STR("p=tls-exporter,,n=alice,r=abcdefgh"), true, &out), SASL_FAILED);
}

/* Whatever is changed on the way, at most one side is content, and never the server wrongly: the
 * client's messages are all under its proof. */
static void no_changed_byte_goes_unnoticed(void **state)
{
	(void)state;
	static const unsigned char changes[] = { 0x01, 0x02, 0x80, 0xff };
	for (size_t i = 0; i < COUNT_OF(secret_mechanisms); i++) {
		const char *mechanism = secret_mechanisms[i];
		for (struct tampering t = { 0, 0, changes[0], false }; t.message < 5;) {
			CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server(mechanism, &all);
			CLEANUP(sasl_exchange_cleanup)
			struct sasl_exchange *c = client(mechanism, strstr(mechanism, "PLUS") ? &all : &clear, "alice", "pencil");
			t.with = changes[t.byte % COUNT_OF(changes)];
			t.out_of_range = true;
			struct outcome o = talk(c, s, &t);
			if (!t.out_of_range && o.server == SASL_DONE && o.client == SASL_DONE)
				fail_msg("%s: message %d, byte %zu, xor %#x", mechanism, t.message, t.byte, t.with);
			t.byte = t.out_of_range ? 0 : t.byte + 1;
			t.message += t.out_of_range;
		}
	}
}

/* Every prefix of a right message is wrong. */
static void cut_messages_fail(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf up = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	CLEANUP(buf_release) struct buf down = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	for (size_t length = 1; length < 200; length++) {
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server("SCRAM-SHA-256", &all);
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *c = client("SCRAM-SHA-256", &clear, "alice", "pencil");
		assert_int_equal(sasl_client_step(c, STR(""), &up), SASL_MORE);
		assert_int_equal(sasl_server_step(s, buf_str(&up), true, &down), SASL_MORE);
		assert_int_equal(sasl_client_step(c, buf_str(&down), &up), SASL_MORE);
		if (length >= up.length)
			break;
		assert_int_equal(sasl_server_step(s, str_first(buf_str(&up), length), false, &down), SASL_FAILED);
		assert_int_equal(sasl_server_step(s, buf_str(&up), false, &down), SASL_FAILED);
	}
}

static void server_first(const char *message, struct buf *salt_and_iterations)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server("SCRAM-SHA-256", &all);
	assert_int_equal(sasl_server_step(s, str_of(message), true, &out), SASL_MORE);
	size_t comma = str_find_char(buf_str(&out), ',');
	buf_clear(salt_and_iterations);
	buf_add_str(salt_and_iterations, str_from_index(buf_str(&out), comma));
}

static void an_unknown_user_looks_like_a_known_one(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf alice = BUF_WITH_LIMIT(1000);
	CLEANUP(buf_release) struct buf bob = BUF_WITH_LIMIT(1000);
	CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(1000);
	CLEANUP(buf_release) struct buf carol = BUF_WITH_LIMIT(1000);
	server_first("n,,n=alice,r=abcdefgh", &alice);
	server_first("n,,n=bob,r=abcdefgh", &bob);
	server_first("n,,n=BOB,r=zyxw", &again);
	server_first("n,,n=carol,r=abcdefgh", &carol);
	assert_string_equal(buf_text(&bob), buf_text(&again));
	assert_string_not_equal(buf_text(&bob), buf_text(&carol));
	assert_int_equal(alice.length, bob.length);
	assert_true(str_ends_nocase(buf_str(&bob), STR(",i=4096")));
	directory.fake_key[0] ^= 1;
	server_first("n,,n=bob,r=abcdefgh", &again);
	directory.fake_key[0] ^= 1;
	assert_string_not_equal(buf_text(&bob), buf_text(&again));
}

static void nobody_acts_for_others(void **state)
{
	(void)state;
	static const struct {
		const char *mechanism;
		const char *message;
		size_t length;
		enum sasl_result result;
	} cases[] = {
		{ "PLAIN", "\0alice\0pencil", 13, SASL_PASSWORD },
		{ "PLAIN", "alice\0alice\0pencil", 18, SASL_PASSWORD },
		{ "PLAIN", "ALICE\0alice\0pencil", 18, SASL_PASSWORD },
		{ "PLAIN", "bob\0alice\0pencil", 16, SASL_FAILED },
		{ "PLAIN", "\0alice\0", 7, SASL_FAILED },
		{ "PLAIN", "\0\0pencil", 8, SASL_FAILED },
		{ "PLAIN", "\0alice\0pen\0cil", 14, SASL_FAILED },
		{ "PLAIN", "alice\0pencil", 12, SASL_FAILED },
		{ "PLAIN", "alice", 5, SASL_FAILED },
		{ "PLAIN", "", 0, SASL_FAILED },
		{ "SCRAM-SHA-256", "", 0, SASL_FAILED },
		{ "SCRAM-SHA-256", "n,,n=al\0ice,r=abcdefgh", 22, SASL_FAILED },
		{ "SCRAM-SHA-256", "n,,n=,r=abcdefgh", 16, SASL_FAILED },
		{ "SCRAM-SHA-256", "n,,m=x,n=alice,r=abcdefgh", 25, SASL_FAILED },
		{ "SCRAM-SHA-256", "n,,n=alice,r=abcdefgh,m=x", 25, SASL_FAILED },
		{ "SCRAM-SHA-256", "n,,n=alice,r=abcdefgh,x=m", 25, SASL_MORE },
		{ "CRAM-MD5", "alice 00000000000000000000000000000000", 38, SASL_FAILED },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server(cases[i].mechanism, &all);
		enum sasl_result result = sasl_server_step(s, str_from(cases[i].message, cases[i].length), true, &out);
		if (result != cases[i].result)
			fail_msg("case %zu: %d %s", i, result, sasl_why(s));
		if (result == SASL_PASSWORD)
			assert_true(str_equal(sasl_password(s), STR("pencil")) && str_equal(sasl_identity(s), STR("alice")));
	}
}

/* The same in SCRAM, with a right proof over the authorization identity. */
static void scram_refuses_another_identity(void **state)
{
	(void)state;
	static const struct {
		const char *first;
		const char *header; /* base64 of the GS2 header */
		enum sasl_result result;
	} cases[] = {
		{ "n,,n=alice,r=abcdefgh", "biws", SASL_DONE },
		{ "n,a=ALICE,n=alice,r=abcdefgh", "bixhPUFMSUNFLA==", SASL_DONE },
		{ "n,a=bob,n=alice,r=abcdefgh", "bixhPWJvYiw=", SASL_FAILED },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		char salted[32];
		char client_key[32];
		char server_key[32];
		char stored_key[32];
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
		CLEANUP(buf_release) struct buf message = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
		CLEANUP(buf_release) struct buf last = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server("SCRAM-SHA-256", &all);
		gsasl_scram_secrets_from_password(GSASL_HASH_SHA256, "pencil", 4096, "sixteen octets!!", 16, salted, client_key,
		                                  server_key, stored_key);
		assert_int_equal(sasl_server_step(s, str_of(cases[i].first), true, &out), SASL_MORE);
		struct str nonce = str_first(buf_str(&out), str_find_char(buf_str(&out), ','));
		buf_printf(&last, "c=%s,%.*s", cases[i].header, STR_ARG(nonce));
		buf_printf(&message, "%s,%.*s,%s", strstr(cases[i].first, "n=alice"), STR_ARG(buf_str(&out)), buf_text(&last));
		unsigned char proof[32];
		hmac_sha256(stored_key, buf_str(&message), proof);
		for (size_t n = 0; n < sizeof proof; n++)
			proof[n] ^= (unsigned char)client_key[n];
		buf_printf(&last, ",p=");
		text_base64_encode(&last, str_from((char *)proof, sizeof proof));
		assert_int_equal(sasl_server_step(s, buf_str(&last), false, &out), SASL_MORE);
		assert_int_equal(sasl_server_step(s, STR(""), false, &out), cases[i].result);
		if (cases[i].result == SASL_FAILED)
			assert_string_equal(sasl_why(s), "another authorization identity is asked for");
	}
}

static void plain_and_login(void **state)
{
	(void)state;
	static const char *const names[] = { "PLAIN", "LOGIN", "login" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server(names[i], &all);
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *c = client(names[i], &all, "Alice", "p\xe9ncil");
		struct outcome o = talk(c, s, NULL);
		assert_int_equal(o.client, SASL_DONE);
		assert_int_equal(o.server, SASL_PASSWORD);
		assert_true(str_equal(sasl_identity(s), STR("Alice")));
		assert_true(str_equal(sasl_password(s), STR("p\xe9ncil")));
	}
}

static void login_prompts_and_initial_response(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server("LOGIN", &all);
	assert_int_equal(sasl_server_step(s, STR(""), false, &out), SASL_MORE);
	assert_string_equal(buf_text(&out), "Username:");
	assert_int_equal(sasl_server_step(s, STR("alice"), false, &out), SASL_MORE);
	assert_string_equal(buf_text(&out), "Password:");
	assert_int_equal(sasl_server_step(s, STR("pencil"), false, &out), SASL_PASSWORD);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *direct = server("LOGIN", &all);
	assert_int_equal(sasl_server_step(direct, STR("alice"), true, &out), SASL_MORE);
	assert_string_equal(buf_text(&out), "Password:");
	assert_int_equal(sasl_server_step(direct, STR(""), false, &out), SASL_FAILED);
}

static void an_exchange_without_initial_response(void **state)
{
	(void)state;
	static const char *const names[] = { "PLAIN", "SCRAM-SHA-256" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server(names[i], &all);
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *c = client(names[i], &clear, "alice", "pencil");
		assert_int_equal(sasl_server_step(s, STR(""), false, &out), SASL_MORE);
		assert_int_equal(out.length, 0);
		assert_int_equal(talk(c, s, NULL).server, i ? SASL_DONE : SASL_PASSWORD);
	}
}

static void it_ends_when_it_is_over(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *s = server("PLAIN", &all);
	assert_int_equal(sasl_server_step(s, str_from("\0alice\0pencil", 13), true, &out), SASL_PASSWORD);
	assert_int_equal(sasl_server_step(s, str_from("\0alice\0pencil", 13), true, &out), SASL_FAILED);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *endless = server("PLAIN", &all);
	assert_int_equal(sasl_server_step(endless, STR(""), false, &out), SASL_MORE);
	assert_int_equal(sasl_server_step(endless, STR(""), false, &out), SASL_FAILED);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *big = server("PLAIN", &all);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(SASL_MESSAGE_MAX + 1);
	while (buf_add_char(&text, 'x'))
		continue;
	assert_int_equal(sasl_server_step(big, buf_str(&text), true, &out), SASL_FAILED);
	assert_string_equal(sasl_why(big), "the message is too long");
}

static const struct {
	struct sasl_facts facts;
	const char *names;
} offers[] = {
	{ { .tls = true }, "SCRAM-SHA-256 PLAIN LOGIN" },
	{ { .tls = true, .tls_exporter = { EXPORTER, 32 } }, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" },
	{ { .tls = false, .tls_exporter = { EXPORTER, 32 } }, "SCRAM-SHA-256" },
	{ { .tls = false, .cram_md5 = true }, "SCRAM-SHA-256 CRAM-MD5" },
	{ { .tls = false, .cleartext_allowed = true }, "SCRAM-SHA-256 PLAIN LOGIN" },
	{ { .tls = true, .tls_unique = { "x", 1 }, .scram_sha1 = true, .cram_md5 = true },
	  "SCRAM-SHA-256-PLUS SCRAM-SHA-256 SCRAM-SHA-1-PLUS SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN" },
};

static void what_is_offered_is_what_starts(void **state)
{
	(void)state;
	static const char *const names[] = { "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1",
		                                 "CRAM-MD5", "PLAIN", "LOGIN" };
	for (size_t i = 0; i < COUNT_OF(offers); i++) {
		CLEANUP(buf_release) struct buf list = BUF_WITH_LIMIT(1000);
		buf_printf(&list, "%s ", offers[i].names);
		for (size_t n = 0; n < COUNT_OF(names); n++) {
			CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(100);
			buf_printf(&name, "%s ", names[n]);
			CLEANUP(sasl_exchange_cleanup)
			struct sasl_exchange *x = sasl_server_start(library, str_of(names[n]), &offers[i].facts, &directory, NULL);
			bool listed = str_find(buf_str(&list), buf_str(&name)) < list.length;
			assert_int_equal(x != NULL, listed);
		}
	}
}

static void others_do_not_start(void **state)
{
	(void)state;
	static const char *const names[] = { "EXTERNAL", "DIGEST-MD5", "ANONYMOUS", "GSSAPI", "", "SCRAM", "PLAIN " };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		assert_null(sasl_server_start(library, str_of(names[i]), &all, &directory, &fail));
		assert_int_equal(fail->kind, FAIL_INVALID);
		assert_null(sasl_client_start(library, str_of(names[i]), &all, STR("a"), STR("b"), NULL));
	}
	assert_null(sasl_client_start(library, STR("SCRAM-SHA-256-PLUS"), &clear, STR("a"), STR("b"), NULL));
	assert_null(sasl_client_start(library, STR("PLAIN"), &all, STR(""), STR("b"), NULL));
	assert_null(sasl_client_start(library, STR("PLAIN"), &all, str_from("a\0b", 3), STR("b"), NULL));
}

/* RFC 2195 §2. */
static void cram_md5_example(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *c = client("CRAM-MD5", &clear, "tim", "tanstaaftanstaaf");
	assert_false(sasl_client_speaks_first(c));
	assert_int_equal(sasl_client_step(c, STR("<1896.697170952@postoffice.reston.mci.net>"), &out), SASL_DONE);
	assert_string_equal(buf_text(&out), "tim b913a602c7eda7a495b4e6e7334d3890");
}

static void a_client_is_wary(void **state)
{
	(void)state;
	static const struct {
		const char *rest;
		enum sasl_result result;
	} cases[] = {
		{ "xyz,s=c2l4dGVlbg==,i=4096", SASL_MORE },
		{ "xyz,s=c2l4dGVlbg==,i=1", SASL_FAILED },
		{ "xyz,s=c2l4dGVlbg==,i=4095", SASL_FAILED },
		{ "xyz,s=c2l4dGVlbg==,i=1000001", SASL_FAILED },
		{ "xyz,s=c2l4dGVlbg==,i=99999999999999999999", SASL_FAILED },
		{ "xyz,s=c2l4dGVlbg==", SASL_FAILED },
		{ "xyz", SASL_FAILED },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
		CLEANUP(buf_release) struct buf reply = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
		CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *c = client("SCRAM-SHA-256", &clear, "alice", "pencil");
		assert_int_equal(sasl_client_step(c, STR(""), &out), SASL_MORE);
		size_t nonce = str_find(buf_str(&out), STR("r="));
		buf_add_str(&reply, str_from_index(buf_str(&out), nonce));
		buf_add_str(&reply, str_of(cases[i].rest));
		assert_int_equal(sasl_client_step(c, buf_str(&reply), &out), cases[i].result);
		/* The server must prove itself: success without its signature is none. */
		if (cases[i].result == SASL_MORE)
			assert_int_equal(sasl_client_step(c, STR("v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), &out),
			                 SASL_FAILED);
	}
}

/* RFC 1939 §7. */
static void apop(void **state)
{
	(void)state;
	struct str timestamp = STR("<1896.697170952@dbc.mtview.ca.us>");
	assert_true(sasl_apop_check(timestamp, STR("tanstaaf"), STR("c4c9334bac560ecc979e58001b3e22fb")));
	assert_true(sasl_apop_check(timestamp, STR("tanstaaf"), STR("C4C9334BAC560ECC979E58001B3E22FB")));
	assert_false(sasl_apop_check(timestamp, STR("tanstaag"), STR("c4c9334bac560ecc979e58001b3e22fb")));
	assert_false(sasl_apop_check(timestamp, STR("tanstaaf"), STR("c4c9334bac560ecc979e58001b3e22fc")));
	assert_false(sasl_apop_check(timestamp, STR("tanstaaf"), STR("c4c9334bac560ecc979e58001b3e22f")));
	assert_false(sasl_apop_check(timestamp, STR("tanstaaf"), STR("")));
	/* The digest of the timestamp alone: an account without a secret has no APOP. */
	assert_false(sasl_apop_check(STR(""), STR(""), STR("d41d8cd98f00b204e9800998ecf8427e")));
	CLEANUP(buf_release) struct buf one = BUF_WITH_LIMIT(200);
	CLEANUP(buf_release) struct buf two = BUF_WITH_LIMIT(200);
	sasl_apop_timestamp(STR("mail.example.org"), &one);
	sasl_apop_timestamp(STR("mail.example.org"), &two);
	assert_true(str_starts(buf_str(&one), STR("<")) && str_ends_nocase(buf_str(&one), STR("@mail.example.org>")));
	assert_string_not_equal(buf_text(&one), buf_text(&two));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_right_password_succeeds),
		cmocka_unit_test(a_wrong_password_or_user_fails),
		cmocka_unit_test(another_connection_does_not_bind),
		cmocka_unit_test(a_downgrade_is_noticed),
		cmocka_unit_test(no_changed_byte_goes_unnoticed),
		cmocka_unit_test(cut_messages_fail),
		cmocka_unit_test(an_unknown_user_looks_like_a_known_one),
		cmocka_unit_test(nobody_acts_for_others),
		cmocka_unit_test(scram_refuses_another_identity),
		cmocka_unit_test(plain_and_login),
		cmocka_unit_test(login_prompts_and_initial_response),
		cmocka_unit_test(an_exchange_without_initial_response),
		cmocka_unit_test(it_ends_when_it_is_over),
		cmocka_unit_test(what_is_offered_is_what_starts),
		cmocka_unit_test(others_do_not_start),
		cmocka_unit_test(cram_md5_example),
		cmocka_unit_test(a_client_is_wary),
		cmocka_unit_test(apop),
	};
	return cmocka_run_group_tests(tests, init, end);
}
