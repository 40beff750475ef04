/*
 * The client dialogue against scripted servers. A script is a list of lines: "<" what the server says, ">" what must
 * have been said to it, "!" an event that must have come, "@" what the caller does. At the end nothing may be left
 * over.
 */
#include "smtp_sender.h"

#include "limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

enum { PIECE_MAX = 5 };

struct fixture {
	struct smtp_sender *sender;
	struct buf out, events;
	struct str content;
	size_t piece;        /* octets that content gives at a time */
	uint64_t broken_at;  /* no octets from here on */
	struct smtp_sender_recipient recipients[4];
	struct smtp_sender_mail mail;
};

static struct str give_content(void *context, uint64_t offset)
{
	const struct fixture *f = context;
	assert_true(offset < f->content.length);
	if (offset >= f->broken_at)
		return STR("");
	return str_first(str_from_index(f->content, (size_t)offset), f->piece);
}

static void describe(struct fixture *f, const struct smtp_sender_event *e)
{
	static const char *const kinds[] = { "nothing", "ready", "handshake", "tls-refused", "challenge", "login-refused", "result", "over" };
	static const char *const outcomes[] = { "accepted", "deferred", "failed", "again" };
	static const char *const stages[] = { "greeting", "hello", "starttls", "handshake", "auth", "rest", "mail", "rcpt", "data",
		                                  "content", "end", "quit", "close" };
	buf_printf(&f->events, "%s", kinds[e->kind]);
	if (e->kind == SMTP_SENDER_RESULT) {
		buf_printf(&f->events, " %s", outcomes[e->outcome]);
		for (size_t i = 0; i < e->recipient_count; i++)
			buf_printf(&f->events, "%c%u", i ? ',' : ' ', e->recipients[i]);
	}
	if (e->kind == SMTP_SENDER_CHALLENGE)
		buf_printf(&f->events, " %.*s", STR_ARG(e->challenge));
	else if (e->kind != SMTP_SENDER_READY && e->kind != SMTP_SENDER_HANDSHAKE)
		buf_printf(&f->events, " %s %d %s %.*s", stages[e->stage], e->code, e->status, STR_ARG(e->text));
	assert_int_equal(e->by_server, e->code != 0);
	buf_add_char(&f->events, '\n');
}

static void run(struct fixture *f, struct str input)
{
	struct smtp_sender_event event;
	for (;;) {
		smtp_sender_step(f->sender, &input, &f->out, &event);
		if (event.kind == SMTP_SENDER_NOTHING)
			break;
		describe(f, &event);
	}
	assert_false(f->out.overflowed);
}

static void take_front(struct buf *b, const char *expected, const char *end)
{
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(100000);
	buf_printf(&line, "%s%s", expected, end);
	if (!str_starts(buf_str(b), buf_str(&line)))
		fail_msg("expected \"%s\", there is \"%.*s\"", expected, STR_ARG(buf_str(b)));
	buf_consume(b, line.length);
}

static void act(struct fixture *f, const char *action)
{
	if (strcmp(action, "mail") == 0)
		smtp_sender_mail(f->sender, &f->mail);
	else if (strcmp(action, "starttls") == 0)
		smtp_sender_start_tls(f->sender);
	else if (strcmp(action, "started") == 0)
		smtp_sender_tls_started(f->sender);
	else if (strcmp(action, "quit") == 0)
		smtp_sender_quit(f->sender);
	else if (strcmp(action, "lost") == 0)
		smtp_sender_lost(f->sender, "4.4.2", "lost");
	else if (strcmp(action, "auth plain") == 0)
		assert_true(smtp_sender_auth(f->sender, STR("PLAIN"), true, STR("\0a\0b")));
	else if (strcmp(action, "auth empty") == 0)
		assert_true(smtp_sender_auth(f->sender, STR("EXTERNAL"), true, STR("")));
	else if (strcmp(action, "auth login") == 0)
		assert_true(smtp_sender_auth(f->sender, STR("LOGIN"), false, STR("")));
	else if (strcmp(action, "answer") == 0)
		smtp_sender_auth_answer(f->sender, STR("x"));
	else if (strcmp(action, "cancel") == 0)
		smtp_sender_auth_cancel(f->sender);
	else
		fail_msg("no action %s", action);
	run(f, STR(""));
}

