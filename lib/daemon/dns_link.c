#include "dns_link.h"

#include "clock.h"
#include "mem.h"

#include <stdlib.h>

/* The resolver gives up before. */
enum { ANSWER_PATIENCE_MS = 20000, STEP_MS = 1000, REMEMBERED_MAX_MS = 60000, FAILURE_REMEMBERED_MS = 1000 };

void dns_link_forget(struct dns_link *link)
{
	for (size_t i = 0; i < COUNT_OF(link->questions); i++) {
		free(link->questions[i].packed);
		link->questions[i] = (struct dns_link_question){};
	}
}

static void lose(struct dns_link *link)
{
	if (link->there)
		ipc_channel_release(&link->channel);
	link->there = false;
	dns_link_forget(link);
}

void dns_link_wire(struct dns_link *link, int descriptor)
{
	lose(link);
	ipc_channel_init(&link->channel, descriptor);
	link->there = true;
	link->failed = false;
}

static void fail_link(struct dns_link *link)
{
	lose(link);
	link->failed = true;
}

void dns_link_set_patience(struct dns_link *link, int patience_ms)
{
	link->until_ms = patience_ms ? clock_monotonic_ms() + patience_ms : 0;
}

/* ---- questions ---- */

static struct dns_link_question *find(struct dns_link *link, struct str name, enum dns_type type)
{
	int64_t now = clock_monotonic_ms();
	for (size_t i = 0; i < COUNT_OF(link->questions); i++) {
		struct dns_link_question *q = &link->questions[i];
		if (q->request && q->type == type && (!q->packed || now < q->until_ms) && str_equal(str_of(q->name), name))
			return q;
	}
	return NULL;
}

static struct dns_link_question *send_question(struct dns_link *link, struct str name, enum dns_type type)
{
	struct dns_link_question *q = &link->questions[link->next++ % COUNT_OF(link->questions)];
	free(q->packed);
	*q = (struct dns_link_question){ .request = ++link->requests, .type = type };
	str_copy_to_array(name, q->name, sizeof q->name);
	msg_dns_ask_send(&link->channel, q->request, &(struct msg_dns_ask){ .name = name, .type = (uint32_t)type }, -1);
	return q;
}

static int64_t remembered_ms(struct str packed)
{
	int64_t ttl_ms = (int64_t)dns_packed_ttl(packed) * 1000;
	return ttl_ms == 0 ? FAILURE_REMEMBERED_MS : ttl_ms < REMEMBERED_MAX_MS ? ttl_ms : REMEMBERED_MAX_MS;
}

/* An answer to a question that nobody waits for any more is passed over. */
static bool keep_answer(struct dns_link *link, const struct ipc_frame *frame)
{
	struct msg_dns_answer read;
	if (frame->type != MSG_DNS_ANSWER || frame->descriptor_count || !msg_dns_answer_read(frame, &read))
		return false;
	for (size_t i = 0; i < COUNT_OF(link->questions); i++) {
		struct dns_link_question *q = &link->questions[i];
		if (q->request != frame->request || q->packed)
			continue;
		q->packed = mem_alloc(read.packed.length + 1);
		memcpy(q->packed, read.packed.data, read.packed.length);
		q->length = read.packed.length;
		q->until_ms = clock_monotonic_ms() + remembered_ms(read.packed);
	}
	return true;
}

/* In steps of whole seconds: the time that the socket waits need not be set for each answer. */
static int step_of(int64_t left_ms)
{
	return left_ms > ANSWER_PATIENCE_MS ? ANSWER_PATIENCE_MS : (int)(left_ms + STEP_MS - 1) / STEP_MS * STEP_MS;
}

/* False: the link is lost, and its questions with it. */
static bool wait_for_answer(struct dns_link *link, struct dns_link_question *q)
{
	int64_t now = clock_monotonic_ms();
	int64_t given_up = now + ANSWER_PATIENCE_MS;
	int64_t until = link->until_ms && link->until_ms < given_up ? link->until_ms : given_up;
	for (; !q->packed && now < until; now = clock_monotonic_ms()) {
		struct ipc_frame frame;
		enum ipc_received got = ipc_receive_wait(&link->channel, &frame, step_of(until - now));
		if (got == IPC_CLOSED && !link->channel.malformed) {
			lose(link);
			return false;
		}
		if (got == IPC_CLOSED || (got == IPC_FRAME && !keep_answer(link, &frame))) {
			ipc_close_descriptors(&frame);
			fail_link(link);
			return false;
		}
	}
	if (!q->packed && until == given_up)
		fail_link(link);
	return link->there;
}

static void ask_resolver(void *context, struct arena *a, struct str name, enum dns_type type, struct dns_answer *answer)
{
	struct dns_link *link = context;
	*answer = (struct dns_answer){ .status = DNS_FAILED };
	if (!link->there)
		return;
	struct dns_link_question *q = find(link, name, type);
	if (!q)
		q = send_question(link, name, type);
	if (!wait_for_answer(link, q))
		return;
	if (q->packed && !dns_answer_unpack(a, arena_copy(a, str_from(q->packed, q->length)), answer)) {
		*answer = (struct dns_answer){ .status = DNS_FAILED };
		fail_link(link);
	}
}

static void ask_ahead(void *context, struct str name, enum dns_type type)
{
	struct dns_link *link = context;
	if (link->there && !find(link, name, type))
		send_question(link, name, type);
}

struct dns_source dns_link_source(struct dns_link *link)
{
	return (struct dns_source){ .ask = ask_resolver, .context = link, .ahead = ask_ahead };
}
