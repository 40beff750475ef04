/* Peers in a loop: what they may ask, what ends them, and that the receiver goes on. */
#include "ipc.h"

#include "mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { FIRST = 1, SECOND = 2 };

/* The receiver's side of one peer, and the peer's own end. */
struct side {
	struct ipc_peer peer;
	struct loop *loop;
	struct ipc_channel other;
	unsigned pings, readies, ended;
	const char *why;
	bool end_at_ping;     /* the handler asks for the end */
	bool release_at_ping; /* the handler releases the peer */
	bool refuse_ping;
	bool released;
};

static bool on_ping(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct side *side = peer->owner;
	side->pings++;
	assert_int_equal(frame->type, MSG_PING);
	if (side->end_at_ping)
		ipc_peer_end(peer, "enough");
	if (side->release_at_ping) {
		ipc_peer_release(peer);
		memset(peer, 0, sizeof *peer); /* as if freed: whoever looks at it now stumbles */
		side->released = true;
	}
	return !side->refuse_ping;
}

static bool on_ready(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct side *side = peer->owner;
	struct msg_ready ready;
	side->readies++;
	peer->state = SECOND;
	return msg_ready_read(frame, &ready);
}

static bool on_row(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_ctl_row row;
	(void)peer;
	return msg_ctl_row_read(frame, &row);
}

static const struct ipc_permit permits[] = {
	{ MSG_PING, FIRST | SECOND, 0, on_ping },
	{ MSG_READY, FIRST, 1, on_ready },
	{ MSG_PONG, SECOND, 2, on_ping },
	{ MSG_CTL_ROW, (unsigned)IPC_ANY_STATE, 3, on_row },
};

static void on_ended(struct ipc_peer *peer, const char *why)
{
	struct side *side = peer->owner;
	side->ended++;
	side->why = why;
	ipc_peer_release(peer);
	side->released = true;
}

static struct side *side_new(struct loop *loop)
{
	struct side *side = mem_alloc(sizeof *side);
	int pair[2];
	assert_true(ipc_pair(pair, NULL));
	side->loop = loop;
	side->peer.owner = side;
	ipc_channel_init(&side->other, pair[1]);
	ipc_peer_start(&side->peer, loop, pair[0], permits, COUNT_OF(permits), on_ended);
	return side;
}

static void side_free(struct side *side)
{
	if (!side->released)
		ipc_peer_release(&side->peer);
	ipc_channel_release(&side->other);
	free(side);
}

static void run_all(struct loop *loop)
{
	for (int i = 0; i < 20; i++)
		loop_step(loop, 0);
}

static void send_empty(struct side *side, enum msg_type type)
{
	ipc_send(&side->other, type, 0, STR(""), NULL, 0);
}

static unsigned open_descriptors(void)
{
	unsigned count = 0;
	for (int i = 0; i < 4096; i++)
		count += fcntl(i, F_GETFD) >= 0;
	return count;
}

/* What is sent, up to MSG_NONE; and why the peer is ended (NULL: it is not). */
static void permits_rule(void **state)
{
	static const struct {
		enum msg_type sent[6];
		const char *why;
	} cases[] = {
		{ { MSG_PING, MSG_PING, MSG_PING, MSG_PING, MSG_PING }, NULL },
		{ { MSG_READY, MSG_PING }, NULL },
		{ { MSG_HELLO }, "message not permitted" },
		{ { MSG_PONG }, "message not permitted in this state" },
		{ { MSG_READY, MSG_READY }, "message not permitted in this state" },
		{ { MSG_CTL_ROW }, "malformed message" },
		{ { MSG_PING, MSG_CTL_DONE, MSG_PING }, "message not permitted" },
	};
	struct loop *loop = loop_new();
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct side *side = side_new(loop), *bystander = side_new(loop);
		for (size_t k = 0; cases[i].sent[k]; k++)
			send_empty(side, cases[i].sent[k]);
		send_empty(bystander, MSG_PING);
		run_all(loop);
		assert_int_equal(side->ended, cases[i].why ? 1 : 0);
		if (cases[i].why)
			assert_string_equal(side->why, cases[i].why);
		send_empty(bystander, MSG_PING);
		run_all(loop);
		assert_true(bystander->pings == 2 && !bystander->ended);
		side_free(side);
		side_free(bystander);
	}
	loop_free(loop);
}

