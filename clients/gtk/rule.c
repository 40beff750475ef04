#include "rule.h"

#include "date.h"
#include "header.h"

#include <glib.h>

enum { DAY = 86400, NUMBER_MAX = 64 };

/* Without regard to the locale: the servers' numbers have points. */
static bool parse_number(struct str text, double *number)
{
	char copy[NUMBER_MAX + 1], *end;
	size_t length = 0;
	text = str_trim(text);
	while (length < text.length && length < NUMBER_MAX && strchr("+-.0123456789", text.data[length]))
		length++;
	str_copy_to_array(str_first(text, length), copy, sizeof copy);
	*number = g_ascii_strtod(copy, &end);
	return end != copy;
}

static bool is_number(const char *value)
{
	double number;
	return strspn(value, "+-.0123456789") == strlen(value) && parse_number(str_of(value), &number);
}

bool rule_is_valid(const struct rule *rule)
{
	if ((unsigned)rule->property >= RULE_PROPERTY_COUNT || rule->action == RULE_NOTHING ||
	    (unsigned)rule->action >= RULE_ACTION_COUNT || !rule->value[0])
		return false;
	return rule->property < RULE_SIZE || is_number(rule->value);
}

/* "X-Spam-Score: 5.2", "X-Spam-Status: Yes, score=5.2 required=5.0". */
static bool read_score(struct str header, double *score)
{
	struct header_field field;
	if (header_find(header, STR("X-Spam-Score"), &field) && parse_number(field.value, score))
		return true;
	if (!header_find(header, STR("X-Spam-Status"), &field))
		return false;
	size_t at = str_find(field.value, STR("score="));
	return at < field.value.length && parse_number(str_from_index(field.value, at + strlen("score=")), score);
}

void rule_mail_read(struct rule_mail *mail, struct str header, int64_t now)
{
	struct header_field field;
	struct date date;
	if (header_find(header, STR("List-Id"), &field))
		mail->list_id = field.value;
	mail->has_age = header_find(header, STR("Date"), &field) && date_parse(field.value, &date);
	if (mail->has_age)
		mail->age_seconds = now - date.seconds;
	mail->has_spam_score = read_score(header, &mail->spam_score);
}

static bool contains(struct str text, const char *part)
{
	if (text.length == 0)
		return false;
	g_autofree char *folded_text = g_utf8_casefold(text.data, (gssize)text.length);
	g_autofree char *folded_part = g_utf8_casefold(part, -1);
	return strstr(folded_text, folded_part) != NULL;
}

static bool fits(const struct rule *rule, const struct rule_mail *mail)
{
	double number = 0;
	parse_number(str_of(rule->value), &number);
	switch (rule->property) {
	case RULE_FROM: return contains(mail->from, rule->value);
	case RULE_TO: return contains(mail->to, rule->value);
	case RULE_SUBJECT: return contains(mail->subject, rule->value);
	case RULE_LIST_ID: return contains(mail->list_id, rule->value);
	case RULE_SIZE: return (double)mail->size > number * 1024;
	case RULE_AGE: return mail->has_age && (double)mail->age_seconds > number * DAY;
	case RULE_SPAM: return mail->has_spam_score && mail->spam_score >= number;
	default: return false;
	}
}

enum rule_action rule_apply(const struct rule *rules, size_t count, const struct rule_mail *mail)
{
	enum rule_action action = RULE_NOTHING;
	for (size_t i = 0; i < count && action != RULE_TICK; i++)
		if (rules[i].action > action && fits(&rules[i], mail))
			action = rules[i].action;
	return action;
}
