/*
 * The way to a running post office: finding its control sockets, asking, taking the answer.
 *
 * Every function is blocking. Requests are words with a NUL behind each; an answer is rows of (key, value)
 * and then an end, which is a fail when the post office says so. Rows are views that die with the next one.
 */
#ifndef POSTHORN_CTL_LINK_H
#define POSTHORN_CTL_LINK_H

#include "ctl_command.h"
#include "ipc.h"

/* The file of the configuration: that of a directory, else the named one, else the system's. The caller frees it. */
char *ctl_config_path(const char *directory, const char *config);

/* The folder of the control sockets: DIR/run for a directory, else the runtime_directory of the configuration, else
 * /run/posthorn. The caller frees it; NULL when a named configuration cannot be read. */
char *ctl_runtime_directory(const char *directory, const char *config, struct fail **fail);

/* FAIL_UNAVAILABLE when nobody listens there, FAIL_DENIED when the socket is not for this user. */
bool ctl_connect(const char *runtime_directory, enum ctl_peer peer, struct ipc_channel *channel, struct fail **fail);

/* Asks auth for the number of the account at this address. */
bool ctl_account_number(const char *runtime_directory, const char *address, uint64_t *account, struct fail **fail);

/* Connects to the mailbox process of the account at this address, starting it if need be: auth tells the account's
 * number, master joins. */
bool ctl_open_account(const char *runtime_directory, const char *address, struct ipc_channel *channel,
                      struct fail **fail);

/* Takes the next (key, value) out of a row; false at its end, with *row not empty if it was malformed. */
bool ctl_row_next(struct str *row, struct str *key, struct str *value);

struct ctl_request {
	struct str words;
	int descriptor; /* to be sent with them, -1 for none; ctl_ask takes ownership */
	bool patient;   /* a mailbox process may work for hours without a row: master sees to it that it does not hang */
};

/* Asks and hands each row to take. */
bool ctl_ask(struct ipc_channel *channel, const struct ctl_request *request, void (*take)(void *owner, struct str row),
             void *owner, struct fail **fail);

/* The second half of ctl_ask, for who has sent the request himself. */
bool ctl_answer(struct ipc_channel *channel, bool patient, void (*take)(void *owner, struct str row), void *owner,
                struct fail **fail);

/* What the frame at an answer's end says. */
bool ctl_end_read(const struct ipc_frame *frame, struct fail **fail);

#endif
