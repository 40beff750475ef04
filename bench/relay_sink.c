/*
 * The world of a mail server that sends, on loopback:
 *
 *	relay_sink SMTP_PORT DNS_PORT
 *
 * A name server that gives every name NAME an MX "mx.NAME", whose address is 127.8.0.1, or for names that begin with "dead" one of
 * 127.9.0.0/16, always the same, and that answers nothing for names that begin with "mute"; and a mail server at all these addresses that takes
 * what comes to 127.8 and never says a word to 127.9. After each
 * line on standard input it prints the numbers so far: "messages connections octets silent" of which silent are connections to the dead.
 *
 * One thread, epoll. It offers PIPELINING, 8BITMIME, SMTPUTF8, CHUNKING, DSN and no TLS, and is no more correct than a sink need be.
 */
#include "buf.h"
#include "mem.h"
#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_MAX = 1 << 20, OUTPUT_MAX = 1 << 20, READ_SIZE = 65536, EVENTS_MAX = 64, PACKET_MAX = 1500, TYPE_A = 1, TYPE_MX = 15 };

struct client {
	int descriptor;
	bool dead, in_data;
	uint64_t chunk;    /* octets of BDAT that are still to come */
	bool chunk_is_last;
	unsigned recipients;
	struct buf in, out;
};

static int poller, listener, names;
static uint64_t messages, connections, octets, silent;

/* ---- names ---- */

static int bound_socket(int type, unsigned port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int descriptor = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
	must(descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0);
	if (bind(descriptor, (struct sockaddr *)&any, sizeof any) != 0) {
		perror("bind");
		exit(1);
	}
	return descriptor;
}

static bool begins(const unsigned char *label, const char *four)
{
	return label[0] >= 4 && memcmp(label + 1, four, 4) == 0;
}

static uint32_t address_of(const unsigned char *label)
{
	uint32_t sum = 0;
	if (!begins(label, "dead"))
		return 0x7f080001;
	for (unsigned i = 1; i <= label[0]; i++)
		sum = sum * 31 + label[i];
	return 0x7f090000 | (sum & 0xffff);
}

static void put16(unsigned char **at, unsigned value)
{
	*(*at)++ = (unsigned char)(value >> 8);
	*(*at)++ = (unsigned char)value;
}

static void put_head(unsigned char **at, unsigned type, unsigned length)
{
	put16(at, 0xc00c);
	put16(at, type);
	put16(at, 1);
	put16(at, 0);
	put16(at, 60);
	put16(at, length);
}

/* "mx.NAME" has an address, every other name an MX; nothing has anything else. */
static size_t answer(unsigned char *packet, size_t question_end, unsigned type)
{
	unsigned char *at = packet + question_end;
	const unsigned char *name = packet + 12;
	bool is_host = name[0] == 2 && memcmp(name + 1, "mx", 2) == 0;
	bool found = is_host ? type == TYPE_A : type == TYPE_MX;
	if (is_host && found) {
		uint32_t address = htonl(address_of(name + 3));
		put_head(&at, TYPE_A, 4);
		memcpy(at, &address, 4);
		at += 4;
	} else if (found) {
		put_head(&at, TYPE_MX, 7);
		put16(&at, 10);
		memcpy(at, "\2mx\xc0\x0c", 5);
		at += 5;
	}
	unsigned char *flags = packet + 2;
	put16(&flags, 0x8580);
	put16(&flags, 1);
	put16(&flags, found);
	put16(&flags, 0);
	put16(&flags, 0);
	return (size_t)(at - packet);
}

static void serve_names(void)
{
	unsigned char packet[PACKET_MAX];
	struct sockaddr_in from;
	socklen_t length = sizeof from;
	ssize_t got;
	while ((got = recvfrom(names, packet, sizeof packet - 64, 0, (struct sockaddr *)&from, &length)) > 12) {
		size_t at = 12;
		while (at < (size_t)got && packet[at])
			at += 1 + (size_t)packet[at];
		if (at + 5 > (size_t)got)
			continue;
		if (begins(packet + 12, "mute"))
			continue;
		unsigned type = (unsigned)packet[at + 1] << 8 | packet[at + 2];
		size_t size = answer(packet, at + 5, type);
		sendto(names, packet, size, 0, (struct sockaddr *)&from, length);
	}
}

/* ---- mail ---- */

static void client_free(struct client *c)
{
	close(c->descriptor);
	buf_release(&c->in);
	buf_release(&c->out);
	free(c);
}

static void end_message(struct client *c)
{
	messages++;
	c->recipients = 0;
	buf_add_str(&c->out, STR("250 2.0.0 taken\r\n"));
}

static void begin_chunk(struct client *c, struct str line)
{
	struct str size = str_from_index(line, 5);
	size_t space = str_find_char(size, ' ');
	str_to_u64(str_first(size, space), INT64_MAX, &c->chunk);
	c->chunk_is_last = space < size.length;
	if (c->chunk == 0)
		end_message(c);
}

