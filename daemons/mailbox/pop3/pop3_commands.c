/* The commands of the TRANSACTION state, RFC 1939 §5 to §7, and those of RFC 2449 and RFC 6856. */
#include "pop3.h"

#include "log.h"
#include "offer.h"
#include "stuff.h"
#include "text.h"

enum { FLUSH_AT = 60000 };

/* Listings of large maildrops go out piece by piece. */
static void send_when_full(struct pop3_session *p)
{
	if (p->out.length > FLUSH_AT)
		pop3_send(p);
}

/* Message number → index. False when it is not there or marked deleted; the client has been told. */
static bool find_message(struct pop3_session *p, uint64_t number, size_t *index)
{
	if (number > p->drop.messages.count) {
		pop3_say_err(p, POP3_NO_CODE, POP3_SAY_NO_SUCH_MESSAGE,
			&(struct pop3_values){ .messages = p->drop.messages.count });
		return false;
	}
	*index = (size_t)number - 1;
	if (p->deleted[*index]) {
		pop3_say_err(p, POP3_NO_CODE, POP3_SAY_ALREADY_DELETED, &(struct pop3_values){ .number = number });
		return false;
	}
	return true;
}

static void pop3_stat(struct pop3_session *p, const struct pop3_command *command)
{
	(void)command;
	pop3_reply_numbers(&p->out, p->left, p->left_octets);
}

static void pop3_list(struct pop3_session *p, const struct pop3_command *command)
{
	size_t one;
	if (command->message) {
		if (find_message(p, command->message, &one))
			pop3_reply_numbers(&p->out, command->message, pop3_octets(p, one));
		return;
	}
	pop3_say_ok(p, POP3_SAY_LISTING, &(struct pop3_values){ .messages = p->left, .octets = p->left_octets });
	for (size_t i = 0; i < p->drop.messages.count; i++) {
		if (!p->deleted[i])
			pop3_add_size(&p->out, i + 1, pop3_octets(p, i));
		send_when_full(p);
	}
	pop3_reply_end(&p->out);
}

/* RFC 1939 §7: unique for the life of the maildrop; 1 to 70 characters from 0x21 to 0x7E. */
static void add_uid_text(struct buf *out, const struct store_id *id)
{
	text_hex_encode(out, str_from((const char *)id->bytes, sizeof id->bytes));
}

static void pop3_uidl(struct pop3_session *p, const struct pop3_command *command)
{
	CLEANUP(buf_release) struct buf uid = BUF_WITH_LIMIT(LIMIT_POP3_UID_MAX);
	size_t one;
	if (command->message) {
		if (!find_message(p, command->message, &one))
			return;
		add_uid_text(&uid, &p->drop.messages.items[one].id);
		pop3_reply_uid(&p->out, command->message, buf_str(&uid));
		return;
	}
	pop3_say_ok(p, POP3_SAY_UIDL_FOLLOWS, NULL);
	for (size_t i = 0; i < p->drop.messages.count; i++) {
		buf_clear(&uid);
		add_uid_text(&uid, &p->drop.messages.items[i].id);
		if (!p->deleted[i])
			pop3_add_uid(&p->out, i + 1, buf_str(&uid));
		send_when_full(p);
	}
	pop3_reply_end(&p->out);
}

static void send_stuffed(struct pop3_session *p, struct str text)
{
	struct pop3_stuffer stuffer = {};
	struct str piece;
	pop3_send(p);
	while (pop3_stuff_next(&stuffer, &text, &piece))
		stream_write(p->stream, piece);
	stream_write(p->stream, pop3_stuff_end(&stuffer));
}

/* What cannot be read is said so; the session and the other messages go on. */
static bool read_or_say(struct pop3_session *p, size_t i)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (pop3_read_mail(p, i, &fail))
		return true;
	log_event(LOG_ERROR, p->session->connection, "mail-unreadable", LOG_TEXT("account", str_of(p->session->address)),
	          LOG_NUMBER("uid", p->drop.messages.items[i].uid), LOG_TEXT("why", str_of(fail_text(fail))));
	if (fail->kind == FAIL_CORRUPT)
		pop3_say_err(p, POP3_SYS_PERM, POP3_SAY_DAMAGED, NULL);
	else if (fail->kind == FAIL_INVALID) /* RFC 6856 §5: there is no surrogate of it */
		pop3_say_err(p, POP3_UTF8, POP3_SAY_NEEDS_UTF8, &(struct pop3_values){ .number = i + 1 });
	else
		pop3_reply_fail(&p->out, p->language, fail->kind);
	return false;
}

static void pop3_retr(struct pop3_session *p, const struct pop3_command *command)
{
	size_t i;
	if (!find_message(p, command->message, &i) || !read_or_say(p, i))
		return;
	pop3_say_ok(p, POP3_SAY_MESSAGE_FOLLOWS, &(struct pop3_values){ .octets = pop3_octets_sent(p) });
	send_stuffed(p, buf_str(&p->mail));
}

