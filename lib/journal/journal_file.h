/*
 * Inside lib/journal: the names of journals' files. Making, listing and removing them is journal.h's, and done in
 * journal_file.c; what is in them is journal_format.h's.
 */
#ifndef POSTHORN_JOURNAL_FILE_H
#define POSTHORN_JOURNAL_FILE_H

#include "journal.h"

enum { JOURNAL_NAME_SIZE = sizeof "journal-" + 32 + sizeof ".new" };

/* "journal-<32 hex>" and the suffix: ".new" while it is made, else "". */
void journal_file_name(char name[JOURNAL_NAME_SIZE], const struct journal_uuid *uuid, const char *suffix);

#endif
