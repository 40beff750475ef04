#include "smtp_bdat.h"

const struct smtp_reply *smtp_bdat_parse(struct str argument, struct smtp_bdat *bdat)
{
	static const struct smtp_reply bad = { 501, "5.5.4",
		                                   "Say BDAT with a chunk size in octets, and LAST with the last one" };
	struct str word = str_first(argument, str_find_char(argument, ' '));
	struct str rest = str_trim(str_from_index(argument, word.length));
	*bdat = (struct smtp_bdat){ .last = str_equal_nocase(rest, STR("LAST")) };
	if (!str_to_u64(word, INT64_MAX, &bdat->size) || (rest.length && !bdat->last))
		return &bad;
	return NULL;
}
