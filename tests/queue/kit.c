#include "kit.h"

#include "clock.h"
#include "file.h"
#include "mem.h"
#include "spawn.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *kit_program, *kit_faults;

/* ---- the process ---- */

static int config_of(const struct scene *s)
{
	CLEANUP(mem_free) char *text = mem_printf("hostname = \"mail.example.test\"\ndata_directory = \"%s\"\n"
	                                          "journal_size = 16777216\nspool_headroom = 0\nlog_level = warning\n%s",
	                                          s->folder, s->settings ? s->settings : "");
	int file = file_sealed_memory("configuration", str_of(text), NULL);
	assert_true(file >= 0);
	return file;
}

static void give_listener(struct scene *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s/control", s->folder);
	unlink(address.sun_path);
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_true(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 &&
	            listen(listener, 5) == 0);
	msg_listener_send(&s->master, 0, &(struct msg_listener){ .service = SERVICE_CONTROL }, listener);
}

static void start(struct scene *s)
{
	struct ipc_frame frame;
	int pair[2], config = config_of(s);
	char *arguments[] = { (char *)"posthorn-queue", NULL };
	assert_true(ipc_pair(pair, NULL));
	s->pid = spawn_program(kit_program, arguments, pair[1], config, NULL);
	assert_true(s->pid > 0);
	close(pair[1]);
	close(config);
	ipc_channel_init(&s->master, pair[0]);
	expect(s, &s->master, MSG_HELLO, &frame);
	expect(s, &s->master, MSG_READY, &frame);
	give_listener(s);
	wire(s, ROLE_AUTH, KIND_WORLD, 1, &s->auth);
	wire(s, ROLE_SMTPD, KIND_USERS, 2, &s->users);
	wire(s, ROLE_SMTPD, KIND_WORLD, 3, &s->world);
}

static void release_channels(struct scene *s)
{
	ipc_channel_release(&s->master);
	ipc_channel_release(&s->auth);
	ipc_channel_release(&s->users);
	ipc_channel_release(&s->world);
}

static void end(struct scene *s)
{
	int status;
	kill(s->pid, SIGKILL);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("posthorn-queue had ended before, with status %x", (unsigned)status);
	release_channels(s);
}

/* state.db and the first journal are there after it: what they need from the disk is not counted. */
static void make_spool(struct scene *s)
{
	int status;
	start(s);
	msg_drain_send(&s->master, 0, &(struct msg_drain){}, -1);
	assert_int_equal(waitpid(s->pid, &status, 0), s->pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	release_channels(s);
	s->auth.descriptor = -1;
}

void scene_open_with_settings(struct scene *s, const char *settings)
{
	*s = (struct scene){ .folder = "/tmp/posthorn-queue-XXXXXX", .settings = settings, .auth = { .descriptor = -1 } };
	assert_non_null(mkdtemp(s->folder));
	start(s);
}

void scene_open(struct scene *s)
{
	scene_open_with_settings(s, NULL);
}

/* The library keeps its count in a file: that of what a struct state has there, all zeros. */
static void make_state(const char *path)
{
	static const char zeros[24];
	int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(file >= 0 && write(file, zeros, sizeof zeros) == (ssize_t)sizeof zeros);
	close(file);
}

void scene_open_with_fault(struct scene *s, const char *calls, unsigned at, unsigned times, int error)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	print_message("gcc's sanitizers do not bear a library that stands before malloc; clang's do\n");
	skip();
#endif
	static const char *const names[] = { "FAULT_STATE", "FAULT_TREE",  "FAULT_CALLS",  "FAULT_AT",
	                                     "FAULT_TIMES", "FAULT_ERRNO", "FAULT_MODE",   "ASAN_OPTIONS", "LD_PRELOAD" };
	*s = (struct scene){ .folder = "/tmp/posthorn-queue-XXXXXX", .auth = { .descriptor = -1 } };
	assert_non_null(mkdtemp(s->folder));
	CLEANUP(mem_free) char *state = mem_printf("%s/faults", s->folder);
	CLEANUP(mem_free) char *first = mem_printf("%u", at), *count = mem_printf("%u", times), *number = mem_printf("%d", error);
	const char *const values[] = { state, s->folder, calls, first, count, number, error > 0 ? "error" : error == FAULT_HANGS ? "hang" : "slow",
	                               "verify_asan_link_order=0", kit_faults };
	make_spool(s);
	make_state(state);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		setenv(names[i], values[i], 1);
	start(s);
	for (size_t i = 0; i < COUNT_OF(names); i++)
		unsetenv(names[i]);
}

