/*
 * The frame of a milter packet: four octets of length, which counts what follows, one of kind, data. And strings that
 * end with NUL.
 */
#ifndef POSTHORN_MILTER_MILTER_PACKET_H
#define POSTHORN_MILTER_MILTER_PACKET_H

#include "milter_wire.h"

/* Takes the packet at the start of input. */
enum milter_event milter_packet_next(struct str input, size_t *used, char *kind, struct str *data);

/* Begins a packet in out; milter_packet_end writes its length. */
size_t milter_packet_begin(struct buf *out, char kind);
void milter_packet_end(struct buf *out, size_t start);

/* Sticky: after the first misfit everything is empty. */
struct milter_reading {
	struct str rest;
	bool failed;
};

uint32_t milter_take_number(struct milter_reading *r, size_t octets);
struct str milter_take_string(struct milter_reading *r);
void milter_add_number(struct buf *out, uint32_t number, size_t octets);

/* What has a NUL in it is cut there. */
void milter_add_string(struct buf *out, struct str text);

void milter_options_take(struct milter_reading *r, struct milter_options *options);
void milter_options_add(struct buf *out, const struct milter_options *options);

#endif
