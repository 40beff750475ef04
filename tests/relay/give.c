/*
 * posthorn-relay as a process of its own, sandbox and all, with this program in the place of its master, of queue and of the
 * resolver, whose answers come from a zone in memory; those about names that begin with "mute" wait for "unmute":
 *
 *	give RELAY ZONEFILE [key=value …]
 *
 * Commands come on standard input, a line each; what relay says goes to standard output, a line each.
 *
 *	job NUMBER DESTINATION FILE FLAGS SENDER RECIPIENT…     FLAGS: enum relay_flags as a number; SENDER "-" is <>
 *	noted NUMBER              requeue: another queue              drain              unmute
 *
 *	up JOBS    held NUMBER MAIL PLACES    result NUMBER OUTCOME PLACES CODE STATUS HOST ADDRESS TLS REPLY (tabs between)
 *	done NUMBER REACH    ended STATUS
 */
#include "array.h"
#include "config.h"
#include "dns_zone.h"
#include "file.h"
#include "ipc.h"
#include "services.h"
#include "socket.h"
#include "spawn.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_MAX_OCTETS = 65536, WORDS_MAX = 200 };

static struct loop *loop;
static struct ipc_peer master, queue, resolver;
static struct dns_zone *zone;
static struct watch input;
static pid_t relay;
static ARRAY(uint64_t) unanswered;
static bool unmuted;

static struct config config;

static int config_memory(char **settings)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	config_init(&config);
	for (; *settings; settings++)
		must(config_set(&config, *settings, NULL));
	config_print(&config, &text);
	return file_sealed_memory("config", buf_str(&text), NULL);
}

/* ---- what relay says ---- */

static void ended(struct ipc_peer *peer, const char *why)
{
	if (why)
		printf("peer %s: %s\n", ipc_role_name(peer->role), why);
	if (peer == &master) {
		int status = 0;
		must(waitpid(relay, &status, 0) == relay);
		printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
		fflush(stdout);
		_exit(0);
	}
	ipc_peer_release(peer);
}

static void print_places(struct str places)
{
	uint32_t place;
	for (const char *between = ""; relay_place_next(&places, &place); between = ",")
		printf("%s%u", between, place);
}

static void print_done(uint64_t number, uint32_t reach)
{
	static const char *const reaches[RELAY_REACH_COUNT] = { "reached", "refused", "unreachable" };
	must(reach < RELAY_REACH_COUNT);
	printf("done %ju %s\n", (uintmax_t)number, reaches[reach]);
}

static bool on_result(struct ipc_peer *peer, struct ipc_frame *frame)
{
	static const char *const outcomes[RELAY_OUTCOME_COUNT] = { "delivered", "relayed", "deferred", "failed" };
	struct msg_relay_result r;
	(void)peer;
	must(msg_relay_result_read(frame, &r) && r.outcome < RELAY_OUTCOME_COUNT);
	printf("result %ju\t%s\t", (uintmax_t)frame->request, outcomes[r.outcome]);
	print_places(r.recipients);
	printf("\t%u\t%.*s\t%.*s\t%.*s\t%.*s\t%.*s\n", r.code, STR_ARG(r.status), STR_ARG(r.host), STR_ARG(r.address),
	       STR_ARG(r.tls), STR_ARG(r.reply));
	if (r.reach != RELAY_REACH_COUNT)
		print_done(frame->request, r.reach);
	fflush(stdout);
	return true;
}

static bool on_done(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_relay_done done;
	(void)peer;
	must(msg_relay_done_read(frame, &done));
	print_done(frame->request, done.reach);
	fflush(stdout);
	return true;
}

static bool on_held(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_relay_held held;
	(void)peer;
	must(msg_relay_held_read(frame, &held));
	printf("held %ju %ju ", (uintmax_t)frame->request, (uintmax_t)held.mail);
	print_places(held.recipients);
	printf("\n");
	fflush(stdout);
	return true;
}

