/*
 * Writer of delivery status notifications: multipart/report (RFC 6522) with a text for people, the fields of
 * message/delivery-status (RFC 3464) and the original message or its header; in UTF-8 by RFC 6533 where the one
 * who gets it takes that.
 *
 * What is given may come from anywhere: nothing in it ends a line, forges a field or a boundary; text that is not UTF-8
 * gets question marks. What is written has lines of at most 998 octets, all ended by CRLF. Linear in the original.
 */
#ifndef POSTHORN_MAIL_DSN_H
#define POSTHORN_MAIL_DSN_H

#include "buf.h"

enum { DSN_HEADER_MAX = 65536 }; /* octets of the original's header that are returned at most */

/* RFC 3464 §2.3.3 */
enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED, DSN_EXPANDED, DSN_ACTION_COUNT };

struct dsn_recipient {
	struct str address;
	struct str original;  /* ORCPT, "rfc822;…" decoded; empty when it was not given */
	enum dsn_action action;
	struct str status;    /* RFC 3463, "5.1.1" */
	struct str reply;     /* of host: with its code; else what happened, in words */
	struct str host;      /* who said so; empty: we ourselves */
	struct str peer;      /* its address, or empty */
	int64_t attempt;      /* when, in seconds; 0: none */
	int64_t retry_until;  /* of DSN_DELAYED */
};

struct dsn_report {
	struct str hostname;  /* of the reporting host */
	struct str id;        /* nobody can guess it: of Message-ID and boundary; letters and digits, at most 60 */
	struct str to;        /* an address; without a domain it is ours */
	int64_t now;          /* seconds, like all times here */
	struct str envid;     /* ENVID decoded, or empty */
	struct str queue_id;
	struct str helo;      /* of the host that it came from, or empty */
	int64_t arrival;
	int64_t deliver_by;   /* RFC 2852; 0: none */
	int64_t hold_until;   /* RFC 4865; 0: none */
	bool hold_is_interval;
	bool takes_utf8;      /* who gets the report takes SMTPUTF8 */
	struct str original;  /* the message, with its header whole */
	bool whole;           /* return all of it, where it fits into a mail; else the header */
	const struct dsn_recipient *recipients;
	size_t count;
};

struct dsn_facts {
	bool is_utf8;         /* it needs SMTPUTF8 */
	bool has_8bit;        /* it needs 8BITMIME */
};

/* Adds the report with its header. False when out has no room. */
bool dsn_write(struct buf *out, const struct dsn_report *report, struct dsn_facts *facts);

#endif
