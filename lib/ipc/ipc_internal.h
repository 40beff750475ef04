/*
 * The two large buffers that each thread that talks needs: on the heap, because a thread's own storage is taken from
 * its stack. Freed with the thread.
 */
#ifndef POSTHORN_IPC_INTERNAL_H
#define POSTHORN_IPC_INTERNAL_H

#include "ipc.h"

struct ipc_scratch {
	struct buf encoded;
	char received[LIMIT_IPC_FRAME_MAX];
};

/* This thread's. */
struct ipc_scratch *ipc_scratch(void);

/* ipc_send with a payload in two parts, of which the second may be empty. */
void ipc_send_parts(struct ipc_channel *channel, enum msg_type type, uint64_t request, struct str payload,
                    struct str tail, const int *descriptors, size_t descriptor_count);

#endif
