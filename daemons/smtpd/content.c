/* DATA and BDAT: the message comes in, bounded in memory, and goes to queue. */
#include "smtpd.h"

#include "file.h"
#include "header.h"
#include "log.h"
#include "mem.h"
#include "milter.h"
#include "sender_check.h"
#include "smtp_bdat.h"

#include <inttypes.h>
#include <unistd.h>

/* One read of the stream adds at most twice its input to the buffer. */
enum { MEMORY_MAX = LIMIT_INLINE_BODY_MAX, PIECE_MAX = 65536, BODY_FIRST = 32768, MOVE_PIECE = 1 << 20,
	ID_TEXT_SIZE = 16 };

void content_release(struct content *content)
{
	sender_check_free(content->check);
	buf_release(&content->front);
	buf_release(&content->body);
	file_close(&content->file);
}

static enum smtp_data_policy policy_of(const struct session *s)
{
	unsigned normalise = session_config(s)->normalise_line_ends;
	bool wanted = (s->protocol == SMTP_ON_SUBMISSION && normalise & CONFIG_NORMALISE_SUBMISSION) ||
	              (s->protocol == SMTP_ON_LMTP && normalise & CONFIG_NORMALISE_LMTP);
	return wanted ? SMTP_DATA_NORMALISE : SMTP_DATA_REFUSE;
}

static void content_begin(struct session *s, enum smtp_data_form form)
{
	struct content *content = &s->txn->content;
	s->txn->has_content = true;
	buf_init(&content->front, FRONT_MAX);
	buf_init(&content->body, MEMORY_MAX + 3 * PIECE_MAX);
	buf_reserve(&content->body, BODY_FIRST);
	smtp_data_begin(&content->data, form, policy_of(s), session_config(s)->message_size_max);
}

static void look_at_header(struct session *s, struct content *content)
{
	if (content->header_seen)
		return;
	content->header_seen = true;
	content->check = sender_check_begin(s, content);
	content->header_left = content->header_length = header_size(buf_str(&content->body));
	trace_write(s, &content->front);
	content->trace_length = content->front.length;
	inspect_header(s, content);
}

static void write_to_file(struct content *content, struct buf *piece)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (content->verdict == VERDICT_OK &&
	    !file_write_at(content->file, piece->data, piece->length, content->size, &fail))
		content->verdict = fail->kind == FAIL_NO_SPACE ? VERDICT_NO_SPACE : VERDICT_TEMPORARY;
	content->size += piece->length;
	buf_clear(piece);
}

/* What is in memory now, but for the header. */
static void show_to_check(struct content *content)
{
	sender_check_body(content->check, str_from_index(buf_str(&content->body), content->header_left));
	content->header_left = 0;
}

/* What the checks find stands before the message, and is known when all of it is in the file: it moves. */
static void write_front_before(struct content *content)
{
	struct buf *front = &content->front;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(mem_free) char *piece = mem_alloc(MOVE_PIECE);
	bool ok = true;
	for (uint64_t left = content->size; ok && left;) {
		size_t length = left < MOVE_PIECE ? (size_t)left : MOVE_PIECE;
		left -= length;
		ok = file_read_at(content->file, piece, length, left, &fail) &&
		     file_write_at(content->file, piece, length, left + front->length, &fail);
	}
	if (!ok || !file_write_at(content->file, front->data, front->length, 0, &fail))
		content->verdict = fail->kind == FAIL_NO_SPACE ? VERDICT_NO_SPACE : VERDICT_TEMPORARY;
	content->size += front->length;
}

/* Once it is large, the message goes on in a file that queue made for it. */
static void spill(struct session *s, struct content *content)
{
	look_at_header(s, content);
	if (content->file < 0 && content->verdict == VERDICT_OK) {
		content->file = link_file(s);
		if (content->file < 0)
			content->verdict = VERDICT_TEMPORARY;
		else if (content->check || milter_is_wanted(s))
			content->front_later = true;
		else
			write_to_file(content, &content->front);
	}
	show_to_check(content);
	if (content->file >= 0)
		write_to_file(content, &content->body);
	buf_clear(&content->body);
}

