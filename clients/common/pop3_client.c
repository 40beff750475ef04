#include "pop3_client.h"

#include "answer.h"
#include "array.h"
#include "capa.h"
#include "words.h"

#include <stdlib.h>

enum { PIPELINED_MAX = 100, ARENA_MAX = 1 << 20, LINE_MAX_OCTETS = 2 * LIMIT_POP3_AUTH_LINE_MAX };

struct pop3_client {
	struct connection connection;
	const struct pop3_client_options *options; /* while it is opened */
	void (*warn)(void *context, const char *text);
	void *context;
	struct arena *arena;
	struct pop3_capabilities capabilities;
	struct buf status;       /* the status line that was read last */
	struct buf timestamp;    /* of the greeting, for APOP */
	ARRAY(struct pop3_mail) mails;
	bool has_uids;
	size_t marked;
	enum pop3_deletion deletion;
};

/* What is done with the content of one answer. */
struct reading {
	enum pop3_answer_kind kind;
	uint64_t body_max;
	bool (*take)(void *context, struct str piece, struct fail **fail);
	void *context;
};

static const struct reading one_line = { .kind = POP3_ONE_LINE };

static void warn(const struct pop3_client *c, const char *format, ...) FORMAT(2, 3);

static void warn(const struct pop3_client *c, const char *format, ...)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_POP3_ANSWER_LINE_MAX * 2);
	va_list arguments;
	if (!c->warn)
		return;
	va_start(arguments, format);
	buf_vprintf(&text, format, arguments);
	va_end(arguments);
	c->warn(c->context, buf_text(&text));
}

/* ---- answers ---- */

static void send_line(struct pop3_client *c, const char *format, ...) FORMAT(2, 3);

static void send_line(struct pop3_client *c, const char *format, ...)
{
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(LINE_MAX_OCTETS);
	va_list arguments;
	va_start(arguments, format);
	buf_vprintf(&line, format, arguments);
	va_end(arguments);
	buf_add_str(&line, STR("\r\n"));
	must(!line.overflowed);
	stream_write(c->connection.stream, buf_str(&line));
	mem_wipe(line.data, line.capacity);
}

/* What the grammar refuses makes the rest of the session meaningless. */
static bool broken(struct fail *why, struct fail **fail)
{
	return fail_set(fail, FAIL_CORRUPT, "%s", fail_text(why));
}

/* Uses up input; *done at the end of the answer. */
static bool take_events(struct pop3_client *c, struct pop3_answer *a, const struct reading *reading,
                        struct str *input, bool *done, struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	struct str piece;
	for (;;) {
		switch (pop3_answer_next(a, input, &piece, &why)) {
		case POP3_NEEDS_MORE:
			return true;
		case POP3_STATUS:
			buf_clear(&c->status);
			buf_add_str(&c->status, piece);
			break;
		case POP3_LINE:
		case POP3_PIECE:
			if (!reading->take(reading->context, piece, fail))
				return false;
			break;
		case POP3_ANSWERED:
			*done = true;
			return true;
		case POP3_BROKEN:
			return broken(why, fail);
		}
	}
}

static void release_answer(struct pop3_answer *a)
{
	pop3_answer_release(a);
}

/* Reads one answer; the status line is in c->status. */
static bool read_answer(struct pop3_client *c, const struct reading *reading, struct fail **fail)
{
	CLEANUP(release_answer) struct pop3_answer a;
	bool done = false;
	pop3_answer_init(&a, reading->kind, reading->body_max);
	stream_begin_bulk(c->connection.stream);
	while (!done) {
		struct str input = stream_peek(c->connection.stream), rest = input;
		if (input.length == 0)
			return connection_lost(&c->connection, fail);
		if (!take_events(c, &a, reading, &rest, &done, fail))
			return false;
		stream_consume(c->connection.stream, input.length - rest.length);
	}
	return true;
}

/* The same; *status looks into c->status. */
static bool read_status(struct pop3_client *c, const struct reading *reading, struct pop3_status *status,
                        struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!read_answer(c, reading, fail))
		return false;
	return pop3_status_parse(buf_str(&c->status), status, &why) || broken(why, fail);
}

