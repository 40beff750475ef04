/*
 * Senders of mail that an alias forwards to other hosts (SRS, srs.h), and the way back. The keys lie in state.db; a
 * new one is made every KEY_DAYS, and one that no living address was signed with is dropped.
 */
#ifndef POSTHORN_QUEUE_FORWARD_H
#define POSTHORN_QUEUE_FORWARD_H

#include "arena.h"
#include "buf.h"
#include "str.h"

struct queue;

/* Loads the keys, or makes the first; after state_init. */
void forward_init(struct queue *q);
void forward_tick(struct queue *q);

/* The keys for a backup, added to out; and those of a backup, of which one that is too old, or of a day that has one,
 * is left out. */
enum { FORWARD_SAVED_MAX = 4096 };
void forward_save(const struct queue *q, struct buf *out);
void forward_restore(struct queue *q, struct str saved);

/* What MAIL names when the mail goes to a recipient that an alias of domain led to; reverse_path itself for an empty
 * domain, for what cannot be rewritten, and where the site does not want it. The text lives in the arena, or is the
 * one given. */
struct str forward_sender(struct queue *q, struct arena *arena, struct str reverse_path, struct str domain);

/* Is address a sender that forward_sender made, and still good? Then *original is whom it stands for. */
bool forward_return_path(struct queue *q, struct arena *arena, struct str address, struct str *original);

#endif
