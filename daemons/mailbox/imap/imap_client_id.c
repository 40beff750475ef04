#include "imap_client_id.h"

#include "imap_id.h"
#include "log.h"

enum { SHOWN_MAX = 500 };

void imap_client_id(struct imap_session *s)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(SHOWN_MAX);
	imap_parse_id(&s->parser, &shown);
	if (!imap_arguments_end(s))
		return;
	if (shown.length)
		log_event(LOG_INFO, s->session->connection, "imap-client", LOG_TEXT("account", str_of(s->session->address)),
		          LOG_TEXT("client", buf_str(&shown)));
	imap_id_write(&s->out);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}
