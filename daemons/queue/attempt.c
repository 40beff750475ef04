/* What attempts led to. */
#include "attempt.h"
#include "queue.h"

#include "mem.h"

#include <stdlib.h>

enum { FIELDS = 6 };

static struct str copy_into(char **at, struct str text)
{
	struct str copy = { *at, text.length };
	if (text.length)
		memcpy(*at, text.data, text.length);
	*at += text.length;
	return copy;
}

struct attempt *attempt_new(const struct attempt *facts)
{
	size_t octets = facts->status.length + facts->reply.length + facts->host.length + facts->address.length + facts->tls.length;
	struct attempt *attempt = mem_alloc(sizeof *attempt + octets);
	char *at = (char *)(attempt + 1);
	*attempt = (struct attempt){
		.users = 1, .outcome = facts->outcome, .code = facts->code, .status = copy_into(&at, facts->status),
		.reply = copy_into(&at, facts->reply), .host = copy_into(&at, facts->host), .address = copy_into(&at, facts->address),
		.tls = copy_into(&at, facts->tls),
	};
	return attempt;
}

struct attempt *attempt_ref(struct attempt *attempt)
{
	if (attempt)
		attempt->users++;
	return attempt;
}

void attempt_unref(struct attempt *attempt)
{
	if (attempt && --attempt->users == 0)
		free(attempt);
}

bool attempt_equal(const struct attempt *a, const struct attempt *b)
{
	return a->outcome == b->outcome && a->code == b->code && str_equal(a->status, b->status) && str_equal(a->reply, b->reply) &&
	       str_equal(a->host, b->host) && str_equal(a->address, b->address) && str_equal(a->tls, b->tls);
}

void attempt_pack(struct buf *out, const struct attempt *attempt)
{
	const struct str fields[] = { attempt->status, attempt->host, attempt->address, attempt->tls };
	size_t before = out->length;
	buf_printf(out, "%u", attempt->code);
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		buf_add_char(out, '\0');
		buf_add_str(out, fields[i]);
	}
	buf_add_char(out, '\0');
	buf_add_str(out, str_first(attempt->reply, SPOOLFILE_REPLY_MAX - (out->length - before)));
}

struct attempt attempt_unpack(struct str packed, enum relay_outcome outcome)
{
	struct str fields[FIELDS] = {}, rest = packed;
	struct attempt attempt = { .outcome = outcome, .reply = packed };
	uint64_t code;
	for (size_t i = 0; i + 1 < FIELDS; i++)
		if (!str_take_until(&rest, '\0', &fields[i]))
			return attempt;
	if (!str_to_u64(fields[0], 999, &code))
		return attempt;
	attempt.code = (unsigned)code;
	attempt.status = fields[1];
	attempt.host = fields[2];
	attempt.address = fields[3];
	attempt.tls = fields[4];
	attempt.reply = rest;
	return attempt;
}

void attempt_note(struct delivery *d, struct attempt *attempt, int64_t when)
{
	attempt_unref(d->last);
	d->last = attempt;
	d->last_attempt = when;
}

void attempt_text(struct buf *out, const struct attempt *attempt)
{
	if (attempt->code)
		buf_printf(out, "%u ", attempt->code);
	if (attempt->status.length && !str_starts(attempt->reply, attempt->status))
		buf_printf(out, "%.*s ", STR_ARG(attempt->status));
	buf_add_str(out, attempt->reply);
}
