/*
 * posthornctl's door: what is in the queue, and what the administrator wants done with it. A struct control is one
 * connection of posthornctl, with one request at a time; an answer is rows of fields, then the end, with a failure or
 * without.
 */
#ifndef POSTHORN_QUEUE_CONTROL_H
#define POSTHORN_QUEUE_CONTROL_H

#include "fail.h"
#include "str.h"

struct mail;
struct queue;
struct control;

/* For who answers a request later: rows, and at the end done. withdraw is called when the control is gone before
 * that. */
void control_waits(struct control *c, void (*withdraw)(void *work), void *work);
void control_row(struct control *c, struct str fields);
void control_done(struct control *c, const struct fail *fail);

void control_listen(struct queue *q, int descriptor);

/* mail leaves the list of all mails. */
void control_mail_gone(struct queue *q, struct mail *mail);
void control_load_hold(struct queue *q);

#endif