static void play(struct fixture *f, const char *const *script)
{
	for (; *script; script++) {
		const char *line = *script + 1;
		CLEANUP(buf_release) struct buf said = BUF_WITH_LIMIT(100000);
		if (**script == '<') {
			buf_printf(&said, "%s\r\n", line);
			run(f, buf_str(&said));
		} else if (**script == '>') {
			take_front(&f->out, line, "\r\n");
		} else if (**script == '!') {
			take_front(&f->events, line, "\n");
		} else {
			act(f, line);
		}
	}
	if (f->out.length || f->events.length)
		fail_msg("left over: \"%.*s\", events \"%.*s\"", STR_ARG(buf_str(&f->out)), STR_ARG(buf_str(&f->events)));
}

#define SCRIPT(...) ((const char *const[]){ __VA_ARGS__, NULL })

static void set_up(struct fixture *f, bool lmtp, const char *content)
{
	*f = (struct fixture){ .sender = smtp_sender_new(lmtp, STR("us.example")), .out = BUF_WITH_LIMIT(SMTP_SENDER_OUT_MAX),
		                   .events = BUF_WITH_LIMIT(100000), .content = str_of(content), .piece = PIECE_MAX, .broken_at = UINT64_MAX };
	static const char *const addresses[] = { "a@x.example", "b@x.example", "c@x.example", "d@x.example" };
	for (size_t i = 0; i < COUNT_OF(addresses); i++)
		f->recipients[i].address = str_of(addresses[i]);
	f->mail = (struct smtp_sender_mail){ .sender = STR("s@us.example"), .recipients = f->recipients, .recipient_count = 2,
		                                 .size = f->content.length, .content = give_content, .context = f };
}

static void tear_down(struct fixture *f)
{
	smtp_sender_cleanup(&f->sender);
	buf_release(&f->out);
	buf_release(&f->events);
}

#define WITH_FIXTURE(lmtp, content) \
	(void)state;                    \
	CLEANUP(tear_down) struct fixture f; \
	set_up(&f, lmtp, content)

#define GREET(hello, ...) "<220 hi", hello, __VA_ARGS__, "!ready"
#define PLAIN_SERVER GREET(">EHLO us.example", "<250 x")
#define PIPELINING_SERVER GREET(">EHLO us.example", "<250-x\r\n250 PIPELINING")
#define CHUNKING_SERVER GREET(">EHLO us.example", "<250-x\r\n250-PIPELINING\r\n250 CHUNKING")

/* Without extensions each command waits for its reply; DATA is dot-stuffed and gets its last CRLF. */
static void step_by_step(void **state)
{
	WITH_FIXTURE(false, "A: b\r\n\r\n.\r\n..x\r\nend");
	f.mail.ret = SMTP_RETURN_FULL;
	f.recipients[0].notify = SMTP_NOTIFY_NEVER;
	play(&f, SCRIPT(PLAIN_SERVER, "@mail", ">MAIL FROM:<s@us.example>", "<250 ok", ">RCPT TO:<a@x.example>", "<251 ok",
	                ">RCPT TO:<b@x.example>", "<550 5.1.1 no\tsuch", "!result failed 1 rcpt 550 5.1.1 5.1.1 no such",
	                ">DATA", "<354 go", ">A: b", ">", ">..", ">...x", ">end", ">.", "<250-2.0.0 kept\r\n250 2.0.0 as 1",
	                "!result accepted 0 end 250 2.0.0 2.0.0 kept 2.0.0 as 1", "!ready", "@quit", ">QUIT", "<221 bye",
	                "!over quit 221 2.0.0 bye"));
}

static void pipelined(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	play(&f, SCRIPT(PIPELINING_SERVER, "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>", ">DATA",
	                "<250 ok\r\n250 ok\r\n450 later\r\n354 go", "!result deferred 1 rcpt 450 4.0.0 later", ">x", ">.", "<250 ok",
	                "!result accepted 0 end 250 2.0.0 ok", "!ready",
	                /* nobody is left, and yet the server wants it: the dot alone; the answer counts for nobody */
	                "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>", ">DATA",
	                "<250 ok\r\n550 a\r\n550 b\r\n354 go", "!result failed 0 rcpt 550 5.0.0 a", "!result failed 1 rcpt 550 5.0.0 b", ">.",
	                "<250 ok", "!ready",
	                /* a refused DATA leaves a transaction behind */
	                "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>", ">DATA",
	                "<250 ok\r\n250 ok\r\n250 ok\r\n451 4.3.1 full", "!result deferred 0,1 data 451 4.3.1 4.3.1 full", "!ready",
	                "@mail", ">RSET", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>", ">DATA",
	                "<250 ok\r\n553 5.1.8 no", "!result failed 0,1 mail 553 5.1.8 5.1.8 no", "<503 what\r\n503 what\r\n503 what", "!ready"));
}