static void pop3_top(struct pop3_session *p, const struct pop3_command *command)
{
	size_t i;
	if (!find_message(p, command->message, &i) || !read_or_say(p, i))
		return;
	struct pop3_top top = pop3_top_init(command->lines);
	size_t length = pop3_top_take(&top, buf_str(&p->mail));
	pop3_say_ok(p, POP3_SAY_TOP_FOLLOWS, NULL);
	send_stuffed(p, str_first(buf_str(&p->mail), length));
}

static void pop3_dele(struct pop3_session *p, const struct pop3_command *command)
{
	size_t i;
	if (!find_message(p, command->message, &i))
		return;
	p->deleted[i] = true;
	p->left--;
	p->left_octets -= pop3_octets(p, i);
	pop3_say_ok(p, POP3_SAY_DELETED, &(struct pop3_values){ .number = command->message });
}

static void pop3_rset(struct pop3_session *p, const struct pop3_command *command)
{
	(void)command;
	for (size_t i = 0; i < p->drop.messages.count; i++) {
		if (!p->deleted[i])
			continue;
		p->deleted[i] = false;
		p->left++;
		p->left_octets += pop3_octets(p, i);
	}
	pop3_say_ok(p, POP3_SAY_MAILDROP, &(struct pop3_values){ .messages = p->left, .octets = p->left_octets });
}

static void pop3_noop(struct pop3_session *p, const struct pop3_command *command)
{
	(void)command;
	pop3_say_ok(p, POP3_SAY_DONE, NULL);
}

static void pop3_capa(struct pop3_session *p, const struct pop3_command *command)
{
	const struct config *config = &p->session->account->daemon.config;
	const struct pop3_situation situation = { .state = POP3_TRANSACTION, .tls = p->session->flags & SESSION_TLS };
	struct pop3_capabilities capabilities = pop3_offer(config->pop3_expire, config->pop3_login_delay_seconds);
	(void)command;
	pop3_capa_answer(&p->out, &capabilities, &situation);
}

static void pop3_lang(struct pop3_session *p, const struct pop3_command *command)
{
	enum pop3_language standard = (enum pop3_language)p->session->account->daemon.config.default_language;
	if (command->argument_count == 0)
		pop3_reply_languages(&p->out, p->language);
	else if (pop3_language_find(command->arguments[0], standard, &p->language))
		pop3_reply_language(&p->out, p->language);
	else
		pop3_say_err(p, POP3_NO_CODE, POP3_SAY_LANGUAGE_UNKNOWN,
			&(struct pop3_values){ .text = command->arguments[0] });
}

/* All marked messages in one durable transaction, or none of them (RFC 1939 §6). What another client removed already
 * is no failure. */
static bool delete_marked(struct pop3_session *p, struct fail **fail)
{
	ARRAY(struct store_range) ranges = {};
	for (size_t i = 0; i < p->drop.messages.count; i++) {
		uint32_t uid = p->drop.messages.items[i].uid;
		if (p->deleted[i])
			*array_add(&ranges) = (struct store_range){ uid, uid };
	}
	bool done = true;
	if (ranges.count) {
		const struct store_selection selection = { p->drop.mailbox, ranges.items, ranges.count };
		struct store_txn *txn = store_begin(p->session->account->store);
		struct store_uids expunged = {};
		store_expunge(txn, &selection, true, &expunged);
		done = store_commit(&txn, fail);
		store_uids_release(&expunged);
	}
	array_release(&ranges);
	return done;
}

/* QUIT enters the UPDATE state, RFC 1939 §6. */
static void pop3_quit(struct pop3_session *p, const struct pop3_command *command)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	uint64_t marked = p->drop.messages.count - p->left;
	(void)command;
	p->over = true;
	if (!delete_marked(p, &fail)) {
		log_event(LOG_ERROR, p->session->connection, "delete-failed", LOG_TEXT("account", str_of(p->session->address)),
		          LOG_TEXT("why", str_of(fail_text(fail))));
		pop3_say_err(p, POP3_SYS_TEMP, POP3_SAY_NOT_REMOVED, NULL);
		return;
	}
	log_event(LOG_INFO, p->session->connection, "pop3-end", LOG_TEXT("account", str_of(p->session->address)),
	          LOG_NUMBER("deleted", marked), LOG_NUMBER("left", p->left));
	pop3_say_ok(p, p->left ? POP3_SAY_BYE_LEFT : POP3_SAY_BYE_EMPTY, &(struct pop3_values){ .messages = p->left });
}

void pop3_carry_out(struct pop3_session *p, const struct pop3_command *command)
{
	static void (*const handlers[POP3_VERB_COUNT])(struct pop3_session *p, const struct pop3_command *command) = {
		[POP3_VERB_CAPA] = pop3_capa, [POP3_VERB_LANG] = pop3_lang, [POP3_VERB_STAT] = pop3_stat,
		[POP3_VERB_LIST] = pop3_list, [POP3_VERB_UIDL] = pop3_uidl, [POP3_VERB_RETR] = pop3_retr,
		[POP3_VERB_TOP] = pop3_top, [POP3_VERB_DELE] = pop3_dele, [POP3_VERB_RSET] = pop3_rset,
		[POP3_VERB_NOOP] = pop3_noop, [POP3_VERB_QUIT] = pop3_quit,
	};
	must(handlers[command->verb]); /* pop3_command_check lets only these pass after log-in */
	handlers[command->verb](p, command);
}
