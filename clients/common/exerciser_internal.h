/*
 * Inside the exerciser: its state, and what each protocol has to know.
 */
#ifndef POSTHORN_COMMON_EXERCISER_INTERNAL_H
#define POSTHORN_COMMON_EXERCISER_INTERNAL_H

#include "exerciser.h"
#include "words.h"

enum { EXERCISER_PENDING_MAX = 64, EXERCISER_TAG_MAX = 32, EXERCISER_UNKNOWN = -1, EXERCISER_GREETING = -2 };

/* A command whose answer is not complete. */
struct exerciser_pending {
	int verb;                            /* of the protocol, or one of the above */
	bool lists;                          /* POP3: +OK is followed by lines and a dot */
	bool last;                           /* SMTP: BDAT … LAST */
	char tag[EXERCISER_TAG_MAX + 1];     /* IMAP */
};

struct exerciser {
	const struct exerciser_protocol *protocol;
	int state;
	struct exerciser_pending pending[EXERCISER_PENDING_MAX];
	size_t count;
	bool in_listing;         /* POP3: between +OK and the dot */
	bool client_turn;        /* the server has asked for more of the same command */
	bool in_content;         /* SMTP: after 354, up to the dot */
	bool begins_tls;         /* the server has agreed; nothing may be sent before the handshake */
	bool is_protected;       /* by TLS */
	bool is_logged_in;
	bool idles;              /* IMAP: client_turn means that DONE is awaited */
	bool secret_may_follow;  /* a log-in was begun, and no other command has come: a line that is none may belong to it */
	uint64_t content_left;   /* octets of a BDAT chunk or IMAP literal that the client still has to send */
	uint64_t literal_asked;  /* of an IMAP literal that the server has not asked for yet */
	uint64_t literal_left;   /* of an IMAP literal that the server is sending */
	bool goes_on;            /* IMAP: the response before ended with a literal, so the next line belongs to it */
};

struct exerciser_protocol {
	const char *const *states;
	const char *tls_command;
	int tls_verb;
	void (*client_line)(struct exerciser *x, struct str line, struct buf *shown);
	void (*server_line)(struct exerciser *x, struct str text, uint64_t octets, struct exerciser_note *note);
	void (*tls_started)(struct exerciser *x);
};

extern const struct exerciser_protocol exerciser_pop3, exerciser_smtp, exerciser_imap;

/* A new pending command, at the end. */
struct exerciser_pending *exerciser_push(struct exerciser *x, int verb);

/* Takes the i-th out. */
void exerciser_remove(struct exerciser *x, size_t i);

static inline void exerciser_explain(struct exerciser_note *note, const char *sentence, const char *rfc)
{
	note->sentence = sentence;
	note->rfc = rfc;
}

/* The line up to its first blank or tab. */
struct str exerciser_first_word(struct str line);

/* A command that is none, as it may be shown: it may be a mistyped log-in, or belong to one that the server has
 * refused. secrets: the commands whose arguments are secret, up to a NULL. */
void exerciser_show_unknown(const struct exerciser *x, struct str line, const char *const *secrets, struct buf *shown);

/* A word that may stand in a list of the server, and what it says. */
struct exerciser_word {
	const char *word;
	const char *sentence;
	const char *rfc;
};

/* Explains the line by its first word; false for an unknown one. */
bool exerciser_explain_word(struct exerciser_note *note, const struct exerciser_word *words, size_t count,
                            struct str line);

/* Counts a line that the client sends, CRLF and all, against content_left. */
void exerciser_count_content(struct exerciser *x, size_t length);

#endif
