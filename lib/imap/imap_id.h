/*
 * ID (RFC 2971): what the client says of itself, for the log, and what the server answers.
 */
#ifndef POSTHORN_IMAP_ID_H
#define POSTHORN_IMAP_ID_H

#include "imap_parse.h"

/* What follows "ID": NIL or a list of at most 30 pairs (§3.3), field names up to 30 octets, values up to 1,024. `shown`
 * gets "name/Thunderbird;version/128.0", without control characters, as far as its limit goes. */
void imap_parse_id(struct imap_parser *p, struct buf *shown);

/* "* ID ("name" "Posthorn" "version" "0.1.0")" with its line's end. */
void imap_id_write(struct buf *out);

#endif
