/*
 * For tests: sessions inside the test's own process, each in its thread at one end of a socket pair, on an account
 * that lives in a directory of its own and goes with the test.
 */
#ifndef POSTHORN_MAILBOX_IMAP_SESSION_KIT_H
#define POSTHORN_MAILBOX_IMAP_SESSION_KIT_H

#include "mailbox.h"

struct session_kit {
	struct account account;
	char path[64];
};

void session_kit_open(struct session_kit *kit);
void session_kit_close(struct session_kit *kit);

/* A mail by the way that deliveries take. */
void session_kit_deliver(struct session_kit *kit, const char *mail);

struct session_kit_client {
	int descriptor;
	pthread_t thread;
	struct session *session;
	struct buf input; /* read, not yet taken */
	struct buf line;
	unsigned tags;
};

/* The session greets with "t0 OK …". */
void session_kit_connect(struct session_kit *kit, struct session_kit_client *client);

/* Ends the connection and waits for the session's end. */
void session_kit_hang_up(struct session_kit_client *client);

/* The next response without its CRLF, literals in it; empty at the end. It lives until the next call. */
struct str session_kit_response(struct session_kit_client *client);

/* Sends a command with a tag of its own and returns what came up to the tagged answer, line by line; all of it lives
 * in out. */
struct str session_kit_command(struct session_kit_client *client, struct buf *out, const char *format, ...) FORMAT(3, 4);

#endif
