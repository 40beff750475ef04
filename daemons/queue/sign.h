/*
 * What is done once with a message before it becomes durable: it is looked at (content.h), and signed when it is ours.
 *
 * Looking at a message in memory takes microseconds and is done at once; signing, and whatever needs a file to be
 * read, is a job of the thread `signer`. A message that cannot be signed goes on without a signature, which is
 * logged. RFC 6376 §5: signed is with every active key of the author's domain.
 */
#ifndef POSTHORN_QUEUE_SIGN_H
#define POSTHORN_QUEUE_SIGN_H

#include "content.h"
#include "keys.h"
#include "queue.h"

struct signing {
	struct job job;
	struct queue *queue;
	uint64_t session;
	uint64_t id;                /* queue-id, for the log; 0: none yet */
	/* The message: in memory, or size octets of a file. They belong to the giver and must live until done. */
	struct str text;
	int file;                   /* -1: in memory */
	uint64_t size;
	bool may_sign;              /* whoever brought it may speak for the author's domain if that is ours */
	bool is_of_system;          /* then the keys of a domain above the author's will do */
	/* What was found. */
	struct content_facts facts; /* is_signed: by us too. Its texts are gone when done returns */
	struct buf fields;          /* what is to be put before a message in memory; the owner of the signing releases it */
	uint64_t added;             /* octets that a file became longer: they were put there */
	bool spoiled;               /* the file is not what it was: the message must not be taken */
	void (*done)(struct signing *s);
	void *owner;
	/* of sign.c */
	struct keys *keys;
	struct arena *arena;
	const struct dkim_signing_key *list;
	size_t count;
	struct fail *fail;
};

/* Calls done now or later. The owner zeroes the struct, but for what he gives. */
void sign_begin(struct signing *s);

/* Reads the keys; at the start. */
void sign_init(struct queue *q);

/* What posthornctl dkim asks, and its backup and restore of keys, which bring a file; answered later. The file is
 * taken over. */
void key_control(struct queue *q, struct control *c, struct str words, int file);

#endif
