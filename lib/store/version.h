/*
 * The file `version` of an account: its format number, the key that seals segment records,
 * whether the store was closed cleanly, and the lock that makes its holder the only one.
 *
 *	posthorn account 1 key <32 hex> clean
 *
 * One line of fixed length, rewritten in place ("clean" or "open "), so that a change is one
 * sector. The lock is an OFD lock on the whole file, held until version_close.
 */
#ifndef POSTHORN_STORE_VERSION_H
#define POSTHORN_STORE_VERSION_H

#include "fail.h"
#include "segment.h"

struct version {
	int file;
	struct segment_key key;
	bool clean; /* as in the file */
};

/* FAIL_BUSY: somebody else holds it. FAIL_NOT_FOUND: no such file and create not asked. FAIL_CORRUPT: it is not
 * one of ours; FAIL_INVALID: a format that this program does not know. A new file is open, not clean. */
bool version_open(struct version *v, int directory, bool create, struct fail **fail);

/* Durable when it returns. */
bool version_write(struct version *v, bool clean, struct fail **fail);
void version_close(struct version *v);

#endif
