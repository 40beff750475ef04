#include "imap_namespace.h"

void imap_namespace(struct imap_session *s)
{
	buf_add_str(&s->out, STR("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"));
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}
