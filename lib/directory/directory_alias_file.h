/*
 * The text format of /etc/aliases, as sendmail and Postfix read it: `name: target, target`.
 *
 * A line that begins with white space continues the one before; a line whose first character
 * is "#" is a comment; names and targets may be quoted; "\user" is user. What would run programs
 * or write files, "|program", "/file" and ":include:/list", is not for a mail server that keeps
 * accounts apart: each is a problem with its line and a reason, as is anything not understood.
 * The result points into text and into the arena. Work is linear in text.
 */
#ifndef POSTHORN_DIRECTORY_ALIAS_FILE_H
#define POSTHORN_DIRECTORY_ALIAS_FILE_H

#include "arena.h"
#include "array.h"
#include "fail.h"
#include "limits.h"

struct alias_file_entry {
	unsigned line;
	struct str name;     /* an address or a local part, as written */
	struct str *targets;
	size_t target_count; /* at least one */
};

struct alias_file_problem {
	unsigned line;
	struct str text;
};

struct alias_file {
	ARRAY(struct alias_file_entry) entries;
	ARRAY(struct alias_file_problem) problems;
};

/* FAIL_TOO_BIG beyond LIMIT_ALIAS_FILE_MAX octets; all else is told in problems, and an entry
 * with a problem is not in entries. */
bool alias_file_parse(struct str text, struct arena *arena, struct alias_file *file, struct fail **fail);

/* For CLEANUP. */
void alias_file_release(struct alias_file *file);

#endif
