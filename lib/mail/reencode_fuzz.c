/*
 * What is re-encoded says the same as before: as many parts of the same kinds, and each leaf decodes to the same
 * octets. For mailboxes no part says binary any more; for hosts of 7 bits all is lines of ASCII. The sizes keep to
 * what the header promises.
 */
#include "reencode.h"

#include "mail_check.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OCTETS_PER_PART = 200, DECODED_MAX = 16 << 20 };

static void decode(const struct mime_part *part, struct str text, struct buf *out)
{
	buf_init(out, DECODED_MAX);
	transfer_decode_all(part->encoding, mime_body(part, text), out);
	must(!out->overflowed);
}

/* The CRLF that a message always ends with may be new. */
static bool is_same(const struct buf *before, const struct buf *after)
{
	return str_equal(buf_str(before), buf_str(after)) ||
	       (after->length == before->length + 2 && str_starts(buf_str(after), buf_str(before)));
}

static void compare_leaf(const struct mime_part *before, struct str text, const struct mime_part *after,
                         struct str result)
{
	CLEANUP(buf_release) struct buf was = {}, is = {};
	decode(before, text, &was);
	decode(after, result, &is);
	must(is_same(&was, &is));
}

static void compare(const struct mime_part *before, struct str text, const struct mime_part *after, struct str result)
{
	for (; before && after; before = mime_next(before), after = mime_next(after)) {
		must(before->kind == after->kind && before->children == after->children);
		if (before->kind == MIME_LEAF)
			compare_leaf(before, text, after, result);
	}
	must(!before && !after);
}

/* Without a blank line behind it, what follows decides where a header ends, and that changes. */
static bool has_clear_headers(const struct mime_part *root, struct str text)
{
	for (const struct mime_part *part = root; part; part = mime_next(part)) {
		struct str header = mime_header(part, text);
		if (header.length && !str_ends_nocase(header, STR("\n\n")) && !str_ends_nocase(header, STR("\n\r\n")) &&
		    !str_equal(header, STR("\r\n")))
			return false;
	}
	return true;
}

static size_t count_parts(const struct mime_part *root)
{
	size_t count = 0;
	for (; root; root = mime_next(root))
		count++;
	return count;
}

static void for_mailboxes(struct arena *arena, struct str text, const struct mime_part *root)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(text.length / 3 * 4 + text.length / 16 + count_parts(root) * OCTETS_PER_PART);
	must(reencode_message(&out, text, root));
	const struct mime_part *after = mime_parse(arena, buf_str(&out), NULL);
	if (!has_clear_headers(root, text))
		return;
	compare(root, text, after, buf_str(&out));
	must(!reencode_is_needed(after));
}

static void for_7bit(struct arena *arena, struct str text, const struct mime_part *root)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4 * text.length + count_parts(root) * OCTETS_PER_PART);
	bool made = reencode_to_7bit(&out, text, root);
	must(!out.overflowed);
	if (!made)
		return;
	must(text_is_ascii(buf_str(&out)) && reencode_is_lines(buf_str(&out)));
	if (has_clear_headers(root, text))
		compare(root, text, mime_parse(arena, buf_str(&out), NULL), buf_str(&out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(3 * (size_t)MESSAGE_ARENA_SIZE);
	struct str text = str_from((const char *)data, size);
	const struct mime_part *root = mime_parse(arena, text, NULL);
	if (reencode_is_needed(root))
		for_mailboxes(arena, text, root);
	for_7bit(arena, text, root);
	return 0;
}
