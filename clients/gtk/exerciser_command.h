/*
 * The commands that the page "Exerciser" has buttons for: in which states each may be sent, and with what arguments.
 */
#ifndef POSTHORN_GTK_EXERCISER_COMMAND_H
#define POSTHORN_GTK_EXERCISER_COMMAND_H

#include "buf.h"
#include "server.h"

enum { EXERCISER_ARGUMENTS_MAX = 2 };

struct exerciser_command {
	const char *verb;
	unsigned states;  /* a bit for each of the protocol's states, in their order */
	const char *arguments[EXERCISER_ARGUMENTS_MAX]; /* what they are; one in brackets may be missing; NULL: none */
	unsigned traits;
};

struct exerciser_protocol_commands {
	const char *const *states; /* as exerciser_state names them, and a NULL */
	const struct exerciser_command *commands;
	size_t count;
	bool has_tags;             /* IMAP: each command begins with a tag of its own */
};

const struct exerciser_protocol_commands *exerciser_commands(enum server_protocol protocol);

/* Is the command allowed in the state of that name? facts: of enum exerciser_fact. */
bool exerciser_command_fits(const struct exerciser_protocol_commands *protocol, const struct exerciser_command *command,
                            const char *state, unsigned facts);

/* Of struct exerciser_command: must others not see what is typed there? NULL: no. */
bool exerciser_argument_is_secret(const char *argument);

/* A line of a transcript, with the password in the place of the "***" that it ends with. */
void exerciser_fill_secret(const struct exerciser_protocol_commands *protocol, struct str line, const char *password,
                           struct buf *out);

/* The line that the command's button sends; texts: what is in the fields. False, and which argument it is, where one is
 * missing. */
bool exerciser_command_line(const struct exerciser_protocol_commands *protocol, const struct exerciser_command *command,
                            unsigned tag, const char *const *texts, struct buf *line, size_t *missing);

#endif
