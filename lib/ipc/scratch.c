#include "ipc_internal.h"

#include "mem.h"

#include <pthread.h>
#include <stdlib.h>

static _Thread_local struct ipc_scratch *mine;
static pthread_key_t at_thread_end;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void release(void *scratch)
{
	buf_release(&((struct ipc_scratch *)scratch)->encoded);
	free(scratch);
}

static void make_key(void)
{
	must(pthread_key_create(&at_thread_end, release) == 0);
}

struct ipc_scratch *ipc_scratch(void)
{
	if (mine)
		return mine;
	pthread_once(&key_once, make_key);
	mine = mem_alloc(sizeof *mine);
	buf_init(&mine->encoded, LIMIT_IPC_FRAME_MAX);
	must(pthread_setspecific(at_thread_end, mine) == 0);
	return mine;
}
