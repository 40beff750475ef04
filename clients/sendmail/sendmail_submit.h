/*
 * Submits one message over SMTP (RFC 6409) to the post office on this host, without log-in: it must come from one of
 * its trusted networks. All or nothing: when one recipient is refused, nothing is sent.
 */
#ifndef POSTHORN_SENDMAIL_SUBMIT_H
#define POSTHORN_SENDMAIL_SUBMIT_H

#include "endpoint.h"
#include "sendmail_message.h"

/* hostname: for EHLO. Failures: UNAVAILABLE (cannot be reached), TIMEOUT, BUSY (a temporary refusal), DENIED (a
 * log-in is wanted), NOT_FOUND (a recipient was refused), INVALID (refused otherwise). */
bool sendmail_submit(const struct endpoint *server, const char *hostname, const struct sendmail_message *message,
                     struct fail **fail);

#endif
