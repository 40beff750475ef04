#include "imap_metadata.h"

#include "annotation.h"
#include "imap_entry.h"
#include "imap_mailboxes.h"
#include "imap_notify.h"
#include "limits.h"

#include <stdio.h>

static const struct str special_use = STR("/private/specialuse"), admin = STR("/shared/admin");

/* ---- reading ---- */

struct values {
	struct store_annotations stored;
	ARRAY(struct imap_entry_value) list;
};

static void values_release(struct values *values)
{
	store_annotations_release(&values->stored);
	array_release(&values->list);
}

static void add_value(struct values *values, struct str entry, struct str value)
{
	*array_add(&values->list) = (struct imap_entry_value){ entry, value };
}

static void add_computed(struct imap_session *s, struct values *values, const struct store_mailbox *mailbox)
{
	const char *postmaster = s->session->account->daemon.config.postmaster;
	if (mailbox->id && mailbox->use)
		add_value(values, special_use, imap_use_name(mailbox->use));
	if (!mailbox->id && postmaster[0])
		add_value(values, admin, arena_printf(s->arena, "mailto:%s", postmaster));
}

static bool read_values(struct imap_session *s, struct store_reader *reader, const struct store_mailbox *mailbox,
                        struct values *values, struct fail **fail)
{
	if (!store_read_annotations(reader, mailbox->id, &values->stored, fail))
		return false;
	for (size_t i = 0; i < values->stored.list.count; i++)
		add_value(values, values->stored.list.items[i].entry, values->stored.list.items[i].value);
	add_computed(s, values, mailbox);
	return true;
}

/* ---- writing ---- */

/* value = nstring / literal8 */
static void write_value(struct imap_session *s, struct str value)
{
	if (value.data && str_find_char(value, '\0') < value.length) {
		buf_printf(&s->out, "~{%zu}\r\n", value.length);
		buf_add_str(&s->out, value);
	} else {
		imap_write_nstring(&s->out, value, imap_is_utf8(s));
	}
}

struct answer {
	struct str mailbox;
	size_t written;
};

static void write_entry(struct imap_session *s, struct answer *answer, struct str entry, struct str value)
{
	if (!answer->written++) {
		buf_add_str(&s->out, STR("* METADATA "));
		if (answer->mailbox.length)
			imap_write_mailbox(&s->out, answer->mailbox, imap_is_utf8(s));
		else
			buf_add_str(&s->out, STR("\"\""));
		buf_add_str(&s->out, STR(" ("));
	} else {
		buf_add_char(&s->out, ' ');
	}
	imap_write_astring(&s->out, entry, false);
	buf_add_char(&s->out, ' ');
	write_value(s, value);
}

static bool is_asked(const struct imap_getmetadata *command, struct str entry)
{
	for (size_t i = 0; i < command->entry_count; i++)
		if (imap_entry_matches(command->entries[i], command->depth, entry))
			return true;
	return false;
}

static bool has_value(const struct values *values, struct str entry)
{
	for (size_t i = 0; i < values->list.count; i++)
		if (str_equal(values->list.items[i].entry, entry))
			return true;
	return false;
}

/* The size of the largest value that was left out for MAXSIZE; 0: none. */
static uint64_t write_values(struct imap_session *s, const struct imap_getmetadata *command,
                             const struct values *values)
{
	struct answer answer = { .mailbox = command->mailbox };
	uint64_t longest = 0;
	for (size_t i = 0; i < values->list.count; i++) {
		const struct imap_entry_value *value = &values->list.items[i];
		if (!is_asked(command, value->entry))
			continue;
		if (!command->has_max || value->value.length <= command->max_size)
			write_entry(s, &answer, value->entry, value->value);
		else if (value->value.length > longest)
			longest = value->value.length;
	}
	for (size_t i = 0; command->depth == IMAP_DEPTH_0 && i < command->entry_count; i++)
		if (!has_value(values, command->entries[i]))
			write_entry(s, &answer, command->entries[i], (struct str){});
	if (answer.written)
		buf_add_str(&s->out, STR(")\r\n"));
	return longest;
}

