#include "quota.h"
#include "queue.h"

#include "file.h"
#include "log.h"
#include "mem.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

enum { WRITE_EVERY_MS = 30000, FILE_MAX = 1 << 30 };

/* In the byte order of this host, whose file it is. */
struct stored {
	uint64_t account;
	struct usage usage;
};

static bool fits(uint64_t used, uint64_t coming, uint64_t more, uint64_t limit)
{
	uint64_t sum;
	if (limit == 0)
		return true;
	return !__builtin_add_overflow(used, coming, &sum) && !__builtin_add_overflow(sum, more, &sum) && sum <= limit;
}

static uint64_t lower(uint64_t limit, uint64_t told)
{
	return told && (!limit || told < limit) ? told : limit;
}

enum verdict_kind quota_check(const struct account *a, uint64_t size)
{
	const struct usage *u = &a->usage;
	if (a->coming_messages >= LIMIT_QUEUE_ACCOUNT_MAX)
		return VERDICT_TEMPORARY;
	uint64_t limit_bytes = lower(u->limit_bytes, u->told_bytes),
		limit_messages = lower(u->limit_messages, u->told_messages);
	if (limit_bytes && size > limit_bytes)
		return VERDICT_TOO_BIG_FOR_ACCOUNT;
	bool has_room = fits(u->used_bytes, a->coming_bytes, size, limit_bytes) &&
	                fits(u->used_messages, a->coming_messages, 1, limit_messages);
	return has_room ? VERDICT_OK : VERDICT_OVER_QUOTA;
}

static void tell_limit(struct account *a)
{
	struct msg_quota quota = { .account = a->number, .limit_bytes = a->usage.limit_bytes,
	                           .limit_messages = a->usage.limit_messages };
	msg_quota_send(&a->peer.channel, 0, &quota, -1);
}

/* What is used is the mailbox's word, limits are auth's, but for lower ones of the owner's own: a mailbox process
 * that begins knows of none. It answers QUOTA only when something changes by it. */
void quota_note(struct account *a, const struct usage *usage)
{
	struct usage before = a->usage;
	a->usage.used_bytes = usage->used_bytes;
	a->usage.used_messages = usage->used_messages;
	a->usage.told_bytes = usage->limit_bytes;
	a->usage.told_messages = usage->limit_messages;
	if (usage->limit_bytes != a->usage.limit_bytes || usage->limit_messages != a->usage.limit_messages)
		tell_limit(a);
	a->queue->usage_changed |= memcmp(&before, &a->usage, sizeof before) != 0;
}

void quota_limit(struct queue *q, const struct msg_quota *quota)
{
	struct account *a = account_get(q, quota->account);
	bool changed = a->usage.limit_bytes != quota->limit_bytes || a->usage.limit_messages != quota->limit_messages;
	q->usage_changed |= changed;
	if (changed && !a->opened) /* what it keeps to now, it says when it opens */
		a->usage.told_bytes = a->usage.told_messages = 0;
	a->usage.limit_bytes = quota->limit_bytes;
	a->usage.limit_messages = quota->limit_messages;
	if (a->opened)
		tell_limit(a);
}

/* ---- the file ---- */

struct writing {
	struct job job;
	struct queue *queue;
	struct buf content;
	struct fail *fail;
};

static void run_writing(struct job *job)
{
	struct writing *w = (struct writing *)job;
	int spool = w->queue->spool;
	CLEANUP(file_close) int file = openat(spool, "usage.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (file < 0)
		fail_set_errno(&w->fail, FAIL_IO, "usage");
	else if (file_write_at(file, w->content.data, w->content.length, 0, &w->fail))
		renameat(spool, "usage.new", spool, "usage");
}

static void writing_done(struct job *job)
{
	struct writing *w = (struct writing *)job;
	if (w->fail)
		log_event(LOG_WARNING, 0, "usage-not-written", LOG_TEXT("why", str_of(fail_text(w->fail))));
	w->queue->usage_busy = false;
	buf_release(&w->content);
	fail_free(&w->fail);
	free(w);
}

static void write_all(struct queue *q, struct buf *content)
{
	size_t position = 0;
	struct str key;
	void *value;
	while (map_next(q->accounts, &position, &key, &value)) {
		const struct account *a = value;
		struct stored stored = { a->number, a->usage };
		buf_append(content, &stored, sizeof stored);
	}
	uint64_t check = XXH3_64bits(content->data, content->length);
	buf_append(content, &check, sizeof check);
}

void quota_tick(struct queue *q)
{
	int64_t now = loop_now_ms(q->loop);
	if (!q->usage_changed || q->usage_busy || now - q->usage_written_ms < WRITE_EVERY_MS)
		return;
	struct writing *w = mem_alloc(sizeof *w);
	w->job = (struct job){ .run = run_writing, .done = writing_done };
	w->queue = q;
	buf_init(&w->content, FILE_MAX);
	write_all(q, &w->content);
	q->usage_changed = false;
	q->usage_busy = true;
	q->usage_written_ms = now;
	worker_give(&q->filer, &w->job);
}

void quota_load(struct queue *q)
{
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(FILE_MAX);
	CLEANUP(file_close) int file = openat(q->spool, "usage", O_RDONLY | O_CLOEXEC);
	struct stored stored;
	uint64_t check;
	if (file < 0 || !file_read_all(file, &content, NULL) || content.length % sizeof stored != sizeof check)
		return;
	size_t length = content.length - sizeof check;
	memcpy(&check, content.data + length, sizeof check);
	if (XXH3_64bits(content.data, length) != check)
		return;
	for (size_t at = 0; at < length; at += sizeof stored) {
		memcpy(&stored, content.data + at, sizeof stored);
		account_get(q, stored.account)->usage = stored.usage;
	}
}
