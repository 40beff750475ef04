#include "fixture.h"

#include "config.h"
#include "file.h"
#include "mem.h"
#include "spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 60000 };

const char *auth_program;

/* Cheap hashes, so that a test takes its time from answer_time_ms alone. */
static int config_memory(const struct office *o, const char *const *settings)
{
	static const char *const always[] = { "hostname=mail.example.test", "answer_time_ms=80",   "failure_delay_ms=10",
		                                  "failure_delay_max_ms=20",    "argon2_operations=1", "argon2_memory_kb=8",
		                                  "block_after_failures=5",     "password_minimum_length=8",
		                                  "allow_plaintext_login=loopback", "exempt_networks=198.51.100.0/24",
		                                  "trusted_networks=203.0.113.0/24" };
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(mem_free) char *data = mem_printf("data_directory=%s", o->folder);
	CLEANUP(config_release) struct config config;
	config_init(&config);
	assert_true(config_set(&config, data, NULL));
	for (size_t i = 0; i < COUNT_OF(always); i++)
		assert_true(config_set(&config, always[i], NULL));
	for (; settings && *settings; settings++)
		assert_true(config_set(&config, *settings, NULL));
	config_print(&config, &text);
	int memory = file_sealed_memory("config", buf_str(&text), NULL);
	assert_true(memory >= 0);
	return memory;
}

static void address_of(const struct office *o, const char *name, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(address->sun_path, sizeof address->sun_path, "%s/%s", o->folder, name);
}

