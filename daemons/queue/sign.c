#include "sign.h"

#include "clock.h"
#include "file.h"
#include "header.h"
#include "log.h"
#include "mem.h"

#include <stdlib.h>

enum { SIGN_ARENA_MAX = 256 << 20, PIECE = 1 << 18, FRONT_PIECE = LIMIT_HEADER_SIZE_MAX + 4096, FIELDS_MAX = 65536 };

/* ---- whose keys ---- */

static void choose_keys(struct signing *s)
{
	struct str domain = s->facts.author_domain;
	s->count = 0;
	while (s->may_sign && domain.length && s->count == 0) {
		s->count = keys_signing(s->keys, domain, &s->list);
		domain = s->is_of_system ? str_from_index(domain, str_find_char(domain, '.') + 1) : (struct str){};
	}
}

/* ---- in the thread ---- */

/* RFC 6376 §3.4: the body begins behind the empty line. */
static struct dkim_signer *begin_signer(struct signing *s, struct str front)
{
	struct str header = str_first(front, header_size(front));
	return s->count ? dkim_signer_new(s->arena, header, clock_wall_seconds()) : NULL;
}

static void finish_signer(struct signing *s, struct dkim_signer *signer)
{
	if (dkim_signer_finish(signer, s->list, s->count, &s->fields, &s->fail))
		s->facts.is_signed = true;
	else
		buf_clear(&s->fields);
}

static void sign_memory(struct signing *s)
{
	CLEANUP(dkim_signer_cleanup) struct dkim_signer *signer = begin_signer(s, s->text);
	dkim_signer_body(signer, str_from_index(s->text, header_size(s->text)));
	finish_signer(s, signer);
}

/* Pieces from the end on, so that nothing is written over before it was read. */
static bool move_back(struct signing *s, char *room, uint64_t by)
{
	for (uint64_t left = s->size; left > 0;) {
		size_t length = left < PIECE ? (size_t)left : PIECE;
		left -= length;
		if (!file_read_at(s->file, room, length, left, &s->fail) ||
		    !file_write_at(s->file, room, length, left + by, &s->fail))
			return false;
	}
	return true;
}

static void put_before_file(struct signing *s, char *room)
{
	if (s->fields.length == 0)
		return;
	s->spoiled = !move_back(s, room, s->fields.length) ||
	             !file_write_at(s->file, s->fields.data, s->fields.length, 0, &s->fail);
	s->added = s->fields.length;
}

/* One pass over what lies behind the first piece. */
static bool read_rest(struct signing *s, struct dkim_signer *signer, char *room, uint64_t from)
{
	while (from < s->size) {
		size_t length = s->size - from < PIECE ? (size_t)(s->size - from) : PIECE;
		if (!file_read_at(s->file, room, length, from, &s->fail))
			return false;
		struct str piece = str_from(room, length);
		s->facts.has_8bit = s->facts.has_8bit || content_is_8bit(piece);
		if (signer)
			dkim_signer_body(signer, piece);
		from += length;
	}
	return true;
}

static void look_and_sign_file(struct signing *s)
{
	size_t length = s->size < FRONT_PIECE ? (size_t)s->size : FRONT_PIECE;
	CLEANUP(mem_free) char *front = mem_alloc(length);
	CLEANUP(mem_free) char *room = mem_alloc(PIECE);
	if (!file_read_at(s->file, front, length, 0, &s->fail))
		return;
	struct str first = str_from(front, length);
	content_look(s->arena, first, &s->facts);
	choose_keys(s);
	CLEANUP(dkim_signer_cleanup) struct dkim_signer *signer = begin_signer(s, first);
	if (signer)
		dkim_signer_body(signer, str_from_index(first, header_size(first)));
	if (!read_rest(s, signer, room, length) || !signer)
		return;
	finish_signer(s, signer);
	put_before_file(s, room);
}

static void run(struct job *job)
{
	struct signing *s = (struct signing *)job;
	if (s->file >= 0)
		look_and_sign_file(s);
	else
		sign_memory(s);
}

/* ---- in the loop's thread ---- */

static void say(const struct signing *s)
{
	char id[17] = "";
	if (s->id)
		envelope_id_text(s->id, id);
	if (s->fail)
		log_event(LOG_WARNING, s->session, "not-signed", LOG_TEXT("queue-id", str_of(id)),
		          LOG_TEXT("author", s->facts.author_domain), LOG_TEXT("why", str_of(fail_text(s->fail))));
	else if (s->fields.length)
		log_event(LOG_INFO, s->session, "signed", LOG_TEXT("queue-id", str_of(id)),
		          LOG_TEXT("domain", s->list[0].domain), LOG_TEXT("selector", s->list[0].selector),
		          LOG_NUMBER("signatures", s->count));
}

static void finish(struct signing *s)
{
	struct arena *arena = s->arena;
	struct keys *keys = s->keys;
	s->queue->signings--;
	say(s);
	fail_free(&s->fail);
	s->done(s); /* s may be gone */
	arena_free(arena);
	keys_unref(keys);
}

static void finished(struct job *job)
{
	finish((struct signing *)job);
}

void sign_begin(struct signing *s)
{
	struct queue *q = s->queue;
	q->signings++;
	s->job = (struct job){ .run = run, .done = finished };
	s->keys = keys_ref(q->keys);
	s->arena = arena_new(SIGN_ARENA_MAX);
	s->fail = NULL;
	buf_init(&s->fields, FIELDS_MAX);
	if (s->file < 0) {
		content_look(s->arena, s->text, &s->facts);
		choose_keys(s);
	}
	if (s->file >= 0 || s->count)
		worker_give(&q->signer, &s->job);
	else
		finish(s);
}

void sign_init(struct queue *q)
{
	struct fail *fail = NULL;
	q->key_folder = keys_open_folder(q->spool, &fail);
	q->keys = q->key_folder >= 0 ? keys_load(q->key_folder, &fail) : NULL;
	if (!q->keys)
		daemon_die("no-dkim-keys", fail);
	if (keys_damaged(q->keys))
		log_event(LOG_ERROR, 0, "damaged-dkim-keys", LOG_NUMBER("count", keys_damaged(q->keys)));
	worker_start(&q->signer, q->loop);
}
