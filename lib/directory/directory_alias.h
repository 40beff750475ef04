/*
 * Aliases: addresses that stand for other addresses.
 *
 * Targets are accounts, other aliases or addresses elsewhere. An alias may have the address of
 * an account; naming itself as a target then keeps a copy there ("alice: alice, bob@elsewhere").
 * Refused: a target of ours that does not exist, a way back to the alias itself, more than
 * LIMIT_ALIAS_DEPTH_MAX steps, more than LIMIT_ALIAS_TARGETS_MAX addresses in all. What becomes
 * of an alias when its targets are deleted later is told at directory_resolve.h.
 */
#ifndef POSTHORN_DIRECTORY_ALIAS_H
#define POSTHORN_DIRECTORY_ALIAS_H

#include "directory.h"

/* Sets or replaces. Bare targets are of the alias's domain. A bare name is refused. */
bool directory_alias_set(struct directory *d, struct str address, const struct str *targets, size_t count,
                         struct fail **fail);
bool directory_alias_remove(struct directory *d, struct str address, struct fail **fail);

struct directory_alias {
	int64_t id;
	char address[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	struct buf targets;  /* one per line */
};

/* The alias after alias->id in order of addition; begin with a zeroed one: targets gets a limit
 * that holds any. False at the end and on failure. The caller releases targets. */
bool directory_alias_next(struct directory *d, struct directory_alias *alias, struct fail **fail);

/* The targets of one alias, one per line; FAIL_NOT_FOUND if it is none. */
bool directory_alias_get(struct directory *d, struct str address, struct buf *targets, struct fail **fail);

enum directory_import {
	DIRECTORY_IMPORT_STRICT,  /* one line that cannot be taken over refuses the whole file */
	DIRECTORY_IMPORT_SKIP,    /* such lines are left out and told in report, unless an alias of that name exists */
};

/* Takes over the text of an /etc/aliases file (see directory_alias_file.h): all or nothing. Names
 * without a domain get domain, existing aliases are replaced. *count gets the number of aliases
 * set, report one line per line left out. */
bool directory_alias_import(struct directory *d, struct str domain, struct str text, enum directory_import how,
                            size_t *count, struct buf *report, struct fail **fail);

#endif
