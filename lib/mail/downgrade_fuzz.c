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
	search_text_headers(&out, text, root);
	search_text_bodies(&out, text, root);
	must(text_is_utf8(buf_str(&out)));
	preview_add(&preview, text, root);
	must(!preview.overflowed && text_is_utf8(buf_str(&preview)));
}

/* A boundary that is not ASCII (RFC 2046 §5.1.1 forbids it) has no surrogate: the parts are other ones then. */
static bool has_ascii_boundaries(const struct mime_part *root)
{
	for (const struct mime_part *part = root; part; part = mime_next(part))
		if (!text_is_ascii(parameter_raw(&part->parameters, STR("boundary"))))
			return false;
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf once = BUF_WITH_LIMIT(SIZE_MAX / 2);
	struct str text = str_from((const char *)data, size);
	struct message m;
	message_parse(a, text, &m);
	check_texts(text, m.root);
	bool comparable = has_ascii_boundaries(m.root);
	downgrade_message(&once, text, m.root);
	message_parse(a, buf_str(&once), &m);
	must(!comparable || !(m.flags & MESSAGE_HAS_8BIT_HEADER));
	check_message(&m, buf_str(&once));
	return 0;
}
