/* The life of an IMAP session: commands come in whole, are carried out one after another, and are answered in order. */
#include "imap.h"

#include "imap_compress.h"
#include "imap_notify.h"
#include "imap_session.h"
#include "log.h"

#include <stdlib.h>
#include <unistd.h>

enum {
	INPUT_SIZE = LIMIT_LEFTOVER_MAX + 4096,
	SEND_AT = 60000,
	ANSWER_KEPT = 65536,          /* a larger buffer goes back to the system with its command */
	WRITE_PATIENCE_MS = 60000,
	COMMAND_PATIENCE_MS = 300000, /* for a command that comes slowly, on top of the minimum rate */
	COMMAND_ARENA_MAX = 256 << 20,
};

static enum imap_state state_of(const struct imap_session *s)
{
	return s->view.index ? IMAP_SELECTED : IMAP_AUTHENTICATED;
}

bool imap_is_enabled(const struct imap_session *s, enum imap_enable bit)
{
	return s->kept.enabled & bit;
}

bool imap_is_utf8(const struct imap_session *s)
{
	return s->kept.enabled & (IMAP_ENABLE_UTF8_ACCEPT | IMAP_ENABLE_IMAP4REV2);
}

struct store_reader *imap_reader(struct imap_session *s)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!s->reader)
		s->reader = store_reader_acquire(s->session->account->store, &fail);
	if (!s->reader)
		imap_no_fail(s, fail);
	return s->reader;
}

/* ---- output ---- */

bool imap_send(struct imap_session *s)
{
	if (s->out.overflowed) {
		/* a part of an answer would be worse than none */
		log_event(LOG_ERROR, s->session->connection, "imap-answer-too-long",
		          LOG_TEXT("account", str_of(s->session->address)));
		s->over = true;
		buf_clear(&s->out);
		return false;
	}
	stream_write(s->stream, buf_str(&s->out));
	buf_clear(&s->out);
	return stream_status(s->stream) != STREAM_LOST;
}

bool imap_send_some(struct imap_session *s)
{
	return s->out.length < SEND_AT ? !s->over : imap_send(s);
}

void imap_ask_for_more(struct imap_session *s)
{
	buf_add_str(&s->out, STR("+ OK\r\n"));
	imap_send(s);
}

/* ---- input ---- */

bool imap_collect_next(struct imap_session *s, enum imap_collected *got)
{
	bool begun = false;
	do {
		struct str input = stream_peek(s->stream);
		struct str rest = input;
		if (str_is_empty(input))
			return false;
		*got = imap_collect(&s->collector, &rest);
		stream_consume(s->stream, input.length - rest.length);
		if (*got == IMAP_CONTINUE)
			imap_ask_for_more(s);
		if (!begun && (*got == IMAP_MORE || *got == IMAP_CONTINUE))
			stream_begin_bulk(s->stream);
		begun = true;
	} while (*got == IMAP_MORE || *got == IMAP_CONTINUE);
	stream_end_bulk(s->stream);
	return true;
}

/* ---- one command ---- */

static void refuse_command(struct imap_session *s, enum imap_command_check check)
{
	struct str given = str_trim(str_from_index(s->parser.text, s->command.tag.length));
	const struct imap_values name = {
		.text = s->command.info ? str_of(s->command.info->name) : str_first(given, str_find_char(given, ' ')),
	};
	bool before_login = s->command.info && !(s->command.info->states & IMAP_LOGGED_IN);
	if (check == IMAP_COMMAND_NO_TAG)
		imap_bad(s, "", IMAP_SAY_NO_TAG, NULL);
	else if (check == IMAP_COMMAND_UNKNOWN)
		imap_bad(s, "", IMAP_SAY_UNKNOWN_COMMAND, &name);
	else if (check == IMAP_COMMAND_WRONG_STATE)
		imap_bad(s, "", before_login ? IMAP_SAY_ONLY_BEFORE_LOGIN : IMAP_SAY_SELECT_FIRST, &name);
	else if (check == IMAP_COMMAND_NO_UID)
		imap_bad(s, "", IMAP_SAY_NO_UID_FORM, &name);
	else
		imap_bad(s, "", IMAP_SAY_NO_ARGUMENTS, &name);
	/* a command, though of another state, is no noise */
	s->errors -= check == IMAP_COMMAND_WRONG_STATE;
}

