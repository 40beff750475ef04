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

/* Its name goes at once: only this process ever writes here, so nobody else can have taken it. */
static bool make_file(struct imap_session *s, struct imap_incoming *in, struct fail **fail)
{
	int directory = s->session->account->directory;
	char name[64];
	snprintf(name, sizeof name, "append.%llu", (unsigned long long)s->session->connection);
	unlinkat(directory, name, 0);
	in->file = openat(directory, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (in->file < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot make a file for a large message");
	unlinkat(directory, name, 0);
	return true;
}

static bool spill(struct imap_session *s, struct imap_incoming *in, size_t *memory, struct fail **fail)
{
	if (!make_file(s, in, fail) || !file_write_at(in->file, in->text.data, in->text.length, 0, fail))
		return false;
	*memory += in->text.length;
	size_t limit = in->text.limit;
	buf_release(&in->text);
	buf_init(&in->text, limit);
	return true;
}

/* Whether so many octets more go to memory. */
static bool has_room(const struct imap_incoming *in, uint64_t more, size_t memory)
{
	return in->file < 0 && more <= memory && in->text.length + more <= LIMIT_INLINE_BODY_MAX;
}

bool imap_incoming_prepare(struct imap_session *s, struct imap_incoming *in, uint64_t more, size_t *memory, struct fail **fail)
{
	if (more > in->text.limit - in->size)
		return fail_set(fail, FAIL_TOO_BIG, "the message is larger than %zu octets", in->text.limit);
	return in->file >= 0 || has_room(in, more, *memory) || spill(s, in, memory, fail);
}

static bool take(struct imap_incoming *in, struct str octets, size_t *memory, struct fail **fail)
{
	if (in->file < 0) {
		buf_add_str(&in->text, octets);
		*memory -= octets.length;
	} else if (!file_write_at(in->file, octets.data, octets.length, in->size, fail)) {
		return false;
	}
	in->size += octets.length;
	return true;
}

bool imap_incoming_add(struct imap_session *s, struct imap_incoming *in, struct str octets, size_t *memory, struct fail **fail)
{
	return imap_incoming_prepare(s, in, octets.length, memory, fail) && take(in, octets, memory, fail);
}

/* In one go, straight to where it stays. */
static bool read_small(struct imap_session *s, struct imap_incoming *in, size_t size, size_t *memory)
{
	char *room = buf_reserve(&in->text, size);
	must(room);
	if (!stream_read_exact(s->stream, room, size))
		return false;
	buf_claim(&in->text, size);
	in->size += size;
	*memory -= size;
	return true;
}

/* What came too late to be refused is taken to its end, or the next command would begin in its middle. */
static bool read_large(struct imap_session *s, struct imap_incoming *in, uint64_t size, size_t *memory, struct fail **fail)
{
	bool stored = true;
	while (size) {
		struct str piece = str_first(stream_peek(s->stream), size < SIZE_MAX ? (size_t)size : SIZE_MAX);
		if (str_is_empty(piece)) {
			fail_free(fail);
			return false;
		}
		stored = stored && take(in, piece, memory, fail);
		size -= piece.length;
		stream_consume(s->stream, piece.length);
	}
	return stored;
}

bool imap_incoming_literal(struct imap_session *s, struct imap_incoming *in, uint64_t size, size_t *memory, bool *taken, struct fail **fail)
{
	stream_begin_bulk(s->stream);
	bool kept = in->file < 0 ? read_small(s, in, (size_t)size, memory) : read_large(s, in, size, memory, fail);
	stream_end_bulk(s->stream);
	*taken = kept || *fail;
	return kept;
}

bool imap_incoming_load(struct imap_incoming *in, struct fail **fail)
{
	if (in->file < 0)
		return true;
	char *room = buf_reserve(&in->text, in->size);
	must(room);
	if (!file_read_at(in->file, room, in->size, 0, fail))
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