static enum fail_kind kind_of(const struct pop3_status *status)
{
	switch (status->code) {
	case POP3_IN_USE:
	case POP3_LOGIN_DELAY:
	case POP3_SYS_TEMP:
		return FAIL_BUSY;
	default:
		return FAIL_DENIED;
	}
}

static bool refused(const struct pop3_status *status, const char *what, struct fail **fail)
{
	return fail_set(fail, kind_of(status), _("%s: the server says: %.*s"), what, STR_ARG(status->text));
}

/* A command whose refusal is a failure. */
static bool command(struct pop3_client *c, const char *what, struct fail **fail)
{
	struct pop3_status status;
	send_line(c, "%s", what);
	return read_status(c, &one_line, &status, fail) && (status.ok || refused(&status, what, fail));
}

/* ---- from the greeting to the log-in ---- */

static bool greet(struct pop3_client *c, struct fail **fail)
{
	struct pop3_status status;
	if (!read_status(c, &one_line, &status, fail))
		return false;
	if (!status.ok)
		return fail_set(fail, FAIL_BUSY, _("the server is not ready: %.*s"), STR_ARG(status.text));
	struct str timestamp = pop3_greeting_timestamp(buf_str(&c->status));
	if (login_is_apop_timestamp(timestamp))
		buf_add_str(&c->timestamp, timestamp);
	return true;
}

static bool take_capability(void *context, struct str line, struct fail **fail)
{
	struct pop3_client *c = context;
	if (arena_used(c->arena) + line.length > ARENA_MAX / 2)
		return fail_set(fail, FAIL_CORRUPT, _("the server's list of capabilities is endless"));
	pop3_capa_parse(&c->capabilities, line, c->arena);
	return true;
}

/* Old servers have no CAPA; they do know USER. */
static bool ask_capabilities(struct pop3_client *c, struct fail **fail)
{
	const struct reading reading = { .kind = POP3_LISTING, .take = take_capability, .context = c };
	struct pop3_status status;
	arena_reset(c->arena);
	c->capabilities = (struct pop3_capabilities){};
	send_line(c, "CAPA");
	if (!read_status(c, &reading, &status, fail))
		return false;
	if (!status.ok)
		c->capabilities.user = true;
	return true;
}

/* RFC 2595 §4: what was said before TLS is forgotten. */
static bool start_tls(struct pop3_client *c, struct fail **fail)
{
	if (!c->capabilities.stls)
		return fail_set(fail, FAIL_CORRUPT, _("the server does not offer STLS, so the connection can't be protected"));
	return command(c, "STLS", fail) && connection_start_tls(&c->connection, fail) && ask_capabilities(c, fail);
}

static void send_auth_line(void *context, struct str line)
{
	struct pop3_client *c = context;
	stream_write(c->connection.stream, line);
	stream_write(c->connection.stream, STR("\r\n"));
}

static enum login_answer login_status(struct pop3_client *c, struct fail **fail)
{
	struct pop3_status status;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!pop3_status_parse(buf_str(&c->status), &status, &why)) {
		broken(why, fail);
		return LOGIN_BROKEN;
	}
	if (status.ok)
		return LOGIN_ACCEPTED;
	refused(&status, "log-in", fail);
	return LOGIN_REFUSED;
}

static enum login_answer receive_auth(void *context, struct buf *challenge, struct fail **fail)
{
	struct pop3_client *c = context;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!read_answer(c, &one_line, fail))
		return LOGIN_BROKEN;
	if (!str_starts(buf_str(&c->status), STR("+")) || str_starts_nocase(buf_str(&c->status), STR("+OK")))
		return login_status(c, fail);
	if (pop3_challenge_parse(buf_str(&c->status), challenge, &why))
		return LOGIN_CHALLENGE;
	broken(why, fail);
	return LOGIN_BROKEN;
}

static enum login_answer login_apop(struct pop3_client *c, const struct login_credentials *credentials,
                                    struct fail **fail)
{
	CLEANUP(buf_release) struct buf digest = BUF_WITH_LIMIT(64);
	login_apop_digest(&digest, buf_str(&c->timestamp), credentials->password);
	send_line(c, "APOP %.*s %s", STR_ARG(credentials->user), buf_text(&digest));
	return read_answer(c, &one_line, fail) ? login_status(c, fail) : LOGIN_BROKEN;
}