/* What the table's traits forbid. */
static bool is_allowed(struct imap_session *s)
{
	unsigned traits = s->command.info->traits;
	if (traits & IMAP_NUMBERS && !s->command.uid && imap_is_enabled(s, IMAP_ENABLE_UIDONLY))
		imap_bad(s, "UIDREQUIRED", IMAP_SAY_UID_REQUIRED, NULL); /* RFC 9586 §3 */
	else if (traits & IMAP_WRITES && s->kept.view.read_only)
		imap_no(s, "READ-ONLY", IMAP_SAY_READ_ONLY, NULL);
	else
		return true;
	return false;
}

/* RFC 9051 §7.5.1: whether the command at hand lets EXPUNGE be told. */
static bool may_expunge(const struct imap_session *s)
{
	return !(s->command.info->traits & IMAP_NO_EXPUNGE) || (s->command.uid && !s->keeps_numbers);
}

/* The UIDs of one transaction follow one another; those of several, if nobody else came in between. If somebody did,
 * only the last transaction is taken as the command's own. */
void imap_note_own(struct imap_session *s, uint64_t mailbox, uint64_t before, const struct store_uids *stored,
                   size_t first)
{
	struct imap_own *own = &s->own;
	bool goes_on = own->mailbox == mailbox && own->modseq == before;
	if (first == stored->to.count)
		return;
	if (!goes_on)
		*own = (struct imap_own){ mailbox, stored->to.items[first], 0, before, 0 };
	own->last_uid = stored->to.items[stored->to.count - 1];
	own->modseq = stored->modseq;
}

bool imap_is_own(const struct imap_session *s, uint32_t uid)
{
	return s->own.mailbox && s->own.mailbox == s->kept.view.mailbox && uid >= s->own.first_uid &&
	       uid <= s->own.last_uid;
}

bool imap_tell_changes(struct imap_session *s, bool may_expunge)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!s->view.index || imap_view_update(s, may_expunge, &fail))
		return true;
	log_event(LOG_INFO, s->session->connection, "imap-view", LOG_TEXT("account", str_of(s->session->address)),
	          LOG_TEXT("why", str_of(fail_text(fail))));
	if (fail->kind != FAIL_NOT_FOUND)
		return true;
	/* RFC 2180 §3.3: somebody deleted the mailbox; no number means anything any more */
	imap_bye(s, "", IMAP_SAY_MAILBOX_DELETED);
	s->over = true;
	return false;
}

static void note_usage(struct imap_session *s, const struct store_usage *before)
{
	struct store_usage now;
	store_usage(s->session->account->store, &now);
	if (now.bytes != before->bytes || now.messages != before->messages)
		account_note_usage(s->session->account);
}

static void carry_out(struct imap_session *s)
{
	imap_parser_init(&s->parser, s->arena, buf_str(&s->collector.text), imap_is_utf8(s));
	enum imap_command_check check = imap_command_begin(&s->parser, state_of(s), &s->command);
	/* the text may be collected anew while the command runs */
	s->command.tag = arena_copy(s->arena, s->command.tag);
	if (check != IMAP_COMMAND_OK) {
		refuse_command(s, check);
		return;
	}
	if (!is_allowed(s))
		return;
	struct store_usage before;
	store_usage(s->session->account->store, &before);
	imap_notify_catch_up(s);
	imap_carry_out(s);
	note_usage(s, &before);
	if (!s->over && s->kept.notify)
		imap_notify_tell(s, may_expunge(s));
	else if (!s->over)
		imap_tell_changes(s, may_expunge(s));
}

