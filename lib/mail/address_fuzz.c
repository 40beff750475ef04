/* Groups are well formed, strings hold no line break, the count is kept; what was read once reads the same when
 * it is written plainly. */
#include "address.h"

#include "buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX = 50 };

static void add_quoted(struct buf *out, struct str s)
{
	buf_add_char(out, '"');
	for (size_t i = 0; i < s.length; i++) {
		buf_add_char(out, '\\');
		buf_add_char(out, s.data[i]);
	}
	buf_add_char(out, '"');
}

static void write_list(struct buf *out, const struct address_list *list)
{
	for (const struct address *a = list->first; a; a = a->next) {
		if (address_is_group_end(a)) {
			buf_add_char(out, ';');
			continue;
		}
		add_quoted(out, address_is_mailbox(a) ? a->name : a->mailbox);
		if (address_is_group_begin(a)) {
			buf_add_char(out, ':');
			continue;
		}
		buf_add_char(out, '<');
		add_quoted(out, a->mailbox);
		buf_add_char(out, '@');
		add_quoted(out, a->host);
		buf_add_str(out, STR(">,"));
	}
}

static void check_line(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		must(s.data[i] != '\r' && s.data[i] != '\n' && s.data[i] != '\0');
}

static void check_list(const struct address_list *list)
{
	bool in_group = false;
	size_t count = 0;
	for (const struct address *a = list->first; a; a = a->next, count++) {
		check_line(a->name), check_line(a->route), check_line(a->mailbox), check_line(a->host);
		must(!address_is_group_begin(a) || !in_group);
		must(!address_is_group_end(a) || in_group);
		in_group = address_is_group_begin(a) || (in_group && !address_is_group_end(a));
	}
	must(!in_group && count == list->count && count <= MAX);
}

static bool same(struct str a, struct str b)
{
	return str_equal(a, b) && (a.data == NULL || b.data != NULL || a.length == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new((size_t)64 << 20);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT((size_t)64 << 20);
	struct address_list list = {}, again = {};
	address_parse(a, str_from((const char *)data, size), MAX, &list);
	check_list(&list);
	write_list(&text, &list);
	address_parse(a, buf_str(&text), MAX, &again);
	check_list(&again);
	must(again.count == list.count);
	for (struct address *x = list.first, *y = again.first; x; x = x->next, y = y->next) {
		must(same(x->name, y->name) && same(x->mailbox, y->mailbox));
		must(str_starts(x->host, y->host));
	}
	return 0;
}