/* PASS waits for the answer to USER: a refused user's password must not be taken for a command. */
static enum login_answer login_user(struct pop3_client *c, const struct login_credentials *credentials,
                                    struct fail **fail)
{
	send_line(c, "USER %.*s", STR_ARG(credentials->user));
	if (!read_answer(c, &one_line, fail))
		return LOGIN_BROKEN;
	enum login_answer answer = login_status(c, fail);
	if (answer != LOGIN_ACCEPTED)
		return answer;
	send_line(c, "PASS %.*s", STR_ARG(credentials->password));
	return read_answer(c, &one_line, fail) ? login_status(c, fail) : LOGIN_BROKEN;
}

static enum login_answer try_login(struct pop3_client *c, const char *way, const struct login_credentials *credentials,
                                   struct fail **fail)
{
	const struct login_wire wire = { c, send_auth_line, receive_auth, LIMIT_POP3_LINE_MAX };
	if (str_equal(str_of(way), STR("APOP")))
		return login_apop(c, credentials, fail);
	if (str_equal(str_of(way), STR("USER")))
		return login_user(c, credentials, fail);
	return login_exchange(&wire, way, credentials, c->connection.is_protected ? &c->connection.facts : NULL, fail);
}

static bool log_in(struct pop3_client *c, struct fail **fail)
{
	const struct login_credentials credentials = { str_of(c->options->server.user), c->options->password };
	const struct login_offer offer = {
		.mechanisms = c->capabilities.mechanisms, .apop = c->timestamp.length > 0, .user = c->capabilities.user,
		.tls = c->connection.is_protected, .binding = c->connection.is_protected && c->connection.facts.has_binding,
	};
	struct login_plan plan;
	enum login_answer answer = LOGIN_REFUSED;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (str_find_char(credentials.password, '\n') < credentials.password.length ||
	    str_find_char(credentials.password, '\r') < credentials.password.length)
		return fail_set(fail, FAIL_INVALID, _("a password can't hold the end of a line"));
	if (!login_choose(&offer, c->options->method, &plan, fail))
		return false;
	if (plan.reveals)
		warn(c, "%s",
		     _("the password travels unprotected: there is no TLS, and the server offers no log-in that hides it"));
	for (size_t i = 0; i < plan.count && answer == LOGIN_REFUSED && (!why || why->kind == FAIL_DENIED); i++)
		answer = try_login(c, plan.tries[i], &credentials, &why);
	return answer == LOGIN_ACCEPTED || fail_set(fail, why->kind, "%s", why->text);
}

/* RFC 6856 §2.1: before the log-in and inside TLS. A refusal changes nothing but how headers look. */
static bool ask_utf8(struct pop3_client *c, struct fail **fail)
{
	struct pop3_status status;
	if (!c->capabilities.utf8)
		return true;
	send_line(c, "UTF8");
	return read_status(c, &one_line, &status, fail);
}

/* ---- the listing ---- */

struct numbers {
	struct pop3_client *c;
	uint64_t last;
	bool is_sorted;
	size_t uids;     /* of mails that the listing has */
	size_t strangers;
};

static bool take_size(void *context, struct str line, struct fail **fail)
{
	struct numbers *n = context;
	struct pop3_mail mail = {};
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!pop3_numbers_parse(line, &mail.number, &mail.size, &why))
		return broken(why, fail);
	if (n->c->mails.count == LIMIT_CLIENT_MAILS_MAX)
		return fail_set(fail, FAIL_CORRUPT, _("the server lists more than %d mails"), LIMIT_CLIENT_MAILS_MAX);
	if (mail.number == 0)
		return fail_set(fail, FAIL_CORRUPT, _("the server lists a mail with number 0"));
	n->is_sorted &= mail.number > n->last;
	n->last = mail.number;
	*array_add(&n->c->mails) = mail;
	return true;
}

static int by_number(const void *a, const void *b)
{
	const struct pop3_mail *left = a, *right = b;
	return (left->number > right->number) - (left->number < right->number);
}

