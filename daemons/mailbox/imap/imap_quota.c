#include "imap_quota.h"

/* RFC 9208 §5.1: in units of 1,024 octets. What is used counts in full, or a full account would look like one with
 * room. */
static uint64_t in_units(uint64_t bytes)
{
	return bytes / 1024 + (bytes % 1024 != 0);
}

/* RFC 9208 §4.2.1: what is not limited is not named. */
static void write_quota(struct imap_session *s)
{
	struct store_usage usage;
	store_usage(s->session->account->store, &usage);
	buf_add_str(&s->out, STR("* QUOTA \"\" ("));
	if (usage.bytes_max)
		buf_printf(&s->out, "STORAGE %llu %llu%s", (unsigned long long)in_units(usage.bytes),
		           (unsigned long long)in_units(usage.bytes_max), usage.messages_max ? " " : "");
	if (usage.messages_max)
		buf_printf(&s->out, "MESSAGE %llu %llu", (unsigned long long)usage.messages,
		           (unsigned long long)usage.messages_max);
	buf_add_str(&s->out, STR(")\r\n"));
}

void imap_getquota(struct imap_session *s)
{
	imap_parse_space(&s->parser);
	struct str root = imap_parse_astring(&s->parser);
	if (!imap_arguments_end(s))
		return;
	if (root.length) {
		imap_no(s, "NONEXISTENT", IMAP_SAY_NO_QUOTA_ROOT, NULL);
		return;
	}
	write_quota(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

/* RFC 9208 §4.1.2: the mailbox need not exist. */
void imap_getquotaroot(struct imap_session *s)
{
	imap_parse_space(&s->parser);
	struct str mailbox = imap_parse_mailbox(&s->parser);
	if (!imap_arguments_end(s))
		return;
	buf_add_str(&s->out, STR("* QUOTAROOT "));
	imap_write_mailbox(&s->out, mailbox, imap_is_utf8(s));
	buf_add_str(&s->out, STR(" \"\"\r\n"));
	write_quota(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}

void imap_setquota(struct imap_session *s)
{
	imap_parse_space(&s->parser);
	struct str root = imap_parse_astring(&s->parser);
	imap_parse_space(&s->parser);
	for (imap_parse_list_begin(&s->parser); imap_parse_list_next(&s->parser);) {
		imap_parse_atom(&s->parser);
		imap_parse_space(&s->parser);
		imap_parse_number(&s->parser, INT64_MAX);
	}
	if (!imap_arguments_end(s))
		return;
	if (root.length)
		imap_no(s, "NONEXISTENT", IMAP_SAY_NO_QUOTA_ROOT, NULL);
	else
		imap_no(s, "NOPERM", IMAP_SAY_NOT_ALLOWED, NULL);
}
