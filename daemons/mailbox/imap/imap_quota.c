#include "imap_quota.h"

#include "log.h"

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

struct wish {
	uint64_t storage, messages; /* 0: no limit */
	bool unknown, nothing;
};

/* setquota-list: RFC 9208 §7. What is not named has no limit any more. */
static struct wish parse_wish(struct imap_parser *p)
{
	struct wish wish = {};
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		struct str resource = imap_parse_atom(p);
		imap_parse_space(p);
		uint64_t limit = imap_parse_number(p, INT64_MAX / 1024);
		wish.nothing |= limit == 0;
		if (str_equal_nocase(resource, STR("STORAGE")))
			wish.storage = limit * 1024;
		else if (str_equal_nocase(resource, STR("MESSAGE")))
			wish.messages = limit;
		else
			wish.unknown = true;
	}
	return wish;
}

/* One may limit oneself below what the administrator gave. A limit of 0 would only shut mail out for good. */
void imap_setquota(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	imap_parse_space(&s->parser);
	struct str root = imap_parse_astring(&s->parser);
	imap_parse_space(&s->parser);
	struct wish wish = parse_wish(&s->parser);
	if (!imap_arguments_end(s))
		return;
	if (root.length) {
		imap_no(s, "NONEXISTENT", IMAP_SAY_NO_QUOTA_ROOT, NULL);
		return;
	}
	if (wish.unknown || wish.nothing) {
		imap_no(s, "CANNOT", IMAP_SAY_INVALID, NULL);
		return;
	}
	if (!store_set_own_quota(s->session->account->store, wish.storage, wish.messages, &fail)) {
		imap_no_fail(s, fail);
		return;
	}
	account_note_usage(s->session->account);
	log_event(LOG_INFO, s->session->connection, "own-quota", LOG_TEXT("account", str_of(s->session->address)),
	          LOG_NUMBER("bytes", wish.storage), LOG_NUMBER("messages", wish.messages));
	write_quota(s);
	imap_ok(s, "", IMAP_SAY_DONE, NULL);
}
