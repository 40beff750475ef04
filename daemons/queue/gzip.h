/* The content of reports, packed (RFC 1952). */
#ifndef POSTHORN_QUEUE_GZIP_H
#define POSTHORN_QUEUE_GZIP_H

#include "buf.h"

/* Adds text packed to at most max octets. False, and out is as it was: it does not fit. */
bool gzip_pack(struct buf *out, struct str text, size_t max);

#endif
