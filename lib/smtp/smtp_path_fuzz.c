/* What a path parser accepts is canonical: written again it reads as the same mailbox, and it can't break out of <>. */
#include "smtp_helo.h"
#include "smtp_path.h"
#include "text.h"

static void check_path(struct arena *a, struct str input, unsigned flags)
{
	struct smtp_path path, again;
	struct str rest = input;
	if (smtp_path_parse(a, &rest, flags, &path))
		return;
	must(rest.length == 0 || rest.data[0] == ' ');
	must(path.local.length <= LIMIT_LOCAL_PART_MAX && path.domain.length <= LIMIT_DOMAIN_MAX);
	must(text_is_utf8(path.mailbox) && text_is_ascii(path.domain));
	must(path.is_utf8 || text_is_ascii(path.mailbox));
	for (size_t i = 0; i < path.mailbox.length; i++)
		must((unsigned char)path.mailbox.data[i] >= 0x20 && path.mailbox.data[i] != 0x7f);
	if (path.domain.length == 0) {
		must(path.mailbox.length == 0 || str_equal(path.mailbox, STR("postmaster")));
		return;
	}
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(2000);
	buf_printf(&text, "<%.*s>", STR_ARG(path.mailbox));
	must(path.mailbox.length <= path.domain.length + 1 + LIMIT_LOCAL_PART_MAX);
	rest = buf_str(&text);
	must(!smtp_path_parse(a, &rest, flags, &again) && rest.length == 0);
	must(str_equal(again.mailbox, path.mailbox) && str_equal(again.local, path.local) &&
	     str_equal(again.domain, path.domain));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size > 2048)
		return 0;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(1 << 16);
	struct str input = str_from((const char *)data, size);
	struct smtp_helo helo;
	for (unsigned flags = 0; flags < 8; flags++)
		check_path(a, input, flags);
	smtp_helo_parse(input, &helo);
	must(strspn(helo.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:[]?") ==
	     strlen(helo.name));
	return 0;
}