static void chunked(void **state)
{
	WITH_FIXTURE(false, ".\r\nend");
	play(&f, SCRIPT(CHUNKING_SERVER, "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>",
	                ">BDAT 8 LAST", ">.", ">end", "<250 ok\r\n250 ok\r\n250 ok\r\n250 kept", "!result accepted 0,1 end 250 2.0.0 kept", "!ready",
	                "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>", ">BDAT 8 LAST", ">.", ">end",
	                "<250 ok\r\n250 ok\r\n250 ok\r\n554 5.7.1 bad", "!result failed 0,1 end 554 5.7.1 5.7.1 bad", "!ready",
	                "@mail", ">RSET", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>", ">BDAT 8 LAST", ">.",
	                ">end", "<250 ok\r\n250 ok\r\n550 a\r\n550 b", "!result failed 0 rcpt 550 5.0.0 a", "!result failed 1 rcpt 550 5.0.0 b",
	                "<503 no", "!ready"));
}

/* A chunk that is not small waits until somebody wants it; its answer may come as soon as it is out. */
static void large_chunk(void **state)
{
	static char content[SMTP_SENDER_PIECE + 1];
	memset(content, 'x', sizeof content - 1);
	memcpy(content + sizeof content - 3, "\r\n", 3);
	WITH_FIXTURE(false, content);
	f.piece = sizeof content;
	f.mail.recipient_count = 1;
	play(&f, SCRIPT(CHUNKING_SERVER, "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>", "<250 ok\r\n550 a",
	                "!result failed 0 rcpt 550 5.0.0 a", "!ready", "@mail", ">RSET", ">MAIL FROM:<s@us.example>",
	                ">RCPT TO:<a@x.example>", "<250 ok\r\n250 ok"));
	assert_int_equal(smtp_sender_stage(f.sender), SMTP_SENDER_AT_RCPT);
	run(&f, STR("250 ok\r\n"));
	take_front(&f.out, "BDAT 65536 LAST", "\r\n");
	take_front(&f.out, content, "");
	assert_int_equal(smtp_sender_stage(f.sender), SMTP_SENDER_AT_END);
	assert_false(smtp_sender_wants_room(f.sender));
	play(&f, SCRIPT("<250 kept", "!result accepted 0 end 250 2.0.0 kept", "!ready"));
}

/* Room is bounded: the rest of the content comes when what was given out is written. */
static void streams(void **state)
{
	enum { LINES = 50000 };
	CLEANUP(buf_release) struct buf content = BUF_WITH_LIMIT(10 * LINES), all = BUF_WITH_LIMIT(12 * LINES);
	for (int i = 0; i < LINES; i++)
		buf_add_str(&content, STR(".\r\n"));
	WITH_FIXTURE(false, "");
	f.content = buf_str(&content);
	f.mail.size = content.length;
	f.mail.recipient_count = 1;
	f.piece = 100000;
	play(&f, SCRIPT(PLAIN_SERVER, "@mail", ">MAIL FROM:<s@us.example>", "<250 ok", ">RCPT TO:<a@x.example>", "<250 ok",
	                ">DATA"));
	struct str input = STR("354 go\r\n");
	struct smtp_sender_event event;
	uint64_t number, before = 0;
	do {
		smtp_sender_step(f.sender, &input, &f.out, &event);
		assert_int_equal(event.kind, SMTP_SENDER_NOTHING);
		assert_true(f.out.length > 0 && f.out.length <= 3 * SMTP_SENDER_PIECE);
		assert_int_equal(smtp_sender_timeout(f.sender, &number), smtp_sender_wants_room(f.sender) ? 180 : 600);
		assert_true(number > before);
		before = number;
		buf_add_str(&all, buf_str(&f.out));
		buf_clear(&f.out);
	} while (smtp_sender_wants_room(f.sender));
	assert_int_equal(all.length, 4 * LINES + 3);
	assert_memory_equal(all.data + all.length - 7, "..\r\n.\r\n", 7);
}

