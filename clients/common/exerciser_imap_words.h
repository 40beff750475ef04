/*
 * Inside the exerciser: the sentences about what an IMAP server says, by response and by response code.
 */
#ifndef POSTHORN_COMMON_EXERCISER_IMAP_WORDS_H
#define POSTHORN_COMMON_EXERCISER_IMAP_WORDS_H

#include "exerciser_internal.h"
#include "imap_command.h"

/* rest: from OK, NO, BAD … on. False where there is no response code, or none that says more than the rest. */
bool exerciser_imap_explain_code(struct exerciser_note *note, struct str rest);

/* rest: behind "* ". */
void exerciser_imap_explain_untagged(struct exerciser_note *note, struct str rest);

/* Tagged OK; verb: of enum imap_verb, or negative. */
void exerciser_imap_explain_done(struct exerciser_note *note, int verb);

#endif
