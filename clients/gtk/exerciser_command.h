/*
 * The commands that the page "Exerciser" has buttons for: in which states each may be sent, and with what arguments.
 */
#ifndef POSTHORN_GTK_EXERCISER_COMMAND_H
#define POSTHORN_GTK_EXERCISER_COMMAND_H

#include "server.h"

enum { EXERCISER_ARGUMENTS_MAX = 2 };

struct exerciser_command {
	const char *verb;
	unsigned states;  /* a bit for each name in exerciser_states, in their order */
	const char *arguments[EXERCISER_ARGUMENTS_MAX]; /* what they are; one in brackets may be missing; NULL: none */
};

struct exerciser_protocol_commands {
	const char *const *states; /* as exerciser_state names them, and a NULL */
	const struct exerciser_command *commands;
	size_t count;
	bool has_tags;             /* IMAP: each command begins with a tag of its own */
};

const struct exerciser_protocol_commands *exerciser_commands(enum server_protocol protocol);

/* Is the command allowed in the state of that name? */
bool exerciser_command_fits(const struct exerciser_protocol_commands *protocol, const struct exerciser_command *command,
                            const char *state);

#endif