/* on_ping does not read the message, for there is nothing in it. */
static void an_empty_message_is_empty(void **state)
{
	struct loop *loop = loop_new();
	struct side *side = side_new(loop);
	(void)state;
	ipc_send(&side->other, MSG_PING, 0, STR("x"), NULL, 0);
	run_all(loop);
	assert_true(side->pings == 0 && side->ended == 1);
	assert_string_equal(side->why, "malformed message");
	side_free(side);
	loop_free(loop);
}

static void times_are_counted_per_peer(void **state)
{
	struct loop *loop = loop_new();
	struct side *one = side_new(loop), *other = side_new(loop);
	(void)state;
	struct msg_ctl_row row = { .fields = STR("x") };
	for (int i = 0; i < 3; i++) {
		msg_ctl_row_send(&one->other, 0, &row, -1);
		msg_ctl_row_send(&other->other, 0, &row, -1);
	}
	run_all(loop);
	assert_true(!one->ended && !other->ended);
	msg_ctl_row_send(&one->other, 0, &row, -1);
	run_all(loop);
	assert_true(one->ended && !other->ended);
	assert_string_equal(one->why, "message sent too often");
	side_free(one);
	side_free(other);
	loop_free(loop);
}

/* Whatever is wrong with a frame that carries descriptors, none of them stays. */
static void refused_descriptors_are_closed(void **state)
{
	static const enum msg_type types[] = { MSG_PING, MSG_HELLO, MSG_CTL_ROW, MSG_PONG };
	(void)state;
	for (size_t i = 0; i < COUNT_OF(types); i++) {
		unsigned before = open_descriptors();
		struct loop *loop = loop_new();
		struct side *side = side_new(loop);
		int descriptors[LIMIT_IPC_DESCRIPTORS_MAX];
		for (size_t k = 0; k < COUNT_OF(descriptors); k++)
			descriptors[k] = dup(0);
		ipc_send(&side->other, types[i], 0, STR(""), descriptors, COUNT_OF(descriptors));
		run_all(loop);
		assert_int_equal(side->ended, types[i] != MSG_PING);
		assert_int_equal(open_descriptors(), before + 2 + (side->ended == 0)); /* the loop, the other end, the peer */
		side_free(side);
		loop_free(loop);
		assert_int_equal(open_descriptors(), before);
	}
}

static void garbage_ends_the_peer(void **state)
{
	struct loop *loop = loop_new();
	struct side *side = side_new(loop), *bystander = side_new(loop);
	(void)state;
	send_empty(side, MSG_PING);
	assert_int_equal(send(side->other.descriptor, "garbage", 7, 0), 7);
	send_empty(side, MSG_PING);
	send_empty(bystander, MSG_PING);
	run_all(loop);
	assert_true(side->ended == 1 && side->pings == 1);
	assert_string_equal(side->why, "no frame");
	assert_true(bystander->pings == 1 && !bystander->ended);
	side_free(side);
	side_free(bystander);
	loop_free(loop);
}

/* What it said before is heard, also when what we sent since met nobody. */
static void a_closed_peer_is_no_offender(void **state)
{
	(void)state;
	for (unsigned sends = 0; sends < 3; sends++) {
		struct loop *loop = loop_new();
		struct side *side = side_new(loop);
		send_empty(side, MSG_PING);
		ipc_channel_release(&side->other);
		for (unsigned i = 0; i < sends; i++)
			ipc_send(&side->peer.channel, MSG_PING, 0, STR(""), NULL, 0);
		run_all(loop);
		assert_true(side->pings == 1 && side->ended == 1 && !side->why);
		side_free(side);
		loop_free(loop);
	}
}

static void a_handler_may_release_its_peer(void **state)
{
	(void)state;
	for (int refuse = 0; refuse < 2; refuse++) {
		struct loop *loop = loop_new();
		struct side *side = side_new(loop);
		side->release_at_ping = true;
		side->refuse_ping = refuse;
		for (int i = 0; i < 5; i++)
			send_empty(side, MSG_PING);
		run_all(loop);
		assert_true(side->pings == 1 && side->ended == 0);
		side_free(side);
		loop_free(loop);
	}
}

