/* The surrogate has only ASCII headers; the search text and preview are valid UTF-8. */
#include "downgrade.h"

#include "mail_check.h"
#include "preview.h"
#include "search_text.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_texts(struct str text, const struct mime_part *root)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(SIZE_MAX / 2);
	CLEANUP(buf_release) struct buf preview = BUF_WITH_LIMIT(PREVIEW_SIZE_MAX);
	search_text_headers(&out, text, root, NULL);
	search_text_bodies(&out, text, root);
	must(text_is_utf8(buf_str(&out)));
	preview_add(&preview, text, root);
	must(!preview.overflowed && text_is_utf8(buf_str(&preview)));
}

static size_t count_parts(const struct mime_part *root)
{
	size_t count = 0;
	for (const struct mime_part *part = root; part; part = mime_next(part))
		count++;
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf once = BUF_WITH_LIMIT(SIZE_MAX / 2);
	struct str text = str_from((const char *)data, size);
	struct message m;
	message_parse(a, text, &m);
	check_texts(text, m.root);
	size_t parts = count_parts(m.root);
	downgrade_message(&once, text, m.root);
	message_parse(a, buf_str(&once), &m);
	/* A boundary that no mail may have (RFC 2046 §5.1.1) has no surrogate: the parts are other ones then. */
	must(count_parts(m.root) != parts || !(m.flags & MESSAGE_HAS_8BIT_HEADER));
	check_message(&m, buf_str(&once));
	return 0;
}