static bool sort_mails(struct pop3_client *c, bool is_sorted, struct fail **fail)
{
	if (is_sorted)
		return true;
	qsort(c->mails.items, c->mails.count, sizeof *c->mails.items, by_number);
	for (size_t i = 1; i < c->mails.count; i++)
		if (c->mails.items[i].number == c->mails.items[i - 1].number)
			return fail_set(fail, FAIL_CORRUPT, _("the server lists mail number %llu twice"),
			                (unsigned long long)c->mails.items[i].number);
	return true;
}

static bool take_uid(void *context, struct str line, struct fail **fail)
{
	struct numbers *n = context;
	struct pop3_mail key = {}, *mail;
	struct str uid;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!pop3_uid_parse(line, &key.number, &uid, &why))
		return broken(why, fail);
	mail = n->c->mails.count ? bsearch(&key, n->c->mails.items, n->c->mails.count, sizeof key, by_number) : NULL;
	if (!mail) {
		n->strangers++;
		return true;
	}
	if (mail->uid[0])
		return fail_set(fail, FAIL_CORRUPT, _("the server gives mail number %llu two unique ids"),
		                (unsigned long long)key.number);
	memcpy(mail->uid, uid.data, uid.length);
	n->uids++;
	return true;
}

static int by_uid(const void *a, const void *b)
{
	const struct pop3_mail *const *left = a, *const *right = b;
	return strcmp((*left)->uid, (*right)->uid);
}

/* RFC 1939 §7 lets equal mails share an id, which then does not name one mail. */
static void find_repeated(struct pop3_client *c)
{
	struct pop3_mail **sorted = mem_resize(NULL, c->mails.count + 1, sizeof(struct pop3_mail *));
	size_t repeated = 0;
	for (size_t i = 0; i < c->mails.count; i++)
		sorted[i] = &c->mails.items[i];
	qsort(sorted, c->mails.count, sizeof *sorted, by_uid);
	for (size_t i = 1; i < c->mails.count; i++)
		if (sorted[i]->uid[0] && strcmp(sorted[i]->uid, sorted[i - 1]->uid) == 0) {
			sorted[i]->is_repeated = sorted[i - 1]->is_repeated = true;
			repeated++;
		}
	free(sorted);
	if (repeated)
		warn(c, _("the server gives %zu mails the unique id of another one; they can't be deleted by id"), repeated);
}

static void compare_counts(struct pop3_client *c, const struct numbers *n, uint64_t announced)
{
	if (announced != c->mails.count)
		warn(c, _("the server says that there are %llu mails, but lists %zu"), (unsigned long long)announced,
		     c->mails.count);
	if (n->strangers || (c->has_uids && n->uids < c->mails.count))
		warn(c,
		     _("the server's unique ids and its listing don't fit together: %zu of %zu mails have one, %zu are of no "
		       "mail"),
		     n->uids, c->mails.count, n->strangers);
}

/* The three questions leave together where the server takes them so. */
static void ask_next(struct pop3_client *c, const char *question, bool pipelined)
{
	if (c->capabilities.pipelining == pipelined)
		send_line(c, "%s", question);
}

static bool list(struct pop3_client *c, struct fail **fail)
{
	struct numbers n = { .c = c, .is_sorted = true };
	const struct reading sizes = { .kind = POP3_LISTING, .take = take_size, .context = &n };
	const struct reading uids = { .kind = POP3_LISTING, .take = take_uid, .context = &n };
	struct pop3_status status;
	uint64_t announced, octets;
	CLEANUP(fail_free) struct fail *why = NULL;
	send_line(c, "STAT");
	ask_next(c, "LIST", true);
	ask_next(c, "UIDL", true);
	if (!read_status(c, &one_line, &status, fail))
		return false;
	if (!status.ok)
		return refused(&status, "STAT", fail);
	if (!pop3_numbers_parse(status.text, &announced, &octets, &why))
		return broken(why, fail);
	ask_next(c, "LIST", false);
	if (!read_status(c, &sizes, &status, fail))
		return false;
	if (!status.ok)
		return refused(&status, "LIST", fail);
	if (!sort_mails(c, n.is_sorted, fail))
		return false;
	ask_next(c, "UIDL", false);
	if (!read_status(c, &uids, &status, fail))
		return false;
	c->has_uids = status.ok;
	compare_counts(c, &n, announced);
	find_repeated(c);
	return true;
}

