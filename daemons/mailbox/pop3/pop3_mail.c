#include "pop3.h"

#include "downgrade.h"
#include "message.h"

enum { DOWNGRADE_EXTRA_MAX = 1 << 20 };

/* RFC 6856 §2.1: a client that has not said UTF8 gets a surrogate with ASCII headers. */
static bool wants_surrogate(const struct pop3_session *p, size_t i)
{
	return !p->utf8 && p->drop.messages.items[i].traits & STORE_HAS_8BIT_HEADER;
}

static bool downgrade(struct pop3_session *p, struct fail **fail)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	struct buf surrogate = BUF_WITH_LIMIT(p->mail.length * 4 + DOWNGRADE_EXTRA_MAX);
	downgrade_message(&surrogate, buf_str(&p->mail), mime_parse(arena, buf_str(&p->mail), NULL));
	if (surrogate.overflowed) {
		buf_release(&surrogate);
		return fail_set(fail, FAIL_INVALID, "no ASCII form of the header fits");
	}
	buf_release(&p->mail);
	p->mail = surrogate;
	return true;
}

/* A NUL, which imported mail may have, is kept in the store; mail that is lines of text has none (RFC 9051 §4.3.1),
 * so clients get 0x80. */
static void show_nul(struct buf *mail)
{
	char *at = mail->data, *end = mail->data + mail->length;
	while (at < end && (at = memchr(at, '\0', (size_t)(end - at))))
		*at++ = (char)0x80;
}

bool pop3_read_mail(struct pop3_session *p, size_t i, struct fail **fail)
{
	buf_clear(&p->mail);
	p->mail.limit = MAIL_MEMORY_MAX;
	if (!store_read_body(p->reader, p->drop.messages.items[i].message, &p->mail, fail))
		return false;
	show_nul(&p->mail);
	return !wants_surrogate(p, i) || downgrade(p, fail);
}

uint64_t pop3_octets_sent(const struct pop3_session *p)
{
	bool whole = p->mail.length >= 2 && memcmp(p->mail.data + p->mail.length - 2, "\r\n", 2) == 0;
	return p->mail.length + (whole ? 0 : strlen("\r\n"));
}

/* Most mail is sent as it is stored; what is not must be made to know its size. */
uint64_t pop3_octets(struct pop3_session *p, size_t i)
{
	if (p->octets[i] != UINT64_MAX)
		return p->octets[i];
	p->octets[i] = p->drop.messages.items[i].size;
	bool differs = wants_surrogate(p, i) || p->drop.messages.items[i].traits & STORE_ENDS_WITHIN_LINE;
	if (differs && pop3_read_mail(p, i, NULL))
		p->octets[i] = pop3_octets_sent(p);
	return p->octets[i];
}