static void lmtp(void **state)
{
	WITH_FIXTURE(true, "x\r\n");
	f.mail.recipient_count = 3;
	play(&f, SCRIPT(GREET(">LHLO us.example", "<250-x\r\n250-PIPELINING\r\n250 CHUNKING"), "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>",
	                ">RCPT TO:<b@x.example>", ">RCPT TO:<c@x.example>", "<250 ok\r\n250 ok\r\n550 b\r\n250 ok",
	                "!result failed 1 rcpt 550 5.0.0 b", ">BDAT 3 LAST", ">x", "<250 a", "!result accepted 0 end 250 2.0.0 a", "<452 4.2.2 full",
	                "!result deferred 2 end 452 4.2.2 4.2.2 full", "!ready"));
	tear_down(&f);
	set_up(&f, true, "x\r\n");
	play(&f, SCRIPT(GREET(">LHLO us.example", "<250-x\r\n250 PIPELINING"), "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>",
	                ">RCPT TO:<b@x.example>", "<250 ok\r\n250 ok\r\n250 ok", ">DATA", "<354 go", ">x", ">.", "<250 a\r\n250 b",
	                "!result accepted 0 end 250 2.0.0 a", "!result accepted 1 end 250 2.0.0 b", "!ready", "@mail", ">MAIL FROM:<s@us.example>",
	                ">RCPT TO:<a@x.example>", ">RCPT TO:<b@x.example>", "<250 ok\r\n550 a\r\n550 b", "!result failed 0 rcpt 550 5.0.0 a",
	                "!result failed 1 rcpt 550 5.0.0 b", "!ready"));
	tear_down(&f);
	set_up(&f, true, "");
	play(&f, SCRIPT("<220 hi", ">LHLO us.example", "<500 what", "!over hello 500 5.0.0 what"));
}

/* The first lines of a session and what may go wrong with them. */
static void greetings(void **state)
{
	static const char *const scripts[][8] = {
		{ "<554 5.7.1 go away", "!over greeting 554 5.7.1 5.7.1 go away" },
		{ "<421 4.7.0 busy", "!over greeting 421 4.7.0 4.7.0 busy" },
		{ "<SSH-2.0-x", "!over greeting 0 4.5.0 what the server sent is no reply" },
		{ "<220 hi\r\n250 too early", "!over hello 0 4.5.0 the server's reply makes no sense here" },
		{ "@lost", "!over greeting 0 4.4.2 lost" },
		{ "<220 hi", ">EHLO us.example", "<502 what", ">HELO us.example", "<250 x", "!ready" },
		{ "<220 hi", ">EHLO us.example", "<502 what", ">HELO us.example", "<501 no", "!over hello 501 5.0.0 no" },
		{ "<220 hi", ">EHLO us.example", "<451 later", "!over hello 451 4.0.0 later" },
		{ "<220 hi", ">EHLO us.example", "<250-a\r\n251 b", "!ready" },
		{ "<220 hi", ">EHLO us.example", "<250 x\r\n250 y",
		  "!over rest 0 4.5.0 the server's reply makes no sense here" },
		{ "<220 hi", ">EHLO us.example", "<250 x", "!ready", "<421 idle", "!over rest 421 4.0.0 idle" },
	};
	for (size_t i = 0; i < COUNT_OF(scripts); i++) {
		WITH_FIXTURE(false, "");
		play(&f, scripts[i]);
	}
}

/* An endless reply ends the session, not the memory. */
static void endless(void **state)
{
	WITH_FIXTURE(false, "");
	for (int i = 0; i < LIMIT_SMTP_REPLY_LINES_MAX; i++)
		run(&f, STR("220-more\r\n"));
	play(&f, SCRIPT("<220-more", "!over greeting 0 4.5.0 what the server sent is no reply", "<220 ignored"));
	tear_down(&f);
	set_up(&f, false, "");
	for (int i = 0; i < LIMIT_SMTP_REPLY_LINE_MAX; i++)
		run(&f, STR("2"));
	play(&f, SCRIPT("<", "!over greeting 0 4.5.0 what the server sent is no reply"));
}

static void starttls(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	play(&f, SCRIPT(GREET(">EHLO us.example", "<250-x\r\n250 STARTTLS"), "@starttls", ">STARTTLS", "<220 go",
	                "!handshake"));
	struct str secret = STR("250 not for the dialogue\r\n");
	struct smtp_sender_event event;
	smtp_sender_step(f.sender, &secret, &f.out, &event);
	assert_int_equal(event.kind, SMTP_SENDER_NOTHING);
	assert_int_equal(secret.length, 26);
	play(&f, SCRIPT("@started", ">EHLO us.example", "<250-x\r\n250 SIZE 2", "!ready"));
	assert_false(smtp_sender_offers(f.sender)->extensions & SMTP_STARTTLS);
	play(&f, SCRIPT("@mail", "!result failed 0,1 mail 0 5.3.4 the server takes no messages of this size", "!ready"));
}

