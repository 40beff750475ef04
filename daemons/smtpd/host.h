/*
 * What the DNS says of a stranger's host: its name (iprev, RFC 8601 §3), and which lists of bad and good hosts it is
 * in (RFC 5782).
 *
 * Asked for at the first MAIL, waited for when it is needed, known for as long as the session is here. A list that
 * does not answer says nothing. Hosts of exempt and trusted networks are in no list.
 */
#ifndef POSTHORN_SMTPD_HOST_H
#define POSTHORN_SMTPD_HOST_H

#include "dns.h"
#include "smtpd.h"

enum iprev_result { IPREV_NONE, IPREV_PASS, IPREV_FAIL, IPREV_TEMPERROR, IPREV_PERMERROR, IPREV_RESULT_COUNT };

struct host_listing {
	const char *zone; /* NULL: in none */
	char answer[16];  /* "127.0.0.2" */
};

/* Asks what will be needed, and waits for nothing. Mail that nobody looks at asks nothing. */
void host_begin(struct session *s);
void host_free(struct host *host);

/* The name is empty but for IPREV_PASS. NONE: it is not looked at. */
enum iprev_result host_name(struct session *s, struct str *name);
const char *iprev_result_name(enum iprev_result result);

const struct host_listing *host_black(struct session *s);
const struct host_listing *host_white(struct session *s);

/* For RCPT: the host is in a list, and mail from such hosts is refused. postmaster can always be written to (RFC 5321
 * §4.5.1). */
const struct smtp_reply *host_refusal(struct session *s, struct str recipient);

/* Nothing is held against it, so its mail need not wait (greylisting). */
bool host_is_known(struct session *s);

#endif
