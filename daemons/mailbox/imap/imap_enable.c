/* CAPABILITY, NOOP, CHECK, LOGOUT, ENABLE, UNAUTHENTICATE. */
#include "imap_compress.h"
#include "imap_session.h"

#include <stdio.h>

void imap_capability(struct imap_session *s)
{
	struct imap_offer offer = imap_session_offer(s);
	if (!imap_arguments_end(s))
		return;
	buf_add_str(&s->out, STR("* CAPABILITY "));
	imap_capability_write(&s->out, &offer);
	buf_add_str(&s->out, STR("\r\n"));
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

/* NOOP, and CHECK (RFC 3501 §6.4.1), which has nothing to do: all that was answered OK is durable. */
void imap_noop(struct imap_session *s)
{
	if (imap_arguments_end(s))
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

void imap_logout(struct imap_session *s)
{
	if (!imap_arguments_end(s))
		return;
	imap_bye(s, "", IMAP_SAY_BYE);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
	s->over = true;
}

/* A client that asks for CONDSTORE in the middle learns where it stands, RFC 7162 §3.1. */
static void tell_highest_modseq(struct imap_session *s)
{
	char code[64];
	snprintf(code, sizeof code, "HIGHESTMODSEQ %llu", (unsigned long long)s->kept.view.complete_modseq);
	imap_untagged_ok(s, code, IMAP_SAY_HIGHEST_MODSEQ, NULL);
}

void imap_switch_on(struct imap_session *s, unsigned bits)
{
	if (bits & IMAP_ENABLE_QRESYNC)
		bits |= IMAP_ENABLE_CONDSTORE; /* RFC 7162 §3.2.3 */
	bool condstore = bits & ~s->kept.enabled & IMAP_ENABLE_CONDSTORE;
	s->kept.enabled |= bits;
	if (condstore && s->view.index)
		tell_highest_modseq(s);
}

void imap_enable_condstore(struct imap_session *s)
{
	imap_switch_on(s, IMAP_ENABLE_CONDSTORE);
}

/* RFC 5161 §3.1, §3.2: unknown names are passed over; the answer has what is new. */
void imap_enable(struct imap_session *s)
{
	unsigned bits = 0;
	do {
		imap_parse_space(&s->parser);
		bits |= imap_enable_find(imap_parse_atom(&s->parser));
	} while (imap_parse_peek(&s->parser) == ' ');
	if (!imap_arguments_end(s))
		return;
	unsigned fresh = bits & ~s->kept.enabled;
	buf_add_str(&s->out, STR("* ENABLED"));
	for (unsigned bit = 1; bit <= bits; bit <<= 1)
		if (fresh & bit) {
			buf_add_char(&s->out, ' ');
			buf_add_str(&s->out, imap_enable_name((enum imap_enable)bit));
		}
	buf_add_str(&s->out, STR("\r\n"));
	imap_switch_on(s, bits);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

/* RFC 8437 §4.1: compression ends behind the answer. What a client sent ahead as if it went on can't be read any
 * more: then the connection just ends. */
static void give_back(struct imap_session *s)
{
	bool readable = !s->deflate || (imap_deflate_is_idle(s->deflate) && str_is_empty(stream_buffered(s->stream)));
	if (stream_flush(s->stream) && readable)
		session_return(s->session);
	s->over = true;
}

/* Nothing of this session stays: the next log-in begins a new one. */
void imap_unauthenticate(struct imap_session *s)
{
	if (!imap_arguments_end(s))
		return;
	imap_view_close(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
	s->after_answer = give_back;
}
