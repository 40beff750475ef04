#include "pop3.h"

/* The octets of a mail that RETR sends: as stored, but ended with CRLF. */
static uint64_t octets_of(struct str mail)
{
	bool ended = mail.length >= 2 && mail.data[mail.length - 2] == '\r' && mail.data[mail.length - 1] == '\n';
	return mail.length + (ended || mail.length == 0 ? 0 : 2);
}

bool pop3_read_mail(struct pop3_session *p, size_t i, struct fail **fail)
{
	buf_clear(&p->mail);
	if (!store_read_body(p->reader, p->drop.messages.items[i].message, &p->mail, fail))
		return false;
	p->octets[i] = octets_of(buf_str(&p->mail));
	return true;
}

/* What is stored ends with CRLF, so its size is what RETR sends. */
uint64_t pop3_octets(struct pop3_session *p, size_t i)
{
	if (p->octets[i] == UINT64_MAX)
		p->octets[i] = p->drop.messages.items[i].size;
	return p->octets[i];
}