/* 0: the calls, 1: those that were struck. */
static uint64_t count_of(const struct scene *s, size_t which)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/faults", s->folder);
	uint64_t counts[2] = {};
	int file = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(file >= 0 && read(file, counts, sizeof counts) == (ssize_t)sizeof counts);
	close(file);
	return counts[which];
}

uint64_t scene_faults(const struct scene *s)
{
	return count_of(s, 1);
}

uint64_t scene_calls(const struct scene *s)
{
	return count_of(s, 0);
}

static void remove_all(const char *folder)
{
	DIR *entries = opendir(folder);
	for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		CLEANUP(mem_free) char *path = mem_printf("%s/%s", folder, entry->d_name);
		if (unlink(path) != 0)
			remove_all(path);
	}
	if (entries)
		closedir(entries);
	rmdir(folder);
}

void scene_close(struct scene *s)
{
	end(s);
	remove_all(s->folder);
}

void scene_restart(struct scene *s)
{
	end(s);
	s->auth.descriptor = -1;
	start(s);
}

void wire(struct scene *s, enum ipc_role role, enum kind kind, uint64_t peer, struct ipc_channel *channel)
{
	int pair[2];
	assert_true(ipc_pair(pair, NULL));
	ipc_channel_init(channel, pair[0]);
	msg_wire_send(&s->master, 0, &(struct msg_wire){ .role = (uint32_t)role, .kind = kind, .peer = peer }, pair[1]);
}

/* ---- auth ---- */

static uint64_t account_in(struct str address)
{
	uint64_t account;
	struct str local = str_first(address, str_find_char(address, '@'));
	local = str_first(local, str_find_char(local, '+'));
	bool is_ours = str_ends_nocase(address, STR("@example.test")) && str_starts(local, STR("u"));
	return is_ours && str_to_u64(str_from_index(local, 1), 1000000, &account) ? account : 0;
}

static uint32_t resolve(struct str address, struct buf *targets)
{
	struct target target = { .account = account_in(address), .address = address };
	struct str local = str_first(address, str_find_char(address, '@'));
	target.detail = str_from_index(local, str_find_char(local, '+') + 1);
	if (!str_ends_nocase(address, STR("@example.test")))
		return RESOLVE_NOT_OURS;
	if (target.account)
		target_add(targets, &target);
	for (target.account = 1; str_starts(address, STR("all@")) && target.account <= 3; target.account++)
		target_add(targets, &target);
	if (str_starts(address, STR("alias")))
		target_add(targets, &(struct target){ .account = 1, .address = STR("u1@example.test"), .detail = STR("own") });
	if (str_starts(address, STR("away@")))
		target_add(targets, &(struct target){ .address = STR("remote@elsewhere.test") });
	if (str_starts(address, STR("broken@")))
		return RESOLVE_TEMPORARY;
	if (str_starts(address, STR("off@")))
		return RESOLVE_DISABLED;
	return targets->length ? RESOLVE_OK : RESOLVE_UNKNOWN_USER;
}

