/*
 * struct dialogue: an exerciser session (talk.h) in a thread of its own, for the page "Exerciser".
 *
 * The window's thread gives lines; what happens comes back as events in the window's thread, in order. A line that may
 * not go yet, behind STARTTLS, waits. A replayed transcript waits for the answer to each line, as a script should.
 */
#ifndef POSTHORN_GTK_DIALOGUE_H
#define POSTHORN_GTK_DIALOGUE_H

#include "server.h"

struct dialogue;

enum dialogue_event {
	DIALOGUE_SENT,      /* text: as it may be shown */
	DIALOGUE_RECEIVED,  /* text */
	DIALOGUE_EXPLAINED, /* text, rfc or NULL */
	DIALOGUE_PROTECTED, /* text: version, cipher and certificate */
	DIALOGUE_STATE,     /* text */
	DIALOGUE_FACTS,     /* facts */
	DIALOGUE_ENDED,     /* text: why; the last event */
};

struct dialogue_report {
	enum dialogue_event event;
	struct dialogue *dialogue;
	int64_t when_us;   /* since 1970 */
	char *text;        /* UTF-8; lines of the wire with what can't be shown as \xNN */
	const char *rfc;
	unsigned facts;    /* of enum exerciser_fact */
};

/* ca_file: "" for the authorities of the system. */
struct dialogue *dialogue_open(const struct server *server, const char *ca_file,
                               void (*report)(void *context, const struct dialogue_report *report), void *context);

/* waits: only when the answer to what was sent before is there. */
void dialogue_send(struct dialogue *d, const char *line, bool waits);

/* A line of a transcript, when the answer to what was sent before is there; a "***" that stands for a password becomes
 * that password. */
void dialogue_replay(struct dialogue *d, const char *line, const char *password);

/* Breaks the connection without a farewell; no event comes any more. */
void dialogue_close(struct dialogue *d);

#endif
