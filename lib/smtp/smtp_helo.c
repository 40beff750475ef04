#include "smtp_helo.h"

#include "smtp_path.h"

static enum smtp_helo_kind kind_of(struct str argument)
{
	char canonical[LIMIT_DOMAIN_MAX + 1];
	if (smtp_domain_parse(argument, 0, canonical))
		return SMTP_HELO_DOMAIN;
	return smtp_literal_parse(argument, canonical) ? SMTP_HELO_LITERAL : SMTP_HELO_OTHER;
}

static char safe_octet(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("-._:[]", c)) ? c : '?';
}

const struct smtp_reply *smtp_helo_parse(struct str argument, struct smtp_helo *helo)
{
	static const struct smtp_reply missing = { 501, "5.5.4", "Say your domain name or address literal" };
	struct str text = str_trim(argument);
	*helo = (struct smtp_helo){};
	if (text.length == 0)
		return &missing;
	helo->kind = kind_of(text);
	struct str word = str_first(str_first(text, str_find_char(text, ' ')), LIMIT_DOMAIN_MAX);
	for (size_t i = 0; i < word.length; i++)
		helo->name[i] = safe_octet(word.data[i]);
	return NULL;
}