/* What could not be taken as a command; its tag may be known. */
void imap_refuse_input(struct imap_session *s, enum imap_collected got)
{
	if (!s->command.info)
		s->command.tag = arena_copy(s->arena, imap_tag_of(buf_str(&s->collector.text)));
	const struct imap_values line = { .number = LIMIT_IMAP_LINE_MAX };
	bool literal = s->collector.too_big;
	if (!literal)
		imap_bad(s, "TOOBIG", IMAP_SAY_LINE_TOO_LONG, &line);
	else if (s->collector.refused_plus)
		imap_bad(s, "TOOBIG", IMAP_SAY_LITERAL_TOO_BIG, NULL); /* RFC 7888 §5 */
	else
		imap_no(s, "TOOBIG", IMAP_SAY_LITERAL_TOO_BIG, NULL); /* RFC 7889 §4 */
	if (got == IMAP_TAKES_TOO_LONG) {
		imap_bye(s, "", IMAP_SAY_TOO_MANY_ERRORS);
		s->over = true;
	}
}

static void end_command(struct imap_session *s)
{
	if (s->errors > LIMIT_IMAP_ERRORS_MAX && !s->over) {
		imap_bye(s, "", IMAP_SAY_TOO_MANY_ERRORS);
		s->over = true;
	}
	buf_add_str(&s->out, buf_str(&s->tagged));
	buf_clear(&s->tagged);
	store_reader_release(&s->reader);
	imap_send(s);
	if (s->out.capacity > ANSWER_KEPT)
		buf_release(&s->out);
	s->out.limit = LIMIT_IMAP_ANSWER_MAX;
	if (s->after_answer && !s->over)
		s->after_answer(s);
	s->after_answer = NULL;
	s->view.own_modseq = 0;
	s->own = (struct imap_own){};
	s->keeps_numbers = false;
	s->spoke_ms = 0;
	s->command = (struct imap_command){};
	arena_reset(s->arena);
}

/* Between commands a client that asked for it by NOTIFY hears of what happens (RFC 5465); false when nothing more
 * will come. */
static bool wait_for_command(struct imap_session *s)
{
	int silence_ms = (int)s->session->account->daemon.config.imap_autologout_seconds * 1000;
	int event;
	while (!s->over && (event = imap_notify_descriptor(s)) >= 0) {
		enum stream_event came = stream_wait_readable_or(s->stream, event, silence_ms);
		if (came == STREAM_READABLE)
			return true;
		if (came == STREAM_TIMED_OUT) {
			imap_bye(s, "", IMAP_SAY_AUTOLOGOUT);
			s->over = true;
		} else {
			imap_notify_tell(s, true);
			store_reader_release(&s->reader);
		}
		imap_send(s);
	}
	return !s->over;
}

static void serve_commands(struct imap_session *s)
{
	enum imap_collected got;
	while (wait_for_command(s) && imap_collect_next(s, &got)) {
		if (got == IMAP_COMMAND || got == IMAP_MESSAGE)
			carry_out(s);
		else
			imap_refuse_input(s, got);
		if (s->collector.part == IMAP_COLLECT_MESSAGE)
			imap_collect_drop_message(&s->collector);
		end_command(s);
	}
}

/* ---- begin and end ---- */

struct imap_offer imap_session_offer(const struct imap_session *s)
{
	const struct config *config = &s->session->account->daemon.config;
	return (struct imap_offer){
		.state = state_of(s), .tls = s->session->flags & SESSION_TLS,
		.append_limit = config->imap_append_max, .compressed = s->kept.compressed,
		.message_limit = (uint32_t)config->imap_message_limit, .save_limit = (uint32_t)config->imap_save_limit,
	};
}

