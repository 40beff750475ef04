#include "milter_packet.h"

#include "limits.h"

enum { LENGTH_SIZE = 4 };

static uint32_t number_at(const char *data, size_t octets)
{
	uint32_t number = 0;
	for (size_t i = 0; i < octets; i++)
		number = number << 8 | (uint8_t)data[i];
	return number;
}

enum milter_event milter_packet_next(struct str input, size_t *used, char *kind, struct str *data)
{
	*used = 0;
	if (input.length < LENGTH_SIZE)
		return MILTER_MORE;
	uint32_t length = number_at(input.data, LENGTH_SIZE);
	if (length == 0 || length > LIMIT_MILTER_PACKET_MAX)
		return MILTER_BAD;
	if (input.length - LENGTH_SIZE < length)
		return MILTER_MORE;
	*kind = input.data[LENGTH_SIZE];
	*data = str_from(input.data + LENGTH_SIZE + 1, length - 1);
	*used = LENGTH_SIZE + length;
	return MILTER_ANSWER;
}

size_t milter_packet_begin(struct buf *out, char kind)
{
	size_t start = out->length;
	milter_add_number(out, 0, LENGTH_SIZE);
	buf_add_char(out, kind);
	return start;
}

void milter_packet_end(struct buf *out, size_t start)
{
	if (out->overflowed)
		return;
	uint32_t length = (uint32_t)(out->length - start - LENGTH_SIZE);
	for (size_t i = 0; i < LENGTH_SIZE; i++)
		out->data[start + i] = (char)(length >> (24 - 8 * i));
}

uint32_t milter_take_number(struct milter_reading *r, size_t octets)
{
	if (r->failed || r->rest.length < octets) {
		r->failed = true;
		return 0;
	}
	uint32_t number = number_at(r->rest.data, octets);
	r->rest = str_from_index(r->rest, octets);
	return number;
}

struct str milter_take_string(struct milter_reading *r)
{
	size_t end = str_find_char(r->rest, '\0');
	if (r->failed || end == r->rest.length) {
		r->failed = true;
		return (struct str){};
	}
	struct str text = str_first(r->rest, end);
	r->rest = str_from_index(r->rest, end + 1);
	return text;
}

void milter_add_number(struct buf *out, uint32_t number, size_t octets)
{
	for (size_t i = octets; i-- > 0;)
		buf_add_char(out, (char)(number >> (8 * i)));
}

void milter_add_string(struct buf *out, struct str text)
{
	buf_add_str(out, str_first(text, str_find_char(text, '\0')));
	buf_add_char(out, '\0');
}

void milter_options_take(struct milter_reading *r, struct milter_options *options)
{
	options->version = milter_take_number(r, 4);
	options->actions = milter_take_number(r, 4);
	options->protocol = milter_take_number(r, 4);
}

void milter_options_add(struct buf *out, const struct milter_options *options)
{
	milter_add_number(out, options->version, 4);
	milter_add_number(out, options->actions, 4);
	milter_add_number(out, options->protocol, 4);
}