static bool on_up(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_relay_up up;
	(void)peer;
	must(msg_relay_up_read(frame, &up));
	printf("up %u\n", up.jobs_max);
	fflush(stdout);
	return true;
}

/* What the policies of other domains have queue keep or count is another test's business. */
static bool pass_over(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)peer;
	(void)frame;
	return true;
}

static const struct ipc_permit queue_permits[] = {
	{ MSG_RELAY_RESULT, (unsigned)IPC_ANY_STATE, 0, on_result },
	{ MSG_RELAY_DONE, (unsigned)IPC_ANY_STATE, 0, on_done },
	{ MSG_RELAY_HELD, (unsigned)IPC_ANY_STATE, 0, on_held },
	{ MSG_RELAY_UP, (unsigned)IPC_ANY_STATE, 0, on_up },
	{ MSG_STS_POLICY, (unsigned)IPC_ANY_STATE, 0, pass_over },
	{ MSG_TLS_OUTCOME, (unsigned)IPC_ANY_STATE, 0, pass_over },
};

static void unmute(void)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(100);
	dns_answer_pack(&(struct dns_answer){ .status = DNS_FAILED }, &packed);
	for (size_t i = 0; i < unanswered.count; i++)
		msg_dns_answer_send(&resolver.channel, unanswered.items[i], &(struct msg_dns_answer){ .packed = buf_str(&packed) }, -1);
	unmuted = true;
}

static bool on_ask(struct ipc_peer *peer, struct ipc_frame *frame)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(120000);
	struct msg_dns_ask ask;
	struct dns_answer answer;
	const struct dns_source source = dns_zone_source(zone);
	must(msg_dns_ask_read(frame, &ask));
	if (str_starts(ask.name, STR("mute")) && !unmuted) {
		*array_add(&unanswered) = frame->request;
		return true;
	}
	dns_ask(&source, a, ask.name, (enum dns_type)ask.type, &answer);
	dns_answer_pack(&answer, &packed);
	msg_dns_answer_send(&peer->channel, frame->request, &(struct msg_dns_answer){ .packed = buf_str(&packed) }, -1);
	return true;
}

static const struct ipc_permit resolver_permits[] = {
	{ MSG_DNS_ASK, (unsigned)IPC_ANY_STATE, 0, on_ask },
};

static void wire(struct ipc_peer *peer, enum ipc_role role, const struct ipc_permit *permits, size_t count)
{
	int pair[2];
	must(ipc_pair(pair, NULL));
	*peer = (struct ipc_peer){ .role = role };
	ipc_peer_start(peer, loop, pair[0], permits, count, ended);
	msg_wire_send(&master.channel, 0, &(struct msg_wire){ .role = (uint32_t)role }, pair[1]);
}

/* ---- what queue says ---- */

static struct str read_all(int content, struct buf *text, uint64_t size)
{
	char *room = buf_reserve(text, size);
	must(room && file_read_at(content, room, size, 0, NULL));
	buf_claim(text, size);
	return buf_str(text);
}

/* As queue does: short mail within the job, longer one as a file. */
static void give_job(char **words, size_t count)
{
	CLEANUP(buf_release) struct buf recipients = BUF_WITH_LIMIT(LIMIT_RELAY_RECIPIENTS_OCTETS_MAX), text = BUF_WITH_LIMIT(LIMIT_RELAY_CONTENT_MAX);
	int content = open(words[3], O_RDONLY | O_CLOEXEC);
	must(content >= 0 && count > 6);
	uint64_t size = (uint64_t)lseek(content, 0, SEEK_END);
	bool inside = size <= LIMIT_RELAY_CONTENT_MAX;
	for (size_t i = 6; i < count; i++)
		relay_recipient_add(&recipients, &(struct relay_recipient){ .place = (uint32_t)(i - 6), .address = str_of(words[i]) });
	const struct msg_relay_job job = {
		.mail = 1000 + strtoull(words[1], NULL, 10), .destination = str_of(words[2]), .flags = (uint32_t)strtoul(words[4], NULL, 10),
		.sender = strcmp(words[5], "-") == 0 ? STR("") : str_of(words[5]), .size = size,
		.recipients = buf_str(&recipients), .content = inside ? read_all(content, &text, size) : STR(""),
	};
	msg_relay_job_send(&queue.channel, strtoull(words[1], NULL, 10), &job, inside ? -1 : content);
	if (inside)
		close(content);
}