void imap_metadata_write_entries(struct imap_session *s, struct store_reader *reader,
                                 const struct store_mailbox *mailbox, const struct str *entries, size_t count)
{
	CLEANUP(values_release) struct values values = {};
	const struct imap_getmetadata command = { .mailbox = mailbox->name, .entries = entries, .entry_count = count };
	if (read_values(s, reader, mailbox, &values, NULL))
		write_values(s, &command, &values);
}

/* ---- GETMETADATA ---- */

static bool find_mailbox(struct store_reader *reader, struct str name, struct store_mailbox *mailbox,
                         struct fail **fail)
{
	*mailbox = (struct store_mailbox){};
	return str_is_empty(name) || store_read_mailbox(reader, name, mailbox, fail);
}

void imap_getmetadata(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(values_release) struct values values = {};
	struct imap_getmetadata command;
	struct store_mailbox mailbox;
	char code[64] = "";
	imap_parse_getmetadata(&s->parser, &command);
	if (!imap_arguments_end(s))
		return;
	struct store_reader *reader = imap_reader(s);
	if (!reader)
		return;
	if (!find_mailbox(reader, command.mailbox, &mailbox, &fail) || !read_values(s, reader, &mailbox, &values, &fail)) {
		imap_refuse_mailbox(s, fail);
		return;
	}
	uint64_t longest = write_values(s, &command, &values);
	if (longest)
		snprintf(code, sizeof code, "METADATA LONGENTRIES %llu", (unsigned long long)longest);
	imap_ok(s, code, IMAP_SAY_DONE, NULL);
}

/* ---- SETMETADATA ---- */

/* RFC 6154 §4: checked as CREATE's; one use or none. */
static bool find_use(struct str value, enum store_special_use *use)
{
	*use = STORE_USE_NONE;
	struct str name = str_trim(value);
	return str_is_empty(name) || imap_use_find(name, use);
}

/* False with the answer written: nothing is set unless all is (RFC 5464 §4.3). */
static bool values_are_allowed(struct imap_session *s, const struct imap_setmetadata *command)
{
	char code[64];
	enum store_special_use use;
	for (size_t i = 0; i < command->count; i++) {
		const struct imap_entry_value *value = &command->values[i];
		if (value->value.length > LIMIT_ANNOTATION_SIZE_MAX) {
			snprintf(code, sizeof code, "METADATA MAXSIZE %d", LIMIT_ANNOTATION_SIZE_MAX);
			imap_no(s, code, IMAP_SAY_TOO_BIG, NULL);
			return false;
		}
		if (str_is_empty(command->mailbox) && str_equal(value->entry, admin)) {
			imap_no(s, "NOPERM", IMAP_SAY_NOT_ALLOWED, NULL);
			return false;
		}
		if (command->mailbox.length && str_equal(value->entry, special_use) && !find_use(value->value, &use)) {
			imap_no(s, "USEATTR", IMAP_SAY_NO_SPECIAL_USE, NULL);
			return false;
		}
	}
	return true;
}

static void set_values(struct store_txn *txn, const struct imap_setmetadata *command, uint64_t mailbox)
{
	enum store_special_use use;
	for (size_t i = 0; i < command->count; i++) {
		const struct imap_entry_value *value = &command->values[i];
		if (!mailbox || !str_equal(value->entry, special_use))
			store_annotation_set(txn, mailbox, value->entry, value->value);
		else if (find_use(value->value, &use))
			store_mailbox_use(txn, mailbox, use);
	}
}

void imap_setmetadata(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct imap_setmetadata command;
	uint64_t mailbox = 0;
	imap_parse_setmetadata(&s->parser, &command);
	if (!imap_arguments_end(s) || !values_are_allowed(s, &command))
		return;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(s->session->account->store);
	if (str_is_empty(command.mailbox) || store_mailbox_find(txn, command.mailbox, &mailbox))
		set_values(txn, &command, mailbox);
	if (store_commit(&txn, &fail)) {
		imap_notify_absorb(s);
		imap_ok(s, "", IMAP_SAY_DONE, NULL);
	} else if (fail->kind == FAIL_LIMIT) {
		imap_no(s, "METADATA TOOMANY", IMAP_SAY_LIMIT, NULL);
	} else {
		imap_refuse_mailbox(s, fail);
	}
}
