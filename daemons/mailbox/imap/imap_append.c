#include "imap_append.h"

#include "clock.h"
#include "columns.h"
#include "imap_catenate.h"
#include "imap_copy.h"
#include "imap_expunge.h"
#include "imap_flags.h"
#include "imap_limit.h"
#include "imap_session.h"
#include "store_date.h"

#include <pthread.h>
#include <sys/statvfs.h>

/* What the messages of one command keep in memory: octets, and what is stored beside them; one message more always
 * finds room for the latter. */
enum { MEMORY_MAX = 8 << 20, COLUMNS_MAX = 32 << 20 };
enum { URL_SHOWN_MAX = 2000 };

/* Large messages are looked at one after another, whatever the number of sessions. */
static pthread_mutex_t large_lock = PTHREAD_MUTEX_INITIALIZER;

struct append_message {
	struct imap_flags flags;
	int64_t received;
	struct imap_incoming octets;
	struct store_message_columns columns;
};

struct append {
	struct imap_session *session;
	struct str name;
	uint64_t mailbox;
	uint32_t replaced;  /* UID; 0: APPEND */
	uint64_t size_max;  /* of a message */
	uint64_t total;     /* octets of all */
	ARRAY(struct append_message) messages;
	struct imap_waiting waiting;
	struct arena *columns; /* of all messages */
	struct arena *parsed;  /* of the one that is looked at */
	enum imap_collected got; /* how the text at hand ended */
	bool answered;      /* and there is no more to say */
	struct fail *fail;
};

static void release(struct append *a)
{
	for (size_t i = 0; i < a->messages.count; i++)
		imap_incoming_release(&a->messages.items[i].octets);
	array_release(&a->messages);
	imap_waiting_release(&a->waiting);
	arena_cleanup(&a->columns);
	arena_cleanup(&a->parsed);
	fail_free(&a->fail);
}

/* ---- what is stored beside the octets ---- */

static void keep_text(struct arena *arena, struct str *text)
{
	if (text->data)
		*text = arena_copy(arena, *text);
}

/* The text goes, its columns stay. */
static void keep_columns(struct arena *arena, struct store_message_columns *columns)
{
	struct str *references = arena_alloc_array(arena, columns->reference_count, sizeof *references);
	struct str *texts[] = { &columns->structure, &columns->headers, &columns->subject, &columns->message_id,
		&columns->preview };
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		keep_text(arena, texts[i]);
	for (size_t i = 0; i < columns->reference_count; i++)
		references[i] = arena_copy(arena, columns->references[i]);
	columns->references = references;
}

static bool fill_columns(struct append *a, struct append_message *m)
{
	struct buf *text = &m->octets.text;
	const char *before = text->data;
	if (arena_used(a->columns) > COLUMNS_MAX)
		return fail_set(&a->fail, FAIL_TOO_BIG, "the headers of all messages together are too large");
	arena_reset(a->parsed);
	if (!columns_fill(a->parsed, text, &m->columns))
		return fail_set(&a->fail, FAIL_TOO_BIG, "its binary parts do not fit when they are encoded");
	keep_columns(a->columns, &m->columns);
	return imap_incoming_unload(&m->octets, text->data != before, &a->fail) &&
	       imap_incoming_wait(a->session, &m->octets, &a->waiting, &a->fail);
}

static bool prepare_message(struct append *a, struct append_message *m)
{
	if (m->octets.file < 0)
		return fill_columns(a, m);
	pthread_mutex_lock(&large_lock);
	bool done = imap_incoming_load(&m->octets, &a->waiting, &a->fail) && fill_columns(a, m);
	if (!done)
		imap_incoming_release(&m->octets);
	pthread_mutex_unlock(&large_lock);
	return done;
}

/* ---- reading ---- */

static bool refuse(struct append *a)
{
	a->answered = true;
	return false;
}

/* The text behind a literal. */
static bool next_text(struct append *a)
{
	struct imap_session *s = a->session;
	imap_collect_after_message(&s->collector);
	if (!imap_collect_next(s, &a->got))
		return refuse(a);
	if (a->got != IMAP_COMMAND && a->got != IMAP_MESSAGE) {
		imap_refuse_input(s, a->got);
		return refuse(a);
	}
	imap_parser_init(&s->parser, s->arena, arena_copy(s->arena, buf_str(&s->collector.text)), imap_is_utf8(s));
	return true;
}

