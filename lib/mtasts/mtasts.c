#include "mtasts.h"

#include "check.h"
#include "dns_tagged.h"

/* ---- the record ---- */

static bool is_alphanumeric(char c)
{
	return char_is_alpha(c) || char_is_digit(c);
}

/* sts-ext-name = (ALPHA / DIGIT) *31(ALPHA / DIGIT / "_" / "-" / "."), which every name is. */
static bool is_name(struct str s)
{
	if (s.length == 0 || s.length > 32 || !is_alphanumeric(s.data[0]))
		return false;
	for (size_t i = 1; i < s.length; i++)
		if (!is_alphanumeric(s.data[i]) && s.data[i] != '_' && s.data[i] != '-' && s.data[i] != '.')
			return false;
	return true;
}

static bool is_id(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (!is_alphanumeric(s.data[i]))
			return false;
	return s.length > 0 && s.length <= MTASTS_ID_MAX;
}

/* sts-ext-value: visible ASCII without "=" and ";". */
static bool is_value(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (s.data[i] <= 0x20 || s.data[i] >= 0x7f || s.data[i] == '=')
			return false;
	return s.length > 0;
}

static bool parse_record(struct str record, struct str *id)
{
	struct str field;
	bool first = true, found = false;
	while (dns_tagged_next(&record, &field)) {
		size_t equals = str_find_char(field, '=');
		struct str name = str_first(field, equals), value = str_from_index(field, equals + 1);
		bool is_the_id = str_equal(name, STR("id"));
		if (first ? !str_equal(field, STR("v=STSv1")) : !is_name(name) || !(is_the_id ? is_id(value) : is_value(value)))
			return false;
		if (is_the_id && !found)
			*id = value;
		found |= is_the_id;
		first = false;
	}
	return found;
}

bool mtasts_find_id(const struct str *records, size_t count, struct str *id)
{
	struct str record;
	return dns_tagged_find(records, count, STR("v=STSv1"), &record) && parse_record(record, id);
}

/* ---- the policy ---- */

static const char *const modes[] = { [MTASTS_NONE] = "none", [MTASTS_TESTING] = "testing",
                                     [MTASTS_ENFORCE] = "enforce" };

const char *mtasts_mode_name(enum mtasts_mode mode)
{
	return modes[mode];
}

enum given { HAS_VERSION = 1, HAS_MODE = 2, HAS_AGE = 4 };

static bool read_mode(struct str value, struct mtasts_policy *policy)
{
	for (size_t i = 0; i < COUNT_OF(modes); i++) {
		if (!str_equal(value, str_of(modes[i])))
			continue;
		policy->mode = (enum mtasts_mode)i;
		return true;
	}
	return false;
}

static bool read_age(struct str value, struct mtasts_policy *policy)
{
	uint64_t seconds;
	if (value.length > 10 || !str_to_u64(value, UINT64_MAX, &seconds))
		return false;
	policy->age_seconds = seconds < MTASTS_AGE_MAX ? (uint32_t)seconds : MTASTS_AGE_MAX;
	return true;
}

/* ["*."] Domain */
static bool read_pattern(struct str value, struct mtasts_policy *policy)
{
	struct str name = str_starts(value, STR("*.")) ? str_from_index(value, 2) : value;
	char before = '.';
	for (size_t i = 0; i < name.length; before = name.data[i], i++)
		if (!is_alphanumeric(name.data[i]) && name.data[i] != '-' && (name.data[i] != '.' || before == '.'))
			return false;
	if (name.length == 0 || before == '.' || name.length > 253)
		return false;
	if (policy->pattern_count < MTASTS_MX_MAX)
		policy->patterns[policy->pattern_count++] = value;
	return true;
}

static bool read_field(struct str name, struct str value, unsigned *given, struct mtasts_policy *policy)
{
	unsigned bit = str_equal(name, STR("version")) ? HAS_VERSION : str_equal(name, STR("mode")) ? HAS_MODE :
	               str_equal(name, STR("max_age")) ? HAS_AGE : 0;
	if (str_equal(name, STR("mx")))
		return read_pattern(value, policy);
	if (bit == 0)
		return is_name(name);
	if (*given & bit)
		return true;
	*given |= bit;
	if (bit == HAS_VERSION)
		return str_equal(value, STR("STSv1"));
	return bit == HAS_MODE ? read_mode(value, policy) : read_age(value, policy);
}

static bool has_control(struct str text)
{
	for (size_t i = 0; i < text.length; i++)
		if (((unsigned char)text.data[i] < 0x20 && text.data[i] != '\t' && text.data[i] != '\r' &&
		     text.data[i] != '\n') || text.data[i] == 0x7f)
			return true;
	return false;
}

bool mtasts_policy_parse(struct str text, struct mtasts_policy *policy)
{
	unsigned given = 0;
	struct str line;
	*policy = (struct mtasts_policy){ .text = text };
	if (has_control(text))
		return false;
	while (str_take_until(&text, '\n', &line)) {
		if (line.length && line.data[line.length - 1] == '\r')
			line.length--;
		line = dns_tagged_trim(line);
		if (line.length == 0 && text.length == 0)
			break;
		size_t colon = str_find_char(line, ':');
		if (colon == line.length ||
		    !read_field(str_first(line, colon), dns_tagged_trim(str_from_index(line, colon + 1)), &given, policy))
			return false;
	}
	return given == (HAS_VERSION | HAS_MODE | HAS_AGE) && (policy->pattern_count > 0 || policy->mode == MTASTS_NONE);
}

/* A wildcard stands for exactly one label. */
static bool matches(struct str pattern, struct str host)
{
	if (!str_starts(pattern, STR("*.")))
		return str_equal_nocase(pattern, host);
	size_t dot = str_find_char(host, '.');
	return dot > 0 && dot < host.length && str_equal_nocase(str_from_index(pattern, 1), str_from_index(host, dot));
}

bool mtasts_policy_allows(const struct mtasts_policy *policy, struct str host)
{
	for (size_t i = 0; i < policy->pattern_count; i++)
		if (matches(policy->patterns[i], host))
			return true;
	return false;
}
