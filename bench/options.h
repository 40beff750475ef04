/*
 * What mailbench was asked to do: one struct, filled from the command line before anything
 * runs and never changed afterwards. Strings point into argv and live as long as the program.
 */
#ifndef POSTHORN_BENCH_OPTIONS_H
#define POSTHORN_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *command, *host, *users, *pass, *mailbox, *dest, *what, *key, *cost, *label, *at_idle, *sender,
		*settle;
	int port, conns, nusers, per_conn, bytes, rcpts, batch, pipeline, passes, deliver_port, hold, gap_ms, timeout_s;
	long count;
	double seconds, sigma;
	int median;
	uint64_t seed;
	bool lmtp, deliver_lmtp, auth, pipelining, chunking, dele, uidl, sync_literal, tls, starttls;
};

extern struct options opt;

/* Reads the command line; prints the help (in it the commands) and exits for --help and for anything wrong. */
void options_parse(int argc, char **argv, void (*print_commands)(void));

/* The name of user i (modulo --nusers) by the pattern of --users; the last four stay valid. */
const char *options_user(long i);

#endif
