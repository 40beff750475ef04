/* What the store keeps about a mail besides its octets, as lib/mail finds it. */
#ifndef POSTHORN_MAILBOX_COLUMNS_H
#define POSTHORN_MAILBOX_COLUMNS_H

#include "arena.h"
#include "message.h"
#include "store.h"

/* The columns live in the arena (of MESSAGE_ARENA_SIZE) or are views of the text. A text with binary parts is
 * re-encoded first: *text then holds what is to be stored. */
bool columns_fill(struct arena *arena, struct buf *text, struct store_message_columns *columns);

#endif
