/*
 * Mailbox addresses in the one form in which they are compared and kept.
 *
 * Takes a mailbox string that a protocol has already cut out (RFC 5321 Mailbox, RFC 6531 with
 * UTF-8), or a bare local part. Two addresses that mean the same mailbox become the same bytes:
 * the local part is unquoted, in NFC and lower case (our hosts ignore its case, as RFC 5321
 * §2.4 lets a receiver do), the domain is lower-case A-labels (RFC 5891). Idempotent. Nothing
 * is allocated for ASCII. Fails with FAIL_INVALID and a text that names the address.
 */
#ifndef POSTHORN_DIRECTORY_ADDRESS_H
#define POSTHORN_DIRECTORY_ADDRESS_H

#include "buf.h"
#include "fail.h"
#include "limits.h"
#include "str.h"

/* Written form: every octet of the local part may need a backslash. */
#define DIRECTORY_ADDRESS_TEXT_MAX (2 * LIMIT_LOCAL_PART_MAX + 2 + 1 + LIMIT_DOMAIN_MAX)

struct directory_address {
	char local[LIMIT_LOCAL_PART_MAX + 1];  /* as compared */
	char shown[LIMIT_LOCAL_PART_MAX + 1];  /* unquoted and in NFC, its case as written */
	char domain[LIMIT_DOMAIN_MAX + 1];     /* "" when there was no "@"; an address literal keeps its brackets */
};

bool directory_address_parse(struct str text, struct directory_address *address, struct fail **fail);

/* A-labels in lower case; a final dot is dropped. No address literal. */
bool directory_domain_name(struct str text, char name[LIMIT_DOMAIN_MAX + 1], struct fail **fail);

/* Writes local@domain, the local part quoted where RFC 5321 §4.1.2 asks for it, with a NUL; text
 * has room for DIRECTORY_ADDRESS_TEXT_MAX + 1. An empty domain writes the local part alone. */
void directory_address_write(struct str local, struct str domain, char *text);

#endif
