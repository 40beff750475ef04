#include "content.h"

#include "message.h"
#include "reencode.h"
#include "relay.h"
#include "smtp_sender_content.h"
#include "text.h"

#include <unistd.h>

enum { PIECE_MAX = SMTP_SENDER_PIECE, GROWTH_MAX = 3, FIELDS_MAX = 1 << 20 };

void content_init(struct content *c, struct job *job)
{
	*c = (struct content){ .job = job };
	if (!job->text)
		c->piece = arena_alloc(job->arena, job->ask.size < PIECE_MAX ? job->ask.size + 1 : PIECE_MAX);
}

void content_release(struct content *c)
{
	c->job->relay->converted_octets -= c->converted.length;
	buf_release(&c->converted);
}

static struct str read_original(void *context, uint64_t offset)
{
	struct content *c = context;
	const struct msg_relay_job *ask = &c->job->ask;
	uint64_t left = ask->size - offset;
	if (c->job->text)
		return str_from(c->job->text + offset, left < PIECE_MAX ? (size_t)left : PIECE_MAX);
	ssize_t got = pread(c->job->content, c->piece, left < PIECE_MAX ? left : PIECE_MAX, (off_t)(ask->offset + offset));
	return str_from(c->piece, got > 0 ? (size_t)got : 0);
}

static struct str read_converted(void *context, uint64_t offset)
{
	struct content *c = context;
	return str_first(str_from_index(buf_str(&c->converted), (size_t)offset), PIECE_MAX);
}

/* A content that cannot be read ends the walk: the dialogue will find that out, too. */
static bool find_binary(struct content *c)
{
	bool after_cr = false;
	struct str piece;
	for (uint64_t offset = 0; offset < c->job->ask.size; offset += piece.length) {
		piece = read_original(c, offset);
		if (piece.length == 0)
			return false;
		if (!smtp_sender_content_is_clean(piece, &after_cr) || memchr(piece.data, '\0', piece.length))
			return true;
	}
	return after_cr;
}

static bool load(struct content *c, struct buf *text)
{
	uint64_t size = c->job->ask.size;
	while (text->length < size) {
		struct str piece = read_original(c, text->length);
		if (piece.length == 0)
			return false;
		buf_add_str(text, piece);
	}
	return true;
}

/* RFC 6532 §3.2, §3.3: in any part's header. */
static void look_at_headers(struct content *c)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(c->job->ask.size + 1);
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	c->parsed = true;
	if (!load(c, &text))
		return;
	for (const struct mime_part *part = mime_parse(arena, buf_str(&text), NULL); part; part = mime_next(part))
		c->has_utf8_header |= !text_is_ascii(mime_header(part, buf_str(&text)));
}

static void convert(struct content *c)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(c->job->ask.size + 1);
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	c->tried = true;
	if (!load(c, &text))
		return;
	c->converted = BUF_WITH_LIMIT(GROWTH_MAX * text.length + FIELDS_MAX);
	if (!reencode_to_7bit(&c->converted, buf_str(&text), mime_parse(arena, buf_str(&text), NULL)))
		buf_release(&c->converted);
	c->job->relay->converted_octets += c->converted.length;
}

/* Some clients ask for SMTPUTF8 with every mail; what has it in no header needs it in no address either (RFC 6531
 * §3.4). */
static bool is_utf8(struct content *c, const struct smtp_ehlo *offers)
{
	uint32_t both = RELAY_SMTPUTF8 | RELAY_8BIT;
	if ((c->job->ask.flags & both) != both || offers->extensions & SMTP_SMTPUTF8)
		return c->job->ask.flags & RELAY_SMTPUTF8;
	if (!c->parsed)
		look_at_headers(c);
	return c->has_utf8_header;
}

bool content_fit(struct content *c, const struct smtp_ehlo *offers, struct smtp_sender_mail *mail)
{
	const struct msg_relay_job *ask = &c->job->ask;
	if (!c->looked)
		c->is_binary = find_binary(c);
	c->looked = true;
	bool must_convert = c->is_binary || (ask->flags & RELAY_8BIT && !(offers->extensions & SMTP_8BITMIME));
	bool may_convert = must_convert && !(ask->flags & RELAY_SIGNED) && !c->tried;
	if (may_convert && c->job->relay->converted_octets > CONTENT_CONVERTED_MAX)
		return false;
	if (may_convert)
		convert(c);
	bool is_converted = must_convert && c->converted.length;
	mail->has_8bit = ask->flags & RELAY_8BIT && !is_converted;
	mail->is_binary = c->is_binary && !is_converted;
	mail->utf8 = !is_converted && is_utf8(c, offers);
	mail->size = is_converted ? c->converted.length : ask->size;
	mail->content = is_converted ? read_converted : read_original;
	mail->context = c;
	return true;
}
