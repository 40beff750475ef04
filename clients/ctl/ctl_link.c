#include "ctl_link.h"

#include "config.h"
#include "mem.h"
#include "socket.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONNECT_MS = 10000, SILENCE_MS = 120000 };

static const char config_path[] = "/etc/posthorn/posthorn.conf";

char *ctl_config_path(const char *directory, const char *config)
{
	return directory ? mem_printf("%s/posthorn.conf", directory) : mem_printf("%s", config ? config : config_path);
}

char *ctl_runtime_directory(const char *directory, const char *config, struct fail **fail)
{
	if (directory)
		return mem_printf("%s/run", directory);
	CLEANUP(config_release) struct config settings = {};
	if (!config && access(config_path, F_OK) != 0)
		config_init(&settings);
	else if (!config_load(config ? config : config_path, &settings, fail))
		return NULL;
	return str_copy(str_of(settings.runtime_directory));
}

static const char *const sockets[CTL_PEER_COUNT] = {
	[CTL_MASTER] = "master.socket", [CTL_AUTH] = "auth.socket",
	[CTL_QUEUE] = "queue.socket",   [CTL_PASSWORD] = "password.socket",
};

/* What went wrong is in errno of the socket calls; what to do about it is more useful. */
static bool fail_unreachable(const char *runtime_directory, const char *path, struct fail **fail)
{
	if (access(path, F_OK) == 0 && access(path, W_OK) != 0)
		return fail_set(fail, FAIL_DENIED, "%s is for root only: try sudo", path);
	return fail_set(fail, FAIL_UNAVAILABLE,
	                "cannot reach the post office at %s: is posthorn running? try: systemctl status posthorn",
	                runtime_directory);
}

bool ctl_connect(const char *runtime_directory, enum ctl_peer peer, struct ipc_channel *channel, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", runtime_directory, sockets[peer]);
	struct endpoint where;
	if (!endpoint_parse(str_of(path), &where, fail))
		return false;
	int descriptor = socket_connect_frames(&where, CONNECT_MS, NULL);
	if (descriptor < 0)
		return fail_unreachable(runtime_directory, path, fail);
	ipc_channel_init(channel, descriptor);
	return true;
}

bool ctl_row_next(struct str *row, struct str *key, struct str *value)
{
	struct str rest = *row;
	if (!str_take_until(&rest, '\0', key) || rest.length == 0)
		return false;
	size_t length = str_find_char(rest, '\0');
	*value = str_first(rest, length);
	if (length == rest.length)
		return false;
	*row = str_from_index(rest, length + 1);
	return true;
}

/* A frame may hold several rows: where a key would begin, a NUL ends the row. */
static struct str first_row(struct str *rows)
{
	struct str rest = *rows, key, value, row;
	while (rest.length && rest.data[0] != '\0' && ctl_row_next(&rest, &key, &value))
		;
	bool more = rest.length && rest.data[0] == '\0';
	row = more ? str_first(*rows, rows->length - rest.length) : *rows;
	*rows = more ? str_from_index(rest, 1) : (struct str){};
	return row;
}

bool ctl_end_read(const struct ipc_frame *frame, struct fail **fail)
{
	struct msg_ctl_done done;
	if (!msg_ctl_done_read(frame, &done) || done.status > FAIL_KIND_COUNT)
		return fail_set(fail, FAIL_CORRUPT,
		                "the answer makes no sense: are this program and the post office of one version?");
	if (done.status == 0)
		return true;
	return fail_set(fail, (enum fail_kind)(done.status - 1), "%.*s", STR_ARG(done.text));
}

bool ctl_answer(struct ipc_channel *channel, bool patient, void (*take)(void *owner, struct str row), void *owner,
                struct fail **fail)
{
	struct ipc_frame frame;
	struct msg_ctl_row row;
	enum ipc_received got;
	while ((got = ipc_receive_wait(channel, &frame, patient ? -1 : SILENCE_MS)) == IPC_FRAME) {
		ipc_close_descriptors(&frame);
		if (!msg_ctl_row_read(&frame, &row))
			return ctl_end_read(&frame, fail);
		do
			take(owner, first_row(&row.fields));
		while (row.fields.length);
	}
	if (got == IPC_AGAIN)
		return fail_set(fail, FAIL_TIMEOUT, "no answer for %d s; the post office's log may say why", SILENCE_MS / 1000);
	return fail_set(fail, FAIL_UNAVAILABLE, "the post office ended the connection; its log may say why");
}

bool ctl_ask(struct ipc_channel *channel, const struct ctl_request *request, void (*take)(void *owner, struct str row),
             void *owner, struct fail **fail)
{
	msg_ctl_request_send(channel, 0, &(struct msg_ctl_request){ .words = request->words }, request->descriptor);
	return ctl_answer(channel, request->patient, take, owner, fail);
}

static void take_account_number(void *owner, struct str row)
{
	uint64_t *account = owner;
	struct str key, value;
	while (ctl_row_next(&row, &key, &value))
		if (str_equal(key, STR("number")))
			str_to_u64(value, UINT64_MAX, account);
}

bool ctl_account_number(const char *runtime_directory, const char *address, uint64_t *account, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel auth = { .descriptor = -1 };
	CLEANUP(buf_release) struct buf words = BUF_WITH_LIMIT(LIMIT_ADDRESS_MAX + 100);
	buf_append(&words, "account\0show", 13);
	buf_append(&words, address, strlen(address) + 1);
	if (words.overflowed)
		return fail_set(fail, FAIL_NOT_FOUND, "no address is so long");
	*account = 0;
	const struct ctl_request request = { .words = buf_str(&words), .descriptor = -1 };
	if (!ctl_connect(runtime_directory, CTL_AUTH, &auth, fail) ||
	    !ctl_ask(&auth, &request, take_account_number, account, fail))
		return false;
	return *account > 0 || fail_set(fail, FAIL_CORRUPT, "the post office does not tell the number of %s", address);
}

bool ctl_open_account(const char *runtime_directory, const char *address, struct ipc_channel *channel,
                      struct fail **fail)
{
	uint64_t account;
	if (!ctl_account_number(runtime_directory, address, &account, fail) ||
	    !ctl_connect(runtime_directory, CTL_MASTER, channel, fail))
		return false;
	msg_ctl_account_send(channel, 0, &(struct msg_ctl_account){ .account = account }, -1);
	return true;
}