static void nothing_is_served_after_the_end_was_asked_for(void **state)
{
	struct loop *loop = loop_new();
	struct side *side = side_new(loop);
	(void)state;
	side->end_at_ping = true;
	for (int i = 0; i < 5; i++)
		send_empty(side, MSG_PING);
	run_all(loop);
	assert_true(side->pings == 1 && side->ended == 1);
	assert_string_equal(side->why, "enough");
	side_free(side);
	loop_free(loop);
}

/* One that does not read: sending never blocks, everything comes in order once it reads. */
static void what_waits_comes_in_order(void **state)
{
	enum { COUNT = 3000 };
	static char filler[2000];
	struct loop *loop = loop_new();
	struct side *side = side_new(loop);
	struct ipc_frame frame;
	uint64_t got = 0;
	(void)state;
	for (uint64_t i = 0; i < COUNT; i++)
		msg_ctl_row_send(&side->peer.channel, i, &(struct msg_ctl_row){ .fields = str_from(filler, sizeof filler) },
		                 i % 50 ? -1 : dup(0));
	assert_true(side->peer.channel.waiting_octets > 0 && !side->peer.channel.broken);
	while (got < COUNT) {
		loop_step(loop, 0);
		while (ipc_receive(&side->other, &frame) == IPC_FRAME) {
			assert_true(frame.request == got && frame.descriptor_count == (got % 50 == 0));
			ipc_close_descriptors(&frame);
			got++;
		}
	}
	assert_true(side->peer.channel.waiting_octets == 0 && side->peer.channel.waiting_descriptors == 0);
	assert_int_equal(side->ended, 0);
	side_free(side);
	loop_free(loop);
}

/* One that never reads is ended at the limit, small as its frames may be, and what waited for it is given back. */
static void who_never_reads_is_ended(void **state)
{
	static char filler[60000];
	static const struct {
		size_t length;
		bool with_descriptor;
		size_t most;
	} cases[] = {
		{ sizeof filler, false, LIMIT_IPC_WAITING_MAX / sizeof filler + 100 },
		{ 0, false, LIMIT_IPC_WAITING_MAX / 16 },
		{ 0, true, LIMIT_IPC_WAITING_DESCRIPTORS_MAX + 2000 },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		unsigned before = open_descriptors();
		struct loop *loop = loop_new();
		struct side *side = side_new(loop), *bystander = side_new(loop);
		size_t sent = 0;
		for (; sent < cases[i].most && !side->peer.channel.broken; sent++)
			msg_ctl_row_send(&side->peer.channel, 0, &(struct msg_ctl_row){ .fields = str_from(filler, cases[i].length) },
			                 cases[i].with_descriptor ? dup(0) : -1);
		assert_true(side->peer.channel.broken && side->peer.channel.waiting_octets == 0);
		assert_int_equal(side->ended, 0); /* not under the hands of the sender */
		send_empty(bystander, MSG_PING);
		run_all(loop);
		assert_int_equal(side->ended, 1);
		assert_string_equal(side->why, "does not read");
		assert_int_equal(bystander->pings, 1);
		side_free(side);
		side_free(bystander);
		loop_free(loop);
		assert_int_equal(open_descriptors(), before);
	}
}

/* A forked child gives the peer up; the parent's goes on, though they shared the loop's registration. */
static void a_child_forgets_what_is_its_parents(void **state)
{
	struct loop *loop = loop_new();
	struct side *side = side_new(loop);
	int status;
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		ipc_peer_forget(&side->peer);
		loop_free(loop);
		_exit(side->peer.watch.added || side->peer.channel.descriptor >= 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	send_empty(side, MSG_PING);
	run_all(loop);
	assert_int_equal(side->pings, 1);
	side_free(side);
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(permits_rule),
		cmocka_unit_test(an_empty_message_is_empty),
		cmocka_unit_test(times_are_counted_per_peer),
		cmocka_unit_test(refused_descriptors_are_closed),
		cmocka_unit_test(garbage_ends_the_peer),
		cmocka_unit_test(a_closed_peer_is_no_offender),
		cmocka_unit_test(a_handler_may_release_its_peer),
		cmocka_unit_test(nothing_is_served_after_the_end_was_asked_for),
		cmocka_unit_test(what_waits_comes_in_order),
		cmocka_unit_test(who_never_reads_is_ended),
		cmocka_unit_test(a_child_forgets_what_is_its_parents),
	};
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
