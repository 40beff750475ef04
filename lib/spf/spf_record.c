#include "spf_record.h"

#include "array.h"

/* ---- the form of macros, §7.1 ---- */

static bool is_delimiter(char c)
{
	return c && strchr(".-+,/_=", c);
}

/* Length of the macro-expand at the start of text, 0 for none. */
static size_t macro_length(struct str text, bool explanation)
{
	if (text.length >= 2 && strchr("%_-", text.data[1]) && text.data[1])
		return 2;
	if (text.length < 4 || text.data[1] != '{')
		return 0;
	char letter = char_lower(text.data[2]);
	if (!strchr(explanation ? "slodiphcrtv" : "slodiphv", letter) || !letter)
		return 0;
	size_t at = 3;
	size_t digits = at;
	while (at < text.length && char_is_digit(text.data[at]))
		at++;
	uint64_t parts = 1;
	if (at > digits && (!str_to_u64(str_from(text.data + digits, at - digits), UINT32_MAX, &parts) || parts == 0))
		return 0;
	if (at < text.length && char_lower(text.data[at]) == 'r')
		at++;
	while (at < text.length && is_delimiter(text.data[at]))
		at++;
	return at < text.length && text.data[at] == '}' ? at + 1 : 0;
}

/* *last: where the last macro-expand began, if the text ends with one; else its length. */
static bool scan_macros(struct str text, bool explanation, size_t *last)
{
	*last = text.length;
	for (size_t i = 0; i < text.length;) {
		if (text.data[i] == '%') {
			size_t length = macro_length(str_from_index(text, i), explanation);
			if (!length)
				return false;
			*last = i + length == text.length ? i : text.length;
			i += length;
		} else if (text.data[i] < (explanation ? ' ' : '!') || text.data[i] > '~') {
			return false;
		} else {
			i++;
		}
	}
	return true;
}

bool spf_macro_is_valid(struct str text, bool explanation)
{
	size_t last;
	return scan_macros(text, explanation, &last);
}

static bool is_top_label(struct str label)
{
	bool has_other = false;
	for (size_t i = 0; i < label.length; i++) {
		if (!char_is_alpha(label.data[i]) && !char_is_digit(label.data[i]) && label.data[i] != '-')
			return false;
		has_other |= !char_is_digit(label.data[i]);
	}
	return has_other && label.data[0] != '-' && label.data[label.length - 1] != '-';
}

/* domain-spec: macros and their form (§7.1). */
static bool domain_is_valid(struct str domain)
{
	size_t last;
	if (!domain.length || !scan_macros(domain, false, &last))
		return false;
	if (last < domain.length)
		return true;
	if (domain.data[domain.length - 1] == '.')
		domain.length--;
	size_t dot = str_find_last_char(domain, '.');
	return dot < domain.length && is_top_label(str_from_index(domain, dot + 1));
}

/* ---- terms ---- */

static const struct {
	const char *name;
	enum { NEVER, MAY, MUST } domain;
	bool prefixes;
} mechanisms[SPF_MECHANISM_COUNT] = {
	[SPF_ALL] = { "all", NEVER, false }, [SPF_INCLUDE] = { "include", MUST, false }, [SPF_A] = { "a", MAY, true },
	[SPF_MX] = { "mx", MAY, true },      [SPF_PTR] = { "ptr", MAY, false },          [SPF_IP4] = { "ip4", MUST, true },
	[SPF_IP6] = { "ip6", MUST, true },   [SPF_EXISTS] = { "exists", MUST, false },
};

static bool find_mechanism(struct str name, enum spf_mechanism *mechanism)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		*mechanism = (enum spf_mechanism)i;
		if (str_equal_nocase(name, str_of(mechanisms[i].name)))
			return true;
	}
	return false;
}

static struct str take_qualifier(struct str text, enum spf_result *qualifier)
{
	static const char signs[] = "+-?~";
	static const enum spf_result results[] = { SPF_PASS, SPF_FAIL, SPF_NEUTRAL, SPF_SOFTFAIL };
	const char *sign = text.length ? strchr(signs, text.data[0]) : NULL;
	*qualifier = sign && *sign ? results[sign - signs] : SPF_PASS;
	return sign && *sign ? str_from_index(text, 1) : text;
}

