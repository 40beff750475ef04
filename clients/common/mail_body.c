#include "mail_body.h"

#include "display.h"
#include "message.h"
#include "part_reader.h"
#include "preview.h"

static const struct mime_part *find_text(const struct mime_part *root)
{
	for (const struct mime_part *part = root; part; part = mime_next(part))
		if (part->kind == MIME_LEAF && mime_is_type(part, STR("text"), STR("plain")) && !mime_is_attachment(part))
			return part;
	return NULL;
}

void mail_body_add(struct buf *out, struct str text)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf piece = BUF_WITH_LIMIT(MAIL_BODY_MAX);
	const struct mime_part *root = mime_parse(arena, text, NULL), *part = find_text(root);
	struct part_reader reader;
	if (part) {
		part_reader_begin(&reader, part, text);
		while (part_reader_next(&reader, &piece))
			display_lines(out, buf_str(&piece));
		part_reader_release(&reader);
	} else {
		preview_add(&piece, text, root);
		display_lines(out, buf_str(&piece));
	}
}
