/* Sessions side by side in one process: what they say, and that their threads do not disturb each other (with TSan). */
#include "imap_limit.h"
#include "imap_session_kit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROUNDS = 150, DELIVERIES = 40, ANSWER_MAX = 1 << 20 };

static const char mail[] = "From: a@example.test\r\nSubject: test\r\n\r\nbody\r\n";

static int setup(void **state)
{
	struct session_kit *kit = malloc(sizeof *kit);
	session_kit_open(kit);
	*state = kit;
	return 0;
}

static int teardown(void **state)
{
	session_kit_close(*state);
	free(*state);
	return 0;
}

static void assert_has(struct str text, const char *part)
{
	if (str_find(text, str_of(part)) == text.length)
		fail_msg("no \"%s\" in: %.*s", part, STR_ARG(text));
}

static void test_two_views(void **state)
{
	struct session_kit *kit = *state;
	struct session_kit_client a, b;
	struct buf out = BUF_WITH_LIMIT(ANSWER_MAX);
	session_kit_connect(kit, &a);
	session_kit_connect(kit, &b);
	assert_has(session_kit_response(&a), "t0 OK [CAPABILITY IMAP4rev1 IMAP4rev2");
	assert_has(session_kit_response(&b), "t0 OK ");
	session_kit_deliver(kit, mail);
	session_kit_deliver(kit, mail);
	assert_has(session_kit_command(&a, &out, "SELECT INBOX"), "* 2 EXISTS\n* 2 RECENT\n");
	assert_has(session_kit_command(&b, &out, "SELECT INBOX"), "* 2 EXISTS\n* 0 RECENT\n");
	assert_has(session_kit_command(&a, &out, "STORE 1 +FLAGS (\\Deleted)"),
	           "* 1 FETCH (FLAGS (\\Deleted \\Recent))\nOK ");
	assert_has(session_kit_command(&a, &out, "EXPUNGE"), "* 1 EXPUNGE\nOK ");
	assert_has(session_kit_command(&b, &out, "FETCH 2 (UID)"), "* 2 FETCH (UID 2)\nOK ");
	session_kit_deliver(kit, mail);
	assert_has(session_kit_command(&b, &out, "NOOP"), "* 1 EXPUNGE\n* 2 EXISTS\n");
	assert_has(session_kit_command(&a, &out, "LOGOUT"), "* BYE");
	assert_true(str_is_empty(session_kit_response(&a)));
	session_kit_hang_up(&a);
	session_kit_hang_up(&b);
	buf_release(&out);
}

/* ---- many at once ---- */

struct worker {
	struct session_kit *kit;
	unsigned seed;
	struct buf misfit; /* the first answer that should not have come */
};

static const char *const commands[] = {
	"NOOP", "STORE 1:* +FLAGS.SILENT (\\Seen)", "STORE 1:* -FLAGS (\\Seen work)", "UID STORE 1:* +FLAGS (work)",
	"FETCH 1:* (UID FLAGS MODSEQ RFC822.SIZE)", "UID FETCH 1:* (FLAGS ENVELOPE)", "COPY 1 INBOX", "UID STORE 3:5 +FLAGS (\\Deleted)",
	"EXPUNGE", "APPEND INBOX {4+}\r\nmail", "STATUS INBOX (MESSAGES UIDNEXT HIGHESTMODSEQ)", "SELECT INBOX", "IDLE\r\nDONE", "CHECK",
	"UID SEARCH SEEN", "MOVE 1 INBOX",
};

static void *work(void *argument)
{
	struct worker *w = argument;
	struct session_kit_client client;
	struct buf out = BUF_WITH_LIMIT(ANSWER_MAX);
	session_kit_connect(w->kit, &client);
	session_kit_response(&client);
	session_kit_command(&client, &out, "SELECT INBOX");
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct str answer = session_kit_command(&client, &out, "%s",
		                                        commands[(unsigned)rand_r(&w->seed) % COUNT_OF(commands)]);
		/* only an empty mailbox makes one of them a misfit */
		bool bad = str_find(answer, STR("BAD ")) < answer.length &&
		           str_find(answer, STR("BAD no such messages")) == answer.length;
		if (w->misfit.length == 0 && (bad || str_is_empty(answer)))
			buf_add_str(&w->misfit, bad ? answer : STR("nothing"));
	}
	session_kit_hang_up(&client);
	buf_release(&out);
	return NULL;
}

/* The numbers, UIDs and flags that a new session finds. */
static void look(struct session_kit *kit, struct buf *out)
{
	struct session_kit_client client;
	session_kit_connect(kit, &client);
	session_kit_response(&client);
	session_kit_command(&client, out, "EXAMINE INBOX");
	session_kit_command(&client, out, "UID FETCH 1:* (UID MODSEQ)");
	session_kit_hang_up(&client);
}