static void tell_connected(const struct pop3_client_options *o, struct pop3_client *c)
{
	if (o->connected)
		o->connected(o->context, c);
}

static bool open_session(struct pop3_client *c, struct fail **fail)
{
	const struct pop3_client_options *o = c->options;
	if (!connection_open(&c->connection, &o->server, o->ca_file, o->timeout_ms, fail))
		return false;
	tell_connected(o, c);
	if (!greet(c, fail) || !ask_capabilities(c, fail))
		return false;
	if (o->server.tls == SERVER_TLS_STARTTLS && !start_tls(c, fail))
		return false;
	return ask_utf8(c, fail) && log_in(c, fail) && list(c, fail);
}

struct pop3_client *pop3_client_open(const struct pop3_client_options *options, struct fail **fail)
{
	CLEANUP(pop3_client_cleanup) struct pop3_client *c = mem_alloc(sizeof *c);
	c->options = options;
	c->warn = options->warn;
	c->context = options->context;
	c->arena = arena_new(ARENA_MAX);
	buf_init(&c->status, LIMIT_POP3_ANSWER_LINE_MAX);
	buf_init(&c->timestamp, LIMIT_POP3_ANSWER_LINE_MAX);
	bool good = open_session(c, fail);
	c->options = NULL;
	if (!good)
		tell_connected(options, NULL);
	return good ? TAKE(c) : NULL;
}

void pop3_client_free(struct pop3_client *c)
{
	if (!c)
		return;
	connection_close(&c->connection);
	arena_free(c->arena);
	buf_release(&c->status);
	buf_release(&c->timestamp);
	array_release(&c->mails);
	free(c);
}

void pop3_client_cleanup(struct pop3_client **c)
{
	pop3_client_free(*c);
	*c = NULL;
}

size_t pop3_client_count(const struct pop3_client *c)
{
	return c->mails.count;
}

const struct pop3_mail *pop3_client_mail(const struct pop3_client *c, size_t i)
{
	must(i < c->mails.count);
	return &c->mails.items[i];
}

bool pop3_client_has_uids(const struct pop3_client *c)
{
	return c->has_uids;
}

/* ---- mails ---- */

/* Several mails on their way. */
struct transfer {
	struct pop3_client *c;
	const struct pop3_sink *sink;
	const struct pop3_mail *mail;
	uint64_t octets;
	bool has_begun;
};

static bool begin_mail(struct transfer *t, struct fail **fail)
{
	t->has_begun = true;
	return t->sink->begin(t->sink->context, t->mail, fail);
}

static bool take_piece(void *context, struct str piece, struct fail **fail)
{
	struct transfer *t = context;
	t->octets += piece.length;
	return (t->has_begun || begin_mail(t, fail)) && t->sink->take(t->sink->context, t->mail, piece, fail);
}

static bool end_mail(struct transfer *t, const struct pop3_status *status, struct fail **fail)
{
	CLEANUP(mem_free) char *refusal = status->ok ? NULL : str_copy(status->text);
	if (status->ok && !t->has_begun && !begin_mail(t, fail))
		return false;
	return t->sink->end(t->sink->context, t->mail, refusal, fail);
}

/* The size is the server's word: some count line ends as one octet, others lie. */
static uint64_t retr_max(const struct pop3_mail *mail)
{
	uint64_t twice = mail->size < LIMIT_CLIENT_MAIL_MAX / 2 ? mail->size * 2 : LIMIT_CLIENT_MAIL_MAX;
	return twice + LIMIT_HEADER_SIZE_MAX < LIMIT_CLIENT_MAIL_MAX ? twice + LIMIT_HEADER_SIZE_MAX
	                                                             : LIMIT_CLIENT_MAIL_MAX;
}

static bool read_mail(struct transfer *t, uint64_t body_max, struct fail **fail)
{
	const struct reading reading = { .kind = POP3_BODY, .body_max = body_max, .take = take_piece, .context = t };
	struct pop3_status status;
	t->octets = 0;
	t->has_begun = false;
	return read_status(t->c, &reading, &status, fail) && end_mail(t, &status, fail);
}

