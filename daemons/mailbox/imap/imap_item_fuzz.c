/* Any item of any message: a line of items, then the message. What is told is well-formed, and agrees with the mail. */
#include "imap_item_check.h"

#include "mail_check.h"

enum { ARENA = 1 << 30, ITEMS_MAX = 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_items(struct arena *arena, struct imap_mail *mail, struct str asked, bool utf8)
{
	struct imap_parser parser;
	struct imap_fetch_items items;
	imap_parser_init(&parser, arena, asked, utf8);
	imap_parse_fetch_items(&parser, &items);
	if (!imap_parse_end(&parser))
		return;
	for (size_t i = 0; i < items.count && i < ITEMS_MAX; i++) {
		const struct imap_fetch_item *item = &items.list[i];
		const struct imap_value *value = item->kind != IMAP_FETCH_FLAGS ? imap_check_item(arena, mail, item, utf8)
		                                                                : NULL;
		must(!value || value->kind == IMAP_VALUE_NIL || !item->is_partial || value->text.length <= item->length);
	}
}

/* What the store keeps tells the same as the octets do. */
static void check_packed(struct arena *arena, struct imap_mail *mail, bool utf8)
{
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(16 << 20);
	struct message message;
	message_parse(arena, buf_str(&mail->text), &message);
	if (!message_pack(&message, &packed))
		return;
	const struct imap_value *found = imap_check_asked(arena, mail, STR("BODYSTRUCTURE"), utf8);
	const struct store_message_columns columns = { .structure = buf_str(&packed), .headers = message.subset };
	mail->root = NULL;
	mail->has_envelope = false;
	imap_mail_give_columns(mail, &columns);
	const struct imap_value *kept = imap_check_asked(arena, mail, STR("BODYSTRUCTURE"), utf8);
	must(found && kept && found->count == kept->count);
	imap_check_structure(arena, mail, utf8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(ARENA);
	struct str asked, text = str_from((const char *)data, size);
	if (!str_take_until(&text, '\n', &asked))
		return 0;
	for (int utf8 = 0; utf8 < 2; utf8++) {
		CLEANUP(imap_mail_release) struct imap_mail mail;
		imap_mail_init(&mail, NULL);
		imap_mail_begin(&mail, 1, text.length);
		imap_mail_give_text(&mail, text);
		check_items(arena, &mail, asked, utf8);
		imap_check_structure(arena, &mail, utf8);
		check_packed(arena, &mail, utf8);
	}
	return 0;
}
