/*
 * posthorn-auth as a process of its own, sandbox and all, with this program in the place of its master, porters, queue
 * and posthornctl. Everything that does not go as it should ends the test.
 */
#ifndef POSTHORN_TESTS_AUTH_FIXTURE_H
#define POSTHORN_TESTS_AUTH_FIXTURE_H

#include "ipc.h"
#include "sasl.h"
#include "services.h"

#include <sys/types.h>

enum { ANSWER_TIME_MS = 80, BLOCK_AFTER = 5 };

/* Set by main from its argument. */
extern const char *auth_program;

struct office {
	pid_t pid;
	char folder[64];
	struct ipc_channel master;
	struct ipc_channel control; /* posthornctl's */
	int control_listener, password_listener;
};

/* Starts it in a new folder; settings are config_set's, NULL at the end, besides the quick ones that all tests have. */
void office_open(struct office *o, const char *const *settings);

/* Starts it again in the same folder, after office_kill. */
void office_start(struct office *o, const char *const *settings);
void office_kill(struct office *o);

/* Stops it and removes the folder. */
void office_close(struct office *o);

void office_reconfigure(struct office *o, const char *const *settings);

/* A porter or queue, wired. offer gets what a porter is told first. */
void office_wire(struct office *o, enum ipc_role role, enum kind kind, uint64_t id, struct ipc_channel *channel);
void office_wire_porter(struct office *o, enum kind kind, uint64_t id, struct ipc_channel *channel,
                        struct msg_auth_offer *offer);

/* Connects to SERVICE_PASSWORD. */
void office_password(struct office *o, struct ipc_channel *channel);

/* ---- messages ------------------------------------------------------------------------------ */

/* The next frame must come within some seconds and be of this type; its request number. */
uint64_t expect(struct ipc_channel *channel, enum msg_type type, struct ipc_frame *frame);

/* Nothing is there now. Use it only where what must not come would be sent before something that was received. */
void expect_nothing(struct ipc_channel *channel);
void expect_closed(struct ipc_channel *channel);

/* ---- posthornctl --------------------------------------------------------------------------- */

/* Sends words, NULL at the end; rows come into answer as "key=value" lines with an empty line behind each row. Returns
 * the status. */
unsigned ask(struct ipc_channel *channel, struct buf *answer, int descriptor, const char *const *words);

#define WORDS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Must succeed; the answer is not looked at. */
void tell(struct office *o, const char *const *words);

/* The first row's value for key, or "" */
struct str value_of(const struct buf *answer, const char *key);

/* A domain example.test and alice with the password "correct horse", bob with "battery staple". */
void office_furnish(struct office *o);

/* ---- clients ------------------------------------------------------------------------------- */

/* Announces a connection and takes the verdict. */
void announce(struct ipc_channel *porter, uint64_t connection, enum service service, const char *peer,
              struct msg_connection_verdict *verdict);

void send_password(struct ipc_channel *porter, uint64_t connection, enum service service, const char *user,
                   const char *password);

/* The whole SASL exchange of a client; true for AUTH_OK. exporter may be empty. reason gets why not. */
bool log_in_by(struct ipc_channel *porter, uint64_t connection, enum service service, const char *mechanism,
               const char *user, const char *password, struct str exporter, enum auth_reason *reason);

/* By user and password; announces the connection before and closes it behind. */
bool log_in(struct ipc_channel *porter, enum service service, const char *peer, const char *user, const char *password,
            enum auth_reason *reason);

#endif
