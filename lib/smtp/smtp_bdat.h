/*
 * The argument of BDAT (RFC 3030 §2): chunk-size [SP "LAST"].
 */
#ifndef POSTHORN_SMTP_BDAT_H
#define POSTHORN_SMTP_BDAT_H

#include "smtp_reply.h"

struct smtp_bdat {
	uint64_t size; /* at most 2^63 - 1 */
	bool last;
};

/* NULL for success; else 501 5.5.4, after which nobody knows where the chunk ends, so the connection must end too. */
const struct smtp_reply *smtp_bdat_parse(struct str argument, struct smtp_bdat *bdat);

#endif
