/*
 * What the tests of posthorn-auth have in common: an office with a porter of users and a queue, and what these
 * expect. Everything that does not go as it should ends the test.
 */
#ifndef POSTHORN_TESTS_AUTH_SCENE_H
#define POSTHORN_TESTS_AUTH_SCENE_H

#include "fixture.h"

#define PEER "192.0.2.1"

enum { PORTER = 71 };

struct scene {
	struct office office;
	struct ipc_channel porter, queue;
	struct msg_auth_offer offer;
};

/* For main: takes the program's path and, for one test alone, its name from the arguments. False for a wrong call. */
bool scene_begin(int argc, char **argv);

/* Settings as for office_open. */
void scene_open(struct scene *s, const char *const *settings);
void scene_close(struct scene *s);

/* A connection from PEER that is allowed. */
void open_connection(struct scene *s, uint64_t connection, enum service service);
void close_connection(struct ipc_channel *porter, uint64_t connection);

/* Opens one and says what the verdict is; one that is allowed stays open. */
bool is_allowed(struct scene *s, uint64_t connection, const char *peer);

/* The frame's text lives until the next one. */
void expect_ok(struct ipc_channel *porter, uint64_t connection, struct msg_auth_ok *ok, struct ipc_frame *frame);
void expect_failed(struct ipc_channel *porter, uint64_t connection, enum auth_reason reason);

/* Queue's next message is a token for this account; returns it. */
struct ipc_id expect_token(struct ipc_channel *queue, uint64_t account, const char *address);
void expect_token_ended(struct ipc_channel *queue, const struct ipc_id *token);

/* Bob logs in to submit. */
struct ipc_id submit(struct scene *s, uint64_t connection);

/* Master is told to drop a session that submits, the account's others; queue, to forget what it looked up. */
void expect_session_drop(struct office *o, uint64_t connection);
void expect_drop(struct office *o, uint64_t account);
void expect_changed(struct ipc_channel *queue);

/* What queue is told of a recipient. */
enum resolve_verdict resolve(struct ipc_channel *queue, const char *address, struct buf *targets);

void expect_text(struct str text, const char *wanted);
bool is_zero(const struct ipc_id *id);

#endif
