/*
 * LIST in all its forms (RFC 9051 §6.3.9, RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154 §2, RFC 9590) and LSUB (RFC
 * 3501 §6.3.9), parsed.
 *
 * Patterns are canonical: reference and pattern joined, in UTF-8, with runs of wildcards made one. A pattern that can
 * match no name (it is no well-formed text, or longer than any name) is left out, as RFC 5258 §3 wants. Values die
 * with the parser's arena.
 */
#ifndef POSTHORN_IMAP_LIST_COMMAND_H
#define POSTHORN_IMAP_LIST_COMMAND_H

#include "imap_parse.h"

enum imap_list_select {
	IMAP_SELECT_SUBSCRIBED = 1 << 0,
	IMAP_SELECT_REMOTE = 1 << 1,
	IMAP_SELECT_RECURSIVE = 1 << 2,
	IMAP_SELECT_SPECIAL_USE = 1 << 3,
};

enum imap_list_return {
	IMAP_RETURN_SUBSCRIBED = 1 << 0,
	IMAP_RETURN_CHILDREN = 1 << 1,
	IMAP_RETURN_SPECIAL_USE = 1 << 2,
	IMAP_RETURN_STATUS = 1 << 3,
	IMAP_RETURN_METADATA = 1 << 4,
};

struct imap_list_pattern {
	struct str text;
	bool levels; /* it ends with "%": for LSUB names match that only have subscribed ones below them (RFC 3501 §6.3.9) */
};

struct imap_list_command {
	bool extended;        /* any of RFC 5258's three extensions of the syntax was used */
	bool asks_delimiter;  /* the basic form with an empty pattern */
	unsigned select;      /* enum imap_list_select */
	unsigned returns;     /* enum imap_list_return */
	unsigned status_items; /* enum imap_status_item, of RETURN (STATUS (…)) */
	const struct str *entries; /* of RETURN (METADATA (…)), in lower case */
	size_t entry_count;
	const struct imap_list_pattern *patterns;
	size_t pattern_count;
};

/* What follows "LIST"; p stands before the space. */
void imap_parse_list_command(struct imap_parser *p, struct imap_list_command *command);
void imap_parse_lsub_command(struct imap_parser *p, struct imap_list_command *command);

#endif