static void obey(char *line)
{
	char *words[WORDS_MAX];
	size_t count = 0;
	for (char *word = line; word && count < WORDS_MAX; count++)
		words[count] = strsep(&word, " ");
	if (strcmp(words[0], "job") == 0) {
		give_job(words, count);
	} else if (strcmp(words[0], "noted") == 0) {
		CLEANUP(buf_release) struct buf number = BUF_WITH_LIMIT(100);
		relay_number_add(&number, strtoull(words[1], NULL, 10));
		msg_relay_noted_send(&queue.channel, 0, &(struct msg_relay_noted){ .jobs = buf_str(&number) }, -1);
	} else if (strcmp(words[0], "requeue") == 0) {
		ipc_peer_release(&queue);
		wire(&queue, ROLE_QUEUE, queue_permits, COUNT_OF(queue_permits));
	} else if (strcmp(words[0], "unmute") == 0) {
		unmute();
	} else {
		must(strcmp(words[0], "drain") == 0);
		msg_drain_send(&master.channel, 0, &(struct msg_drain){}, -1);
	}
}

static void on_input(void *owner, uint32_t events)
{
	static char lines[LINE_MAX_OCTETS];
	static size_t length;
	(void)owner;
	(void)events;
	ssize_t got = read(0, lines + length, sizeof lines - length);
	if (got <= 0)
		_exit(0);
	length += (size_t)got;
	for (char *end; (end = memchr(lines, '\n', length)) != NULL;) {
		size_t used = (size_t)(end - lines) + 1;
		*end = '\0';
		obey(lines);
		memmove(lines, lines + used, length - used);
		length -= used;
	}
}

/* ---- what master says ---- */

static bool on_hello(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)peer;
	(void)frame;
	wire(&resolver, ROLE_RESOLVER, resolver_permits, COUNT_OF(resolver_permits));
	wire(&queue, ROLE_QUEUE, queue_permits, COUNT_OF(queue_permits));
	return true;
}

static bool on_ready(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)peer;
	(void)frame;
	loop_watch(loop, &input, 0, EPOLLIN, on_input, NULL);
	return true;
}

static bool on_transport_connect(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct msg_transport_connect wanted;
	struct endpoint address;
	must(msg_transport_connect_read(frame, &wanted) && wanted.index < config.transport.count);
	must(endpoint_parse(str_of(config.transport.items[wanted.index].to.host), &address, NULL));
	int descriptor = socket_begin_connect(&address, NULL);
	msg_transport_socket_send(&peer->channel, frame->request, &(struct msg_transport_socket){ .index = wanted.index }, descriptor);
	return true;
}

static const struct ipc_permit master_permits[] = {
	{ MSG_TRANSPORT_CONNECT, (unsigned)IPC_ANY_STATE, 0, on_transport_connect },
	{ MSG_HELLO, (unsigned)IPC_ANY_STATE, 1, on_hello }, { MSG_READY, (unsigned)IPC_ANY_STATE, 1, on_ready },
};

int main(int argc, char **argv)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	char *arguments[] = { (char *)"posthorn-relay", NULL };
	int control[2];
	must(argc >= 3 && file_load(argv[2], &text, NULL) && (zone = dns_zone_parse(buf_str(&text), NULL)) &&
	     ipc_pair(control, NULL));
	int snapshot = config_memory(argv + 3);
	relay = spawn_program(argv[1], arguments, control[1], snapshot, NULL);
	must(relay > 0);
	close(control[1]);
	close(snapshot);
	loop = loop_new();
	master.role = ROLE_MASTER;
	ipc_peer_start(&master, loop, control[0], master_permits, COUNT_OF(master_permits), ended);
	loop_run(loop);
	return 0;
}