static int listener(struct office *o, const char *name, enum service service)
{
	struct sockaddr_un address;
	int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	address_of(o, name, &address);
	unlink(address.sun_path);
	assert_int_equal(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
	assert_int_equal(listen(descriptor, 10), 0);
	msg_listener_send(&o->master, 0, &(struct msg_listener){ .service = (uint32_t)service }, dup(descriptor));
	return descriptor;
}

static void connect_to(struct office *o, const char *name, struct ipc_channel *channel)
{
	struct sockaddr_un address;
	int descriptor = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	address_of(o, name, &address);
	assert_int_equal(connect(descriptor, (struct sockaddr *)&address, sizeof address), 0);
	ipc_channel_init(channel, descriptor);
}

void office_start(struct office *o, const char *const *settings)
{
	struct ipc_frame frame;
	struct msg_hello hello;
	int pair[2], config = config_memory(o, settings);
	char *arguments[] = { (char *)"posthorn-auth", NULL };
	assert_true(ipc_pair(pair, NULL));
	o->pid = spawn_program(auth_program, arguments, pair[1], config, NULL);
	assert_true(o->pid > 0);
	close(pair[1]);
	close(config);
	ipc_channel_init(&o->master, pair[0]);
	expect(&o->master, MSG_HELLO, &frame);
	assert_true(msg_hello_read(&frame, &hello));
	assert_int_equal(hello.role, ROLE_AUTH);
	assert_int_equal(hello.version, ipc_version());
	expect(&o->master, MSG_READY, &frame);
	o->control_listener = listener(o, "control", SERVICE_CONTROL);
	o->password_listener = listener(o, "password", SERVICE_PASSWORD);
	connect_to(o, "control", &o->control);
}

void office_open(struct office *o, const char *const *settings)
{
	*o = (struct office){};
	snprintf(o->folder, sizeof o->folder, "/tmp/posthorn-auth-test-XXXXXX");
	assert_non_null(mkdtemp(o->folder));
	office_start(o, settings);
}

static int wait_for_end(struct office *o)
{
	int status;
	assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
	ipc_channel_release(&o->control);
	ipc_channel_release(&o->master);
	close(o->control_listener);
	close(o->password_listener);
	return status;
}

/* Ends it as master would and sees that it ends well. */
static void office_stop(struct office *o)
{
	msg_drain_send(&o->master, 0, &(struct msg_drain){}, -1);
	int status = wait_for_end(o);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

void office_kill(struct office *o)
{
	kill(o->pid, SIGKILL);
	assert_true(WIFSIGNALED(wait_for_end(o)));
}

void office_close(struct office *o)
{
	CLEANUP(mem_free) char *command = mem_printf("rm -r '%s'", o->folder);
	office_stop(o);
	assert_int_equal(system(command), 0);
}

void office_reconfigure(struct office *o, const char *const *settings)
{
	struct ipc_frame frame;
	msg_reconfigure_send(&o->master, 0, &(struct msg_reconfigure){}, config_memory(o, settings));
	msg_ping_send(&o->master, 7, &(struct msg_ping){}, -1);
	do
		assert_int_equal(ipc_receive_wait(&o->master, &frame, PATIENCE_MS), IPC_FRAME);
	while (frame.type == MSG_SESSION_ACCOUNT);
	assert_int_equal(frame.type, MSG_PONG);
}

void office_wire(struct office *o, enum ipc_role role, enum kind kind, uint64_t id, struct ipc_channel *channel)
{
	int pair[2];
	struct msg_wire wire = { .role = (uint32_t)role, .kind = (uint32_t)kind, .peer = id };
	assert_true(ipc_pair(pair, NULL));
	msg_wire_send(&o->master, 0, &wire, pair[1]);
	ipc_channel_init(channel, pair[0]);
}

void office_wire_porter(struct office *o, enum kind kind, uint64_t id, struct ipc_channel *channel,
                        struct msg_auth_offer *offer)
{
	struct ipc_frame frame;
	struct msg_auth_offer ignored;
	office_wire(o, ROLE_PORTER, kind, id, channel);
	expect(channel, MSG_AUTH_OFFER, &frame);
	assert_true(msg_auth_offer_read(&frame, offer ? offer : &ignored));
}

void office_password(struct office *o, struct ipc_channel *channel)
{
	connect_to(o, "password", channel);
}

/* ---- messages ------------------------------------------------------------------------------ */

uint64_t expect(struct ipc_channel *channel, enum msg_type type, struct ipc_frame *frame)
{
	enum ipc_received got = ipc_receive_wait(channel, frame, PATIENCE_MS);
	if (got != IPC_FRAME)
		fail_msg("%s instead of %s", got == IPC_AGAIN ? "nothing" : "the end", msg_name(type));
	if (frame->type != type)
		fail_msg("%s instead of %s", msg_name(frame->type), msg_name(type));
	return frame->request;
}

void expect_nothing(struct ipc_channel *channel)
{
	struct ipc_frame frame;
	if (ipc_receive_wait(channel, &frame, 0) == IPC_FRAME)
		fail_msg("%s came", msg_name(frame.type));
}

void expect_closed(struct ipc_channel *channel)
{
	struct ipc_frame frame;
	assert_int_equal(ipc_receive_wait(channel, &frame, PATIENCE_MS), IPC_CLOSED);
}

/* ---- posthornctl --------------------------------------------------------------------------- */

static void print_row(struct buf *answer, struct str fields)
{
	struct str key, value;
	while (str_take_until(&fields, '\0', &key) && str_take_until(&fields, '\0', &value))
		buf_printf(answer, "%.*s=%.*s\n", STR_ARG(key), STR_ARG(value));
	buf_add_char(answer, '\n');
}

unsigned ask(struct ipc_channel *channel, struct buf *answer, int descriptor, const char *const *words)
{
	CLEANUP(buf_release) struct buf request = BUF_WITH_LIMIT(60000);
	struct ipc_frame frame;
	struct msg_ctl_row row;
	struct msg_ctl_done done;
	buf_clear(answer);
	for (; *words; words++)
		buf_append(&request, *words, strlen(*words) + 1);
	msg_ctl_request_send(channel, 0, &(struct msg_ctl_request){ .words = buf_str(&request) }, descriptor);
	while (ipc_receive_wait(channel, &frame, PATIENCE_MS) == IPC_FRAME && frame.type == MSG_CTL_ROW) {
		assert_true(msg_ctl_row_read(&frame, &row));
		print_row(answer, row.fields);
	}
	assert_int_equal(frame.type, MSG_CTL_DONE);
	assert_true(msg_ctl_done_read(&frame, &done));
	if (done.status)
		buf_add_str(answer, done.text);
	return done.status;
}

void tell(struct office *o, const char *const *words)
{
	CLEANUP(buf_release) struct buf answer = BUF_WITH_LIMIT(1 << 20);
	if (ask(&o->control, &answer, -1, words) != 0)
		fail_msg("%s %s: %s", words[0], words[1], buf_text(&answer));
}

struct str value_of(const struct buf *answer, const char *key)
{
	struct str rest = buf_str(answer), line, name;
	while (str_take_until(&rest, '\n', &line))
		if (str_take_until(&line, '=', &name) && str_equal(name, str_of(key)))
			return line;
	return STR("");
}

void office_furnish(struct office *o)
{
	tell(o, WORDS("domain", "add", "example.test"));
	tell(o, WORDS("account", "add", "alice@example.test", "language", "it", "password", "correct horse"));
	tell(o, WORDS("account", "add", "bob@example.test", "password", "battery staple"));
}

/* ---- clients ------------------------------------------------------------------------------- */

void announce(struct ipc_channel *porter, uint64_t connection, enum service service, const char *peer,
              struct msg_connection_verdict *verdict)
{
	static char timestamp[129]; /* the frame's bytes are overwritten by the next one */
	struct ipc_frame frame;
	struct msg_connection_opened opened = { .service = (uint32_t)service, .peer = str_of(peer) };
	msg_connection_opened_send(porter, connection, &opened, -1);
	assert_int_equal(expect(porter, MSG_CONNECTION_VERDICT, &frame), connection);
	assert_true(msg_connection_verdict_read(&frame, verdict));
	memcpy(timestamp, verdict->apop_timestamp.data, verdict->apop_timestamp.length);
	verdict->apop_timestamp.data = timestamp;
}

void send_password(struct ipc_channel *porter, uint64_t connection, enum service service, const char *user,
                   const char *password)
{
	struct msg_auth_password login = {
		.service = (uint32_t)service, .tls = 1, .user = str_of(user), .password = str_of(password),
	};
	msg_auth_password_send(porter, connection, &login, -1);
}

/* After AUTH_FAILED. */
static bool not_logged_in(const struct ipc_frame *frame, enum auth_reason *reason)
{
	struct msg_auth_failed failed;
	assert_true(msg_auth_failed_read(frame, &failed));
	if (reason)
		*reason = (enum auth_reason)failed.reason;
	return false;
}

static void begin(struct ipc_channel *porter, uint64_t connection, enum service service, const char *mechanism,
                  struct str exporter, bool has_initial, struct str initial)
{
	struct msg_auth_start start = {
		.service = (uint32_t)service,
		.tls = 1,
		.mechanism = str_of(mechanism),
		.has_initial = has_initial,
		.initial = initial,
		.exporter = exporter,
	};
	msg_auth_start_send(porter, connection, &start, -1);
}

bool log_in_by(struct ipc_channel *porter, uint64_t connection, enum service service, const char *mechanism,
               const char *user, const char *password, struct str exporter, enum auth_reason *reason)
{
	CLEANUP(sasl_cleanup) struct sasl *sasl = sasl_new();
	CLEANUP(buf_release) struct buf output = BUF_WITH_LIMIT(SASL_MESSAGE_MAX);
	bool binds = str_ends_nocase(str_of(mechanism), STR("-PLUS"));
	struct sasl_facts facts = { .tls = true, .tls_exporter = binds ? exporter : STR("") };
	CLEANUP(sasl_exchange_cleanup) struct sasl_exchange *x =
		sasl_client_start(sasl, str_of(mechanism), &facts, str_of(user), str_of(password), NULL);
	struct ipc_frame frame;
	struct msg_auth_challenge challenge;
	assert_non_null(x);
	bool first = sasl_client_speaks_first(x);
	if (first && sasl_client_step(x, STR(""), &output) == SASL_FAILED)
		fail_msg("%s: %s", mechanism, sasl_why(x));
	begin(porter, connection, service, mechanism, exporter, first, buf_str(&output));
	while (ipc_receive_wait(porter, &frame, PATIENCE_MS) == IPC_FRAME && frame.type == MSG_AUTH_CHALLENGE) {
		assert_true(msg_auth_challenge_read(&frame, &challenge));
		assert_int_not_equal(sasl_client_step(x, challenge.challenge, &output), SASL_FAILED);
		msg_auth_step_send(porter, connection, &(struct msg_auth_step){ .response = buf_str(&output) }, -1);
	}
	assert_int_equal(frame.request, connection);
	return frame.type == MSG_AUTH_OK || not_logged_in(&frame, reason);
}

bool log_in(struct ipc_channel *porter, enum service service, const char *peer, const char *user, const char *password,
            enum auth_reason *reason)
{
	static uint64_t last = 1000000;
	uint64_t connection = ++last;
	struct msg_connection_verdict verdict;
	struct ipc_frame frame;
	announce(porter, connection, service, peer, &verdict);
	assert_int_equal(verdict.allowed, 1);
	send_password(porter, connection, service, user, password);
	assert_int_equal(ipc_receive_wait(porter, &frame, PATIENCE_MS), IPC_FRAME);
	bool done = frame.type == MSG_AUTH_OK || not_logged_in(&frame, reason);
	msg_connection_closed_send(porter, connection, &(struct msg_connection_closed){}, -1);
	return done;
}