bool pop3_client_top(struct pop3_client *c, const size_t *indexes, size_t count, uint64_t lines,
                     const struct pop3_sink *sink, struct fail **fail)
{
	struct transfer t = { .c = c, .sink = sink };
	size_t window = c->capabilities.pipelining ? PIPELINED_MAX : 1;
	for (size_t sent = 0, read = 0; read < count; read++) {
		for (; sent < count && sent - read < window; sent++)
			send_line(c, "TOP %llu %llu", (unsigned long long)pop3_client_mail(c, indexes[sent])->number,
			          (unsigned long long)lines);
		t.mail = pop3_client_mail(c, indexes[read]);
		if (!read_mail(&t, LIMIT_CLIENT_TOP_MAX, fail))
			return false;
	}
	return true;
}

bool pop3_client_fetch(struct pop3_client *c, const size_t *indexes, size_t count, const struct pop3_sink *sink,
                       struct fail **fail)
{
	struct transfer t = { .c = c, .sink = sink };
	size_t window = c->capabilities.pipelining ? PIPELINED_MAX : 1;
	for (size_t sent = 0, read = 0; read < count; read++) {
		for (; sent < count && sent - read < window; sent++)
			send_line(c, "RETR %llu", (unsigned long long)pop3_client_mail(c, indexes[sent])->number);
		t.mail = pop3_client_mail(c, indexes[read]);
		if (!read_mail(&t, retr_max(t.mail), fail))
			return false;
		if (t.has_begun && t.octets != t.mail->size)
			warn(c, _("mail %s was announced with %llu octets and has %llu"), t.mail->uid,
			     (unsigned long long)t.mail->size, (unsigned long long)t.octets);
	}
	return true;
}

/* ---- deleting ---- */

static bool read_deletions(struct pop3_client *c, const size_t *indexes, size_t count, size_t window, bool *all,
                           struct fail **fail)
{
	struct pop3_status status;
	for (size_t sent = 0, read = 0; read < count; read++) {
		for (; sent < count && sent - read < window; sent++)
			send_line(c, "DELE %llu", (unsigned long long)pop3_client_mail(c, indexes[sent])->number);
		if (!read_status(c, &one_line, &status, fail))
			return false;
		if (!status.ok && *all)
			fail_set(fail, FAIL_DENIED, _("the server does not delete mail %s: %.*s"),
			         pop3_client_mail(c, indexes[read])->uid, STR_ARG(status.text));
		*all &= status.ok;
		c->mails.items[indexes[read]].is_marked |= status.ok;
		c->marked += status.ok;
	}
	return true;
}

static bool unmark_all(struct pop3_client *c, struct fail **fail)
{
	if (!command(c, "RSET", fail))
		return false;
	for (size_t i = 0; i < c->mails.count; i++)
		c->mails.items[i].is_marked = false;
	c->marked = 0;
	return true;
}

bool pop3_client_mark(struct pop3_client *c, const size_t *indexes, size_t count, struct fail **fail)
{
	bool all = true;
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!read_deletions(c, indexes, count, c->capabilities.pipelining ? PIPELINED_MAX : 1, &all, &why))
		return fail_set(fail, why->kind, "%s", why->text);
	if (all)
		return true;
	return unmark_all(c, fail) && fail_set(fail, why->kind, "%s", why->text);
}

bool pop3_client_noop(struct pop3_client *c, struct fail **fail)
{
	return command(c, "NOOP", fail);
}

bool pop3_client_quit(struct pop3_client *c, struct fail **fail)
{
	c->deletion = c->marked ? POP3_DELETION_UNKNOWN : POP3_NOTHING_DELETED;
	if (!command(c, "QUIT", fail))
		return false;
	if (c->marked)
		c->deletion = POP3_MARKED_DELETED;
	return true;
}

enum pop3_deletion pop3_client_deletion(const struct pop3_client *c)
{
	return c->deletion;
}

void pop3_client_interrupt(struct pop3_client *c)
{
	stream_interrupt(c->connection.stream);
}
