/* posthornctl's door: takes requests apart, finds the verb, sends the answer. */
#include "control.h"

#include "array.h"
#include "file.h"
#include "log.h"
#include "mem.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CONTROL_READY = 1, CONTROL_BUSY = 2, WORDS_MAX = LIMIT_ALIAS_TARGETS_MAX + 10 };

static const struct {
	struct str first, second; /* second may be empty */
	size_t least, most;       /* words behind them */
	bool (*act)(struct call *call, struct fail **fail);
	const char *usage;
} verbs[] = {
	{ STR("domain"), STR("add"), 1, 1, domain_add, "DOMAIN" },
	{ STR("domain"), STR("list"), 0, 0, domain_list, "" },
	{ STR("domain"), STR("remove"), 1, 1, domain_remove, "DOMAIN" },
	{ STR("domain"), STR("set"), 3, WORDS_MAX, domain_set,
	  "DOMAIN [catch-all|postmaster|quota-bytes|quota-messages|default VALUE]…" },
	{ STR("account"), STR("add"), 1, WORDS_MAX, account_add,
	  "ADDRESS [password|name|language|quota-bytes|quota-messages|optin VALUE]…" },
	{ STR("account"), STR("add-range"), 2, WORDS_MAX, account_add_range, "PATTERN COUNT [password|… VALUE]…" },
	{ STR("account"), STR("list"), 0, 1, account_list, "[DOMAIN]" },
	{ STR("account"), STR("show"), 1, 1, account_show, "ADDRESS" },
	{ STR("account"), STR("set"), 3, WORDS_MAX, account_set,
	  "ADDRESS [name|language|quota-bytes|quota-messages VALUE]…" },
	{ STR("account"), STR("disable"), 1, 1, account_disable, "ADDRESS" },
	{ STR("account"), STR("enable"), 1, 1, account_enable, "ADDRESS" },
	{ STR("account"), STR("delete"), 1, 2, account_delete, "ADDRESS [GRACE-SECONDS]" },
	{ STR("account"), STR("undelete"), 1, 1, account_undelete, "NUMBER|ADDRESS" },
	{ STR("account"), STR("purge"), 1, 1, account_purge, "NUMBER" },
	{ STR("alias"), STR("add"), 2, WORDS_MAX, alias_add, "ADDRESS TARGET…" },
	{ STR("alias"), STR("list"), 0, 1, alias_list, "[ADDRESS]" },
	{ STR("alias"), STR("remove"), 1, 1, alias_remove, "ADDRESS" },
	{ STR("alias"), STR("import"), 1, 2, alias_import, "DOMAIN [skip]" },
	{ STR("sender"), STR("add"), 2, 2, sender_add, "ACCOUNT ADDRESS|@DOMAIN" },
	{ STR("sender"), STR("list"), 1, 1, sender_list, "ACCOUNT" },
	{ STR("sender"), STR("remove"), 2, 2, sender_remove, "ACCOUNT ADDRESS|@DOMAIN" },
	{ STR("password"), STR("set"), 2, 2, password_set, "ADDRESS PASSWORD" },
	{ STR("password"), STR("verify"), 2, 2, password_verify, "ADDRESS PASSWORD" },
	{ STR("password"), STR("hash-import"), 2, 2, password_hash_import, "ADDRESS HASH" },
	{ STR("app-password"), STR("add"), 2, 2, app_password_add, "ADDRESS NAME" },
	{ STR("app-password"), STR("list"), 1, 1, app_password_list, "ADDRESS" },
	{ STR("app-password"), STR("remove"), 2, 2, app_password_remove, "ADDRESS NAME" },
	{ STR("optin"), STR("add"), 3, 3, optin_add, "ADDRESS apop|cram-md5|scram-sha-1 PASSWORD" },
	{ STR("optin"), STR("remove"), 2, 2, optin_remove, "ADDRESS apop|cram-md5|scram-sha-1" },
	{ STR("backup"), STR(""), 0, 0, backup, "" },
	{ STR("restore"), STR(""), 0, 0, restore, "" },
	{ STR("sessions"), STR(""), 0, 0, sessions, "" },
	{ STR("session"), STR("drop"), 1, 1, session_drop, "ID" },
	{ STR("failures"), STR("list"), 0, 0, failures_list, "" },
	{ STR("failures"), STR("clear"), 0, 1, failures_clear, "[PEER|ADDRESS]" },
};

