#include "imap_mailbox_name.h"

#include "text.h"

#include <stdlib.h>
#include <utf8proc.h>

/* RFC 5198 §2: no C1 controls; U+2028 and U+2029 are no ends of lines. */
static bool is_net_unicode(struct str name)
{
	for (struct str rest = name; !str_is_empty(rest);) {
		uint32_t code = 0;
		size_t length = text_utf8_next(rest, &code);
		if (!length || code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029)
			return false;
		rest = str_from_index(rest, length);
	}
	return true;
}

/* Two names that look the same are the same: what is not in form C is refused (RFC 9051 §6.3.4). */
static bool is_normalized(struct str name)
{
	utf8proc_uint8_t *normal = NULL;
	if (text_is_ascii(name))
		return true;
	utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)name.data, (utf8proc_ssize_t)name.length, &normal,
	                                       (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
	bool same = length >= 0 && str_equal(name, str_from((const char *)normal, (size_t)length));
	free(normal);
	return same;
}

bool imap_mailbox_name_is_allowed(struct str name)
{
	struct str level;
	if (str_is_empty(name) || name.data[name.length - 1] == '/' || !is_net_unicode(name))
		return false;
	for (struct str rest = name; str_take_until(&rest, '/', &level);)
		if (str_is_empty(level) || str_equal(level, STR(".")) || str_equal(level, STR("..")))
			return false;
	return is_normalized(name);
}
