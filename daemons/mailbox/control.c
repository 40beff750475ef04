/* posthornctl's requests for this account. Each is one row in the table below; the connection ends with its client. */
#include "control.h"

#include "folder.h"
#include "log.h"

#include <fcntl.h>
#include <poll.h>

enum { WAIT_MS = 60000, ROW_MAX = 8000, RESTART_STEP_MS = 20, RESTART_STEPS = 500 };

void control_send_row(struct control *c, const struct buf *row)
{
	if (!row->overflowed)
		msg_ctl_row_send(&c->channel, 0, &(struct msg_ctl_row){ .fields = buf_str(row) }, -1);
}

void control_tell_progress(struct control *c, uint64_t mails)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	archive_field_add_number(&row, "progress", mails);
	control_send_row(c, &row);
}

void control_tell_damage(struct control *c, struct str where, enum fail_kind kind, const char *what)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	archive_field_add(&row, "where", where);
	archive_field_add(&row, "kind", str_of(fail_kind_name(kind)));
	archive_field_add(&row, "what", str_first(str_of(what), 1000));
	control_send_row(c, &row);
}

static bool is_interrupted(struct session *s)
{
	pthread_mutex_lock(&s->account->sessions_lock);
	bool interrupted = s->interrupted;
	pthread_mutex_unlock(&s->account->sessions_lock);
	return interrupted;
}

bool control_may_go_on(struct control *c, struct fail **fail)
{
	struct pollfd channel = { .fd = c->channel.descriptor };
	if (is_interrupted(c->session))
		return fail_set(fail, FAIL_UNAVAILABLE, "the account's process is about to end; try again");
	if (c->channel.broken || poll(&channel, 1, 0) != 0)
		return fail_set(fail, FAIL_UNAVAILABLE, "nobody waits for the answer any more");
	return true;
}

bool control_needs_descriptor(const struct control *c, struct fail **fail)
{
	return c->descriptor >= 0 || fail_set(fail, FAIL_INVALID, "the request came without a descriptor");
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
		archive_field_add(&row, "name", box->name);
		archive_field_add_number(&row, "messages", box->messages);
		archive_field_add_number(&row, "unseen", box->unseen);
		archive_field_add_number(&row, "octets", box->bytes);
		archive_field_add_number(&row, "uidvalidity", box->uidvalidity);
		archive_field_add_number(&row, "uidnext", box->uidnext);
		control_send_row(c, &row);
	}
	return true;
}

static bool tell_usage(struct control *c, struct fail **fail)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	struct store_usage usage;
	(void)fail;
	store_usage(c->store, &usage);
	archive_field_add_number(&row, "messages", usage.messages);
	archive_field_add_number(&row, "octets", usage.bytes);
	archive_field_add_number(&row, "disk-octets", folder_octets(c->account->directory));
	control_send_row(c, &row);
	return true;
}

static void found_damage(void *context, enum fail_kind kind, const char *what)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	archive_field_add(&row, "kind", str_of(fail_kind_name(kind)));
	archive_field_add(&row, "what", str_first(str_of(what), 1000));
	control_send_row(context, &row);
}

static bool check(struct control *c, struct fail **fail)
{
	const struct store_report report = { found_damage, c };
	uint64_t damages;
	if (!store_check(c->store, &report, &damages, fail))
		return false;
	log_event(LOG_INFO, 0, "checked", LOG_NUMBER("account", c->account->number), LOG_NUMBER("damages", damages));
	return damages == 0 || fail_set(fail, FAIL_CORRUPT, "%llu damages found", (unsigned long long)damages);
}

/* Whoever goes through thousands of accounts leaves no thousand processes behind. */
static bool rest(struct control *c, struct fail **fail)
{
	(void)fail;
	atomic_store(&c->account->rest, true);
	return true;
}

static const struct {
	const char *verb;
	bool (*act)(struct control *c, struct fail **fail);
} verbs[] = {
	{ "mailboxes", list_mailboxes },
	{ "usage", tell_usage },
	{ "fsck", check },
	{ "backup", control_backup },
	{ "restore", control_restore },
	{ "export", control_export },
	{ "import", control_import },
	{ "rest", rest },
	{ "rebuild", control_rebuild },
	{ "rebuilt", control_rebuilt },
};

static void act(struct control *c, struct str verb, struct fail **fail)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (str_equal(verb, str_of(verbs[i].verb))) {
			verbs[i].act(c, fail);
			return;
		}
	fail_set(fail, FAIL_INVALID, "unknown request");
}

/* At most max octets and no half character: the message must be UTF-8. */
static struct str cut_text(struct str text, size_t max)
{
	size_t length = text.length < max ? text.length : max;
	while (length < text.length && length > 0 && ((unsigned char)text.data[length] & 0xc0) == 0x80)
		length--;
	return str_first(text, length);
}

/* False when what came is no request. */
static bool serve_request(struct control *c, struct ipc_frame *frame)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct msg_ctl_request request;
	struct str verb;
	if (frame->type != MSG_CTL_REQUEST || !msg_ctl_request_read(frame, &request) ||
		!str_take_until(&request.words, '\0', &verb))
		return false;
	/* what was received lives until the next receive: nothing is received while it is served */
	c->words = request.words;
	c->descriptor = frame->descriptor_count ? frame->descriptors[0] : -1;
	act(c, verb, &fail);
	struct msg_ctl_done done = { .status = fail ? 1 + (uint32_t)fail->kind : 0,
								 .text = cut_text(str_of(fail ? fail->text : ""), 1000) };
	if (!c->restarts)
		msg_ctl_done_send(&c->channel, 0, &done, -1);
	return true;
}

/* Until master knows that this process ends: whoever asks for the account after the channel has closed gets the
 * next one. */
static void restart(struct control *c)
{
	struct pollfd nothing = { .fd = -1 };
	account_restart(c->account);
	for (int i = 0; i < RESTART_STEPS && !is_interrupted(c->session); i++)
		poll(&nothing, 1, RESTART_STEP_MS);
}

void control_serve(struct session *s)
{
	struct control c = { .session = s, .account = s->account, .store = s->account->store };
	struct ipc_frame frame;
	/* master served it in a loop; here a thread waits on it */
	fcntl(s->descriptor, F_SETFL, fcntl(s->descriptor, F_GETFL) & ~O_NONBLOCK);
	ipc_channel_init(&c.channel, s->descriptor);
	s->descriptor = -1;
	while (!c.restarts && ipc_receive_wait(&c.channel, &frame, WAIT_MS) == IPC_FRAME) {
		bool good = serve_request(&c, &frame);
		ipc_close_descriptors(&frame);
		if (!good)
			break;
	}
	if (c.restarts)
		restart(&c);
	ipc_channel_release(&c.channel);
}
