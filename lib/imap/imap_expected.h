/*
 * What the parser says it expected (imap_parse_fail), in the languages of LANGUAGE (RFC 5255): one table from English
 * to the others. Names of the protocol (FLAGS, SET, …) are the same in all.
 */
#ifndef POSTHORN_IMAP_EXPECTED_H
#define POSTHORN_IMAP_EXPECTED_H

#include "imap_language.h"

/* The phrase as it is in that language; itself, if it is a name or is not known. */
struct str imap_expected(enum imap_language language, struct str english);

#endif
