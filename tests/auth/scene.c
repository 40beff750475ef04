#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void scene_open(struct scene *s, const char *const *settings)
{
	struct ipc_frame frame;
	office_open(&s->office, settings);
	office_furnish(&s->office);
	office_wire_porter(&s->office, KIND_USERS, PORTER, &s->porter, &s->offer);
	office_wire(&s->office, ROLE_QUEUE, KIND_WORLD, 1, &s->queue);
	msg_may_send_send(&s->queue, 1, &(struct msg_may_send){ .account = 1, .address = STR("x@y.test") }, -1);
	expect(&s->queue, MSG_MAY_SEND_ANSWER, &frame);
}

void scene_close(struct scene *s)
{
	ipc_channel_release(&s->porter);
	ipc_channel_release(&s->queue);
	office_close(&s->office);
}

void expect_ok(struct ipc_channel *porter, uint64_t connection, struct msg_auth_ok *ok, struct ipc_frame *frame)
{
	assert_int_equal(expect(porter, MSG_AUTH_OK, frame), connection);
	assert_true(msg_auth_ok_read(frame, ok));
}

void expect_failed(struct ipc_channel *porter, uint64_t connection, enum auth_reason reason)
{
	struct ipc_frame frame;
	struct msg_auth_failed failed;
	assert_int_equal(expect(porter, MSG_AUTH_FAILED, &frame), connection);
	assert_true(msg_auth_failed_read(&frame, &failed));
	assert_int_equal(failed.reason, reason);
}

void expect_text(struct str text, const char *wanted)
{
	if (!str_equal(text, str_of(wanted)))
		fail_msg("\"%.*s\" instead of \"%s\"", STR_ARG(text), wanted);
}

bool is_zero(const struct ipc_id *id)
{
	static const struct ipc_id zero;
	return memcmp(id, &zero, sizeof zero) == 0;
}

void open_connection(struct scene *s, uint64_t connection, enum service service)
{
	struct msg_connection_verdict verdict;
	announce(&s->porter, connection, service, PEER, &verdict);
	assert_int_equal(verdict.allowed, 1);
	assert_int_equal(verdict.trusted, 0);
	assert_true(is_zero(&verdict.token));
}

void close_connection(struct ipc_channel *porter, uint64_t connection)
{
	msg_connection_closed_send(porter, connection, &(struct msg_connection_closed){}, -1);
}

bool is_allowed(struct scene *s, uint64_t connection, const char *peer)
{
	struct msg_connection_verdict verdict;
	announce(&s->porter, connection, SERVICE_POP3S, peer, &verdict);
	return verdict.allowed;
}

struct ipc_id expect_token(struct ipc_channel *queue, uint64_t account, const char *address)
{
	struct ipc_frame frame;
	struct msg_token token;
	expect(queue, MSG_TOKEN, &frame);
	assert_true(msg_token_read(&frame, &token));
	assert_int_equal(token.account, account);
	expect_text(token.address, address);
	return token.token;
}

void expect_token_ended(struct ipc_channel *queue, const struct ipc_id *token)
{
	struct ipc_frame frame;
	struct msg_token_ended ended;
	expect(queue, MSG_TOKEN_ENDED, &frame);
	assert_true(msg_token_ended_read(&frame, &ended));
	assert_memory_equal(&ended.token, token, sizeof *token);
}

struct ipc_id submit(struct scene *s, uint64_t connection)
{
	struct ipc_frame frame;
	struct msg_auth_ok ok;
	struct ipc_id token;
	open_connection(s, connection, SERVICE_SUBMISSIONS);
	send_password(&s->porter, connection, SERVICE_SUBMISSIONS, "bob", "battery staple");
	expect_ok(&s->porter, connection, &ok, &frame);
	token = ok.token;
	assert_false(is_zero(&token));
	/* Queue's was sent before. */
	assert_int_equal(ipc_receive_wait(&s->queue, &frame, 0), IPC_FRAME);
	struct msg_token told;
	assert_true(msg_token_read(&frame, &told));
	assert_int_equal(told.account, 2);
	expect_text(told.address, "bob@example.test");
	assert_memory_equal(&told.token, &token, sizeof token);
	return token;
}

static void receive_drop(struct office *o, struct ipc_frame *frame)
{
	do
		assert_int_equal(ipc_receive_wait(&o->master, frame, 60000), IPC_FRAME);
	while (frame->type == MSG_SESSION_ACCOUNT);
}

void expect_session_drop(struct office *o, uint64_t connection)
{
	struct ipc_frame frame;
	struct msg_session_drop drop;
	receive_drop(o, &frame);
	assert_true(msg_session_drop_read(&frame, &drop));
	assert_int_equal(frame.request, connection);
	assert_int_equal(drop.porter, PORTER);
}

void expect_drop(struct office *o, uint64_t account)
{
	struct ipc_frame frame;
	struct msg_account_drop drop;
	receive_drop(o, &frame);
	assert_true(msg_account_drop_read(&frame, &drop));
	assert_int_equal(drop.account, account);
}

void expect_changed(struct ipc_channel *queue)
{
	struct ipc_frame frame;
	expect(queue, MSG_DIRECTORY_CHANGED, &frame);
}

enum resolve_verdict resolve(struct ipc_channel *queue, const char *address, struct buf *targets)
{
	struct ipc_frame frame;
	struct msg_resolved resolved;
	struct msg_quota quota;
	struct target target;
	msg_resolve_send(queue, 3, &(struct msg_resolve){ .address = str_of(address) }, -1);
	buf_clear(targets);
	while (ipc_receive_wait(queue, &frame, 60000) == IPC_FRAME && frame.type == MSG_QUOTA) {
		assert_true(msg_quota_read(&frame, &quota));
		buf_printf(targets, "[%llu %llu %llu]", (unsigned long long)quota.account,
		           (unsigned long long)quota.limit_bytes, (unsigned long long)quota.limit_messages);
	}
	assert_int_equal(frame.type, MSG_RESOLVED);
	assert_int_equal(frame.request, 3);
	assert_true(msg_resolved_read(&frame, &resolved));
	while (target_next(&resolved.targets, &target))
		buf_printf(targets, "%llu %.*s %.*s;", (unsigned long long)target.account, STR_ARG(target.address),
		           STR_ARG(target.detail));
	assert_int_equal(resolved.targets.length, 0);
	return (enum resolve_verdict)resolved.verdict;
}

/* Root would have auth become posthorn-auth, which need not exist where this runs. */
static void give_up_root(void)
{
	enum { NOBODY = 65534 };
	if (geteuid() == 0)
		must(setresgid(NOBODY, NOBODY, NOBODY) == 0 && setresuid(NOBODY, NOBODY, NOBODY) == 0);
}

bool scene_begin(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s POSTHORN-AUTH [TEST]\n", argv[0]);
		return false;
	}
	if (argc > 2)
		cmocka_set_test_filter(argv[2]);
	auth_program = argv[1];
	give_up_root();
	return true;
}
