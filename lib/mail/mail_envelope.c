#include "mail_envelope.h"

#include "limits.h"

static void set_text(struct arena *a, struct str *text, struct str value)
{
	if (text->data)
		return;
	*text = header_unfold(a, value);
	if (!text->data)
		*text = STR("");
}

static void add_addresses(struct arena *a, struct address_list *list, struct str value, size_t *left)
{
	size_t before = list->count;
	size_t room = LIMIT_ADDRESSES_MAX > before ? LIMIT_ADDRESSES_MAX - before : 0;
	address_parse(a, value, before + (*left < room ? *left : room), list);
	*left -= list->count - before;
}

void mail_envelope_add(struct arena *a, struct mail_envelope *envelope, const struct header_field *field,
                       size_t *addresses_left)
{
	switch (field->id) {
	case HEADER_DATE: set_text(a, &envelope->date, field->value); break;
	case HEADER_SUBJECT: set_text(a, &envelope->subject, field->value); break;
	case HEADER_IN_REPLY_TO: set_text(a, &envelope->in_reply_to, field->value); break;
	case HEADER_MESSAGE_ID: set_text(a, &envelope->message_id, field->value); break;
	case HEADER_FROM: add_addresses(a, &envelope->from, field->value, addresses_left); break;
	case HEADER_SENDER: add_addresses(a, &envelope->sender, field->value, addresses_left); break;
	case HEADER_REPLY_TO: add_addresses(a, &envelope->reply_to, field->value, addresses_left); break;
	case HEADER_TO: add_addresses(a, &envelope->to, field->value, addresses_left); break;
	case HEADER_CC: add_addresses(a, &envelope->cc, field->value, addresses_left); break;
	case HEADER_BCC: add_addresses(a, &envelope->bcc, field->value, addresses_left); break;
	default: break;
	}
}

void mail_envelope_finish(struct mail_envelope *envelope)
{
	if (!envelope->sender.count)
		envelope->sender = envelope->from;
	if (!envelope->reply_to.count)
		envelope->reply_to = envelope->from;
}
