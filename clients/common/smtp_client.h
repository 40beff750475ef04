/*
 * Submitting one message over SMTP to a server that is not trusted (RFC 5321, 6409, 4954, 3207, 8314).
 *
 * STARTTLS, the log-in of login.h, MAIL and RCPT in one group where the server takes them so (RFC 2920), BDAT where it
 * is offered (RFC 3030), else DATA. Each recipient has its own result. When one is refused nothing is sent, unless the
 * caller wants the others served.
 */
#ifndef POSTHORN_COMMON_SMTP_CLIENT_H
#define POSTHORN_COMMON_SMTP_CLIENT_H

#include "connection.h"
#include "login.h"

struct smtp_client_options {
	struct server server;    /* with a user: logs in; without: does not */
	const char *ca_file;     /* NULL: the authorities of the system */
	struct str password;
	enum login_method method;
	int timeout_ms;
	bool send_to_accepted;   /* even when other recipients are refused */
	void (*warn)(void *context, const char *text);
	void *context;
};

struct smtp_submission {
	struct str sender;       /* canonical, empty for <> */
	const struct str *recipients;
	size_t recipient_count;
	struct str content;      /* lines end with CRLF */
	bool has_8bit;
	bool has_utf8_header;
};

/* What became of one recipient. All zero: nothing was asked about it. */
struct smtp_result {
	int code;                /* of the reply to RCPT */
	char *text;              /* of it; from outside */
};

void smtp_results_release(struct smtp_result *results, size_t count);

/* results has room for each recipient and is filled in as far as it comes. True when the server has taken the message
 * for all that it accepted, at least one. Failures: UNAVAILABLE, TIMEOUT, BUSY (a temporary refusal), DENIED (log-in,
 * sender or content refused), NOT_FOUND (a recipient refused), TOO_BIG, CORRUPT. */
bool smtp_client_submit(const struct smtp_client_options *options, const struct smtp_submission *submission,
                        struct smtp_result *results, struct fail **fail);

#endif
