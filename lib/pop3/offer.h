/*
 * What this server can do, the same before and after log-in (RFC 2449 §5): porter and the mailbox process both say it.
 */
#ifndef POSTHORN_POP3_OFFER_H
#define POSTHORN_POP3_OFFER_H

#include "capa.h"

/* All but STLS and SASL, which depend on the connection. expire_days may be POP3_EXPIRE_NEVER; a login_delay_s of 0
 * is not announced. */
struct pop3_capabilities pop3_offer(uint32_t expire_days, uint32_t login_delay_s);

#endif
