/*
 * Export and import: all mailboxes of the account as an archive of entries
 *
 *	kind mailbox, name, use (RFC 6154), subscribed        what follows is in this mailbox
 *	kind mail, flags (as IMAP writes them), received      the body is the mail
 *	kind damaged, where, why                              a mail that could not be read (export only)
 */
#include "intake.h"

#include "log.h"
#include "mem.h"
#include "store_date.h"

enum { UIDS_AT_A_TIME = 10000, FLAGS_MAX = 200000 };

static const struct str uses[] = {
	[STORE_USE_NONE] = { "", 0 },          [STORE_USE_ARCHIVE] = { "archive", 7 }, [STORE_USE_DRAFTS] = { "drafts", 6 },
	[STORE_USE_FLAGGED] = { "flagged", 7 }, [STORE_USE_JUNK] = { "junk", 4 },       [STORE_USE_SENT] = { "sent", 4 },
	[STORE_USE_TRASH] = { "trash", 5 },    [STORE_USE_IMPORTANT] = { "important", 9 },
};

/* ---- export: no rows before the end, since posthornctl reads nothing but the archive until then ---- */

struct exporting {
	struct control *control;
	struct store_reader *reader;
	struct archive_writer writer;
	struct store_mailboxes keywords;
	struct store_entries entries; /* of one stretch of UIDs */
	struct buf fields, mail;
	uint64_t mails, octets, damaged;
};

static void exporting_release(struct exporting *e)
{
	archive_write_release(&e->writer);
	store_mailboxes_release(&e->keywords);
	store_entries_release(&e->entries);
	buf_release(&e->fields);
	buf_release(&e->mail);
	store_reader_release(&e->reader);
}

static void tell_unreadable(struct exporting *e, const struct store_mailbox *box, uint32_t uid, const struct fail *fail)
{
	CLEANUP(mem_free) char *where = mem_printf("%.*s uid %u", STR_ARG(box->name), uid);
	buf_clear(&e->fields);
	archive_field_add(&e->fields, "kind", STR("damaged"));
	archive_field_add(&e->fields, "where", str_of(where));
	archive_field_add(&e->fields, "why", str_first(str_of(fail->text), 1000));
	archive_write_entry(&e->writer, buf_str(&e->fields), 0);
	e->damaged++;
}

static void write_mail(struct exporting *e, const struct store_entry *entry)
{
	CLEANUP(buf_release) struct buf flags = BUF_WITH_LIMIT(FLAGS_MAX);
	intake_flag_names(&flags, &e->entries, entry, &e->keywords);
	buf_clear(&e->fields);
	archive_field_add(&e->fields, "kind", STR("mail"));
	archive_field_add_number(&e->fields, "received",
	                         entry->received > 0 ? (uint64_t)store_date_seconds(entry->received) : 0);
	archive_field_add(&e->fields, "flags", buf_str(&flags));
	archive_write_entry(&e->writer, buf_str(&e->fields), e->mail.length);
	archive_write_body(&e->writer, e->mail.data, e->mail.length);
	e->octets += e->mail.length;
	e->mails++;
}

/* A damaged mail is told and left out; one that was expunged meanwhile is just gone. */
static bool export_mail(struct exporting *e, const struct store_mailbox *box, const struct store_entry *entry,
						struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	buf_clear(&e->mail);
	e->mail.limit = entry->size;
	if (store_read_body(e->reader, entry->message, &e->mail, &why))
		write_mail(e, entry);
	else if (why->kind != FAIL_NOT_FOUND)
		tell_unreadable(e, box, entry->uid, why);
	return control_may_go_on(e->control, fail) && !archive_write_failed(&e->writer);
}

static bool export_stretch(struct exporting *e, const struct store_mailbox *box, struct store_range range,
						   struct fail **fail)
{
	const struct store_selection selection = { box->id, &range, 1 };
	e->entries.list.count = e->entries.keywords.count = 0;
	if (!store_read_entries(e->reader, &selection, 0, &e->entries, fail))
		return false;
	for (size_t i = 0; i < e->entries.list.count; i++)
		if (!export_mail(e, box, &e->entries.list.items[i], fail))
			return false;
	return true;
}

static bool export_mailbox(struct exporting *e, const struct store_mailbox *box, struct fail **fail)
{
	buf_clear(&e->fields);
	archive_field_add(&e->fields, "kind", STR("mailbox"));
	archive_field_add(&e->fields, "name", box->name);
	archive_field_add(&e->fields, "use", (unsigned)box->use < COUNT_OF(uses) ? uses[box->use] : STR(""));
	archive_field_add(&e->fields, "subscribed", box->subscribed ? STR("yes") : STR("no"));
	archive_write_entry(&e->writer, buf_str(&e->fields), 0);
	for (uint64_t first = 1; first < box->uidnext; first += UIDS_AT_A_TIME)
		if (!export_stretch(e, box, (struct store_range){ (uint32_t)first, (uint32_t)(first + UIDS_AT_A_TIME - 1) },
							fail))
			return false;
	return true;
}