/* Takes "/n" off the end; "" and 0n are not numbers here (§12 ip4-cidr-length). False when it is malformed. */
static bool take_prefix(struct str *text, bool two_slashes, unsigned max, unsigned *prefix)
{
	size_t digits = text->length;
	while (digits > 0 && char_is_digit(text->data[digits - 1]))
		digits--;
	struct str slash = two_slashes ? STR("//") : STR("/");
	if (digits < slash.length || memcmp(text->data + digits - slash.length, slash.data, slash.length) != 0)
		return true;
	if (!two_slashes && digits >= 2 && text->data[digits - 2] == '/')
		return true;
	struct str number = str_from_index(*text, digits);
	uint64_t value;
	if (!str_to_u64(number, max, &value) || (number.length > 1 && number.data[0] == '0'))
		return false;
	*prefix = (unsigned)value;
	text->length = digits - slash.length;
	return true;
}

static bool parse_address(struct spf_term *term, struct str argument)
{
	bool is_v4 = term->mechanism == SPF_IP4;
	unsigned *prefix = is_v4 ? &term->prefix4 : &term->prefix6;
	if (!take_prefix(&argument, false, is_v4 ? 32 : 128, prefix))
		return false;
	/* ip6 of a mapped address would become IPv4: such a term never matches, and is no error */
	return endpoint_parse_ip(argument, 0, &term->address, NULL) &&
	       (is_v4 ? term->address.any.sa_family == AF_INET && str_find_char(argument, ':') == argument.length
	              : str_find_char(argument, ':') < argument.length);
}

/* argument: what stands behind the name, with its ":" or "/". */
static bool parse_argument(struct spf_term *term, struct str argument)
{
	bool has_domain = argument.length && argument.data[0] == ':';
	if (has_domain)
		argument = str_from_index(argument, 1);
	if (term->mechanism == SPF_IP4 || term->mechanism == SPF_IP6)
		return has_domain && parse_address(term, argument);
	if (mechanisms[term->mechanism].prefixes &&
	    (!take_prefix(&argument, true, 128, &term->prefix6) || !take_prefix(&argument, false, 32, &term->prefix4)))
		return false;
	if (!has_domain)
		return argument.length == 0 && mechanisms[term->mechanism].domain != MUST;
	term->domain = argument;
	return mechanisms[term->mechanism].domain != NEVER && domain_is_valid(argument);
}

static size_t name_length(struct str text)
{
	size_t i = 0;
	while (i < text.length && (char_is_alpha(text.data[i]) || char_is_digit(text.data[i]) ||
	                           (text.data[i] && strchr("-_.", text.data[i]))))
		i++;
	return i;
}

static bool parse_modifier(struct spf_record *record, struct str name, struct str value, const char **why)
{
	bool is_redirect = str_equal_nocase(name, STR("redirect"));
	struct str *place = is_redirect ? &record->redirect : str_equal_nocase(name, STR("exp")) ? &record->exp : NULL;
	if (!place) {
		*why = "the value of a modifier is malformed";
		return spf_macro_is_valid(value, false);
	}
	*why = "redirect or exp stands twice, or has no domain";
	if (place->data || !domain_is_valid(value))
		return false;
	*place = value;
	return true;
}

static bool parse_term(struct spf_record *record, struct str text, const char **why)
{
	struct spf_term term = { .text = text, .prefix4 = 32, .prefix6 = 128 };
	struct str rest = take_qualifier(text, &term.qualifier);
	struct str name = str_first(rest, name_length(rest));
	struct str argument = str_from_index(rest, name.length);
	*why = "a term has no name";
	if (!name.length || !char_is_alpha(name.data[0]))
		return false;
	if (argument.length && argument.data[0] == '=' && rest.data == text.data)
		return parse_modifier(record, name, str_from_index(argument, 1), why);
	*why = "a mechanism that does not exist";
	if (!find_mechanism(name, &term.mechanism))
		return false;
	*why = "a mechanism with a malformed argument";
	if (!parse_argument(&term, argument))
		return false;
	record->terms[record->count++] = term;
	return true;
}

bool spf_is_record(struct str text)
{
	return str_starts_nocase(text, STR("v=spf1")) && (text.length == 6 || text.data[6] == ' ');
}

bool spf_record_parse(struct arena *a, struct str text, struct spf_record *record, const char **why)
{
	struct str rest = str_from_index(text, 6);
	struct str word;
	*record = (struct spf_record){};
	/* a term has a letter and a space at least */
	record->terms = arena_alloc_array(a, rest.length / 2 + 1, sizeof *record->terms);
	while (str_take_until(&rest, ' ', &word))
		if (word.length && !parse_term(record, word, why))
			return false;
	return true;
}
