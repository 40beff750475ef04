#include "talk.h"

#include "words.h"

#include <unistd.h>

enum { PIECE = 16384 };

bool talk_open(struct talk *t, const struct server *server, const char *ca_file, int timeout_ms,
               const struct talk_watch *watch, struct fail **fail)
{
	buf_init(&t->line, LIMIT_CLIENT_LINE_MAX);
	t->watch = watch;
	t->exerciser = exerciser_new(server->protocol);
	if (!connection_open(&t->connection, server, ca_file, timeout_ms, fail))
		return false;
	if (t->connection.is_protected) {
		exerciser_tls_started(t->exerciser);
		watch->protected(watch->context, &t->connection);
	}
	return true;
}

void talk_close(struct talk *t)
{
	for (size_t i = 0; i < TALK_SECRETS_MAX; i++)
		buf_wipe(&t->secrets[i]);
	connection_close(&t->connection);
	exerciser_cleanup(&t->exerciser);
	buf_release(&t->line);
}

void talk_tell_state(struct talk *t)
{
	const char *state = exerciser_state(t->exerciser);
	unsigned facts = exerciser_facts(t->exerciser);
	if (t->facts != facts && t->watch->facts_changed)
		t->watch->facts_changed(t->watch->context, facts);
	t->facts = facts;
	if (t->state != state)
		t->watch->state_changed(t->watch->context, state);
	t->state = state;
}

/* What is not shown of the line. */
static void keep_secret(struct talk *t, struct str line, struct str shown)
{
	size_t open = 0;
	if (str_equal(line, shown))
		return;
	while (open < line.length && open < shown.length && line.data[open] == shown.data[open])
		open++;
	struct str secret = str_trim(str_from_index(line, open));
	if (secret.length < TALK_SECRET_MIN)
		return;
	struct buf *place = &t->secrets[t->secret_count++ % TALK_SECRETS_MAX];
	buf_wipe(place);
	buf_init(place, secret.length);
	buf_add_str(place, secret);
}

/* Where the first of the secrets stands in the text, the longest of those that begin there; the text's length: none. */
static size_t find_secret(const struct talk *t, struct str text, size_t *length)
{
	size_t first = text.length;
	*length = 0;
	for (size_t i = 0; i < TALK_SECRETS_MAX; i++) {
		struct str secret = buf_str(&t->secrets[i]);
		size_t at = secret.length ? str_find(text, secret) : text.length;
		if (at < first || (at == first && at < text.length && secret.length > *length)) {
			first = at;
			*length = secret.length;
		}
	}
	return first;
}

static void tell_received(const struct talk *t, struct str text, uint64_t octets)
{
	CLEANUP(buf_wipe) struct buf shown = BUF_WITH_LIMIT(LIMIT_CLIENT_LINE_MAX);
	size_t length;
	if (find_secret(t, text, &length) == text.length) {
		t->watch->received(t->watch->context, text, octets);
		return;
	}
	for (struct str rest = text; rest.length;) {
		size_t at = find_secret(t, rest, &length);
		buf_add_str(&shown, str_first(rest, at));
		if (length)
			buf_add_str(&shown, STR("***"));
		rest = str_from_index(rest, at + length);
	}
	t->watch->received(t->watch->context, buf_str(&shown), octets - text.length + shown.length);
}

void talk_send(struct talk *t, struct str line)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(line.length + 100);
	exerciser_client_line(t->exerciser, line, &shown);
	keep_secret(t, line, buf_str(&shown));
	t->watch->sent(t->watch->context, buf_str(&shown));
	stream_write(t->connection.stream, line);
	stream_write(t->connection.stream, STR("\r\n"));
	stream_flush(t->connection.stream);
	talk_tell_state(t);
}

static bool begin_tls(struct talk *t, struct fail **fail)
{
	if (!connection_start_tls(&t->connection, fail))
		return false;
	exerciser_tls_started(t->exerciser);
	t->watch->protected(t->watch->context, &t->connection);
	return true;
}

/* What came behind the line in the clear, before TLS, could be anybody's: RFC 2595 §4, RFC 3207 §4. */
static bool check_tls_start(const struct talk *t, struct str behind, struct fail **fail)
{
	if (t->connection.is_protected)
		return fail_set(fail, FAIL_CORRUPT, _("the server agrees to begin TLS inside TLS"));
	return behind.length == 0 || fail_set(fail, FAIL_CORRUPT, _("the server sent something in the clear before TLS"));
}

static bool server_line(struct talk *t, struct str behind, struct fail **fail)
{
	struct exerciser_note note;
	struct str text = buf_str(&t->line);
	uint64_t octets = t->octets;
	if (t->last == '\r') {
		octets--;
		text = str_first(text, octets < text.length ? (size_t)octets : text.length);
	}
	tell_received(t, text, octets);
	exerciser_server_line(t->exerciser, text, octets, &note);
	if (note.sentence)
		t->watch->explained(t->watch->context, note.sentence, note.rfc);
	buf_clear(&t->line);
	t->octets = 0;
	t->last = '\0';
	bool good = !note.begins_tls || (check_tls_start(t, behind, fail) && begin_tls(t, fail));
	talk_tell_state(t);
	return good;
}

static bool keep(struct talk *t, struct str part, struct fail **fail)
{
	buf_add_str(&t->line, str_first(part, t->line.limit - t->line.length));
	t->octets += part.length;
	if (part.length)
		t->last = part.data[part.length - 1];
	return t->octets <= LIMIT_CLIENT_MAIL_MAX || fail_set(fail, FAIL_CORRUPT, _("the server sends a line without end"));
}

/* Where no answer is due, the end may come as it likes: not every server ends TLS before it closes. */
static bool take_end(struct talk *t, struct fail *why, struct fail **fail)
{
	bool good = t->octets == 0 || server_line(t, (struct str){}, fail);
	t->is_over = true;
	if (good && exerciser_is_waiting(t->exerciser))
		return fail_set(fail, why->kind, "%s", why->text);
	if (good)
		t->watch->ended(t->watch->context, why->text);
	return good;
}

bool talk_receive(struct talk *t, struct fail **fail)
{
	char room[PIECE];
	size_t got;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!connection_read_now(&t->connection, room, sizeof room, &got, &why))
		return take_end(t, why, fail);
	for (struct str rest = str_from(room, got); rest.length;) {
		size_t at = str_find_char(rest, '\n');
		bool whole = at < rest.length;
		if (!keep(t, str_first(rest, at), fail))
			return false;
		rest = str_from_index(rest, at + whole);
		if (whole && !server_line(t, rest, fail))
			return false;
	}
	return true;
}
