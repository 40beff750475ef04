#include "dns_tagged.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct str dns_tagged_trim(struct str s)
{
	while (s.length && is_blank(s.data[0]))
		s = str_from_index(s, 1);
	while (s.length && is_blank(s.data[s.length - 1]))
		s.length--;
	return s;
}

static bool is_of(struct str record, struct str version)
{
	return str_starts(record, version) && str_starts(dns_tagged_trim(str_from_index(record, version.length)), STR(";"));
}

bool dns_tagged_find(const struct str *records, size_t count, struct str version, struct str *record)
{
	size_t found = 0;
	for (size_t i = 0; i < count; i++) {
		if (!is_of(records[i], version))
			continue;
		*record = records[i];
		found++;
	}
	return found == 1;
}

bool dns_tagged_next(struct str *rest, struct str *field)
{
	if (!str_take_until(rest, ';', field))
		return false;
	*field = dns_tagged_trim(*field);
	return field->length > 0 || rest->length > 0;
}
