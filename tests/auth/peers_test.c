/* Peers that break the rules end alone. */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>

#include <cmocka.h>

enum harm {
	HARM_NO_FRAME,
	HARM_SHORT,
	HARM_FORBIDDEN,
	HARM_KIND,
	HARM_TWICE,
	HARM_TWO_AT_ONCE,
	HARM_STEP,
	HARM_SERVICE,
	HARM_COUNT
};

static void do_harm(struct ipc_channel *porter, enum harm harm)
{
	struct msg_connection_opened opened = { .service = SERVICE_POP3S, .peer = STR(PEER) };
	struct msg_connection_verdict verdict;
	switch (harm) {
	case HARM_NO_FRAME: assert_true(send(porter->descriptor, "garbage", 7, 0) == 7); break;
	case HARM_SHORT: ipc_send(porter, MSG_CONNECTION_OPENED, 1, STR("x"), NULL, 0); break;
	case HARM_FORBIDDEN: msg_token_send(porter, 1, &(struct msg_token){ .account = 1 }, -1); break;
	case HARM_KIND:
		opened.service = SERVICE_SMTP;
		msg_connection_opened_send(porter, 1, &opened, -1);
		break;
	case HARM_TWICE:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		msg_connection_opened_send(porter, 1, &opened, -1);
		break;
	case HARM_TWO_AT_ONCE:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		send_password(porter, 1, SERVICE_POP3S, "alice", "wrong");
		send_password(porter, 1, SERVICE_POP3S, "alice", "correct horse");
		break;
	case HARM_STEP:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		msg_auth_step_send(porter, 1, &(struct msg_auth_step){}, -1);
		break;
	case HARM_SERVICE:
		announce(porter, 1, SERVICE_POP3S, PEER, &verdict);
		send_password(porter, 1, SERVICE_SUBMISSION, "alice", "correct horse");
		break;
	case HARM_COUNT: break;
	}
}

static void a_bad_porter_ends_alone(void **state)
{
	struct scene s;
	(void)state;
	scene_open(&s, NULL);
	for (enum harm harm = 0; harm < HARM_COUNT; harm++) {
		struct ipc_channel bad;
		office_wire_porter(&s.office, KIND_USERS, 80 + harm, &bad, NULL);
		do_harm(&bad, harm);
		expect_closed(&bad);
		ipc_channel_release(&bad);
		assert_true(log_in(&s.porter, SERVICE_POP3S, "192.0.2.2", "alice", "correct horse", NULL));
	}
	scene_close(&s);
}

static void porters_of_strangers_cannot_log_in(void **state)
{
	struct scene s;
	struct ipc_channel world;
	(void)state;
	scene_open(&s, NULL);
	office_wire_porter(&s.office, KIND_WORLD, 72, &world, NULL);
	send_password(&world, 1, SERVICE_SMTP, "alice", "correct horse");
	expect_closed(&world);
	ipc_channel_release(&world);
	scene_close(&s);
}

static void bad_words_end_a_posthornctl_and_a_queue_alone(void **state)
{
	struct scene s;
	struct ipc_channel local;
	struct msg_ctl_request request = { .words = str_from("password\0a\0b", 12) };
	(void)state;
	scene_open(&s, NULL);
	office_password(&s.office, &local);
	msg_ctl_request_send(&local, 0, &request, -1);
	expect_closed(&local);
	ipc_channel_release(&local);
	ipc_send(&s.queue, MSG_RESOLVE, 1, STR(""), NULL, 0);
	expect_closed(&s.queue);
	assert_true(log_in(&s.porter, SERVICE_POP3S, PEER, "alice", "correct horse", NULL));
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bad_porter_ends_alone),
		cmocka_unit_test(porters_of_strangers_cannot_log_in),
		cmocka_unit_test(bad_words_end_a_posthornctl_and_a_queue_alone),
	};
	return scene_begin(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
