/*
 * struct rule: what a person wants done with mails of a kind, before looking at them: tick them for deletion, or mark
 * them in the list.
 *
 * A rule compares one property of a mail. Texts are compared without regard to case, as parts of the decoded text;
 * numbers as "more than", the score of a spam filter as "at least". A mail that lacks the property fits no rule about
 * it. Nothing is deleted by a rule: it only ticks.
 */
#ifndef POSTHORN_GTK_RULE_H
#define POSTHORN_GTK_RULE_H

#include "str.h"

enum rule_property {
	RULE_FROM,
	RULE_TO,
	RULE_SUBJECT,
	RULE_LIST_ID,
	RULE_SIZE,  /* in units of 1024 octets */
	RULE_AGE,   /* in days */
	RULE_SPAM,  /* score */
	RULE_PROPERTY_COUNT
};

enum rule_action { RULE_NOTHING, RULE_MARK, RULE_TICK, RULE_ACTION_COUNT };

enum { RULE_VALUE_MAX = 400 };

struct rule {
	enum rule_property property;
	enum rule_action action;
	char value[RULE_VALUE_MAX + 1]; /* UTF-8 */
};

/* False for a value that this property can't have: empty, or no number. */
bool rule_is_valid(const struct rule *rule);

/* What rules look at. */
struct rule_mail {
	struct str from, to, subject, list_id; /* decoded */
	uint64_t size;                         /* octets */
	int64_t age_seconds;
	bool has_age;
	double spam_score;
	bool has_spam_score;
};

/* Fills in list_id, age and score from a header block; list_id is a view of it. now: seconds since 1970. */
void rule_mail_read(struct rule_mail *mail, struct str header, int64_t now);

/* The strongest action of all rules that fit: ticking is stronger than marking. */
enum rule_action rule_apply(const struct rule *rules, size_t count, const struct rule_mail *mail);

#endif