static void obey(struct client *c, struct str line)
{
	if (str_starts_nocase(line, STR("EHLO")))
		buf_add_str(&c->out, STR("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250-DSN\r\n250 CHUNKING\r\n"));
	else if (str_starts_nocase(line, STR("BDAT ")))
		begin_chunk(c, line);
	else if (str_starts_nocase(line, STR("DATA")))
		buf_add_str(&c->out, STR("354 go ahead\r\n"));
	else if (str_starts_nocase(line, STR("QUIT")))
		buf_add_str(&c->out, STR("221 2.0.0 bye\r\n"));
	else
		buf_add_str(&c->out, STR("250 2.0.0 ok\r\n"));
	c->in_data = str_starts_nocase(line, STR("DATA"));
}

static bool take_chunk(struct client *c, struct str *input)
{
	size_t part = input->length < c->chunk ? input->length : (size_t)c->chunk;
	*input = str_from_index(*input, part);
	c->chunk -= part;
	if (part && c->chunk == 0 && c->chunk_is_last)
		end_message(c);
	else if (part && c->chunk == 0)
		buf_add_str(&c->out, STR("250 2.0.0 ok\r\n"));
	return part > 0;
}

static bool take_data(struct client *c, struct str *input)
{
	size_t end = str_find(*input, STR("\r\n.\r\n"));
	if (end == input->length)
		return false;
	*input = str_from_index(*input, end + 5);
	c->in_data = false;
	end_message(c);
	return true;
}

static bool take(struct client *c, struct str *input)
{
	if (c->chunk)
		return take_chunk(c, input);
	if (c->in_data)
		return take_data(c, input);
	size_t end = str_find(*input, STR("\r\n"));
	if (end == input->length)
		return false;
	struct str line = str_first(*input, end);
	*input = str_from_index(*input, end + 2);
	obey(c, line);
	return true;
}

static void serve(struct client *c)
{
	char *room = buf_reserve(&c->in, READ_SIZE);
	ssize_t got = room ? recv(c->descriptor, room, READ_SIZE, 0) : 0;
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		client_free(c);
		return;
	}
	buf_claim(&c->in, (size_t)got);
	octets += (uint64_t)got;
	struct str input = buf_str(&c->in);
	while (input.length && take(c, &input))
		;
	buf_consume(&c->in, c->in.length - input.length);
	if (c->out.length && send(c->descriptor, c->out.data, c->out.length, MSG_NOSIGNAL) != (ssize_t)c->out.length) {
		client_free(c);
		return;
	}
	buf_clear(&c->out);
}

static void accept_one(int descriptor)
{
	struct sockaddr_in local = {};
	socklen_t length = sizeof local;
	int yes = 1;
	struct client *c = mem_alloc(sizeof *c);
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
	getsockname(descriptor, (struct sockaddr *)&local, &length);
	setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
	*c = (struct client){ .descriptor = descriptor, .in = BUF_WITH_LIMIT(INPUT_MAX), .out = BUF_WITH_LIMIT(OUTPUT_MAX) };
	c->dead = ntohl(local.sin_addr.s_addr) >> 16 == 0x7f09;
	connections++;
	silent += c->dead;
	if (!c->dead)
		must(send(descriptor, "220 sink ESMTP\r\n", 16, MSG_NOSIGNAL) <= 16);
	must(epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

static void accept_all(void)
{
	int descriptor;
	while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		accept_one(descriptor);
}

/* ---- all of it ---- */

static void report(void)
{
	char line[256];
	if (read(0, line, sizeof line) <= 0)
		exit(0);
	printf("%ju %ju %ju %ju\n", (uintmax_t)messages, (uintmax_t)connections, (uintmax_t)octets, (uintmax_t)silent);
	fflush(stdout);
}

static void watch(int descriptor, void *mark)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = mark };
	must(epoll_ctl(poller, EPOLL_CTL_ADD, descriptor, &event) == 0);
}

int main(int argc, char **argv)
{
	static int input = 0;
	struct epoll_event events[EVENTS_MAX];
	uint64_t smtp_port, dns_port;
	if (argc != 3 || !str_to_u64(str_of(argv[1]), 65535, &smtp_port) || !str_to_u64(str_of(argv[2]), 65535, &dns_port)) {
		fputs("usage: relay_sink SMTP_PORT DNS_PORT\n", stderr);
		return 2;
	}
	poller = epoll_create1(EPOLL_CLOEXEC);
	listener = bound_socket(SOCK_STREAM, (unsigned)smtp_port);
	names = bound_socket(SOCK_DGRAM, (unsigned)dns_port);
	must(poller >= 0 && listen(listener, 4096) == 0);
	watch(listener, &listener);
	watch(names, &names);
	watch(input, &input);
	for (;;) {
		int count = epoll_wait(poller, events, EVENTS_MAX, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == &listener)
				accept_all();
			else if (events[i].data.ptr == &names)
				serve_names();
			else if (events[i].data.ptr == &input)
				report();
			else
				serve(events[i].data.ptr);
		}
	}
}
