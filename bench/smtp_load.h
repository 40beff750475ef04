/*
 * The client's side of SMTP and LMTP, as far as delivering generated messages needs it.
 */
#ifndef POSTHORN_BENCH_SMTP_LOAD_H
#define POSTHORN_BENCH_SMTP_LOAD_H

#include "conn.h"

/* Connects and greets; *chunking tells whether BDAT is wanted and offered. id: whose log-in for --auth. */
bool smtp_open(struct conn *c, int port, bool lmtp, int id, bool *chunking);

bool smtp_command(struct conn *c, int wanted, const char *format, ...) FORMAT(3, 4);

/* Delivers message number index to its recipients; message is room to make it in. */
bool smtp_deliver(struct conn *c, long index, bool lmtp, bool chunking, struct buf *message);

#endif
