/* What the store keeps about a mail besides its octets, as lib/mail finds it. */
#ifndef POSTHORN_MAILBOX_COLUMNS_H
#define POSTHORN_MAILBOX_COLUMNS_H

#include "arena.h"
#include "message.h"
#include "store.h"

/* The columns live in the arena (of MESSAGE_ARENA_SIZE) or are views of the text. */
void columns_fill(struct arena *arena, struct str text, struct store_message_columns *columns);

#endif
