#include "imap_write.h"

#include "limits.h"

/* reach[i]: the pattern so far matches the first i octets of the name. One pass over it for each character of the
 * pattern, so no pattern can make it explode. */
struct matching {
	struct str name;
	char separator;
	bool reach[LIMIT_MAILBOX_NAME_MAX + 1];
};

static bool step_wildcard(struct matching *m, bool stops)
{
	bool reached = false, any = false;
	for (size_t i = 0; i <= m->name.length; i++) {
		if (stops && i > 0 && m->name.data[i - 1] == m->separator)
			reached = false;
		reached = reached || m->reach[i];
		m->reach[i] = reached;
		any = any || reached;
	}
	return any;
}

static bool step_char(struct matching *m, char c)
{
	bool any = false;
	for (size_t i = m->name.length; i > 0; i--) {
		m->reach[i] = m->reach[i - 1] && m->name.data[i - 1] == c;
		any = any || m->reach[i];
	}
	m->reach[0] = false;
	return any;
}

static bool is_inbox(struct str name, char separator)
{
	return str_starts_nocase(name, STR("INBOX")) && (name.length == 5 || name.data[5] == separator);
}

bool imap_list_matches(struct str pattern, struct str name, char separator)
{
	/* RFC 9051 §6.3.9: wildcards are for the uppercase "INBOX", but the name itself may be written in any case
	 * (§5.1) */
	if (is_inbox(name, separator) && str_starts_nocase(pattern, STR("INBOX"))) {
		name = str_from_index(name, 5);
		pattern = str_from_index(pattern, 5);
	}
	struct matching m = { .name = name, .separator = separator, .reach = { true } };
	if (name.length > LIMIT_MAILBOX_NAME_MAX)
		return false;
	bool any = true;
	for (size_t i = 0; i < pattern.length && any; i++) {
		char c = pattern.data[i];
		/* a second wildcard behind "*" changes nothing */
		if ((c == '*' || c == '%') && i > 0 && pattern.data[i - 1] == '*')
			continue;
		any = c == '*' || c == '%' ? step_wildcard(&m, c == '%') : step_char(&m, c);
	}
	return any && m.reach[name.length];
}