static void send_exported(struct exporting *e)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(1000);
	archive_field_add_number(&row, "mails", e->mails);
	archive_field_add_number(&row, "octets", e->octets);
	control_send_row(e->control, &row);
	log_event(LOG_INFO, 0, "exported", LOG_NUMBER("account", e->control->account->number),
			  LOG_NUMBER("mails", e->mails), LOG_NUMBER("damaged", e->damaged));
}

bool control_export(struct control *c, struct fail **fail)
{
	CLEANUP(store_mailboxes_release) struct store_mailboxes boxes = {};
	CLEANUP(exporting_release) struct exporting e = { .control = c, .reader = store_reader_acquire(c->store, fail) };
	buf_init(&e.fields, ARCHIVE_FIELDS_MAX);
	archive_write_begin(&e.writer, c->descriptor);
	if (!control_needs_descriptor(c, fail) || !e.reader || !store_read_mailboxes(e.reader, &boxes, fail) ||
	    !store_read_keywords(e.reader, &e.keywords, fail))
		return false;
	bool done = true;
	for (size_t i = 0; done && i < boxes.list.count; i++)
		done = export_mailbox(&e, &boxes.list.items[i], fail);
	if (!done && !archive_write_failed(&e.writer))
		return false;
	if (!archive_write_end(&e.writer, fail))
		return false;
	send_exported(&e);
	return e.damaged == 0 ||
		   fail_set(fail, FAIL_CORRUPT, "%llu mails are damaged and were left out", (unsigned long long)e.damaged);
}

/* ---- import ---- */

struct importing {
	struct intake intake;
	struct archive_reader reader;
	uint64_t mailbox;
};

static void importing_release(struct importing *i)
{
	intake_release(&i->intake);
	archive_read_release(&i->reader);
}

static enum store_special_use use_named(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(uses); i++)
		if (str_equal(name, uses[i]))
			return (enum store_special_use)i;
	return STORE_USE_NONE;
}

static bool import_mailbox(struct importing *i, struct str fields, struct fail **fail)
{
	bool subscribed = str_equal(archive_field(fields, "subscribed"), STR("yes"));
	return intake_mailbox(&i->intake, archive_field(fields, "name"), use_named(archive_field(fields, "use")),
						  subscribed, &i->mailbox, fail);
}

/* One mail that is too large does not stop the others. */
static bool skip_large(struct importing *i, uint64_t size, struct fail **why, struct fail **fail)
{
	CLEANUP(mem_free) char *where = mem_printf("a mail of %llu octets", (unsigned long long)size);
	if ((*why)->kind != FAIL_TOO_BIG)
		return fail_set(fail, (*why)->kind, "%s", (*why)->text);
	control_tell_damage(i->intake.control, str_of(where), FAIL_TOO_BIG, "it is too large and was left out");
	i->intake.skipped++;
	return true;
}

static bool import_mail(struct importing *i, struct str fields, uint64_t size, struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	struct intake_mail mail = { .mailbox = i->mailbox };
	uint64_t received;
	if (!i->mailbox || !archive_field_number(fields, "received", INT64_MAX, &received))
		return fail_set(fail, FAIL_INVALID, "a mail that belongs to no mailbox, or without a date");
	mail.received = (int64_t)received;
	if (!intake_flags(&i->intake, archive_field(fields, "flags"), &mail, fail))
		return false;
	buf_init(&mail.text, LIMIT_IMPORT_MAIL_MAX);
	if (archive_read_all(&i->reader, &mail.text, &why))
		return intake_add(&i->intake, &mail, fail);
	buf_release(&mail.text);
	return skip_large(i, size, &why, fail);
}

static bool import_entries(struct importing *i, struct fail **fail)
{
	struct str fields;
	uint64_t size;
	enum archive_got got;
	while ((got = archive_read_entry(&i->reader, &fields, &size, fail)) == ARCHIVE_ENTRY) {
		struct str kind = archive_field(fields, "kind");
		bool good = str_equal(kind, STR("mailbox")) ? import_mailbox(i, fields, fail)
		            : str_equal(kind, STR("mail"))  ? import_mail(i, fields, size, fail)
		                                            : fail_set(fail, FAIL_INVALID, "this archive is no export");
		if (!good)
			return false;
	}
	return got == ARCHIVE_END && intake_flush(&i->intake, fail);
}

bool control_import(struct control *c, struct fail **fail)
{
	CLEANUP(importing_release) struct importing i = {};
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(1000);
	intake_begin(&i.intake, c);
	archive_read_begin(&i.reader, c->descriptor);
	if (!control_needs_descriptor(c, fail))
		return false;
	bool done = import_entries(&i, fail);
	archive_field_add_number(&row, "mails", i.intake.stored);
	archive_field_add_number(&row, "octets", i.intake.stored_octets);
	archive_field_add_number(&row, "left-out", i.intake.skipped);
	control_send_row(c, &row);
	log_event(LOG_INFO, 0, "imported", LOG_NUMBER("account", c->account->number), LOG_NUMBER("mails", i.intake.stored));
	return done;
}