/* ---- answers ------------------------------------------------------------------------------- */

void row_text(struct row *row, const char *key, struct str value)
{
	buf_append(&row->fields, key, strlen(key) + 1);
	buf_add_str(&row->fields, value);
	buf_add_char(&row->fields, '\0');
}

void row_number(struct row *row, const char *key, int64_t value)
{
	CLEANUP(mem_free) char *digits = mem_printf("%lld", (long long)value);
	row_text(row, key, str_of(digits));
}

void row_send(struct row *row, struct control *control)
{
	if (!row->fields.overflowed)
		msg_ctl_row_send(&control->peer.channel, 0, &(struct msg_ctl_row){ .fields = buf_str(&row->fields) }, -1);
	buf_clear(&row->fields);
}

void row_release(struct row *row)
{
	buf_release(&row->fields);
}

/* At most max octets and no half character. */
static struct str cut_text(struct str text, size_t max)
{
	size_t length = text.length < max ? text.length : max;
	while (length < text.length && length > 0 && ((unsigned char)text.data[length] & 0xc0) == 0x80)
		length--;
	return str_first(text, length);
}

void control_done(struct ipc_peer *peer, const struct fail *fail)
{
	struct msg_ctl_done answer = { .status = fail ? 1 + (uint32_t)fail->kind : 0 };
	if (fail)
		answer.text = cut_text(str_of(fail->text), 1000);
	msg_ctl_done_send(&peer->channel, 0, &answer, -1);
}

/* ---- requests ------------------------------------------------------------------------------ */

struct words {
	ARRAY(struct str) list;
};

static void words_release(struct words *words)
{
	array_release(&words->list);
}

static bool words_split(struct str text, struct words *words)
{
	struct str word;
	while (str_take_until(&text, '\0', &word)) {
		if (words->list.count == WORDS_MAX)
			return false;
		*array_add(&words->list) = word;
	}
	return true;
}

static bool call_verb(struct call *call, struct fail **fail)
{
	struct str first = call->count > 0 ? call->words[0] : STR(""), second = call->count > 1 ? call->words[1] : STR("");
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		size_t own = str_is_empty(verbs[i].second) ? 1 : 2;
		if (!str_equal(first, verbs[i].first) || (own == 2 && !str_equal(second, verbs[i].second)))
			continue;
		call->words += own;
		call->count -= own;
		if (call->count < verbs[i].least || call->count > verbs[i].most)
			return fail_set(fail, FAIL_INVALID, "usage: %s %s %s", verbs[i].first.data, verbs[i].second.data,
			                verbs[i].usage);
		return verbs[i].act(call, fail);
	}
	return fail_set(fail, FAIL_INVALID, "unknown request");
}

static bool on_request(struct ipc_peer *peer, struct ipc_frame *frame)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(words_release) struct words words = {};
	struct control *control = peer->owner;
	struct msg_ctl_request request;
	if (!msg_ctl_request_read(frame, &request) || !words_split(request.words, &words))
		return false;
	struct call call = {
		.auth = control->auth, .control = control, .words = words.list.items, .count = words.list.count,
		.descriptor = frame->descriptor_count ? frame->descriptors[0] : -1,
	};
	bool good = call_verb(&call, &fail);
	must(good == (fail == NULL));
	auth_directory_changed(control->auth);
	if (!call.later)
		control_done(peer, fail);
	auth_wipe(frame->payload);
	return true;
}

/* ---- operations ---------------------------------------------------------------------------- */

void operation_free(struct operation *o)
{
	hashing_free(o->hashing);
	mem_wipe(o, sizeof *o);
	free(o);
}