/* The last room is for removing mail. */
static bool disk_has_room(const struct account *account, uint64_t size)
{
	struct statvfs facts;
	uint64_t wanted = size + LIMIT_BALLAST_SIZE;
	return fstatvfs(account->directory, &facts) != 0 || (uint64_t)facts.f_bavail * facts.f_frsize >= wanted;
}

/* What would not fit is refused before it comes; what REPLACE sets free is known only afterwards. */
static bool fits(struct append *a, uint64_t size)
{
	struct store_usage usage;
	store_usage(a->session->session->account->store, &usage);
	uint64_t bytes = usage.bytes + a->total + size;
	if (!a->replaced && usage.bytes_max && bytes > usage.bytes_max)
		return fail_set(&a->fail, FAIL_OVER_QUOTA, "%llu octets more are too many", (unsigned long long)size);
	if (!disk_has_room(a->session->session->account, a->total + size))
		return fail_set(&a->fail, FAIL_NO_SPACE, "the disk is full");
	if (a->total + size > LIMIT_IMAP_MULTIAPPEND_MAX)
		return fail_set(&a->fail, FAIL_TOO_BIG, "all messages together are too large");
	return true;
}

/* "{310}" at the end of the text, then its octets. */
static bool read_literal(struct append *a, struct append_message *m, bool *literal8)
{
	struct imap_session *s = a->session;
	uint64_t size = imap_parse_message_literal(&s->parser, literal8);
	if (s->parser.failed || a->got != IMAP_MESSAGE || !imap_parse_end(&s->parser))
		return imap_parse_fail(&s->parser, "a message");
	/* nothing is asked for that could still be refused: the client would send it, and it would be taken for commands */
	if (!fits(a, size) || !imap_incoming_prepare(s, &m->octets, size, &a->fail))
		return false;
	store_reader_release(&s->reader);
	if (s->collector.message_waits)
		imap_ask_for_more(s);
	bool taken = false;
	if (!imap_incoming_literal(s, &m->octets, size, &taken, &a->fail)) {
		if (taken)
			next_text(a);
		return a->fail ? false : refuse(a);
	}
	a->total += size;
	return next_text(a);
}

/* RFC 4469 §4.1; what could end the code or the line is not repeated. */
static bool refuse_url(struct append *a, struct str url)
{
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(URL_SHOWN_MAX + 16);
	struct str shown = str_first(url, URL_SHOWN_MAX);
	buf_add_str(&code, STR("BADURL \""));
	for (size_t i = 0; i < shown.length; i++)
		buf_add_char(&code, shown.data[i] > 0x20 && shown.data[i] < 0x7f && !strchr("\"\\]", shown.data[i])
		                        ? shown.data[i]
		                        : '?');
	buf_add_char(&code, '"');
	imap_no(a->session, buf_text(&code), IMAP_SAY_BAD_URL, NULL);
	return refuse(a);
}

static bool read_url(struct append *a, struct append_message *m)
{
	struct imap_session *s = a->session;
	imap_parse_space(&s->parser);
	struct str url = imap_parse_astring(&s->parser);
	if (s->parser.failed || !imap_reader(s))
		return s->parser.failed ? false : refuse(a);
	uint64_t before = m->octets.size;
	enum imap_url_result result = imap_catenate_url(s, url, &m->octets, &a->fail);
	if (result == IMAP_URL_BAD)
		return refuse_url(a, url);
	a->total += m->octets.size - before;
	return result == IMAP_URL_DONE && fits(a, 0);
}

static bool read_part(struct append *a, struct append_message *m)
{
	struct imap_parser *p = &a->session->parser;
	bool literal8;
	if (imap_parse_word(p, "URL"))
		return read_url(a, m);
	if (!imap_parse_word(p, "TEXT"))
		return imap_parse_fail(p, "URL or TEXT");
	imap_parse_space(p);
	return read_literal(a, m, &literal8);
}

static bool read_parts(struct append *a, struct append_message *m)
{
	struct imap_parser *p = &a->session->parser;
	imap_parse_space(p);
	imap_parse_char(p, '(');
	do
		if (!read_part(a, m))
			return false;
	while (imap_parse_more(p));
	imap_parse_char(p, ')');
	return !p->failed;
}

