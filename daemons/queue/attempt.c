/* What attempts led to. */
#include "attempt.h"
#include "queue.h"

#include "mem.h"

#include <stdlib.h>

enum { FIELDS = 6 };

/* Texts stand one behind the other. */
struct attempt {
	uint32_t users; /* references */
	uint16_t code;
	uint8_t outcome;
	uint16_t status_length, reply_length, host_length, address_length, tls_length;
	char texts[];
};

static uint16_t add_text(struct buf *texts, struct str text)
{
	text = str_first(text, UINT16_MAX);
	buf_add_str(texts, text);
	return (uint16_t)text.length;
}

struct attempt *attempt_new(const struct attempt_facts *facts)
{
	CLEANUP(buf_release) struct buf texts = BUF_WITH_LIMIT((FIELDS - 1) * UINT16_MAX);
	const struct attempt head = {
		.users = 1, .code = (uint16_t)facts->code, .outcome = (uint8_t)facts->outcome,
		.status_length = add_text(&texts, facts->status), .reply_length = add_text(&texts, facts->reply),
		.host_length = add_text(&texts, facts->host), .address_length = add_text(&texts, facts->address),
		.tls_length = add_text(&texts, facts->tls),
	};
	struct attempt *attempt = mem_alloc(sizeof *attempt + texts.length);
	*attempt = head;
	if (texts.length)
		memcpy(attempt->texts, texts.data, texts.length);
	return attempt;
}

static struct str next_text(const char **at, size_t length)
{
	struct str text = str_from(*at, length);
	*at += length;
	return text;
}

struct attempt_facts attempt_facts(const struct attempt *attempt)
{
	struct attempt_facts facts = {};
	if (!attempt)
		return facts;
	const char *at = attempt->texts;
	facts.outcome = (enum relay_outcome)attempt->outcome;
	facts.code = attempt->code;
	facts.status = next_text(&at, attempt->status_length);
	facts.reply = next_text(&at, attempt->reply_length);
	facts.host = next_text(&at, attempt->host_length);
	facts.address = next_text(&at, attempt->address_length);
	facts.tls = next_text(&at, attempt->tls_length);
	return facts;
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

bool attempt_is(const struct attempt *attempt, const struct attempt_facts *facts)
{
	struct attempt_facts own = attempt_facts(attempt);
	return own.outcome == facts->outcome && own.code == facts->code && str_equal(own.status, facts->status) &&
	       str_equal(own.reply, facts->reply) && str_equal(own.host, facts->host) &&
	       str_equal(own.address, facts->address) && str_equal(own.tls, facts->tls);
}

void attempt_pack(struct buf *out, const struct attempt_facts *facts)
{
	const struct str fields[] = { facts->status, facts->host, facts->address, facts->tls };
	size_t before = out->length;
	buf_printf(out, "%u", facts->code);
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		buf_add_char(out, '\0');
		buf_add_str(out, fields[i]);
	}
	buf_add_char(out, '\0');
	buf_add_str(out, str_first(facts->reply, SPOOLFILE_REPLY_MAX - (out->length - before)));
}

struct attempt_facts attempt_unpack(struct str packed, enum relay_outcome outcome)
{
	struct str fields[FIELDS] = {}, rest = packed;
	struct attempt_facts facts = { .outcome = outcome, .reply = packed };
	uint64_t code;
	for (size_t i = 0; i + 1 < FIELDS; i++)
		if (!str_take_until(&rest, '\0', &fields[i]))
			return facts;
	if (!str_to_u64(fields[0], 999, &code))
		return facts;
	facts.code = (unsigned)code;
	facts.status = fields[1];
	facts.host = fields[2];
	facts.address = fields[3];
	facts.tls = fields[4];
	facts.reply = rest;
	return facts;
}

void attempt_note(struct delivery *d, struct attempt *attempt, int64_t when)
{
	attempt_unref(d->last);
	d->last = attempt;
	d->last_attempt = when;
}

void attempt_text(struct buf *out, const struct attempt_facts *facts)
{
	if (facts->code)
		buf_printf(out, "%u ", facts->code);
	if (facts->status.length && !str_starts(facts->reply, facts->status))
		buf_printf(out, "%.*s ", STR_ARG(facts->status));
	buf_add_str(out, facts->reply);
}
