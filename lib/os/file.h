/*
 * Whole reads and writes, descriptors, and small files that must be durable.
 * All functions retry EINTR and short counts; descriptors are opened close-on-exec.
 */
#ifndef POSTHORN_OS_FILE_H
#define POSTHORN_OS_FILE_H

#include "buf.h"
#include "fail.h"

#include <stdint.h>

/* For CLEANUP: closes *descriptor unless it is -1, and sets it to -1. */
void file_close(int *descriptor);

/* Exactly length bytes, or false with FAIL_IO (FAIL_CORRUPT where the file ends before). */
bool file_read_at(int descriptor, void *data, size_t length, uint64_t offset, struct fail **fail);
bool file_write_at(int descriptor, const void *data, size_t length, uint64_t offset, struct fail **fail);

/* The whole of a regular file or memfd, from offset 0; FAIL_TOO_BIG beyond out's limit. */
bool file_read_all(int descriptor, struct buf *out, struct fail **fail);
bool file_load(const char *path, struct buf *out, struct fail **fail);

/* A sealed, read-only memory file with these bytes: several processes can share it and none can
 * change it. -1 on failure. */
int file_sealed_memory(const char *name, struct str content, struct fail **fail);

/* True also when it is there already, whatever its mode. The name of a new one is durable, where the folder above it
 * may be read: what is promised inside must not go with it. */
bool file_make_directory(const char *path, unsigned mode, struct fail **fail);

#endif