static void hashed(struct hashing *h)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct operation *o = h->owner;
	o->finish(o, &fail);
	auth_directory_changed(o->auth);
	if (o->control) {
		o->control->operation = NULL;
		o->control->peer.state = CONTROL_READY;
		control_done(&o->control->peer, fail);
	}
	operation_free(o);
}

struct operation *operation_new(struct call *call, bool (*finish)(struct operation *o, struct fail **fail))
{
	struct operation *o = mem_alloc(sizeof *o);
	o->auth = call->auth;
	o->control = call->control;
	o->finish = finish;
	o->hashing = hashing_new(&call->auth->cost, o, hashed);
	return o;
}

bool operation_begin(struct call *call, struct operation *o, struct fail **fail)
{
	if (!worker_submit(call->auth->workers, o->hashing)) {
		operation_free(o);
		return fail_set(fail, FAIL_BUSY, "too many log-ins wait; try again");
	}
	call->control->operation = o;
	call->control->peer.state = CONTROL_BUSY;
	call->later = true;
	return true;
}

/* ---- backup --------------------------------------------------------------------------------------------------- */

enum { COPY_BLOCK = 65536 };

static bool copy_file(int from, int to, struct fail **fail)
{
	char block[COPY_BLOCK];
	uint64_t at = 0;
	ssize_t got;
	for (; (got = pread(from, block, sizeof block, (off_t)at)) > 0; at += (uint64_t)got)
		if (!file_write_at(to, block, (size_t)got, at, fail))
			return false;
	return got == 0 || fail_set_errno(fail, FAIL_IO, "cannot read the copy of the directory");
}

/* A consistent copy of directory.db into the file that came with the request. A file, since who waits for a pipe
 * stops everybody. */
bool backup(struct call *call, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/backup.db", call->auth->daemon.folder);
	struct stat facts;
	if (call->descriptor < 0 || fstat(call->descriptor, &facts) != 0 || !S_ISREG(facts.st_mode))
		return fail_set(fail, FAIL_INVALID, "backup needs a file to write into");
	unlink(path);
	CLEANUP(file_close) int copy = -1;
	bool done = directory_backup(call->auth->directory, path, fail);
	if (done && (copy = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)) < 0)
		done = fail_set_errno(fail, FAIL_IO, "cannot read %s", path);
	done = done && copy_file(copy, call->descriptor, fail);
	unlink(path);
	return done;
}

/* The same back, into a directory that has nothing yet. */
bool restore(struct call *call, struct fail **fail)
{
	struct auth *auth = call->auth;
	CLEANUP(mem_free) char *path = mem_printf("%s/restore.db", auth->daemon.folder);
	struct stat facts;
	if (call->descriptor < 0 || fstat(call->descriptor, &facts) != 0 || !S_ISREG(facts.st_mode))
		return fail_set(fail, FAIL_INVALID, "restore needs a file to read from");
	unlink(path);
	CLEANUP(file_close) int copy = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool done = copy >= 0 || fail_set_errno(fail, FAIL_IO, "cannot make %s", path);
	done = done && copy_file(call->descriptor, copy, fail) && directory_restore(auth->directory, path, fail);
	unlink(path);
	if (!done)
		return false;
	log_event(LOG_INFO, 0, "directory-restored");
	auth_directory_replaced(auth);
	return true;
}

/* ---- connections --------------------------------------------------------------------------- */

static const struct ipc_permit permits[] = {
	{ MSG_CTL_REQUEST, CONTROL_READY, 0, on_request },
};

static void control_ended(struct ipc_peer *peer, const char *why)
{
	struct control *control = peer->owner;
	if (why)
		log_event(LOG_WARNING, 0, "control-channel-ended", LOG_TEXT("why", str_of(why)));
	if (control->operation)
		control->operation->control = NULL;
	ipc_peer_release(peer);
	free(control);
}

void control_accepted(struct auth *auth, int descriptor)
{
	struct control *control = mem_alloc(sizeof *control);
	control->auth = auth;
	control->peer.role = ROLE_CTL;
	control->peer.owner = control;
	ipc_peer_start(&control->peer, auth->daemon.loop, descriptor, permits, COUNT_OF(permits), control_ended);
}
