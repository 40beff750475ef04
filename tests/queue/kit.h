/*
 * posthorn-queue as it is installed, sandboxed, with the test in the place of all its peers.
 *
 * The test's auth answers by itself: uN@example.test is account N, all@example.test is accounts 1 to 3,
 * alias@example.test is account 1 with the detail "own", away@example.test leads to remote@elsewhere.test,
 * broken@example.test is temporary, off@example.test disabled, other names of example.test unknown and other domains
 * not ours. Account N may send as uN@example.test.
 */
#ifndef POSTHORN_TESTS_QUEUE_KIT_H
#define POSTHORN_TESTS_QUEUE_KIT_H

#include "ipc.h"
#include "services.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
/* cmocka wants the above before it */
#include <cmocka.h>

enum { ANSWER_MS = 10000, ORDER_MS = 120000, SOON_MS = 300 }; /* an order may make a file for each of 100,000 mails */

/* From main: takes "POSTHORN-QUEUE FAULTS.SO [TESTS]" and gives up root; false with usage. */
bool kit_start(int argc, char **argv);

struct scene {
	char folder[64];
	const char *settings;     /* more lines of configuration, or NULL; lives as long as the scene */
	pid_t pid;
	struct ipc_channel master;
	struct ipc_channel auth;
	struct ipc_channel users; /* an smtpd of each kind */
	struct ipc_channel world;
	bool auth_is_silent;
	uint64_t limit;           /* octets that account 1 may have, as auth says before it answers for the first time; 0: says nothing */
	unsigned resolved;        /* questions that auth answered */
	uint64_t trimmed;         /* what the last TRIMMED to any mailbox said */
	size_t journals;          /* how many the last JOURNALS named */
};

/* A fresh spool; everything wired but mailboxes and relay. */
void scene_open(struct scene *s);
void scene_open_with_settings(struct scene *s, const char *settings);
void scene_close(struct scene *s);

/* The same where calls of these names ("fdatasync", "write,size"; see tests/crash/faults.c) on the disk fail with an
 * errno: the at-th and those after it, times in all. Instead of an errno: */
enum { FAULT_IS_SLOW = 0 /* they work, and take five seconds by the program's clock */, FAULT_HANGS = -1 /* they don't return */ };

void scene_open_with_fault(struct scene *s, const char *calls, unsigned at, unsigned times, int error);

/* How many calls failed so, and how many there were. */
uint64_t scene_faults(const struct scene *s);
uint64_t scene_calls(const struct scene *s);

/* kill -9 and a new process on the same spool. */
void scene_restart(struct scene *s);

void wire(struct scene *s, enum ipc_role role, enum kind kind, uint64_t peer, struct ipc_channel *channel);

/* The next frame on a channel, while auth's questions are answered and TRIMMED and JOURNALS are noted; false after
 * timeout_ms or at its end. */
bool await(struct scene *s, struct ipc_channel *channel, struct ipc_frame *frame, int timeout_ms);

/* The next one is of that type. */
void expect(struct scene *s, struct ipc_channel *channel, enum msg_type type, struct ipc_frame *frame);
void expect_nothing(struct scene *s, struct ipc_channel *channel);

/* Its other end was closed. */
void expect_closed(struct scene *s, struct ipc_channel *channel);

/* ---- smtpd ---- */

struct ipc_id token_of(uint64_t account);
void give_token(struct scene *s, uint64_t account);

void mail_begin(struct ipc_channel *smtpd, uint64_t request, const char *sender, uint64_t token_account,
                unsigned flags, uint64_t size);
enum verdict_kind verdict(struct scene *s, struct ipc_channel *smtpd, uint64_t request);
enum verdict_kind begin(struct scene *s, struct ipc_channel *smtpd, uint64_t request, const char *sender,
                        uint64_t token_account);
enum verdict_kind recipient(struct scene *s, struct ipc_channel *smtpd, uint64_t request, const char *address);
void send_body(struct ipc_channel *smtpd, uint64_t request, struct str body);
enum verdict_kind commit(struct scene *s, struct ipc_channel *smtpd, uint64_t request, uint64_t size,
                         uint64_t *queue_id);

/* A whole mail from u9@example.test's outside namesake; all of it must be accepted. */
uint64_t submit(struct scene *s, const char *recipient, const char *body);

/* ---- mailbox ---- */

/* WANT_MAILBOX, WIRE, MAILBOX_OPENED. */
void mailbox_start(struct scene *s, uint64_t account, bool unclean, struct ipc_channel *mailbox);
void mailbox_open(struct scene *s, uint64_t account, bool unclean, struct ipc_channel *mailbox);
void mailbox_say_opened(struct ipc_channel *mailbox, bool unclean, uint64_t used);

struct delivered {
	struct ipc_frame frame;
	struct msg_deliver mail;
	int file; /* or -1 */
};

/* The next frame must be a DELIVER with this content. */
void expect_mail(struct scene *s, struct ipc_channel *mailbox, const char *body, struct delivered *got);

/* The same record and recipient. */
bool same_name(const struct msg_deliver *a, const struct msg_deliver *b);

/* result: 0, or 1 + enum fail_kind */
void acknowledge(struct ipc_channel *mailbox, const struct msg_deliver *mail, uint32_t result);

/* ---- posthornctl ---- */

/* Sends words separated by spaces; gives the rows as text "key=value key=value\n" and the status. */
uint32_t control(struct scene *s, const char *words, struct buf *rows);
bool has_row(const struct buf *rows, const char *part);

/* Until that request shows such a row; until "list" shows none, while nothing comes to quiet. */
void wait_for_row(struct scene *s, const char *words, const char *part, struct buf *rows);
void wait_for_no_row(struct scene *s, const char *part, struct ipc_channel *quiet, struct buf *rows);

#endif
