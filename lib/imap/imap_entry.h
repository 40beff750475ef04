/*
 * METADATA's grammar (RFC 5464): entry names, GETMETADATA and SETMETADATA.
 *
 * An entry name comes back in lower case (names are case-insensitive): a path of components behind slashes, printable
 * ASCII without "*" and "%", beginning with /private or /shared (§3.2). What is no such name is a misfit of the
 * command.
 */
#ifndef POSTHORN_IMAP_ENTRY_H
#define POSTHORN_IMAP_ENTRY_H

#include "imap_parse.h"

/* One entry, or a list of them in parentheses; at most LIMIT_IMAP_ENTRIES_MAX. */
void imap_parse_entries(struct imap_parser *p, const struct str **entries, size_t *count);

enum imap_entry_depth { IMAP_DEPTH_0, IMAP_DEPTH_1, IMAP_DEPTH_INFINITY };

struct imap_getmetadata {
	struct str mailbox; /* empty: the server */
	bool has_max;
	uint64_t max_size; /* MAXSIZE */
	enum imap_entry_depth depth;
	const struct str *entries;
	size_t entry_count;
};

/* What follows the command's name. Options may stand before the mailbox (§5) and behind it (as the examples of §4.2
 * have it). */
void imap_parse_getmetadata(struct imap_parser *p, struct imap_getmetadata *command);

struct imap_entry_value {
	struct str entry;
	struct str value; /* data NULL: NIL, the entry goes */
};

struct imap_setmetadata {
	struct str mailbox;
	const struct imap_entry_value *values;
	size_t count;
};

void imap_parse_setmetadata(struct imap_parser *p, struct imap_setmetadata *command);

/* Whether an entry is asked for by this name and depth. */
bool imap_entry_matches(struct str asked, enum imap_entry_depth depth, struct str entry);

#endif
