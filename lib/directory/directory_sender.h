/*
 * Which addresses an account may use as the sender of what it submits (RFC 6409 §6.1).
 *
 * Every address whose mail reaches it: its own with any subaddress, its aliases, what its
 * catch-all takes. And what the administrator added: an address, or "@domain" for all of a domain.
 */
#ifndef POSTHORN_DIRECTORY_SENDER_H
#define POSTHORN_DIRECTORY_SENDER_H

#include "directory.h"

/* False when address is no address or the database fails; *allowed is false then. */
bool directory_sender_allowed(struct directory *d, int64_t account_id, struct str address, bool *allowed,
                              struct fail **fail);

/* Adding what is there already is no failure. */
bool directory_sender_add(struct directory *d, int64_t account_id, struct str address, struct fail **fail);
bool directory_sender_remove(struct directory *d, int64_t account_id, struct str address, struct fail **fail);

/* The added one that comes after address ("" to begin) is written over it, in
 * DIRECTORY_ADDRESS_TEXT_MAX + 1 octets. False at the end and on failure. */
bool directory_sender_next(struct directory *d, int64_t account_id, char *address, struct fail **fail);

#endif