/* RFC 6855 §4. */
static bool read_utf8(struct append *a, struct append_message *m)
{
	struct imap_parser *p = &a->session->parser;
	bool literal8 = false;
	imap_parse_space(p);
	imap_parse_char(p, '(');
	if (!read_literal(a, m, &literal8))
		return false;
	imap_parse_char(p, ')');
	return literal8 ? !p->failed : imap_parse_fail(p, "a literal8");
}

static bool read_octets(struct append *a, struct append_message *m)
{
	struct imap_parser *p = &a->session->parser;
	bool literal8;
	if (imap_parse_word(p, "CATENATE"))
		return read_parts(a, m);
	if (imap_parse_word(p, "UTF8"))
		return read_utf8(a, m);
	return read_literal(a, m, &literal8);
}

/* RFC 9738 §3.1: none of them is stored. */
static bool refuse_number(struct append *a, uint32_t limit)
{
	char code[IMAP_LIMIT_CODE_SIZE];
	imap_no(a->session, imap_limit_code(limit, 0, code), IMAP_SAY_MESSAGE_LIMIT,
		&(struct imap_values){ .number = limit });
	return refuse(a);
}

static bool read_message(struct append *a)
{
	struct imap_session *s = a->session;
	struct imap_parser *p = &s->parser;
	uint32_t limit = imap_limit(s, true);
	if (limit && a->messages.count >= limit)
		return refuse_number(a, limit);
	if (a->messages.count >= LIMIT_IMAP_MULTIAPPEND_MESSAGES_MAX)
		return fail_set(&a->fail, FAIL_LIMIT, "more than %d messages in one command",
		                LIMIT_IMAP_MULTIAPPEND_MESSAGES_MAX);
	struct append_message *m = array_add(&a->messages);
	imap_incoming_init(&m->octets, a->size_max);
	m->received = clock_wall_seconds();
	if (imap_parse_peek(p) == '(') {
		imap_parse_flag_list(s, &m->flags);
		imap_parse_space(p);
	}
	if (imap_parse_peek(p) == '"') {
		int zone;
		int64_t seconds = imap_parse_date_time(p, &zone);
		m->received = store_date(seconds, zone);
		imap_parse_space(p);
	}
	if (p->failed || !read_octets(a, m))
		return false;
	if (m->octets.size == 0) /* RFC 3502 §6.3.11: an error, and all of the command with it */
		return fail_set(&a->fail, FAIL_INVALID, "an empty message");
	return prepare_message(a, m);
}

/* Mailbox and messages; false: see fail, the parser, answered. */
static bool read_command(struct append *a)
{
	struct imap_session *s = a->session;
	imap_parse_space(&s->parser);
	a->name = arena_copy(s->arena, imap_parse_mailbox(&s->parser));
	imap_parse_space(&s->parser);
	if (s->parser.failed)
		return false;
	if (!imap_find_target(s, a->name, &a->mailbox))
		return refuse(a);
	do
		if (!read_message(a))
			return false;
	while (!a->replaced && imap_parse_more(&s->parser));
	return imap_parse_end(&s->parser) || imap_parse_fail(&s->parser, "the end of the command");
}

/* ---- storing ---- */

static bool deliver(struct append *a, struct store_txn *txn, struct append_message *m, struct store_uids *stored)
{
	bool file = m->octets.file >= 0;
	struct store_placed placed;
	if (!file && !imap_incoming_load(&m->octets, &a->waiting, &a->fail))
		return false;
	const struct store_delivery delivery = {
		.body = { .bytes = buf_str(&m->octets.text), .file = file ? m->octets.file : 0, .size = m->octets.size },
		.columns = &m->columns, .mailbox = a->mailbox, .received = m->received, .flags = m->flags.flags,
		.keywords = imap_flags_keywords(a->session, &m->flags, txn), .within_quota = true,
	};
	if (!store_deliver(txn, &delivery, &placed))
		return false;
	imap_incoming_release(&m->octets);
	*array_add(&stored->to) = placed.uid;
	stored->modseq = placed.modseq;
	stored->to_uidvalidity = placed.uidvalidity;
	return true;
}

/* RFC 8508 §3.4: what goes makes room first. False when the message to be replaced is no longer there. */
static bool remove_replaced(struct append *a, struct store_txn *txn)
{
	const struct store_selection one = { a->session->kept.view.mailbox,
		&(struct store_range){ a->replaced, a->replaced }, 1 };
	struct store_uids gone = {};
	bool removed = store_expunge(txn, &one, true, &gone) && gone.uids.count;
	store_uids_release(&gone);
	return removed || store_txn_failed(txn);
}

