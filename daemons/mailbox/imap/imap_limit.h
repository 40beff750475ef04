/*
 * How many messages one command may touch (MESSAGELIMIT and SAVELIMIT, RFC 9738), and signs of life from commands
 * that take long (INPROGRESS, RFC 9585).
 */
#ifndef POSTHORN_MAILBOX_IMAP_LIMIT_H
#define POSTHORN_MAILBOX_IMAP_LIMIT_H

#include "imap.h"

/* 0: no limit is configured. saves: of commands that make new messages (COPY, APPEND). */
uint32_t imap_limit(const struct imap_session *s, bool saves);

/* Leaves the highest `limit` messages of the set. True when there were more: *lowest is then the lowest UID that is
 * left. */
bool imap_limit_set(struct imap_session *s, uint32_t limit, struct imap_numbers *uids, uint32_t *lowest);

/* The response code "MESSAGELIMIT 1000 23221"; lowest 0: without it. */
enum { IMAP_LIMIT_CODE_SIZE = 48 };
const char *imap_limit_code(uint32_t limit, uint32_t lowest, char code[IMAP_LIMIT_CODE_SIZE]);

/* The code in an untagged NO, where the tagged answer has another (RFC 9738 §3.1). */
void imap_tell_limit(struct imap_session *s, uint32_t limit, uint32_t lowest);

/* From long loops, outside locks: now and then "* OK [INPROGRESS ("tag" done goal)]". Goal 0: not known. False when
 * the client is gone. */
bool imap_still_working(struct imap_session *s, uint64_t done, uint64_t goal);

#endif
