/*
 * For the tests and fuzz targets of this folder: what must hold for every message, and the walk over the sample
 * mails. Misfits abort.
 */
#ifndef POSTHORN_MAIL_MAIL_CHECK_H
#define POSTHORN_MAIL_MAIL_CHECK_H

#include "message.h"

/* Places lie within each other, links and counts agree, texts hold no line break or NUL, limits are kept. */
void check_message(const struct message *message, struct str text);

/* Packing and unpacking gives the same message; both envelopes agree. */
void check_pack(const struct message *message);

/* Calls visit for each file below the folder of sample mails, in any order; false when there is none. */
bool check_samples(void (*visit)(const char *path, struct str text));

#endif
