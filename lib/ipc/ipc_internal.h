/*
 * The two large buffers that each thread that talks needs: on the heap, because a thread's own storage is taken from its
 * stack. Freed with the thread.
 */
#ifndef POSTHORN_IPC_INTERNAL_H
#define POSTHORN_IPC_INTERNAL_H

#include "buf.h"
#include "limits.h"

struct ipc_scratch {
	struct buf encoded;
	char received[LIMIT_IPC_FRAME_MAX];
};

/* This thread's. */
struct ipc_scratch *ipc_scratch(void);

#endif
