/*
 * What the metadata checkpoints of an account say together: mailboxes and the place of each mail.
 * The other half of checkpoint.c. Records are given in the order of the segments; a chain is the
 * last full checkpoint and the deltas after it. doubtful: a link of the chain is missing, so
 * that a mail which is not mentioned may be alive after all.
 */
#ifndef POSTHORN_STORE_METADATA_H
#define POSTHORN_STORE_METADATA_H

#include "array.h"
#include "hash.h"
#include "store.h"

struct metadata_mailbox {
	uint64_t id;
	uint64_t id_now; /* for who rebuilds */
	char *name;
	uint32_t uidvalidity, uidnext;
	uint64_t modseq;
	unsigned use;
};

struct metadata_place {
	struct store_id id;
	uint64_t mailbox;
	uint64_t modseq;
	int64_t received, saved;
	uint32_t uid, flags;
	char *keywords; /* as written: numbers with commas, or "-" */
};

struct metadata_segment {
	uint64_t number, end;
};

struct metadata_annotation {
	uint64_t mailbox; /* 0: the account */
	char *entry;
	char *value;
	size_t length;
};

struct metadata {
	ARRAY(struct metadata_mailbox) mailboxes;
	ARRAY(struct metadata_segment) segments;
	ARRAY(char *) subscribed;
	ARRAY(char *) keywords; /* by number */
	struct map *annotations; /* mailbox and entry, as written → struct metadata_annotation */
	struct map *places;     /* (mailbox, uid) → struct metadata_place */
	ARRAY(struct metadata_place *) by_id;
	uint64_t modseq, message_next;
	uint32_t uidvalidity;
	bool there; /* a whole checkpoint was found */
	bool doubtful;
	struct buf pending; /* parts of a set that is not whole yet */
	uint64_t pending_modseq, pending_since, pending_parts;
};

void metadata_init(struct metadata *m);
void metadata_release(struct metadata *m);

/* One part, as read and checked. */
void metadata_add(struct metadata *m, struct str text);

/* After the last part: sorts the places by id. */
void metadata_finish(struct metadata *m);

/* The mailbox of that number; NULL when there is none, which no place's is. */
const struct metadata_mailbox *metadata_mailbox(const struct metadata *m, uint64_t id);

/* The places of a mail: *count of them from the result on; NULL for none. */
struct metadata_place *const *metadata_places(const struct metadata *m, const struct store_id *id, size_t *count);

/* True when the checkpoint was written after what lies there. */
bool metadata_covers(const struct metadata *m, uint64_t segment, uint64_t offset);

#endif
