/* The header of a message: loops, and on submission what RFC 6409 §8 has the server add and check. */
#include "smtpd.h"

#include "address.h"
#include "clock.h"
#include "date.h"
#include "header.h"

#include <inttypes.h>
#include <time.h>

struct findings {
	size_t received;
	bool has_date, has_message_id, has_from;
};

/* Every author must be an address of the account (RFC 6409 §6.1); a trusted network's printers may use any. */
static enum verdict_kind check_from(struct session *s, struct str value)
{
	struct address_list list = {};
	address_parse(s->txn->arena, value, LIMIT_ADDRESSES_MAX, &list);
	for (const struct address *a = list.first; a; a = a->next) {
		if (!address_is_mailbox(a))
			continue;
		struct str address = arena_printf(s->txn->arena, "%.*s@%.*s", STR_ARG(a->mailbox), STR_ARG(a->host));
		enum verdict_kind kind = address.length > LIMIT_ADDRESS_MAX ? VERDICT_SENDER_DENIED
		                                                            : link_from_header(s, address);
		if (kind != VERDICT_OK)
			return kind;
	}
	return VERDICT_OK;
}

static void note_message_id(struct content *content, struct str value)
{
	str_copy_to_array(str_trim(value), content->message_id, sizeof content->message_id);
}

static enum verdict_kind read_fields(struct session *s, struct str text, struct findings *found)
{
	bool submits = s->protocol == SMTP_ON_SUBMISSION && s->flags & SESSION_LOGGED_IN;
	enum verdict_kind kind = VERDICT_OK;
	struct header_reader reader;
	struct header_field field;
	header_begin(&reader, text);
	while (kind == VERDICT_OK && header_next(&reader, &field)) {
		found->received += field.id == HEADER_RECEIVED;
		found->has_date = found->has_date || field.id == HEADER_DATE;
		if (field.id == HEADER_MESSAGE_ID && !found->has_message_id) {
			found->has_message_id = true;
			note_message_id(&s->txn->content, field.value);
		}
		found->has_from = found->has_from || field.id == HEADER_FROM;
		if (submits && (field.id == HEADER_FROM || field.id == HEADER_SENDER || field.id == HEADER_RESENT_FROM))
			kind = check_from(s, field.value);
	}
	return kind;
}

/* RFC 6409 §8.1 to §8.3. */
static void add_missing(struct session *s, const struct findings *found, struct buf *front)
{
	time_t now = (time_t)clock_wall_seconds();
	struct tm local;
	localtime_r(&now, &local);
	if (!found->has_date) {
		buf_add_str(front, STR("Date: ")); /* RFC 6409 §8.2 */
		date_format(front, (struct date){ now, (int)(local.tm_gmtoff / 60) });
		buf_add_str(front, STR("\r\n"));
	}
	if (!found->has_message_id) {
		struct str made = arena_printf(s->txn->arena, "<%" PRIx64 ".%016" PRIx64 "@%s>", (uint64_t)now,
		                               ipc_number_make(), session_config(s)->hostname);
		note_message_id(&s->txn->content, made);
		buf_printf(front, "Message-ID: %.*s\r\n", STR_ARG(made));
	}
	if (!found->has_from)
		buf_printf(front, "From: <%.*s>\r\n", STR_ARG(s->txn->mail.from.mailbox));
}

void inspect_header(struct session *s, struct content *content)
{
	struct findings found = {};
	enum verdict_kind kind = read_fields(s, buf_str(&content->body), &found);
	if (kind == VERDICT_OK && found.received > session_config(s)->received_max)
		kind = VERDICT_LOOP; /* RFC 5321 §6.3 */
	if (kind == VERDICT_OK && s->protocol == SMTP_ON_SUBMISSION)
		add_missing(s, &found, &content->front);
	if (content->verdict == VERDICT_OK)
		content->verdict = kind;
}