static void answer_auth(struct scene *s)
{
	struct ipc_frame frame;
	struct msg_resolve asked;
	struct msg_may_send may;
	CLEANUP(buf_release) struct buf targets = BUF_WITH_LIMIT(100000);
	if (ipc_receive(&s->auth, &frame) != IPC_FRAME)
		return;
	if (s->resolved++ == 0 && s->limit)
		msg_quota_send(&s->auth, 0, &(struct msg_quota){ .account = 1, .limit_bytes = s->limit }, -1);
	if (msg_resolve_read(&frame, &asked)) {
		struct msg_resolved resolved = { .verdict = resolve(asked.address, &targets) };
		resolved.targets = buf_str(&targets);
		msg_resolved_send(&s->auth, frame.request, &resolved, -1);
	} else {
		assert_true(msg_may_send_read(&frame, &may));
		bool allowed = account_in(may.address) == may.account;
		msg_may_send_answer_send(&s->auth, frame.request, &(struct msg_may_send_answer){ .allowed = allowed }, -1);
	}
}

/* ---- frames ---- */

static bool note_trimmed(struct scene *s, const struct ipc_frame *frame)
{
	struct msg_trimmed trimmed;
	struct msg_journals journals;
	if (msg_trimmed_read(frame, &trimmed))
		s->trimmed = trimmed.sequence;
	else if (msg_journals_read(frame, &journals))
		s->journals = journals.ids.length / sizeof(struct ipc_id);
	return frame->type == MSG_TRIMMED || frame->type == MSG_JOURNALS;
}

bool await(struct scene *s, struct ipc_channel *channel, struct ipc_frame *frame, int timeout_ms)
{
	int64_t until = clock_monotonic_ms() + timeout_ms;
	for (;;) {
		enum ipc_received got = ipc_receive(channel, frame);
		if (got == IPC_FRAME && note_trimmed(s, frame))
			continue;
		if (got != IPC_AGAIN)
			return got == IPC_FRAME;
		int auth = s->auth_is_silent ? -1 : s->auth.descriptor;
		struct pollfd waits[2] = { { channel->descriptor, POLLIN, 0 }, { auth, POLLIN, 0 } };
		int64_t left = until - clock_monotonic_ms();
		if (left <= 0 || poll(waits, 2, (int)left) == 0)
			return false;
		if (waits[1].revents)
			answer_auth(s);
	}
}

void expect(struct scene *s, struct ipc_channel *channel, enum msg_type type, struct ipc_frame *frame)
{
	if (!await(s, channel, frame, ANSWER_MS))
		fail_msg("no %s", msg_name(type));
	if (frame->type != type)
		fail_msg("%s instead of %s", msg_name(frame->type), msg_name(type));
}

void expect_nothing(struct scene *s, struct ipc_channel *channel)
{
	struct ipc_frame frame;
	if (await(s, channel, &frame, SOON_MS))
		fail_msg("%s came", msg_name(frame.type));
}

void expect_closed(struct scene *s, struct ipc_channel *channel)
{
	struct ipc_frame frame;
	while (await(s, channel, &frame, ANSWER_MS))
		ipc_close_descriptors(&frame);
	if (ipc_receive(channel, &frame) != IPC_CLOSED)
		fail_msg("the channel is still open");
}

/* ---- smtpd ---- */

struct ipc_id token_of(uint64_t account)
{
	struct ipc_id token = {};
	if (account) {
		memcpy(token.bytes, &account, sizeof account);
		token.bytes[15] = 1;
	}
	return token;
}

void give_token(struct scene *s, uint64_t account)
{
	struct msg_token token = { .token = token_of(account), .porter = 71, .account = account, .address = STR("u@example.test") };
	msg_token_send(&s->auth, 3, &token, -1);
}

void mail_begin(struct ipc_channel *smtpd, uint64_t request, const char *sender, uint64_t token_account,
                unsigned flags, uint64_t size)
{
	struct msg_mail_begin begin = {
		.token = token_of(token_account), .sender = str_of(sender), .size = size, .flags = flags,
		.peer = STR("192.0.2.1"),
		.helo = STR("client.test"), .protocol = STR("ESMTP"), .session = request,
	};
	msg_mail_begin_send(smtpd, request, &begin, -1);
}

