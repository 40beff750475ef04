/*
 * Threads of messages: ORDEREDSUBJECT and REFERENCES exactly as RFC 5256 BASE.6.4.THREAD has them, and REFS
 * (draft-ietf-morg-inthread §4): REFERENCES without the gathering by subject, threads in the order of their latest
 * arrival.
 *
 * Message-IDs and subjects are compared by 64 bit hashes that the caller makes; subjects with a secret seed. Time is
 * that of sorting the messages by date, and linear in their references but for one thing: whether a link would close
 * a loop is found by going up from its parent, if the child has children. That is a step or two in mail; where it is
 * more than LIMIT_IMAP_THREAD_STEPS times the messages and references in all, which only made-up mail needs, further
 * links of that kind are left out. No recursion.
 */
#ifndef POSTHORN_IMAP_IMAP_THREAD_TREE_H
#define POSTHORN_IMAP_IMAP_THREAD_TREE_H

#include "buf.h"
#include "imap_search_key.h"

struct imap_thread_message {
	int64_t sent;             /* RFC 5256 §2.2 */
	int64_t received;
	uint64_t id;              /* hash of the Message-ID; 0: none */
	uint64_t subject;         /* hash of the base subject as it is compared; 0: empty */
	uint32_t number;          /* what is written */
	uint32_t first_reference; /* in references */
	uint16_t reference_count; /* oldest first */
	bool is_reply;            /* or a forward, by its subject */
};

struct imap_thread_messages {
	const struct imap_thread_message *list; /* in the order of the mailbox */
	size_t count;
	const uint64_t *references; /* hashes of Message-IDs, none of them 0 */
	size_t reference_count;
};

/* Adds "(1 2)(3)": what stands behind "* THREAD ". */
void imap_thread_write(struct buf *out, enum imap_thread_algorithm algorithm,
                       const struct imap_thread_messages *messages);

#endif
