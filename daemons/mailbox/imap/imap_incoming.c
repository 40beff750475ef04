#include "imap_incoming.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

void imap_incoming_init(struct imap_incoming *in, uint64_t size_max)
{
	*in = (struct imap_incoming){ .text = BUF_WITH_LIMIT(size_max), .file = -1 };
}

void imap_incoming_release(struct imap_incoming *in)
{
	buf_release(&in->text);
	file_close(&in->file);
}

void imap_waiting_init(struct imap_waiting *waiting, size_t memory)
{
	*waiting = (struct imap_waiting){ .memory = memory, .file = -1 };
}

void imap_waiting_release(struct imap_waiting *waiting)
{
	file_close(&waiting->file);
}

/* Its name goes at once: only this process ever writes here, so nobody else can have taken it. */
static bool make_file(struct imap_session *s, int *file, struct fail **fail)
{
	int directory = s->session->account->directory;
	char name[64];
	snprintf(name, sizeof name, "append.%llu", (unsigned long long)s->session->connection);
	unlinkat(directory, name, 0);
	*file = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*file < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot make a file for large messages");
	unlinkat(directory, name, 0);
	return true;
}

static void let_go(struct buf *text)
{
	size_t limit = text->limit;
	buf_release(text);
	buf_init(text, limit);
}

static bool spill(struct imap_session *s, struct imap_incoming *in, struct fail **fail)
{
	if (!make_file(s, &in->file, fail) || !file_write_at(in->file, in->text.data, in->text.length, 0, fail))
		return false;
	let_go(&in->text);
	return true;
}

bool imap_incoming_prepare(struct imap_session *s, struct imap_incoming *in, uint64_t more, struct fail **fail)
{
	if (more > in->text.limit - in->size)
		return fail_set(fail, FAIL_TOO_BIG, "the message is larger than %zu octets", in->text.limit);
	return in->file >= 0 || in->text.length + more <= LIMIT_INLINE_BODY_MAX || spill(s, in, fail);
}

static bool take(struct imap_incoming *in, struct str octets, struct fail **fail)
{
	if (in->file < 0)
		buf_add_str(&in->text, octets);
	else if (!file_write_at(in->file, octets.data, octets.length, in->size, fail))
		return false;
	in->size += octets.length;
	return true;
}

bool imap_incoming_add(struct imap_session *s, struct imap_incoming *in, struct str octets, struct fail **fail)
{
	return imap_incoming_prepare(s, in, octets.length, fail) && take(in, octets, fail);
}

/* In one go, straight to where it stays. */
static bool read_small(struct imap_session *s, struct imap_incoming *in, size_t size)
{
	char *room = buf_reserve(&in->text, size);
	must(room);
	if (!stream_read_exact(s->stream, room, size))
		return false;
	buf_claim(&in->text, size);
	in->size += size;
	return true;
}

/* What came too late to be refused is taken to its end, or the next command would begin in its middle. */
static bool read_large(struct imap_session *s, struct imap_incoming *in, uint64_t size, struct fail **fail)
{
	bool stored = true;
	while (size) {
		struct str piece = str_first(stream_peek(s->stream), size < SIZE_MAX ? (size_t)size : SIZE_MAX);
		if (str_is_empty(piece)) {
			fail_free(fail);
			return false;
		}
		stored = stored && take(in, piece, fail);
		size -= piece.length;
		stream_consume(s->stream, piece.length);
	}
	return stored;
}

bool imap_incoming_literal(struct imap_session *s, struct imap_incoming *in, uint64_t size, bool *taken,
                           struct fail **fail)
{
	stream_begin_bulk(s->stream);
	bool kept = in->file < 0 ? read_small(s, in, (size_t)size) : read_large(s, in, size, fail);
	stream_end_bulk(s->stream);
	*taken = kept || *fail;
	return kept;
}

bool imap_incoming_wait(struct imap_session *s, struct imap_incoming *in, struct imap_waiting *waiting,
                        struct fail **fail)
{
	size_t length = in->text.length;
	if (in->file >= 0 || length <= waiting->memory) {
		waiting->memory -= length;
		return true;
	}
	if ((waiting->file < 0 && !make_file(s, &waiting->file, fail)) ||
	    !file_write_at(waiting->file, in->text.data, length, waiting->end, fail))
		return false;
	in->waits = true;
	in->offset = waiting->end;
	waiting->end += length;
	let_go(&in->text);
	return true;
}

bool imap_incoming_load(struct imap_incoming *in, const struct imap_waiting *waiting, struct fail **fail)
{
	if (in->file < 0 && !in->waits)
		return true;
	char *room = buf_reserve(&in->text, in->size);
	must(room);
	if (!file_read_at(in->waits ? waiting->file : in->file, room, in->size, in->offset, fail))
		return false;
	buf_claim(&in->text, in->size);
	return true;
}

bool imap_incoming_unload(struct imap_incoming *in, bool changed, struct fail **fail)
{
	if (in->file < 0) {
		in->size = in->text.length;
		return true;
	}
	if (changed && (ftruncate(in->file, 0) != 0 || !file_write_at(in->file, in->text.data, in->text.length, 0, fail)))
		return fail_set_errno(fail, FAIL_IO, "cannot write the file of a large message");
	in->size = in->text.length;
	buf_release(&in->text);
	return true;
}
