/* LIST's wildcards against the plain definition of them: recursion with one answer kept for each pair of places. */
#include "imap_write.h"

enum { LONGEST = 48 };

struct model {
	struct str pattern, name;
	signed char known[LONGEST + 1][LONGEST + 1]; /* 0: not yet, 1: matches, -1: does not */
};

static bool matches(struct model *m, size_t i, size_t j);

static bool look(struct model *m, size_t i, size_t j)
{
	if (i == m->pattern.length)
		return j == m->name.length;
	char c = m->pattern.data[i];
	bool more = j < m->name.length;
	if (c == '*')
		return matches(m, i + 1, j) || (more && matches(m, i, j + 1));
	if (c == '%')
		return matches(m, i + 1, j) || (more && m->name.data[j] != '/' && matches(m, i, j + 1));
	return more && m->name.data[j] == c && matches(m, i + 1, j + 1);
}

static bool matches(struct model *m, size_t i, size_t j)
{
	if (m->known[i][j] == 0)
		m->known[i][j] = look(m, i, j) ? 1 : -1;
	return m->known[i][j] > 0;
}

/* Both divided by the first line feed; INBOX, which has its own rule, is not for the model. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str input = str_from((const char *)data, size), pattern;
	if (!str_take_until(&input, '\n', &pattern))
		return 0;
	struct model m = { .pattern = pattern, .name = input };
	bool got = imap_list_matches(pattern, input, '/');
	if (pattern.length > LONGEST || input.length > LONGEST || str_starts_nocase(input, STR("INBOX")))
		return 0;
	must(got == matches(&m, 0, 0));
	must(imap_list_matches(STR("*"), input, '/'));
	return 0;
}
