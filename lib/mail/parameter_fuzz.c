/* Names and values are lines within the count; a value found can be added and is found again. */
#include "parameter.h"

#include "limits.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(struct arena *a, struct str value)
{
	CLEANUP(buf_release) struct buf field = BUF_WITH_LIMIT(value.length * 10 + 10000);
	CLEANUP(buf_release) struct buf found = BUF_WITH_LIMIT(value.length * 4 + 100);
	struct parameter_list list;
	struct str kind;
	if (value.length > 2000 || str_find(value, STR("=?")) < value.length)
		return;
	buf_add_str(&field, STR("x"));
	parameter_add(&field, STR("n"), value);
	must(text_is_ascii(buf_str(&field)) && !field.overflowed);
	parameter_parse(a, buf_str(&field), LIMIT_MIME_PARAMETERS_MAX, &kind, &list);
	must(parameter_find(&found, &list, STR("n")));
	must(str_equal(buf_str(&found), value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new((size_t)64 << 20);
	struct parameter_list list;
	struct str kind;
	size_t count = 0;
	parameter_parse(a, str_from((const char *)data, size), LIMIT_MIME_PARAMETERS_MAX, &kind, &list);
	for (const struct parameter *p = list.first; p; p = p->next, count++) {
		CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(size * 12 + 100);
		must(p->name.length > 0 && p->name.length <= size && p->value.length <= size);
		must(str_find_char(p->value, '\n') == p->value.length && str_find_char(p->value, '\r') == p->value.length);
		must(parameter_find(&value, &list, p->name));
		must(text_is_utf8(buf_str(&value)) && !value.overflowed);
		check_again(a, buf_str(&value));
	}
	must(count == list.count && count <= LIMIT_MIME_PARAMETERS_MAX);
	return 0;
}