enum verdict_kind verdict(struct scene *s, struct ipc_channel *smtpd, uint64_t request)
{
	struct ipc_frame frame;
	struct msg_mail_verdict read;
	expect(s, smtpd, MSG_MAIL_VERDICT, &frame);
	assert_true(msg_mail_verdict_read(&frame, &read));
	assert_int_equal(frame.request, request);
	return read.kind;
}

enum verdict_kind begin(struct scene *s, struct ipc_channel *smtpd, uint64_t request, const char *sender,
                        uint64_t token_account)
{
	mail_begin(smtpd, request, sender, token_account, 0, 0);
	return verdict(s, smtpd, request);
}

enum verdict_kind recipient(struct scene *s, struct ipc_channel *smtpd, uint64_t request, const char *address)
{
	struct ipc_frame frame;
	struct msg_recipient_verdict read;
	msg_mail_recipient_send(smtpd, request, &(struct msg_mail_recipient){ .address = str_of(address) }, -1);
	expect(s, smtpd, MSG_RECIPIENT_VERDICT, &frame);
	assert_true(msg_recipient_verdict_read(&frame, &read));
	assert_int_equal(frame.request, request);
	return read.kind;
}

void send_body(struct ipc_channel *smtpd, uint64_t request, struct str body)
{
	for (; body.length; body = str_from_index(body, 116000))
		msg_mail_body_send(smtpd, request, &(struct msg_mail_body){ .content = str_first(body, 116000) }, -1);
}

enum verdict_kind commit(struct scene *s, struct ipc_channel *smtpd, uint64_t request, uint64_t size,
                         uint64_t *queue_id)
{
	struct ipc_frame frame;
	struct msg_mail_done done;
	msg_mail_commit_send(smtpd, request, &(struct msg_mail_commit){ .size = size }, -1);
	expect(s, smtpd, MSG_MAIL_DONE, &frame);
	assert_true(msg_mail_done_read(&frame, &done));
	assert_int_equal(frame.request, request);
	if (queue_id)
		*queue_id = done.queue_id;
	return done.kind;
}

uint64_t submit(struct scene *s, const char *to, const char *body)
{
	static uint64_t request = 1000;
	uint64_t queue_id = 0;
	request++;
	assert_int_equal(begin(s, &s->world, request, "someone@elsewhere.test", 0), VERDICT_OK);
	assert_int_equal(recipient(s, &s->world, request, to), VERDICT_OK);
	send_body(&s->world, request, str_of(body));
	assert_int_equal(commit(s, &s->world, request, strlen(body), &queue_id), VERDICT_OK);
	assert_true(queue_id != 0);
	return queue_id;
}

/* ---- mailbox ---- */

void mailbox_say_opened(struct ipc_channel *mailbox, bool unclean, uint64_t used)
{
	msg_mailbox_opened_send(mailbox, 0, &(struct msg_mailbox_opened){ .unclean = unclean, .used_bytes = used }, -1);
}

void mailbox_open(struct scene *s, uint64_t account, bool unclean, struct ipc_channel *mailbox)
{
	wire(s, ROLE_MAILBOX, KIND_USERS, account, mailbox);
	mailbox_say_opened(mailbox, unclean, 0);
}

void mailbox_start(struct scene *s, uint64_t account, bool unclean, struct ipc_channel *mailbox)
{
	struct ipc_frame frame;
	struct msg_want_mailbox want;
	expect(s, &s->master, MSG_WANT_MAILBOX, &frame);
	assert_true(msg_want_mailbox_read(&frame, &want));
	assert_int_equal(want.account, account);
	mailbox_open(s, account, unclean, mailbox);
}

void expect_mail(struct scene *s, struct ipc_channel *mailbox, const char *body, struct delivered *got)
{
	expect(s, mailbox, MSG_DELIVER, &got->frame);
	got->file = ipc_take_descriptor(&got->frame);
	assert_true(msg_deliver_read(&got->frame, &got->mail));
	if (!body)
		return;
	assert_int_equal(got->mail.size, strlen(body));
	if (!str_equal(got->mail.content, str_of(body)))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(got->mail.content), body);
}