static void starttls_refused(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	play(&f, SCRIPT(PLAIN_SERVER, "@starttls", ">STARTTLS", "<454 4.7.0 not now",
	                "!tls-refused starttls 454 4.7.0 4.7.0 not now", "@starttls", ">STARTTLS", "<421 bye",
	                "!over starttls 421 4.0.0 bye"));
}

/* CVE-2011-0411 the other way round: what stands behind the 220 was not protected. */
static void injected(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	play(&f, SCRIPT(PLAIN_SERVER, "@starttls", ">STARTTLS", "<220 go\r\n250 injected",
	                "!over starttls 0 4.7.0 the server sent something between STARTTLS and TLS"));
}

static void auth(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	play(&f, SCRIPT(GREET(">EHLO us.example", "<250-x\r\n250 AUTH PLAIN LOGIN"), "@auth plain", ">AUTH PLAIN AGEAYg==", "<235 ok", "!ready",
	                "@auth empty", ">AUTH EXTERNAL =", "<535 5.7.8 no", "!login-refused auth 535 5.7.8 5.7.8 no",
	                "@auth login", ">AUTH LOGIN", "<334 VXNlcm5hbWU6", "!challenge Username:", "@answer", ">eA==", "<334 ", "!challenge ",
	                "@cancel", ">*", "<501 cancelled", "!login-refused auth 501 5.0.0 cancelled",
	                "@auth login", ">AUTH LOGIN", "<334 ???", ">*", "<501 5.5.2 bad", "!login-refused auth 501 5.5.2 5.5.2 bad",
	                "@auth login", ">AUTH LOGIN", "<334 ???", ">*", "<334 VXNlcm5hbWU6",
	                "!over auth 0 4.5.0 the server's reply makes no sense here"));
	static const char initial[400];
	tear_down(&f);
	set_up(&f, false, "");
	play(&f, SCRIPT(PLAIN_SERVER));
	assert_false(smtp_sender_auth(f.sender, STR("PLAIN"), true, str_from(initial, sizeof initial)));
	play(&f, SCRIPT("@auth login", ">AUTH LOGIN", "<504 no", "!login-refused auth 504 5.0.0 no"));
}

static void parameters(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	play(&f, SCRIPT("<220 hi", ">EHLO us.example",
	                "<250-x\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-MT-PRIORITY\r\n250 DELIVERBY 60",
	                "!ready"));
	f.mail.has_8bit = f.mail.utf8 = f.mail.has_by = f.mail.by_return = f.mail.by_trace = true;
	f.mail.by_seconds = 90;
	f.mail.priority = -3;
	f.mail.ret = SMTP_RETURN_HEADERS;
	f.mail.envid = STR("a+b c");
	f.recipients[0] = (struct smtp_sender_recipient){ STR("\xc3\xa4@x.example"), SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_DELAY, STR("utf-8;\xc3\xa4 +@y") };
	f.recipients[1] = (struct smtp_sender_recipient){ STR("b@x.example"), SMTP_NOTIFY_NEVER, STR("rfc822;b=c@y") };
	f.recipients[2] = (struct smtp_sender_recipient){ STR("c@x.example"), 0, STR("utf-8;\xc3\xa4@y") };
	f.recipients[3] = (struct smtp_sender_recipient){ STR("d@x.example"), 0, STR("no type") };
	f.mail.recipient_count = 4;
	play(&f, SCRIPT("@mail",
	                ">MAIL FROM:<s@us.example> SIZE=3 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb+20c MT-PRIORITY=-3 BY=90;RT",
	                ">RCPT TO:<\xc3\xa4@x.example> NOTIFY=SUCCESS,DELAY ORCPT=utf-8;\xc3\xa4\\x{20}\\x{2B}@y",
	                ">RCPT TO:<b@x.example> NOTIFY=NEVER ORCPT=rfc822;b+3Dc@y", ">RCPT TO:<c@x.example> ORCPT=utf-8;\\x{E4}@y",
	                ">RCPT TO:<d@x.example>", ">DATA", "<421 bye", "!result deferred 0,1,2,3 data 421 4.0.0 bye", "!over data 421 4.0.0 bye"));
}

