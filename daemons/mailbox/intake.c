#include "intake.h"

#include "arena.h"
#include "columns.h"
#include "hash.h"

#include <stdlib.h>

enum { BATCH_MAILS = 1000, BATCH_OCTETS = 8 << 20, KEYWORDS_TOLD = 10 };
/* Once a batch has taken so much for columns it is stored, so one mail more always finds room. */
#define BATCH_COLUMNS (MESSAGE_ARENA_SIZE / 4)

static const struct {
	uint32_t flag;
	struct str name;
} flag_names[] = {
	{ STORE_SEEN, { "\\Seen", 5 } },   { STORE_ANSWERED, { "\\Answered", 9 } }, { STORE_FLAGGED, { "\\Flagged", 8 } },
	{ STORE_DRAFT, { "\\Draft", 6 } }, { STORE_DELETED, { "\\Deleted", 8 } },
};

void intake_begin(struct intake *in, struct control *control)
{
	*in = (struct intake){ .control = control, .arena = arena_new(2 * MESSAGE_ARENA_SIZE), .keywords = map_new() };
}

static void drop_batch(struct intake *in)
{
	for (size_t i = 0; i < in->mails.count; i++)
		buf_release(&in->mails.items[i].text);
	in->mails.count = 0;
	in->octets = 0;
	arena_reset(in->arena);
}

void intake_release(struct intake *in)
{
	drop_batch(in);
	array_release(&in->mails);
	arena_cleanup(&in->arena);
	map_free(in->keywords);
	in->keywords = NULL;
}

/* ---- mailboxes and flags ---- */

static bool find_mailbox(struct store *store, struct str name, uint64_t *id)
{
	CLEANUP(store_reader_release) struct store_reader *reader = store_reader_acquire(store, NULL);
	struct store_mailbox box;
	if (!reader || !store_read_mailbox(reader, name, &box, NULL))
		return false;
	*id = box.id;
	return true;
}

bool intake_mailbox(struct intake *in, struct str name, enum store_special_use use, bool subscribed, uint64_t *id,
					struct fail **fail)
{
	struct store *store = in->control->store;
	bool there = find_mailbox(store, name, id);
	if (there && !subscribed)
		return true;
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(store);
	if (!there)
		store_mailbox_create(txn, name, use, id);
	if (subscribed)
		store_subscribe(txn, name, true);
	return store_commit(&txn, fail) || fail_prefix(fail, "mailbox %.*s", STR_ARG(name));
}

/* 0 when the account can't have it; what it was called is then told once. */
static uintptr_t keyword_number(struct intake *in, struct str name)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	uintptr_t known = (uintptr_t)map_get(in->keywords, name);
	uint16_t number;
	if (known)
		return known == UINTPTR_MAX ? 0 : known;
	struct store_txn *txn = store_begin(in->control->store);
	store_keyword(txn, name, &number);
	known = store_commit(&txn, &fail) ? (uintptr_t)number + 1 : UINTPTR_MAX;
	/* posthornctl is busy with writing and may read rows late */
	if (fail && in->keywords_told++ < KEYWORDS_TOLD)
		control_tell_damage(in->control, name, fail->kind, "this keyword is left out");
	map_set(in->keywords, name, (void *)known);
	return fail ? 0 : known;
}

static int compare_numbers(const void *a, const void *b)
{
	return (int)*(const uint16_t *)a - (int)*(const uint16_t *)b;
}

static void keep_keywords(struct intake *in, uint16_t *numbers, size_t count, struct store_keywords *keywords)
{
	size_t kept = 0;
	qsort(numbers, count, sizeof *numbers, compare_numbers);
	for (size_t i = 0; i < count; i++)
		if (i == 0 || numbers[i] != numbers[kept - 1])
			numbers[kept++] = numbers[i];
	uint16_t *copy = arena_alloc_array(in->arena, kept, sizeof *copy);
	memcpy(copy, numbers, kept * sizeof *copy);
	*keywords = (struct store_keywords){ copy, kept };
}

static uint32_t flag_named(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(flag_names); i++)
		if (str_equal_nocase(name, flag_names[i].name))
			return flag_names[i].flag;
	return 0;
}

bool intake_flags(struct intake *in, struct str names, struct intake_mail *mail, struct fail **fail)
{
	uint16_t numbers[LIMIT_KEYWORDS_PER_MAILBOX];
	size_t count = 0;
	struct str name;
	while (str_take_until(&names, ' ', &name)) {
		uint32_t flag = flag_named(name);
		uintptr_t number = 0;
		mail->flags |= flag;
		if (flag || str_is_empty(name) || name.data[0] == '\\')
			continue;
		if (map_count(in->keywords) > 2 * LIMIT_KEYWORDS_PER_MAILBOX)
			return fail_set(fail, FAIL_LIMIT, "more than %d different keywords", 2 * LIMIT_KEYWORDS_PER_MAILBOX);
		if (count < COUNT_OF(numbers) && (number = keyword_number(in, name)) > 0)
			numbers[count++] = (uint16_t)(number - 1);
	}
	if (count)
		keep_keywords(in, numbers, count, &mail->keywords);
	return true;
}

void intake_flag_names(struct buf *out, const struct store_entries *entries, const struct store_entry *entry,
                       const struct store_mailboxes *keywords)
{
	for (size_t i = 0; i < COUNT_OF(flag_names); i++)
		if (entry->flags & flag_names[i].flag) {
			buf_add_str(out, flag_names[i].name);
			buf_add_char(out, ' ');
		}
	for (size_t i = 0; i < entry->keyword_count; i++) {
		uint16_t number = entries->keywords.items[entry->keywords + i];
		if (number < keywords->names.count) {
			buf_add_str(out, str_of(keywords->names.items[number]));
			buf_add_char(out, ' ');
		}
	}
	buf_truncate(out, out->length ? out->length - 1 : 0);
}

/* ---- mails ---- */

bool intake_add(struct intake *in, struct intake_mail *mail, struct fail **fail)
{
	struct intake_mail *kept = array_add(&in->mails);
	*kept = *mail;
	mail->text = (struct buf){};
	must(columns_fill(in->arena, &kept->text, &kept->columns));
	in->octets += kept->text.length;
	if (in->mails.count < BATCH_MAILS && in->octets < BATCH_OCTETS && arena_used(in->arena) < BATCH_COLUMNS)
		return true;
	return intake_flush(in, fail);
}

static bool store_batch(struct intake *in, struct fail **fail)
{
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(in->control->store);
	struct store_placed placed;
	if (!in->gap_left)
		store_leave_gap(txn);
	for (size_t i = 0; i < in->mails.count; i++) {
		const struct intake_mail *mail = &in->mails.items[i];
		struct store_delivery delivery = {
			.id = mail->has_id ? &mail->id : NULL, .body.bytes = buf_str(&mail->text), .columns = &mail->columns,
			.mailbox = mail->mailbox, .received = mail->received, .flags = mail->flags, .keywords = mail->keywords,
		};
		if (!store_deliver(txn, &delivery, &placed))
			break;
	}
	return store_commit(&txn, fail);
}

bool intake_flush(struct intake *in, struct fail **fail)
{
	if (in->mails.count == 0)
		return true;
	if (!control_may_go_on(in->control, fail) || !store_batch(in, fail))
		return fail_prefix(fail, "%llu mails were stored before this", (unsigned long long)in->stored);
	in->gap_left = true;
	in->stored += in->mails.count;
	in->stored_octets += in->octets;
	drop_batch(in);
	control_tell_progress(in->control, in->stored);
	return true;
}
