#include "smtpd.h"

#include "clock.h"
#include "smtp_received.h"

#include <stdio.h>
#include <time.h>

static int zone_minutes(time_t now)
{
	struct tm local;
	localtime_r(&now, &local);
	return (int)(local.tm_gmtoff / 60);
}

/* Received, RFC 5321 §4.4. On submission the client's address is left out: where a user sits is nobody's business. */
void trace_write(struct session *s, struct buf *front)
{
	const struct transaction *txn = s->txn;
	bool submits = s->protocol == SMTP_ON_SUBMISSION && s->flags & SESSION_LOGGED_IN;
	char id[17];
	snprintf(id, sizeof id, "%016llx", (unsigned long long)s->connection);
	struct smtp_received received = {
		.helo = submits ? (struct str){} : str_of(s->helo), .client_address = submits ? (struct str){} : str_of(s->peer),
		.host = str_of(session_config(s)->hostname), .lmtp = s->protocol == SMTP_ON_LMTP,
		.extended = s->flags & SESSION_ESMTP,
		.tls = s->flags & SESSION_TLS, .authenticated = s->flags & SESSION_LOGGED_IN, .utf8 = txn->mail.utf8,
		.tls_version = str_of(s->tls_version), .tls_cipher = str_of(s->tls_cipher), .id = str_of(id),
		.recipient = txn->recipients.count == 1 ? txn->recipients.items[0].address : (struct str){},
		.time = clock_wall_seconds(), .zone_minutes = zone_minutes((time_t)clock_wall_seconds()),
	};
	smtp_received_write(front, &received);
}