static bool store(struct append *a, struct store_uids *stored)
{
	CLEANUP(store_rollback) struct store_txn *txn = store_begin(a->session->session->account->store);
	uint64_t before = 0;
	/* it may have been deleted, or renamed, meanwhile */
	if (store_mailbox_find(txn, a->name, &a->mailbox) && a->replaced && !remove_replaced(a, txn))
		return fail_set(&a->fail, FAIL_NOT_FOUND, "the message to replace was expunged");
	if (!store_txn_failed(txn))
		before = store_mailbox_modseq(txn, a->mailbox);
	bool stored_all = true;
	for (size_t i = 0; stored_all && i < a->messages.count; i++)
		stored_all = deliver(a, txn, &a->messages.items[i], stored);
	if (a->fail || !store_commit(&txn, &a->fail))
		return false;
	imap_note_own(a->session, a->mailbox, before, stored, 0);
	return true;
}

/* ---- answering ---- */

static void answer_failure(struct append *a)
{
	struct imap_session *s = a->session;
	if (a->answered)
		return;
	if (!a->fail)
		imap_bad_syntax(s);
	else if (a->fail->kind == FAIL_NOT_FOUND && a->replaced)
		imap_no(s, "NONEXISTENT", IMAP_SAY_EXPUNGED, NULL);
	else if (a->fail->kind == FAIL_NOT_FOUND)
		imap_no(s, "TRYCREATE", IMAP_SAY_TRY_CREATE, NULL);
	else
		imap_no_fail(s, a->fail);
}

/* APPENDUID (RFC 4315 §3); of REPLACE before the old message goes (RFC 8508 §3.2). */
static void answer(struct append *a, const struct store_uids *stored)
{
	struct imap_session *s = a->session;
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(LIMIT_IMAP_TAGGED_MAX / 2);
	struct imap_numbers uids = {};
	for (size_t i = 0; i < stored->to.count; i++)
		imap_numbers_append(&uids, stored->to.items[i]);
	buf_printf(&code, "APPENDUID %u ", stored->to_uidvalidity);
	imap_numbers_write(&code, &uids);
	imap_numbers_release(&uids);
	if (!a->replaced) {
		imap_ok(s, buf_text(&code), IMAP_SAY_DONE, NULL);
		return;
	}
	imap_untagged_ok(s, buf_text(&code), IMAP_SAY_DONE, NULL);
	/* RFC 8508 §3.2: the new message is there before the old one goes, where numbers make a difference */
	bool over = !imap_view_says_vanished(s) && !imap_tell_changes(s, false);
	if (!over && imap_tell_changes(s, true))
		imap_ok_removed(s, true, 0);
}

static void carry_out(struct imap_session *s, uint32_t replaced)
{
	CLEANUP(release) struct append a = {
		.session = s, .replaced = replaced, .size_max = s->session->account->daemon.config.imap_append_max,
		.columns = arena_new(COLUMNS_MAX + MESSAGE_ARENA_SIZE), .parsed = arena_new(2 * MESSAGE_ARENA_SIZE),
		.got = s->collector.part == IMAP_COLLECT_MESSAGE ? IMAP_MESSAGE : IMAP_COMMAND,
	};
	CLEANUP(store_uids_release) struct store_uids stored = {};
	imap_waiting_init(&a.waiting, MEMORY_MAX);
	if (read_command(&a) && store(&a, &stored))
		answer(&a, &stored);
	else
		answer_failure(&a);
}

void imap_append(struct imap_session *s)
{
	carry_out(s, 0);
}

/* One message, by its number or by its UID. */
void imap_replace(struct imap_session *s)
{
	CLEANUP(imap_numbers_release) struct imap_numbers uids = {};
	struct imap_sequence sequence = {};
	imap_parse_space(&s->parser);
	imap_parse_sequence(&s->parser, &sequence);
	if (!s->parser.failed &&
	    (sequence.saved || sequence.count != 1 || sequence.ranges[0].first != sequence.ranges[0].last))
		imap_parse_fail(&s->parser, "one message");
	if (s->parser.failed)
		imap_bad_syntax(s);
	else if (imap_view_resolve(s, &sequence, s->command.uid, &uids)) {
		if (uids.ranges.count)
			carry_out(s, uids.ranges.items[0].first);
		else
			imap_no(s, "NONEXISTENT", IMAP_SAY_EXPUNGED, NULL);
	}
}
