#include "dns_link.h"

enum { ANSWER_PATIENCE_MS = 20000 };

void dns_link_wire(struct dns_link *link, int descriptor)
{
	dns_link_lose(link);
	ipc_channel_init(&link->channel, descriptor);
	link->there = true;
}

void dns_link_lose(struct dns_link *link)
{
	if (link->there)
		ipc_channel_release(&link->channel);
	link->there = false;
}

/* An answer to an earlier question may still come after its time. */
static bool wait_for_answer(struct dns_link *link, struct ipc_frame *frame)
{
	while (ipc_receive_wait(&link->channel, frame, ANSWER_PATIENCE_MS) == IPC_FRAME) {
		if (frame->type != MSG_DNS_ANSWER || frame->descriptor_count) {
			ipc_close_descriptors(frame);
			return false;
		}
		if (frame->request == link->requests)
			return true;
	}
	return false;
}

static void ask_resolver(void *context, struct arena *a, struct str name, enum dns_type type, struct dns_answer *answer)
{
	struct dns_link *link = context;
	struct ipc_frame frame;
	struct msg_dns_answer read;
	*answer = (struct dns_answer){ .status = DNS_FAILED };
	if (!link->there)
		return;
	msg_dns_ask_send(&link->channel, ++link->requests, &(struct msg_dns_ask){ .name = name, .type = (uint32_t)type }, -1);
	if (wait_for_answer(link, &frame) && msg_dns_answer_read(&frame, &read) &&
	    dns_answer_unpack(a, arena_copy(a, read.packed), answer))
		return;
	*answer = (struct dns_answer){ .status = DNS_FAILED };
	dns_link_lose(link);
}

struct dns_source dns_link_source(struct dns_link *link)
{
	return (struct dns_source){ ask_resolver, link };
}