static void require_tls(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	smtp_sender_set_tls(f.sender);
	f.mail.require_tls = true;
	f.mail.recipient_count = 1;
	play(&f, SCRIPT(GREET(">EHLO us.example", "<250-x\r\n250 REQUIRETLS"), "@mail",
	                ">MAIL FROM:<s@us.example> REQUIRETLS", "<550 no", "!result failed 0 mail 550 5.0.0 no", "!ready"));
}

/* What the server does not offer is not tried. */
static void unfit(void **state)
{
	static const struct {
		const char *offer, *result;
		struct smtp_sender_mail mail;
	} cases[] = {
		{ "<250 SIZE 2", "!result failed 0 mail 0 5.3.4 the server takes no messages of this size", {} },
		{ "<250 REQUIRETLS", "!result failed 0 mail 0 5.7.30 the server does not promise to deliver over TLS only (REQUIRETLS), as the sender asks",
		  { .require_tls = true } },
		{ "<250 SMTPUTF8", "!result failed 0 mail 0 5.6.3 the server takes no 8-bit content (8BITMIME)", { .has_8bit = true } },
		{ "<250 8BITMIME", "!result failed 0 mail 0 5.6.7 the server takes no internationalized mail (SMTPUTF8)",
		  { .has_8bit = true, .utf8 = true } },
		{ "<250 DELIVERBY 61", "!result failed 0 mail 0 5.4.7 the server does not promise to deliver in time (DELIVERBY)",
		  { .has_by = true, .by_return = true, .by_seconds = 60 } },
		{ "<250 x", "!result failed 0 mail 0 5.4.7 the server does not promise to deliver in time (DELIVERBY)",
		  { .has_by = true, .by_return = true, .by_seconds = 60 } },
		{ "<250 x", "!result failed 0 mail 0 5.1.7 the sender's address can not be written in SMTP", { .sender = { "a\r\nb@x", 6 } } },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		WITH_FIXTURE(false, "x\r\n");
		struct smtp_sender_mail mail = f.mail;
		f.mail = cases[i].mail;
		f.mail.sender = f.mail.sender.length ? f.mail.sender : mail.sender;
		f.mail.recipients = f.recipients;
		f.mail.recipient_count = 1;
		f.mail.size = 3;
		char offer[100];
		snprintf(offer, sizeof offer, "<250-x\r\n%s", cases[i].offer + 1);
		play(&f, SCRIPT("<220 hi", ">EHLO us.example", offer, "!ready", "@mail", cases[i].result, "!ready"));
	}
}

/* Recipients of one mail that fare differently before anything is said. */
static void unnamed(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	f.recipients[0].address = STR("\xc3\xa4@x.example");
	f.recipients[1].address = STR("a\nb@x.example");
	f.mail.recipient_count = 4;
	f.mail.utf8 = true; /* the client's word alone */
	play(&f, SCRIPT(GREET(">EHLO us.example", "<250-x\r\n250 LIMITS RCPTMAX=1 MAILMAX=1"), "@mail",
	                "!result failed 0 mail 0 5.6.7 the server takes no internationalized addresses (SMTPUTF8)",
	                "!result failed 1 mail 0 5.1.3 the address can not be written in SMTP",
	                "!result again 3 mail 0 4.5.3 the server takes fewer recipients at a time",
	                ">MAIL FROM:<s@us.example>", "<250 ok", ">RCPT TO:<c@x.example>", "<250 ok", ">DATA", "<354 go",
	                ">x", ">.", "<250 ok", "!result accepted 2 end 250 2.0.0 ok", "!ready"));
	assert_false(smtp_sender_may_mail(f.sender));
}

/* RFC 5321 §4.5.3.1.10: the server's limit of recipients, but never for the first of them. */
static void too_many(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	f.mail.recipient_count = 4;
	play(&f, SCRIPT(PLAIN_SERVER, "@mail", ">MAIL FROM:<s@us.example>", "<250 ok", ">RCPT TO:<a@x.example>", "<452 too many",
	                "!result deferred 0 rcpt 452 4.0.0 too many", ">RCPT TO:<b@x.example>", "<250 ok", ">RCPT TO:<c@x.example>", "<452 4.5.3 too many",
	                "!result again 2 rcpt 452 4.5.3 4.5.3 too many", ">RCPT TO:<d@x.example>", "<452 4.2.2 full",
	                "!result deferred 3 rcpt 452 4.2.2 4.2.2 full", ">DATA", "<354 go", ">x", ">.", "<250 ok", "!result accepted 1 end 250 2.0.0 ok",
	                "!ready"));
}

