/*
 * Passwords as people type them, in the one form in which they are hashed and checked.
 *
 * RFC 8265 §4.2 (OpaqueString): valid UTF-8 without control characters, spaces of other scripts
 * become the ASCII space, NFC; case and width stay. The same function serves setting and
 * checking, so a password set on one keyboard is right when typed on another. The memory of a
 * struct directory_password is wiped when it leaves its scope (CLEANUP).
 */
#ifndef POSTHORN_DIRECTORY_PASSWORD_H
#define POSTHORN_DIRECTORY_PASSWORD_H

#include "fail.h"
#include "limits.h"
#include "str.h"

struct directory_password {
	char text[LIMIT_PASSWORD_MAX + 1];  /* with a NUL behind it */
	size_t length;
};

/* FAIL_INVALID for an empty password, other bytes than UTF-8, control characters;
 * FAIL_TOO_BIG beyond LIMIT_PASSWORD_MAX octets. */
bool directory_password_normalise(struct str typed, struct directory_password *password, struct fail **fail);

/* What a new password must fulfil: at least length_min characters (code points). */
bool directory_password_acceptable(const struct directory_password *password, size_t length_min, struct fail **fail);

/* The form that SCRAM, CRAM-MD5 and APOP clients hash: SASLprep (RFC 4013), which they must
 * use by RFC 5802 §5.1; where SASLprep refuses (newer code points), as it is. */
void directory_password_saslprep(const struct directory_password *password, struct directory_password *prepared);

/* For CLEANUP. */
void directory_password_wipe(struct directory_password *password);

#endif