/* The log-in's answer; porter has left it to us, because only now it is certain (RFC 9051 §6.2.3). */
static void greet(struct imap_session *s)
{
	CLEANUP(buf_release) struct buf code = BUF_WITH_LIMIT(LIMIT_IMAP_CAPABILITY_MAX);
	struct imap_offer offer = imap_session_offer(s);
	buf_add_str(&code, STR("CAPABILITY "));
	imap_capability_write(&code, &offer);
	s->command.tag = str_of(s->session->tag);
	imap_ok(s, buf_text(&code), IMAP_SAY_LOGGED_IN, NULL);
	log_event(LOG_INFO, s->session->connection, "imap-begin", LOG_TEXT("account", str_of(s->session->address)),
	          LOG_TEXT("client", str_of(s->session->client_id)));
	end_command(s);
}

static void say_farewell(struct imap_session *s)
{
	enum stream_status status = stream_status(s->stream);
	if (!s->over) {
		if (status == STREAM_INTERRUPTED)
			imap_bye(s, "UNAVAILABLE", IMAP_SAY_SHUTTING_DOWN);
		else if (status == STREAM_IDLE || status == STREAM_SLOW)
			imap_bye(s, "", IMAP_SAY_AUTOLOGOUT);
		imap_send(s);
	}
	log_event(LOG_INFO, s->session->connection, "imap-end", LOG_TEXT("account", str_of(s->session->address)),
	          LOG_TEXT("why", str_of(s->over ? "logout" : stream_status_name(status))),
	          LOG_NUMBER("in", stream_bytes_read(s->stream)), LOG_NUMBER("out", stream_bytes_written(s->stream)));
}

static bool there_is_room(struct imap_session *s)
{
	struct account *a = s->session->account;
	if (session_count(a) <= a->daemon.config.account_sessions_max)
		return true;
	s->command.tag = str_of(s->session->tag);
	imap_no(s, "LIMIT", IMAP_SAY_TOO_MANY_SESSIONS, NULL);
	imap_bye(s, "", IMAP_SAY_TOO_MANY_SESSIONS);
	end_command(s);
	return false;
}

static void release(struct imap_session *s)
{
	imap_view_close(s);
	imap_notify_free(&s->kept.notify);
	store_reader_release(&s->reader);
	store_mailboxes_release(&s->view.keywords);
	imap_collector_release(&s->collector);
	buf_release(&s->out);
	buf_release(&s->tagged);
	arena_cleanup(&s->arena);
}

void imap_serve(struct session *session)
{
	const struct config *config = &session->account->daemon.config;
	int silence_ms = (int)config->imap_autologout_seconds * 1000;
	const struct stream_times times = {
		.idle_ms = silence_ms, .command_ms = silence_ms, .write_ms = WRITE_PATIENCE_MS,
		.bulk_grace_ms = COMMAND_PATIENCE_MS, .bulk_rate_min = (unsigned)config->data_rate_minimum,
	};
	const struct imap_collect_limits limits = {
		.line_max = LIMIT_IMAP_LINE_MAX, .literals_max = LIMIT_IMAP_LITERALS_MAX,
		.message_max = config->imap_append_max, .plus_max = config->imap_append_max,
		.discard_max = LIMIT_IMAP_DISCARD_MAX,
	};
	struct imap_session s = {
		.session = session, .out = BUF_WITH_LIMIT(LIMIT_IMAP_ANSWER_MAX),
		.tagged = BUF_WITH_LIMIT(LIMIT_IMAP_TAGGED_MAX),
		.kept.language = (enum imap_language)config->default_language, .kept.unicode_casemap = true,
		.listener.event = -1,
	};
	s.stream = session_open_stream(session, INPUT_SIZE, &times);
	if (!s.stream)
		return;
	imap_language_find(str_of(session->language), s.kept.language, &s.kept.language);
	imap_collector_init(&s.collector, &limits);
	s.arena = arena_new(COMMAND_ARENA_MAX);
	if (there_is_room(&s)) {
		greet(&s);
		serve_commands(&s);
		say_farewell(&s);
	}
	release(&s);
	if (session->returned < 0)
		stream_finish(s.stream);
	imap_deflate_free(&s.deflate);
}