/* Cut off at each place: everybody has a result, and nobody is said to have got it. */
static void cut_off(void **state)
{
	static const char *const stages[] = { "mail", "rcpt", "data", "content", "end" };
	for (size_t i = 0; i < COUNT_OF(stages); i++) {
		WITH_FIXTURE(false, "x\r\n");
		f.broken_at = i == 3 ? 1 : UINT64_MAX;
		f.mail.recipient_count = 1;
		f.piece = 1;
		play(&f, SCRIPT(PLAIN_SERVER, "@mail", ">MAIL FROM:<s@us.example>"));
		static const char *const asked[] = { "", "RCPT TO:<a@x.example>\r\n", "DATA\r\n", "x", "x\r\n.\r\n" };
		for (size_t k = 0; k < i && k < 3; k++) {
			run(&f, k < 2 ? STR("250 ok\r\n") : STR("354 go\r\n"));
			take_front(&f.out, asked[k < 2 ? k + 1 : i], "");
		}
		if (i == 3)
			play(&f, SCRIPT("!result deferred 0 content 0 4.3.0 the message can not be read",
			                "!over content 0 4.3.0 the message can not be read"));
		smtp_sender_lost(f.sender, "4.4.2", "lost");
		run(&f, STR(""));
		char result[100] = "", over[100] = "";
		if (i != 3) {
			snprintf(result, sizeof result, "result deferred 0 %s 0 4.4.2 lost", stages[i]);
			snprintf(over, sizeof over, "over %s 0 4.4.2 lost", stages[i]);
			take_front(&f.events, result, "\n");
			take_front(&f.events, over, "\n");
		}
		play(&f, SCRIPT("<250 too late"));
	}
}

/* A server that answers while the message is still under way. */
static void early_answers(void **state)
{
	static const char *const answers[][3] = {
		{ "<552 5.3.4 big", "!result failed 0,1 content 552 5.3.4 5.3.4 big", "!over content 552 5.3.4 5.3.4 big" },
		{ "<250 ok", "!result deferred 0,1 content 0 4.5.0 the server answered before it had the whole message",
		  "!over content 0 4.5.0 the server answered before it had the whole message" },
	};
	static char content[5 * SMTP_SENDER_PIECE];
	memset(content, 'x', sizeof content - 1);
	for (size_t i = 0; i < COUNT_OF(answers); i++) {
		WITH_FIXTURE(false, content);
		f.piece = sizeof content;
		play(&f, SCRIPT(PLAIN_SERVER, "@mail", ">MAIL FROM:<s@us.example>", "<250 ok", ">RCPT TO:<a@x.example>",
		                "<250 ok", ">RCPT TO:<b@x.example>", "<250 ok", ">DATA"));
		struct str input = STR("354 go\r\n");
		struct smtp_sender_event event;
		smtp_sender_step(f.sender, &input, &f.out, &event);
		assert_true(event.kind == SMTP_SENDER_NOTHING && smtp_sender_wants_room(f.sender));
		buf_clear(&f.out);
		play(&f, SCRIPT(answers[i][0], answers[i][1], answers[i][2]));
	}
}

/* Nothing of class 2 or 3 is taken for what it is not. */
static void nonsense(void **state)
{
	static const char *const nonsense[][2] = { { "354 go", "mail" }, { "250 ok\r\n354 go", "data" }, { "250 ok\r\n250 ok\r\n250 ok\r\n250 ok", "data" } };
	for (size_t i = 0; i < COUNT_OF(nonsense); i++) {
		WITH_FIXTURE(false, "x\r\n");
		char said[100], result[200], over[200];
		play(&f, SCRIPT(PIPELINING_SERVER, "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>",
		                ">RCPT TO:<b@x.example>", ">DATA"));
		snprintf(said, sizeof said, "<%s", nonsense[i][0]);
		snprintf(result, sizeof result, "!result deferred 0,1 data 0 4.5.0 the server's reply makes no sense here");
		snprintf(over, sizeof over, "!over data 0 4.5.0 the server's reply makes no sense here");
		play(&f, SCRIPT(said, result, over));
	}
}

/* A CR or LF that is no line end never gets on the wire, however the content is cut; nor does what would be behind
 * it. */
