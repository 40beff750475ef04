/*
 * struct session: one mailbox that is open in the window, worked on by a thread of its own.
 *
 * The window's thread asks (session_preview, session_download, session_close) and never waits; the answers come as
 * reports, in the window's thread, in the order in which things happened. The thread ends by itself after a close, a
 * failure or session_abandon. Headers lie in a temporary file without a name, so that memory does not grow with them.
 *
 * Nothing is deleted before session_close: DELE and QUIT are sent together there. A session that ends otherwise deletes
 * nothing, and each report of an end says what became of the mails.
 */
#ifndef POSTHORN_GTK_SESSION_H
#define POSTHORN_GTK_SESSION_H

#include "account.h"
#include "desk.h"
#include "mail_file.h"
#include "pop3_client.h"

struct session;

enum session_event {
	SESSION_MAILS,      /* more mails of the list, with done of total */
	SESSION_READY,      /* the list is complete */
	SESSION_OUTCOME,    /* outcome: of the deletions of the visit before */
	SESSION_PROGRESS,   /* of a download or a deletion: done of total; text names the mail */
	SESSION_WARNING,    /* text */
	SESSION_PREVIEW,    /* text: the beginning of the body of mail index */
	SESSION_DOWNLOADED, /* saved, there, refused; done of total mails */
	SESSION_CLOSED,     /* deletion, count of mails that were to be deleted */
	SESSION_FAILED,     /* kind, text, deletion */
};

/* A mail for the list; texts belongs to whom the report is given to. */
struct session_mail {
	size_t index;
	uint64_t size;
	int64_t seconds;           /* of its Date, since 1970 */
	bool has_date, is_new;
	enum rule_action action;
	char *texts;               /* decoded: from NUL subject NUL to NUL; g_free */
};

struct session_report {
	enum session_event event;
	struct session *session;
	struct session_mail *mails;
	size_t mail_count;
	size_t index;
	uint64_t done, total;
	size_t saved, there, refused;
	enum fail_kind kind;
	enum pop3_deletion deletion;
	struct desk_outcome outcome;
	char *text;                /* harmless UTF-8, or NULL */
};

struct session_options {
	struct account account;
	const char *password;
	const char *ca_file;       /* "": the authorities of the system */
	const char *folder;        /* where downloads go */
	enum mail_format format;
	bool keeps_copies;         /* RETR before each deletion */
	bool only_new;             /* a check: new mails are counted, and no header is asked for */
	const char *desk_path;
	const char *copy_folder;
	void (*report)(void *context, const struct session_report *report);
	void *context;
};

/* Begins at once; everything is copied. The caller holds one reference. */
struct session *session_open(const struct session_options *options);
struct session *session_hold(struct session *s);
void session_drop(struct session *s);

/* The name of its subscription; lives as long as the session. */
const char *session_account(const struct session *s);

void session_preview(struct session *s, size_t index, uint64_t lines);

/* The mails with these indexes, copied. */
void session_download(struct session *s, const size_t *indexes, size_t count);
void session_close(struct session *s, const size_t *marked, size_t count);

/* Ends what goes on by breaking the connection; SESSION_FAILED follows. */
void session_cancel(struct session *s);

/* The same, and no report comes any more. */
void session_abandon(struct session *s);

/* The header of a mail that was reported, as it came; from the window's thread. */
void session_header(struct session *s, size_t index, struct buf *out);

#endif
