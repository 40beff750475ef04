/*
 * Whole reads and writes at an offset, and the flush of a directory. Internal to this folder.
 * A failure leaves errno set.
 */
#ifndef POSTHORN_JOURNAL_DISK_H
#define POSTHORN_JOURNAL_DISK_H

#include "check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Closes what the variable holds when it is not -1; for CLEANUP. */
void disk_close(int *file);

bool disk_write(int file, const void *data, size_t length, uint64_t offset);

/* Reads until length bytes or the end of the file; false on an error. */
bool disk_read(int file, void *data, size_t length, uint64_t offset, size_t *got);

/* Names made, renamed or removed in the directory before are durable when it returns true. */
bool disk_sync_directory(int directory);

#endif
