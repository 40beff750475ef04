/* posthornctl's requests for this account. Each is one row in the table below; the connection ends with its client. */
#include "mailbox.h"

#include "log.h"
#include "mem.h"

#include <stdio.h>

enum { WAIT_MS = 60000, ROW_MAX = 4000 };

struct control {
	struct session *session;
	struct store *store;
	struct ipc_channel channel;
};

static void add_field(struct buf *row, const char *key, struct str value)
{
	buf_append(row, key, strlen(key) + 1);
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

static void add_number(struct buf *row, const char *key, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof text, "%llu", (unsigned long long)number);
	add_field(row, key, str_of(text));
}

static void send_row(struct control *c, struct buf *row)
{
	msg_ctl_row_send(&c->channel, 0, &(struct msg_ctl_row){ .fields = buf_str(row) }, -1);
}

static bool list_mailboxes(struct control *c, struct fail **fail)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(c->store, fail);
	CLEANUP(store_mailboxes_release) struct store_mailboxes boxes = {};
	if (!reader || !store_read_mailboxes(reader, &boxes, fail))
		return false;
	for (size_t i = 0; i < boxes.list.count; i++) {
		const struct store_mailbox *box = &boxes.list.items[i];
		CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
		add_field(&row, "name", box->name);
		add_number(&row, "messages", box->messages);
		add_number(&row, "unseen", box->unseen);
		add_number(&row, "octets", box->bytes);
		send_row(c, &row);
	}
	return true;
}

static void tell_damage(void *context, enum fail_kind kind, const char *what)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	add_field(&row, "kind", str_of(fail_kind_name(kind)));
	add_field(&row, "what", str_first(str_of(what), 1000));
	send_row(context, &row);
}

static bool check(struct control *c, struct fail **fail)
{
	const struct store_report report = { tell_damage, c };
	uint64_t damages;
	if (!store_check(c->store, &report, &damages, fail))
		return false;
	log_event(LOG_INFO, 0, "checked", LOG_NUMBER("account", c->session->account->number), LOG_NUMBER("damages", damages));
	return damages == 0 || fail_set(fail, FAIL_CORRUPT, "%llu damages found", (unsigned long long)damages);
}

static const struct {
	const char *verb;
	bool (*act)(struct control *c, struct fail **fail);
} verbs[] = {
	{ "mailboxes", list_mailboxes },
	{ "fsck", check },
};

/* False when what came is no request. */
static bool serve_request(struct control *c, struct ipc_frame *frame)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct msg_ctl_request request;
	struct str verb;
	if (frame->type != MSG_CTL_REQUEST || !msg_ctl_request_read(frame, &request) || !str_take_until(&request.words, '\0', &verb))
		return false;
	fail_set(&fail, FAIL_INVALID, "unknown request");
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (str_equal(verb, str_of(verbs[i].verb))) {
			fail_free(&fail);
			verbs[i].act(c, &fail);
		}
	struct msg_ctl_done done = { .status = fail ? 1 + (uint32_t)fail->kind : 0, .text = str_first(str_of(fail ? fail->text : ""), 1000) };
	msg_ctl_done_send(&c->channel, 0, &done, -1);
	return true;
}

void control_serve(struct session *s)
{
	struct control c = { .session = s, .store = s->account->store };
	struct ipc_frame frame;
	ipc_channel_init(&c.channel, s->descriptor);
	s->descriptor = -1;
	while (ipc_receive_wait(&c.channel, &frame, WAIT_MS) == IPC_FRAME) {
		bool good = serve_request(&c, &frame);
		ipc_close_descriptors(&frame);
		if (!good)
			break;
	}
	ipc_channel_release(&c.channel);
}
