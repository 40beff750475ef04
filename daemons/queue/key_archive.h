/*
 * What must be kept secret of queue, in a backup of the whole post office: the DKIM keys, and the keys that senders of forwarded mail are
 * signed with (forward.h). Without the first every domain's records had to be published anew, without the second reports to
 * forwarded mail that is under way would be refused. An archive (archive.h):
 *
 *	kind queue-keys
 *	kind dkim       domain, selector, state; body: the private key in PEM form
 *	kind forward    body: what forward_save gave
 *
 * Both functions wait for the disk: they are for a worker. The file is the caller's.
 */
#ifndef POSTHORN_QUEUE_KEY_ARCHIVE_H
#define POSTHORN_QUEUE_KEY_ARCHIVE_H

#include "buf.h"
#include "keys.h"

bool key_archive_write(int folder, const struct keys *keys, struct str forward, int file, struct fail **fail);

/* Nothing is changed unless the whole archive is good. A domain that has keys keeps those it has, and gets no other:
 * one that was retired since must not sign again. forward gets what the archive has. */
bool key_archive_read(int folder, const struct keys *keys, int file, struct buf *forward, struct fail **fail);

#endif
