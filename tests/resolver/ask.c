/*
 * posthorn-resolver as a process of its own, sandbox and all, with this program in the place of its master and of one that asks:
 *
 *	ask RESOLVER [key=value …] < questions
 *
 * A question is a line "NAME TYPE"; all are asked at once, then the answers are printed in the order of the questions:
 * "NAME TYPE status [secure] [canonical=NAME] HEX…". "garbage" sends what is no question, which ends the channel.
 */
#include "config.h"
#include "dns.h"
#include "file.h"
#include "ipc.h"
#include "spawn.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, QUESTIONS_MAX = 6000 };

struct asked {
	char name[300];
	unsigned type;
};

static int config_memory(char **settings)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(config_release) struct config config;
	config_init(&config);
	for (; *settings; settings++)
		must(config_set(&config, *settings, NULL));
	config_print(&config, &text);
	return file_sealed_memory("config", buf_str(&text), NULL);
}

static void expect(struct ipc_channel *channel, enum msg_type type)
{
	struct ipc_frame frame;
	must(ipc_receive_wait(channel, &frame, PATIENCE_MS) == IPC_FRAME && frame.type == type);
}

static pid_t start(const char *program, char **settings, struct ipc_channel *master, struct ipc_channel *link)
{
	char *arguments[] = { (char *)"posthorn-resolver", NULL };
	int control[2];
	int pair[2];
	int config = config_memory(settings);
	must(ipc_pair(control, NULL) && ipc_pair(pair, NULL));
	pid_t pid = spawn_program(program, arguments, control[1], config, NULL);
	must(pid > 0);
	close(control[1]);
	close(config);
	ipc_channel_init(master, control[0]);
	ipc_channel_init(link, pair[0]);
	expect(master, MSG_HELLO);
	msg_wire_send(master, 0, &(struct msg_wire){ .role = ROLE_SMTPD, .peer = 7 }, pair[1]);
	expect(master, MSG_READY);
	return pid;
}

static unsigned type_of(const char *text)
{
	for (unsigned type = 0; type < 256; type++) {
		const char *name = dns_type_name((enum dns_type)type);
		if (name && strcmp(name, text) == 0)
			return type;
	}
	return (unsigned)strtoul(text, NULL, 10);
}

static void print(const struct asked *asked, struct str packed)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 24);
	struct dns_answer answer;
	must(dns_answer_unpack(a, packed, &answer));
	printf("%s %u %s%s", asked->name, asked->type, dns_status_name(answer.status), answer.secure ? " secure" : "");
	if (answer.canonical.length)
		printf(" canonical=%.*s", STR_ARG(answer.canonical));
	for (size_t i = 0; i < answer.count; i++) {
		CLEANUP(buf_release) struct buf hex = BUF_WITH_LIMIT(200000);
		text_hex_encode(&hex, answer.records[i]);
		printf(" %s", buf_text(&hex));
	}
	printf("\n");
}

static size_t ask_all(struct ipc_channel *link, struct asked *asked)
{
	char type[32];
	size_t count = 0;
	while (count < QUESTIONS_MAX && scanf("%299s %31s", asked[count].name, type) == 2) {
		asked[count].type = type_of(type);
		const struct msg_dns_ask ask = { .name = str_first(str_of(asked[count].name), 255), .type = asked[count].type };
		if (strcmp(asked[count].name, "garbage") == 0)
			ipc_send(link, MSG_DNS_ASK, 1, STR("x"), NULL, 0);
		else
			msg_dns_ask_send(link, count, &ask, -1);
		count++;
	}
	return count;
}

int main(int argc, char **argv)
{
	static struct asked asked[QUESTIONS_MAX];
	static struct str answers[QUESTIONS_MAX];
	struct ipc_channel master;
	struct ipc_channel link;
	struct ipc_frame frame;
	must(argc >= 2);
	pid_t pid = start(argv[1], argv + 2, &master, &link);
	size_t count = ask_all(&link, asked);
	size_t got = 0;
	enum ipc_received received = IPC_FRAME;
	for (; got < count && (received = ipc_receive_wait(&link, &frame, PATIENCE_MS)) == IPC_FRAME; got++) {
		struct msg_dns_answer answer;
		must(frame.type == MSG_DNS_ANSWER && frame.request < count && msg_dns_answer_read(&frame, &answer));
		answers[frame.request] = (struct str){ str_copy(answer.packed), answer.packed.length };
	}
	for (size_t i = 0; i < count; i++)
		if (answers[i].data)
			print(&asked[i], answers[i]);
	if (received != IPC_FRAME)
		printf("%s\n", received == IPC_CLOSED ? "closed" : "silence");
	msg_drain_send(&master, 0, &(struct msg_drain){}, -1);
	int status = 0;
	must(waitpid(pid, &status, 0) == pid);
	printf("ended %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
	for (size_t i = 0; i < count; i++)
		free((char *)(uintptr_t)answers[i].data);
	ipc_channel_release(&link);
	ipc_channel_release(&master);
	return 0;
}
