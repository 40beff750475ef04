/*
 * What proves that a client knows an account's password, made and checked. No database here:
 * making and checking take tens of milliseconds and run in worker threads; directory_secret.h
 * keeps the result.
 *
 * A credential holds an Argon2id hash (libsodium) or a hash imported from another server, and
 * a SCRAM-SHA-256 verifier (RFC 5802 §3: salt, iterations, StoredKey, ServerKey) made with it.
 * Only where the administrator opts in for an account: a SCRAM-SHA-1 verifier, and for
 * CRAM-MD5 and APOP **the password itself**. Those two need it on the server by their design
 * (RFC 2195, RFC 1939 §7), so it is stored as it is; a key beside the database would hide it
 * from nobody who can read the database. DIGEST-MD5 is not offered at all (RFC 6331).
 *
 * Memory and time are bounded: imported hashes with absurd cost parameters are refused.
 * All functions may run in any thread once directory_credential_init has run.
 */
#ifndef POSTHORN_DIRECTORY_CREDENTIAL_H
#define POSTHORN_DIRECTORY_CREDENTIAL_H

#include "buf.h"
#include "directory_password.h"

struct directory_credential_cost {
	unsigned long long argon2_operations;
	size_t argon2_memory;       /* octets */
	uint32_t scram_iterations;  /* RFC 7677 §4 asks for 4096 and recommends more */
};

/* What libsodium calls interactive: two passes over 64 MB. */
#define DIRECTORY_CREDENTIAL_COST ((struct directory_credential_cost){ 2, 67108864, 10000 })

/* The parts that an account must opt in to. */
enum directory_parts {
	DIRECTORY_SCRAM_SHA1 = 1,
	DIRECTORY_CHALLENGE = 2,  /* CRAM-MD5 and APOP: the password is stored as it is */
};

#define DIRECTORY_SCRAM_SALT 16  /* octets in what we make; imported ones may differ */
#define DIRECTORY_SCRAM_SALT_MAX 64
#define DIRECTORY_SCRAM_KEY_MAX 32

struct directory_scram {
	uint32_t iterations;  /* 0: there is no verifier */
	size_t salt_length;
	size_t key_length;    /* 32, or 20 for SHA-1 */
	unsigned char salt[DIRECTORY_SCRAM_SALT_MAX];
	unsigned char stored_key[DIRECTORY_SCRAM_KEY_MAX];
	unsigned char server_key[DIRECTORY_SCRAM_KEY_MAX];
};

#define DIRECTORY_HASH_MAX 511

struct directory_credential {
	char hash[DIRECTORY_HASH_MAX + 1];  /* "$argon2id$…" or an imported one, never empty */
	struct directory_scram scram_sha256;
	struct directory_scram scram_sha1;
	struct directory_password secret;   /* length 0: none */
};

enum directory_check {
	DIRECTORY_WRONG,
	DIRECTORY_RIGHT,
	DIRECTORY_RIGHT_BUT_OLD,  /* right; make it anew with this password: imported, other cost, or parts missing */
};

/* Once per program, before the sandbox and before the first thread. */
void directory_credential_init(void);

/* Makes all parts from a password. One credential may serve many accounts. */
void directory_credential_make(const struct directory_credential_cost *cost, const struct directory_password *password,
                               unsigned parts, struct directory_credential *credential);

/* Takes over what another server wrote: crypt(3) ($y$ $gy$ $7$ $6$ $5$ $2a$ $2b$ $2y$ $sha1$ $md5 $1$; neither DES
 * nor NT, which are broken within days), $argon2id$, and with the scheme names before it {CRYPT} {SHA512-CRYPT}
 * {SHA256-CRYPT} {MD5-CRYPT} {BLF-CRYPT} {ARGON2ID} {SSHA} {SSHA256} {SSHA512}. FAIL_INVALID for others and for
 * absurd cost. */
bool directory_credential_import(struct str text, struct directory_credential *credential, struct fail **fail);

/* Checks the bytes that a client sent. parts is what the account opted in to. A password that
 * has no normal form (RFC 8265) can be right only for an imported hash. */
enum directory_check directory_credential_check(const struct directory_credential *credential,
                                                const struct directory_credential_cost *cost, unsigned parts,
                                                struct str typed);

/* A credential that no password fits and that takes as long to check as a real one: what to
 * check when the account does not exist. */
void directory_credential_decoy(const struct directory_credential_cost *cost, struct directory_credential *credential);

/* For CLEANUP. */
void directory_credential_wipe(struct directory_credential *credential);

/* SCRAM verifiers. hash is "SHA-256" or "SHA-1". */
void directory_scram_make(const char *hash, const struct directory_password *password, const void *salt,
                          size_t salt_length, uint32_t iterations, struct directory_scram *scram);

/* As in RFC 5803: SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey. */
void directory_scram_write(const char *hash, const struct directory_scram *scram, struct buf *out);
bool directory_scram_read(const char *hash, struct str text, struct directory_scram *scram);

#endif