static void bare(void **state)
{
	static const char *const contents[] = { "a\nb\r\n", "a\rb\r\n", "a\r", "\n", "\r", "a\r\r\n", "a\r\n\n.\r\n", "a\r\nb\n\r\n" };
	for (size_t i = 0; i < COUNT_OF(contents); i++) {
		for (size_t piece = 1; piece < 8; piece++) {
			WITH_FIXTURE(false, contents[i]);
			f.piece = piece;
			play(&f, SCRIPT(PIPELINING_SERVER, "@mail", ">MAIL FROM:<s@us.example>", ">RCPT TO:<a@x.example>",
			                ">RCPT TO:<b@x.example>", ">DATA"));
			run(&f, STR("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"));
			struct str out = buf_str(&f.out);
			assert_true(out.length < f.content.length);
			for (size_t k = 0; k < out.length; k++)
				if (out.data[k] == '\r' || out.data[k] == '\n')
					assert_true(out.data[k] == '\r' ? k + 1 < out.length && out.data[k + 1] == '\n'
					                                : k > 0 && out.data[k - 1] == '\r');
			buf_clear(&f.out);
			play(&f, SCRIPT("!result failed 0,1 content 0 5.6.0 the message has a CR or LF that is no line end",
			                "!over content 0 5.6.0 the message has a CR or LF that is no line end"));
		}
	}
}

/* RFC 5321 §4.5.3.2.1 to §4.5.3.2.6. */
static void timeouts(void **state)
{
	WITH_FIXTURE(false, "x\r\n");
	uint64_t a, b;
	assert_int_equal(smtp_sender_timeout(f.sender, &a), 300);
	run(&f, STR("220-h"));
	assert_int_equal(smtp_sender_timeout(f.sender, &b), 300);
	assert_int_equal(a, b);
	run(&f, STR("i\r\n220 hi\r\n"));
	assert_int_equal(smtp_sender_timeout(f.sender, &b), 300);
	assert_true(b > a);
	run(&f, STR("250 x\r\n"));
	assert_int_equal(smtp_sender_timeout(f.sender, &b), 0);
	smtp_sender_mail(f.sender, &f.mail);
	run(&f, STR(""));
	for (int i = 0; i < 3; i++) { /* MAIL, RCPT, RCPT */
		assert_int_equal(smtp_sender_timeout(f.sender, &b), 300);
		run(&f, STR("250 ok\r\n"));
	}
	assert_int_equal(smtp_sender_timeout(f.sender, &b), 120);
	run(&f, STR("354 go\r\n"));
	assert_int_equal(smtp_sender_timeout(f.sender, &b), 600);
	smtp_sender_quit(f.sender);
	run(&f, STR("250 ok\r\n"));
	assert_int_equal(smtp_sender_timeout(f.sender, &b), 30);
}

/* Three minutes for each block of the content, not for all of it, and none while the server takes them. */
static void timeout_of_the_content(void **state)
{
	static char content[5 * SMTP_SENDER_PIECE];
	memset(content, 'x', sizeof content - 1);
	WITH_FIXTURE(false, content);
	uint64_t first, second;
	struct str nothing = STR("");
	struct smtp_sender_event event;
	f.piece = sizeof content;
	play(&f, SCRIPT(PLAIN_SERVER, "@mail", ">MAIL FROM:<s@us.example>", "<250 ok", ">RCPT TO:<a@x.example>", "<250 ok",
	                ">RCPT TO:<b@x.example>", "<250 ok", ">DATA"));
	struct str input = STR("354 go\r\n");
	smtp_sender_step(f.sender, &input, &f.out, &event);
	assert_int_equal(smtp_sender_timeout(f.sender, &first), 180);
	buf_clear(&f.out);
	smtp_sender_step(f.sender, &nothing, &f.out, &event);
	assert_int_equal(smtp_sender_timeout(f.sender, &second), 180);
	assert_true(second > first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(step_by_step), cmocka_unit_test(pipelined),    cmocka_unit_test(chunked),          cmocka_unit_test(large_chunk),
		cmocka_unit_test(streams),      cmocka_unit_test(lmtp),         cmocka_unit_test(greetings),        cmocka_unit_test(endless),
		cmocka_unit_test(starttls),     cmocka_unit_test(injected),     cmocka_unit_test(starttls_refused), cmocka_unit_test(auth),
		cmocka_unit_test(parameters),   cmocka_unit_test(require_tls),  cmocka_unit_test(unfit),            cmocka_unit_test(unnamed),
		cmocka_unit_test(too_many),     cmocka_unit_test(cut_off),      cmocka_unit_test(early_answers),    cmocka_unit_test(nonsense),
		cmocka_unit_test(bare),         cmocka_unit_test(timeouts),     cmocka_unit_test(timeout_of_the_content),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