void acknowledge(struct ipc_channel *mailbox, const struct msg_deliver *mail, uint32_t result)
{
	struct msg_delivered delivered = {
		.journal = mail->journal, .sequence = mail->sequence, .recipient = mail->recipient, .result = result,
		.text = STR("because"),
	};
	msg_delivered_send(mailbox, 0, &delivered, -1);
}

bool same_name(const struct msg_deliver *a, const struct msg_deliver *b)
{
	return memcmp(&a->journal, &b->journal, sizeof a->journal) == 0 && a->sequence == b->sequence &&
	    a->recipient == b->recipient;
}

/* ---- posthornctl ---- */

static void add_row(struct buf *rows, struct str fields)
{
	struct str key, value;
	while (str_take_until(&fields, '\0', &key)) {
		if (key.length == 0) { /* between rows */
			buf_add_char(rows, '\n');
			continue;
		}
		/* an empty value at the end is nothing to take */
		if (!str_take_until(&fields, '\0', &value))
			value = (struct str){};
		buf_printf(rows, "%.*s=%.*s ", STR_ARG(key), STR_ARG(value));
	}
	buf_add_char(rows, '\n');
}

uint32_t control(struct scene *s, const char *words, struct buf *rows)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ipc_channel channel;
	struct ipc_frame frame;
	struct msg_ctl_row row;
	struct msg_ctl_done done;
	CLEANUP(mem_free) char *separated = str_copy(str_of(words));
	size_t length = strlen(words);
	for (size_t i = 0; i < length; i++)
		if (separated[i] == ' ')
			separated[i] = '\0';
	snprintf(address.sun_path, sizeof address.sun_path, "%s/control", s->folder);
	ipc_channel_init(&channel, socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	assert_int_equal(connect(channel.descriptor, (struct sockaddr *)&address, sizeof address), 0);
	msg_ctl_request_send(&channel, 1, &(struct msg_ctl_request){ .words = str_from(separated, length + 1) }, -1);
	buf_clear(rows);
	while (await(s, &channel, &frame, ORDER_MS) && msg_ctl_row_read(&frame, &row))
		add_row(rows, row.fields);
	assert_true(msg_ctl_done_read(&frame, &done));
	ipc_channel_release(&channel);
	return done.status;
}

bool has_row(const struct buf *rows, const char *part)
{
	return str_find(buf_str(rows), str_of(part)) < rows->length;
}

void wait_for_row(struct scene *s, const char *words, const char *part, struct buf *rows)
{
	int64_t until = clock_monotonic_ms() + 20000;
	do {
		control(s, words, rows);
		if (has_row(rows, part))
			return;
		expect_nothing(s, &s->master);
	} while (clock_monotonic_ms() < until);
	fail_msg("no %s in %.*s", part, STR_ARG(buf_str(rows)));
}

void wait_for_no_row(struct scene *s, const char *part, struct ipc_channel *quiet, struct buf *rows)
{
	int64_t until = clock_monotonic_ms() + 20000;
	while (control(s, "list", rows) == 0 && has_row(rows, part) && clock_monotonic_ms() < until)
		expect_nothing(s, quiet);
	assert_false(has_row(rows, part));
}

/* ---- main ---- */

/* Root would have queue become posthorn-queue, which need not exist where this runs. */
static void give_up_root(void)
{
	enum { NOBODY = 65534 };
	if (geteuid() == 0)
		must(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

bool kit_start(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: %s POSTHORN-QUEUE FAULTS.SO [TESTS]\n", argv[0]);
		return false;
	}
	kit_program = argv[1];
	kit_faults = argv[2];
	give_up_root();
	if (argc > 3)
		cmocka_set_test_filter(argv[3]);
	return true;
}