static void test_at_once(void **state)
{
	struct session_kit *kit = *state;
	struct worker workers[3];
	pthread_t threads[3];
	struct buf first = BUF_WITH_LIMIT(ANSWER_MAX), second = BUF_WITH_LIMIT(ANSWER_MAX);
	for (unsigned i = 0; i < COUNT_OF(workers); i++) {
		workers[i] = (struct worker){ .kit = kit, .seed = i + 1, .misfit = BUF_WITH_LIMIT(ANSWER_MAX) };
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < DELIVERIES; i++)
		session_kit_deliver(kit, mail);
	for (unsigned i = 0; i < COUNT_OF(workers); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < COUNT_OF(workers); i++) {
		assert_string_equal(buf_text(&workers[i].misfit), "");
		buf_release(&workers[i].misfit);
	}
	look(kit, &first);
	look(kit, &second);
	assert_has(buf_str(&first), "FETCH (");
	assert_true(str_equal(buf_str(&first), buf_str(&second)));
	buf_release(&first);
	buf_release(&second);
}

/* ---- NOTIFY, RFC 5465 §5.8 ---- */

/* Mailboxes below one another, as many as one name may have levels, so that few names are many mailboxes. */
static void make_mailboxes(struct session_kit *kit, unsigned count)
{
	struct store_txn *txn = store_begin(kit->account.store);
	for (unsigned made = 0; made < count; made += LIMIT_MAILBOX_DEPTH_MAX) {
		struct buf name = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
		uint64_t id;
		buf_printf(&name, "%u", made);
		for (unsigned level = 1; level < LIMIT_MAILBOX_DEPTH_MAX; level++)
			buf_add_str(&name, STR("/x"));
		assert_true(store_mailbox_create(txn, buf_str(&name), STORE_USE_NONE, &id));
		buf_release(&name);
	}
	assert_true(store_commit(&txn, NULL));
}

static void test_notification_overflow(void **state)
{
	struct session_kit *kit = *state;
	struct session_kit_client a, b;
	struct buf out = BUF_WITH_LIMIT(ANSWER_MAX);
	session_kit_connect(kit, &a);
	session_kit_connect(kit, &b);
	session_kit_response(&a);
	session_kit_response(&b);
	assert_has(session_kit_command(&a, &out, "SELECT INBOX"), "OK [READ-WRITE]");
	assert_has(session_kit_command(&a, &out, "NOTIFY SET (selected (MessageNew MessageExpunge)) (personal (MailboxName))"), "OK NOTIFY");
	make_mailboxes(kit, LIMIT_IMAP_NOTIFY_MAILBOXES_MAX);
	assert_has(session_kit_response(&a), "* OK [NOTIFICATIONOVERFLOW] ");
	/* as if NOTIFY NONE had been given: not even the selected mailbox is told */
	session_kit_deliver(kit, mail);
	assert_has(session_kit_command(&b, &out, "CREATE more"), "OK ");
	assert_true(str_starts(session_kit_command(&a, &out, "NOOP"), STR("OK ")));
	assert_has(session_kit_command(&a, &out, "NOTIFY SET (personal (MailboxName))"), "NO [NOTIFICATIONOVERFLOW] ");
	/* what costs little goes on */
	assert_has(session_kit_command(&a, &out, "NOTIFY SET (selected (MessageNew MessageExpunge))"), "* 1 EXISTS\n");
	session_kit_hang_up(&a);
	session_kit_hang_up(&b);
	buf_release(&out);
}

/* RFC 9585 §4: a long command says that it lives, and how far it is; not before it has been silent for a while. */
static void test_progress(void **state)
{
	static const struct stream_times times = { .idle_ms = 10000, .command_ms = 10000, .write_ms = 10000, .bulk_grace_ms = 10000 };
	const struct stream_options options = { .input_size = 100, .output_high = 1000, .times = times };
	char said[300] = {};
	int pair[2];
	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	struct imap_session s = { .stream = stream_new(pair[0], &options), .out = BUF_WITH_LIMIT(1000), .command.tag = STR("a\\1") };
	assert_true(imap_still_working(&s, 1, 10));
	assert_int_equal(s.out.length, 0);
	s.spoke_ms -= 60000;
	assert_true(imap_still_working(&s, 5, 10));
	assert_true(read(pair[1], said, sizeof said - 1) > 0);
	assert_has(str_of(said), "* OK [INPROGRESS (\"a\\\\1\" 5 10)] ");
	s.spoke_ms -= 60000;
	assert_true(imap_still_working(&s, 7, 0));
	memset(said, 0, sizeof said);
	assert_true(read(pair[1], said, sizeof said - 1) > 0);
	assert_has(str_of(said), "* OK [INPROGRESS (\"a\\\\1\" 7 NIL)] ");
	/* §4: a tag with "]" is not told, and no goal that is reached */
	s.command.tag = STR("a]1");
	s.spoke_ms -= 60000;
	assert_true(imap_still_working(&s, 10, 10));
	memset(said, 0, sizeof said);
	assert_true(read(pair[1], said, sizeof said - 1) > 0);
	assert_has(str_of(said), "* OK [INPROGRESS (NIL 10 NIL)] ");
	close(pair[1]);
	s.spoke_ms -= 60000;
	assert_false(imap_still_working(&s, 8, 10));
	stream_free(s.stream);
	buf_release(&s.out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_views, setup, teardown),
		cmocka_unit_test_setup_teardown(test_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(test_notification_overflow, setup, teardown),
		cmocka_unit_test(test_progress),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
