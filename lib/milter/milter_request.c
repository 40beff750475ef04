/* What the server says: CONNECT to END_OF_BODY. */
#include "milter_packet.h"

/* Strings up to the end of the packet; those of macros and headers come in pairs. */
static void take_arguments(struct milter_reading *r, struct milter_request *request)
{
	while (!r->failed && r->rest.length) {
		if (request->argument_count == MILTER_ARGUMENTS_MAX) {
			r->failed = true;
			return;
		}
		request->arguments[request->argument_count++] = milter_take_string(r);
	}
}

static void take_connect(struct milter_reading *r, struct milter_request *request)
{
	request->arguments[request->argument_count++] = milter_take_string(r);
	request->family = (char)milter_take_number(r, 1);
	if (request->family == 'U' && !r->failed && r->rest.length == 0)
		return;
	if (!request->family || !strchr("46L", request->family)) {
		r->failed = true;
		return;
	}
	request->port = (uint16_t)milter_take_number(r, 2);
	request->arguments[request->argument_count++] = milter_take_string(r);
}

/* How many arguments it has; MANY: at least one. */
enum { MANY = -1, PAIRS = -2 };

static bool has_arguments(const struct milter_request *request, int wanted)
{
	size_t count = request->argument_count;
	return wanted == MANY ? count > 0 : wanted == PAIRS ? count % 2 == 0 : count == (size_t)wanted;
}

static bool take_fields(struct milter_reading *r, struct milter_request *request)
{
	int wanted = 0;
	switch (request->command) {
	case MILTER_OPTIONS: milter_options_take(r, &request->options); break;
	case MILTER_CONNECT: take_connect(r, request); return true;
	case MILTER_MACROS:
		request->macros_for = (enum milter_command)milter_take_number(r, 1);
		wanted = PAIRS;
		break;
	case MILTER_HELO:
	case MILTER_UNKNOWN: wanted = 1; break;
	case MILTER_MAIL:
	case MILTER_RCPT: wanted = MANY; break;
	case MILTER_HEADER: wanted = 2; break;
	case MILTER_BODY:
	case MILTER_END:
		request->body = r->rest;
		r->rest = (struct str){};
		return request->body.length <= MILTER_CHUNK_MAX;
	case MILTER_ABORT:
	case MILTER_DATA:
	case MILTER_END_OF_HEADER:
	case MILTER_QUIT: break;
	default: return false;
	}
	if (wanted)
		take_arguments(r, request);
	return has_arguments(request, wanted);
}

enum milter_event milter_request_read(struct str input, size_t *used, struct milter_request *request)
{
	struct milter_reading r = {};
	char kind;
	*request = (struct milter_request){};
	enum milter_event event = milter_packet_next(input, used, &kind, &r.rest);
	if (event != MILTER_ANSWER)
		return event;
	request->command = (enum milter_command)kind;
	return take_fields(&r, request) && !r.failed && r.rest.length == 0 ? MILTER_ANSWER : MILTER_BAD;
}

static void add_connect(struct buf *out, const struct milter_request *request)
{
	milter_add_string(out, request->arguments[0]);
	buf_add_char(out, request->family);
	if (request->family == 'U')
		return;
	milter_add_number(out, request->port, 2);
	milter_add_string(out, request->arguments[1]);
}

void milter_request_write(struct buf *out, const struct milter_request *request)
{
	size_t start = milter_packet_begin(out, (char)request->command);
	if (request->command == MILTER_CONNECT) {
		add_connect(out, request);
	} else {
		if (request->command == MILTER_OPTIONS)
			milter_options_add(out, &request->options);
		if (request->command == MILTER_MACROS)
			buf_add_char(out, (char)request->macros_for);
		for (size_t i = 0; i < request->argument_count; i++)
			milter_add_string(out, request->arguments[i]);
		buf_add_str(out, request->body);
	}
	milter_packet_end(out, start);
}
