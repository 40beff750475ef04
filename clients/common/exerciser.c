#include "exerciser.h"

#include "exerciser_internal.h"
#include "mem.h"

#include <stdlib.h>

static const struct exerciser_protocol *const protocols[SERVER_PROTOCOL_COUNT] = {
	[SERVER_POP3] = &exerciser_pop3, [SERVER_SMTP] = &exerciser_smtp, [SERVER_IMAP] = &exerciser_imap,
};

struct exerciser *exerciser_new(enum server_protocol protocol)
{
	must((unsigned)protocol < SERVER_PROTOCOL_COUNT);
	struct exerciser *x = mem_alloc(sizeof *x);
	x->protocol = protocols[protocol];
	exerciser_push(x, EXERCISER_GREETING);
	return x;
}

void exerciser_free(struct exerciser *x)
{
	free(x);
}

void exerciser_cleanup(struct exerciser **x)
{
	exerciser_free(*x);
	*x = NULL;
}

const char *exerciser_state(const struct exerciser *x)
{
	return x->protocol->states[x->state];
}

unsigned exerciser_facts(const struct exerciser *x)
{
	bool is_asked = x->client_turn || x->in_content || x->content_left > 0;
	return (x->is_protected ? EXERCISER_PROTECTED : 0U) | (x->is_logged_in ? EXERCISER_LOGGED_IN : 0U) |
	       (is_asked ? EXERCISER_ASKED : 0U) |
	       (x->in_content || (x->client_turn && x->idles) ? EXERCISER_LINE_ENDS : 0U);
}

bool exerciser_takes_mail(const struct exerciser *x)
{
	return x->in_content || (x->content_left > 0 && !x->secret_may_follow);
}

bool exerciser_is_waiting(const struct exerciser *x)
{
	return x->begins_tls || (x->count > 0 && !x->client_turn && !x->in_content && x->content_left == 0);
}

bool exerciser_may_send(const struct exerciser *x)
{
	bool wants_tls = x->count > 0 && x->pending[x->count - 1].verb == x->protocol->tls_verb;
	return !x->begins_tls && !wants_tls && x->count < EXERCISER_PENDING_MAX;
}

struct exerciser_pending *exerciser_push(struct exerciser *x, int verb)
{
	must(x->count < EXERCISER_PENDING_MAX);
	struct exerciser_pending *p = &x->pending[x->count++];
	*p = (struct exerciser_pending){ .verb = verb };
	return p;
}

void exerciser_remove(struct exerciser *x, size_t i)
{
	must(i < x->count);
	memmove(&x->pending[i], &x->pending[i + 1], (x->count - i - 1) * sizeof x->pending[0]);
	x->count--;
}

struct str exerciser_first_word(struct str line)
{
	size_t blank = str_find_char(line, ' '), tab = str_find_char(line, '\t');
	return str_first(line, blank < tab ? blank : tab);
}

void exerciser_show_unknown(const struct exerciser *x, struct str line, const char *const *secrets, struct buf *shown)
{
	size_t open = x->secret_may_follow ? 0 : exerciser_first_word(line).length;
	for (; *secrets; secrets++)
		if (str_starts_nocase(line, str_of(*secrets)) && strlen(*secrets) < open)
			open = strlen(*secrets);
	buf_add_str(shown, str_first(line, open));
	if (open < line.length)
		buf_add_str(shown, open ? STR(" ***") : STR("***"));
}

bool exerciser_explain_word(struct exerciser_note *note, const struct exerciser_word *words, size_t count,
                            struct str line)
{
	size_t end = 0;
	while (end < line.length && line.data[end] != ' ' && line.data[end] != '=')
		end++;
	for (size_t i = 0; i < count; i++)
		if (str_equal_nocase(str_first(line, end), str_of(words[i].word))) {
			exerciser_explain(note, words[i].sentence, words[i].rfc);
			return true;
		}
	return false;
}

void exerciser_count_content(struct exerciser *x, size_t length)
{
	uint64_t sent = (uint64_t)length + 2;
	x->content_left -= sent < x->content_left ? sent : x->content_left;
}

void exerciser_client_line(struct exerciser *x, struct str line, struct buf *shown)
{
	must(exerciser_may_send(x));
	x->protocol->client_line(x, line, shown);
}

void exerciser_server_line(struct exerciser *x, struct str text, uint64_t octets, struct exerciser_note *note)
{
	*note = (struct exerciser_note){};
	x->protocol->server_line(x, text, octets, note);
	x->begins_tls |= note->begins_tls;
}

void exerciser_tls_started(struct exerciser *x)
{
	x->begins_tls = false;
	x->is_protected = true;
	x->is_logged_in = false;
	x->protocol->tls_started(x);
}

struct str exerciser_tls_command(const struct exerciser *x)
{
	return str_of(x->protocol->tls_command);
}