/* Takes input up to max octets into the content; *used says how many. True at the end of DATA. */
static bool take(struct session *s, uint64_t max, size_t *used)
{
	struct content *content = &s->txn->content;
	struct str input = stream_peek(s->stream);
	input = str_first(input, input.length < max ? input.length : (size_t)max);
	input = str_first(input, PIECE_MAX);
	bool ended = smtp_data_read(&content->data, input, used, &content->body);
	stream_consume(s->stream, *used);
	if (content->body.length > MEMORY_MAX)
		spill(s, content);
	return ended;
}

static void id_text(uint64_t id, char text[ID_TEXT_SIZE])
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = ID_TEXT_SIZE; i-- > 0; id >>= 4)
		text[i] = digits[id & 15];
}

static void say_queued(struct session *s, uint64_t queue_id)
{
	char id[ID_TEXT_SIZE];
	id_text(queue_id, id);
	stream_write(s->stream, STR("250 2.0.0 Ok: queued as "));
	stream_write(s->stream, str_from(id, sizeof id));
	stream_write(s->stream, STR("\r\n"));
}

/* One reply for SMTP, one per accepted recipient for LMTP (RFC 2033 §4.2). */
static void say_result(struct session *s, const struct smtp_reply *refusal, enum verdict_kind kind, uint64_t queue_id,
                       struct str kinds)
{
	size_t replies = s->protocol == SMTP_ON_LMTP ? s->txn->recipients.count : 1, told = 0;
	for (size_t i = 0; i < replies; i++) {
		bool has_kind = kind == VERDICT_OK && told < kinds.length && !s->txn->recipients.items[i].is_removed;
		enum verdict_kind one = has_kind ? (enum verdict_kind)kinds.data[told++] : kind;
		if (refusal)
			session_say(s, refusal);
		else if (one != VERDICT_OK)
			session_say_verdict(s, one);
		else
			say_queued(s, queue_id);
	}
}

/* Front and body go in one frame where it holds both: most mail costs queue one message. */
static enum verdict_kind send_from_memory(struct session *s, struct content *content, uint64_t *queue_id,
                                          struct str *kinds)
{
	struct str front = buf_str(&content->front), body = buf_str(&content->body);
	uint64_t size = front.length + body.length;
	if (size <= BODY_FRAME_MAX && front.length <= FRONT_FRAME_MAX)
		return link_commit(s, size, front, body, queue_id, kinds);
	link_body(s, front);
	link_body(s, body);
	return link_commit(s, size, (struct str){}, (struct str){}, queue_id, kinds);
}

static enum verdict_kind hand_to_queue(struct session *s, uint64_t *queue_id, struct str *kinds)
{
	struct content *content = &s->txn->content;
	if (content->file >= 0 && content->front_later && content->verdict == VERDICT_OK)
		write_front_before(content);
	if (content->verdict != VERDICT_OK)
		return content->verdict;
	if (content->file >= 0)
		return link_commit(s, content->size, (struct str){}, (struct str){}, queue_id, kinds);
	return send_from_memory(s, content, queue_id, kinds);
}

/* RFC 2045 §2.7, §2.8: no text holds NUL, nor can POP3 and IMAP carry it; BODY=BINARYMIME is re-encoded (RFC 3030
 * §3). */
static const struct smtp_reply *nul_refusal(const struct smtp_data *data)
{
	static const struct smtp_reply nul = { 550, "5.5.2", "A message with NUL octets needs BODY=BINARYMIME" };
	return data->has_nul && data->form != SMTP_DATA_BINARY ? &nul : NULL;
}

static void log_result(struct session *s, const struct smtp_reply *refusal, enum verdict_kind kind, bool discard,
                       uint64_t queue_id)
{
	struct transaction *txn = s->txn;
	bool accepted = !refusal && !discard && kind == VERDICT_OK;
	char id[ID_TEXT_SIZE];
	id_text(queue_id, id);
	log_event(LOG_INFO, s->connection, discard ? "discarded" : accepted ? "accepted" : "refused", LOG_TEXT("from", txn->mail.from.mailbox),
	          LOG_TEXT("to", txn->recipients.items[0].address), LOG_NUMBER("recipients", txn->recipients.count),
	          LOG_NUMBER("size", txn->content.data.octets), LOG_TEXT("queue-id", str_from(id, accepted ? sizeof id : 0)),
	          LOG_TEXT("message-id", str_of(txn->content.message_id)), LOG_TEXT("helo", str_of(s->helo)),
	          LOG_TEXT("tls", str_of(s->tls_version)),
	          LOG_TEXT("account", str_of(s->account)), LOG_TEXT("peer", str_of(s->peer)),
	          LOG_TEXT("why", str_of(refusal ? refusal->text : verdict_reply(kind)->text)));
}

