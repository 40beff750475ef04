#include "imap_status.h"

#include "imap_mailboxes.h"
#include "imap_session.h"

/* RFC 3501 §6.3.10: those that no session was told of as \Recent. */
static bool read_recent(struct store_reader *reader, const struct store_mailbox *m, uint64_t *count)
{
	*count = 0;
	return m->recent_uid >= m->uidnext || store_read_count(reader, m->id, m->recent_uid, count, NULL);
}

static bool write_value(struct imap_session *s, struct store_reader *reader, const struct store_mailbox *m,
                        unsigned item)
{
	uint64_t number = 0;
	switch ((enum imap_status_item)item) {
	case IMAP_STATUS_MESSAGES: return buf_add_u64(&s->out, m->messages);
	case IMAP_STATUS_RECENT: return read_recent(reader, m, &number) && buf_add_u64(&s->out, number);
	case IMAP_STATUS_UIDNEXT: return buf_add_u64(&s->out, m->uidnext);
	case IMAP_STATUS_UIDVALIDITY: return buf_add_u64(&s->out, m->uidvalidity);
	case IMAP_STATUS_UNSEEN: return buf_add_u64(&s->out, m->unseen);
	case IMAP_STATUS_DELETED: return buf_add_u64(&s->out, m->deleted);
	case IMAP_STATUS_DELETED_STORAGE:
		return (!m->deleted || store_read_deleted_bytes(reader, m->id, &number, NULL)) && buf_add_u64(&s->out, number);
	case IMAP_STATUS_SIZE: return buf_add_u64(&s->out, m->bytes);
	case IMAP_STATUS_HIGHESTMODSEQ: return buf_add_u64(&s->out, m->highestmodseq);
	case IMAP_STATUS_APPENDLIMIT: return buf_add_u64(&s->out, s->session->account->daemon.config.imap_append_max);
	case IMAP_STATUS_MAILBOXID:
		buf_add_char(&s->out, '(');
		imap_write_mailbox_id(&s->out, m);
		return buf_add_char(&s->out, ')');
	}
	return false;
}

void imap_status_write(struct imap_session *s, struct store_reader *reader, const struct store_mailbox *mailbox,
                       unsigned items)
{
	bool first = true;
	buf_add_str(&s->out, STR("* STATUS "));
	imap_write_mailbox(&s->out, mailbox->name, imap_is_utf8(s));
	buf_add_str(&s->out, STR(" ("));
	for (unsigned i = 0; i < IMAP_STATUS_ITEM_COUNT; i++) {
		size_t before = s->out.length;
		if (!(items & 1U << i))
			continue;
		buf_printf(&s->out, "%s%s ", first ? "" : " ", imap_status_item_name(i));
		if (write_value(s, reader, mailbox, 1U << i))
			first = false;
		else
			buf_truncate(&s->out, before);
	}
	buf_add_str(&s->out, STR(")\r\n"));
}

void imap_status(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct store_mailbox mailbox;
	imap_parse_space(&s->parser);
	struct str name = imap_parse_mailbox(&s->parser);
	imap_parse_space(&s->parser);
	unsigned items = imap_parse_status_items(&s->parser);
	if (!imap_arguments_end(s))
		return;
	struct store_reader *reader = imap_reader(s);
	if (!reader)
		return;
	if (!store_read_mailbox(reader, name, &mailbox, &fail)) {
		imap_refuse_mailbox(s, fail);
		return;
	}
	if (items & IMAP_STATUS_HIGHESTMODSEQ)
		imap_switch_on(s, IMAP_ENABLE_CONDSTORE); /* RFC 7162 §3.1 */
	imap_status_write(s, reader, &mailbox, items);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}