/* What is found is put before it; then the filters have it whole. */
static const struct smtp_reply *check_message(struct session *s, struct content *content, bool *discard)
{
	look_at_header(s, content);
	show_to_check(content);
	if (content->file >= 0)
		write_to_file(content, &content->body);
	if (content->verdict != VERDICT_OK)
		return NULL;
	const struct smtp_reply *refusal = sender_check_finish(s, content->check, &content->front, &content->quarantine);
	return refusal ? refusal : milter_message(s, content, discard);
}

/* The message is complete: it is refused, or queue makes it durable, and then the client hears of it. */
static void finish(struct session *s)
{
	struct transaction *txn = s->txn;
	uint64_t queue_id = 0;
	struct str kinds = {};
	enum verdict_kind kind = VERDICT_OK;
	bool discard = false;
	const struct smtp_reply *refusal = smtp_data_verdict(&txn->content.data);
	if (!refusal)
		refusal = nul_refusal(&txn->content.data);
	if (!refusal)
		refusal = check_message(s, &txn->content, &discard);
	if (!refusal && !discard) {
		kind = hand_to_queue(s, &queue_id, &kinds);
		txn->begun = txn->begun && kind != VERDICT_OK;
	}
	log_result(s, refusal, kind, discard, queue_id);
	/* No answer is the only true one: a refusal could be of a mail that is delivered (RFC 1047). */
	if (txn->in_doubt)
		s->over = true;
	else
		say_result(s, discard ? verdict_reply(VERDICT_OK) : refusal, kind, queue_id, kinds);
	transaction_drop(s);
}

/* DATA, RFC 5321 §4.1.1.4. */
void smtp_data_command(struct session *s)
{
	size_t used;
	content_begin(s, SMTP_DATA_DOTTED);
	session_say(s, &(struct smtp_reply){ 354, NULL, "End data with <CR><LF>.<CR><LF>" });
	stream_begin_bulk(s->stream);
	while (stream_peek(s->stream).length) {
		if (take(s, UINT64_MAX, &used)) {
			finish(s);
			return;
		}
	}
	s->over = true; /* cut off: nothing was promised, nothing is kept */
}

/* Exactly size octets of a chunk; false when the client went away. */
static bool read_chunk(struct session *s, uint64_t size)
{
	size_t used;
	stream_begin_bulk(s->stream);
	while (size) {
		if (stream_peek(s->stream).length == 0)
			return false;
		take(s, size, &used);
		size -= used;
	}
	return true;
}

void content_skip(struct session *s, uint64_t octets)
{
	stream_begin_bulk(s->stream);
	while (octets) {
		size_t there = stream_peek(s->stream).length;
		if (there == 0) {
			s->over = true;
			return;
		}
		size_t taken = there < octets ? there : (size_t)octets;
		stream_consume(s->stream, taken);
		octets -= taken;
	}
}

/* BDAT, RFC 3030 §2. */
void smtp_bdat_command(struct session *s, const struct smtp_request *request)
{
	struct smtp_bdat bdat;
	const struct smtp_reply *refusal = smtp_bdat_parse(request->argument, &bdat);
	if (refusal) {
		session_say(s, refusal);
		s->over = true; /* nobody knows where the chunk ends */
		return;
	}
	if (!s->txn->has_content)
		content_begin(s, s->txn->mail.body == SMTP_BODY_BINARYMIME ? SMTP_DATA_BINARY : SMTP_DATA_TEXT);
	if (!read_chunk(s, bdat.size)) {
		s->over = true;
		return;
	}
	if (!bdat.last) {
		stream_printf(s->stream, "250 2.0.0 %" PRIu64 " octets received\r\n", bdat.size);
		return;
	}
	smtp_data_finish(&s->txn->content.data, &s->txn->content.body);
	finish(s);
}
