/* Mail for other hosts, with the test in relay's place. */
#include "kit.h"

#include "file.h"
#include "mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Times as short as they can be. */
static const char quick[] = "retry_first_seconds = 1\nretry_max_seconds = 1\n";

enum { MANY = 100, INSIDE_MAX = 65536 };

struct job {
	uint64_t number;
	uint64_t mail;
	char destination[100];
	char sender[100];
	char body[100]; /* its beginning */
	uint64_t size;
	uint32_t flags;
	int64_t priority;
	uint32_t places[20];
	char addresses[20][100];
	size_t count;
};

/* Jobs that came before the word that was waited for. */
static struct {
	struct job jobs[MANY];
	size_t count, taken;
} early;

static void copy(char *to, size_t size, struct str text)
{
	assert_true(text.length < size);
	snprintf(to, size, "%.*s", STR_ARG(text));
}

static void relay_up(struct scene *s, struct ipc_channel *relay, uint32_t jobs_max)
{
	early.count = early.taken = 0;
	wire(s, ROLE_RELAY, KIND_WORLD, 9, relay);
	msg_relay_up_send(relay, 0, &(struct msg_relay_up){ .jobs_max = jobs_max }, -1);
}

/* Short mail comes within the job, longer one as a file that nobody can change. */
static void read_content(struct ipc_frame *frame, const struct msg_relay_job *read, struct job *job)
{
	CLEANUP(file_close) int content = ipc_take_descriptor(frame);
	job->size = read->size;
	if (read->size <= INSIDE_MAX) {
		assert_true(content < 0 && read->content.length == read->size);
		copy(job->body, sizeof job->body, str_first(read->content, sizeof job->body - 1));
		return;
	}
	assert_true(content >= 0 && read->content.length == 0);
	assert_true(file_read_at(content, job->body, sizeof job->body - 1, read->offset, NULL));
	assert_true(write(content, "x", 1) < 0);
}

static void read_job(struct ipc_frame *frame, struct job *job)
{
	struct msg_relay_job read;
	struct relay_recipient recipient;
	*job = (struct job){};
	assert_string_equal(msg_name(frame->type), "RELAY_JOB");
	assert_true(msg_relay_job_read(frame, &read));
	job->number = frame->request;
	job->mail = read.mail;
	job->flags = read.flags;
	job->priority = read.priority;
	copy(job->destination, sizeof job->destination, read.destination);
	copy(job->sender, sizeof job->sender, read.sender);
	while (relay_recipient_next(&read.recipients, &recipient)) {
		copy(job->addresses[job->count], sizeof job->addresses[0], recipient.address);
		job->places[job->count++] = recipient.place;
	}
	assert_int_equal(read.recipients.length, 0);
	assert_true(job->count > 0);
	read_content(frame, &read, job);
}

static bool next_job(struct scene *s, struct ipc_channel *relay, struct job *job, int timeout_ms)
{
	struct ipc_frame frame;
	if (early.taken < early.count) {
		*job = early.jobs[early.taken++];
		return true;
	}
	if (!await(s, relay, &frame, timeout_ms))
		return false;
	read_job(&frame, job);
	return true;
}

static void expect_job(struct scene *s, struct ipc_channel *relay, const char *destination, struct job *job)
{
	if (!next_job(s, relay, job, ANSWER_MS))
		fail_msg("no job for %s", destination);
	assert_string_equal(job->destination, destination);
}

static void say_last_result(struct ipc_channel *relay, const struct job *job, size_t which, enum relay_outcome outcome,
                            const char *reply, enum relay_reach reach)
{
	CLEANUP(buf_release) struct buf places = BUF_WITH_LIMIT(1000);
	relay_place_add(&places, job->places[which]);
	struct msg_relay_result result = {
		.mail = job->mail, .outcome = (uint32_t)outcome, .reach = (uint32_t)reach, .recipients = buf_str(&places),
		.code = outcome == RELAY_FAILED ? 550 : outcome == RELAY_DEFERRED ? 451 : 250,
		.status = outcome == RELAY_FAILED ? STR("5.1.1") : STR("4.2.0"),
		.reply = str_of(reply), .host = STR("mx.elsewhere.test"), .address = STR("192.0.2.25"), .tls = STR("TLSv1.3"),
	};
	msg_relay_result_send(relay, job->number, &result, -1);
}

static void say_result(struct ipc_channel *relay, const struct job *job, size_t which, enum relay_outcome outcome,
                       const char *reply)
{
	say_last_result(relay, job, which, outcome, reply, RELAY_REACH_COUNT);
}

static void say_done(struct ipc_channel *relay, const struct job *job, enum relay_reach reach)
{
	msg_relay_done_send(relay, job->number, &(struct msg_relay_done){ .reach = (uint32_t)reach }, -1);
}

static void expect_noted(struct scene *s, struct ipc_channel *relay, const struct job *job)
{
	struct ipc_frame frame;
	struct msg_relay_noted noted;
	uint64_t number = 0;
	while (await(s, relay, &frame, ANSWER_MS) && frame.type == MSG_RELAY_JOB && early.count < MANY)
		read_job(&frame, &early.jobs[early.count++]);
	assert_true(msg_relay_noted_read(&frame, &noted) && relay_number_next(&noted.jobs, &number));
	assert_int_equal(number, job->number);
	assert_int_equal(noted.jobs.length, 0);
}

static void settle(struct scene *s, struct ipc_channel *relay, const struct job *job, enum relay_outcome outcome,
                   enum relay_reach reach)
{
	for (size_t i = 0; i < job->count; i++)
		say_last_result(relay, job, i, outcome, "said so", i + 1 < job->count ? RELAY_REACH_COUNT : reach);
	expect_noted(s, relay, job);
}

static void say_held(struct ipc_channel *relay, const struct job *job)
{
	CLEANUP(buf_release) struct buf places = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < job->count; i++)
		relay_place_add(&places, job->places[i]);
	msg_relay_held_send(relay, job->number, &(struct msg_relay_held){ .mail = job->mail, .recipients = buf_str(&places) }, -1);
}

static uint64_t send_from(struct scene *s, uint64_t account, const struct msg_mail_begin *more,
                          const char *const *recipients)
{
	static uint64_t request = 5000;
	uint64_t id = 0;
	CLEANUP(mem_free) char *sender = mem_printf("u%" PRIu64 "@example.test", account);
	struct msg_mail_begin begin = *more;
	request++;
	give_token(s, account);
	begin.token = token_of(account);
	begin.sender = str_of(sender);
	begin.protocol = STR("ESMTPSA");
	msg_mail_begin_send(&s->users, request, &begin, -1);
	assert_int_equal(verdict(s, &s->users, request), VERDICT_OK);
	for (; *recipients; recipients++)
		assert_int_equal(recipient(s, &s->users, request, *recipients), VERDICT_OK);
	send_body(&s->users, request, STR("Subject: x\r\n\r\nx\r\n"));
	assert_int_equal(commit(s, &s->users, request, 17, &id), VERDICT_OK);
	return id;
}

static uint64_t send_to(struct scene *s, const char *to)
{
	const char *recipients[] = { to, NULL };
	return send_from(s, 5, &(struct msg_mail_begin){}, recipients);
}

static void expect_no_job(struct scene *s, struct ipc_channel *relay)
{
	assert_int_equal(early.taken, early.count);
	expect_nothing(s, relay);
}

static uint32_t control_id(struct scene *s, const char *verb, uint64_t id, struct buf *rows)
{
	CLEANUP(mem_free) char *words = mem_printf("%s %016" PRIx64, verb, id);
	return control(s, words, rows);
}

/* ---- jobs ------------------------------------------------------------------------------------- */

static void recipients_of_a_domain_go_together(void **state)
{
	static const char *const to[] = { "a@one.test", "b@Two.Test", "c@ONE.test", "d@[192.0.2.7]", "e@b\xc3\xbc" "cher.test", NULL };
	static const char *const wanted[] = { "one.test", "two.test", "[192.0.2.7]", "xn--bcher-kva.test" };
	struct scene s;
	struct ipc_channel relay;
	struct job jobs[4];
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	uint64_t id = send_from(&s, 5, &(struct msg_mail_begin){ .flags = MAIL_SMTPUTF8 }, to);
	for (size_t i = 0; i < COUNT_OF(jobs); i++) {
		expect_job(&s, &relay, wanted[i], &jobs[i]);
		assert_true(jobs[i].mail == id);
		assert_string_equal(jobs[i].sender, "u5@example.test");
		assert_int_equal(jobs[i].flags & RELAY_SMTPUTF8, RELAY_SMTPUTF8);
		assert_int_equal(jobs[i].count, i == 0 ? 2 : 1);
	}
	assert_string_equal(jobs[0].addresses[1], "c@ONE.test");
	for (size_t i = 0; i < COUNT_OF(jobs); i++)
		settle(&s, &relay, &jobs[i], RELAY_DELIVERED, RELAY_REACHED);
	wait_for_no_row(&s, "recipient", &relay, &rows);
	scene_close(&s);
}

static void what_is_delivered_is_never_sent_again(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_to(&s, "a@one.test");
	expect_job(&s, &relay, "one.test", &job);
	settle(&s, &relay, &job, RELAY_DELIVERED, RELAY_REACHED);
	for (unsigned i = 0; i < 3; i++) {
		scene_restart(&s);
		ipc_channel_release(&relay);
		relay_up(&s, &relay, 100);
		expect_no_job(&s, &relay);
	}
	scene_close(&s);
}

/* Killed between the result and the end of the job: relay tells it again. */
static void results_may_come_twice(void **state)
{
	static const char *const to[] = { "a@one.test", "b@one.test", NULL };
	struct scene s;
	struct ipc_channel relay, fresh;
	struct job job;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_from(&s, 5, &(struct msg_mail_begin){}, to);
	expect_job(&s, &relay, "one.test", &job);
	say_result(&relay, &job, 0, RELAY_DELIVERED, "ok");
	control(&s, "list", &rows);
	scene_restart(&s);
	wire(&s, ROLE_RELAY, KIND_WORLD, 9, &fresh);
	say_held(&fresh, &job);
	expect_no_job(&s, &fresh);
	msg_relay_up_send(&fresh, 0, &(struct msg_relay_up){ .jobs_max = 100 }, -1);
	say_result(&fresh, &job, 0, RELAY_DELIVERED, "ok");
	expect_no_job(&s, &fresh);
	say_result(&fresh, &job, 1, RELAY_DELIVERED, "ok");
	say_done(&fresh, &job, RELAY_REACHED);
	expect_noted(&s, &fresh, &job);
	scene_restart(&s);
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_no_job(&s, &relay);
	scene_close(&s);
}

static void no_job_before_every_relay_has_spoken(void **state)
{
	struct scene s;
	struct ipc_channel old, fresh;
	struct job job;
	(void)state;
	scene_open(&s);
	wire(&s, ROLE_RELAY, KIND_WORLD, 9, &old);
	relay_up(&s, &fresh, 100);
	send_to(&s, "a@one.test");
	expect_no_job(&s, &fresh);
	msg_relay_up_send(&old, 0, &(struct msg_relay_up){ .jobs_max = 0 }, -1);
	expect_job(&s, &fresh, "one.test", &job);
	scene_close(&s);
}

static void jobs_of_a_dead_relay_are_given_again(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job first, second;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_to(&s, "a@one.test");
	expect_job(&s, &relay, "one.test", &first);
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_job(&s, &relay, "one.test", &second);
	assert_true(first.mail == second.mail);
	assert_string_equal(second.body, "Subject: x\r\n\r\nx\r\n");
	settle(&s, &relay, &second, RELAY_DELIVERED, RELAY_REACHED);
	scene_close(&s);
}

static void a_relay_that_talks_nonsense_is_reported(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct ipc_frame frame;
	struct job job;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_to(&s, "a@one.test");
	expect_job(&s, &relay, "one.test", &job);
	job.places[0] = 7;
	say_result(&relay, &job, 0, RELAY_DELIVERED, "ok");
	expect(&s, &s.master, MSG_OFFENDER, &frame);
	expect_closed(&s, &relay);
	scene_close(&s);
}

/* ---- trying again ----------------------------------------------------------------------------- */

static void what_may_pass_is_tried_again(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open_with_settings(&s, quick);
	relay_up(&s, &relay, 100);
	uint64_t id = send_to(&s, "a@one.test");
	expect_job(&s, &relay, "one.test", &job);
	say_result(&relay, &job, 0, RELAY_DEFERRED, "come back later");
	say_done(&relay, &job, RELAY_REACHED);
	expect_noted(&s, &relay, &job);
	expect_job(&s, &relay, "one.test", &job);
	scene_restart(&s);
	ipc_channel_release(&relay);
	wire(&s, ROLE_RELAY, KIND_WORLD, 9, &relay);
	say_held(&relay, &job);
	msg_relay_up_send(&relay, 0, &(struct msg_relay_up){ .jobs_max = 100 }, -1);
	say_result(&relay, &job, 0, RELAY_DEFERRED, "not yet");
	say_done(&relay, &job, RELAY_REACHED);
	expect_noted(&s, &relay, &job);
	expect_job(&s, &relay, "one.test", &job);
	assert_int_equal(control_id(&s, "show", id, &rows), 0);
	assert_true(has_row(&rows, "reply=come back later") && has_row(&rows, "reply=not yet") &&
	            has_row(&rows, "host=mx.elsewhere.test") && has_row(&rows, "tls=TLSv1.3") &&
	            has_row(&rows, "attempt=2") && has_row(&rows, "code=451") && has_row(&rows, "place=file"));
	settle(&s, &relay, &job, RELAY_DELIVERED, RELAY_REACHED);
	wait_for_no_row(&s, "recipient", &relay, &rows);
	scene_close(&s);
}

static void expect_report(struct scene *s, const char *part)
{
	struct ipc_channel mailbox;
	struct ipc_frame frame;
	struct delivered got;
	mailbox_start(s, 5, false, &mailbox);
	expect(s, &mailbox, MSG_REPLAY_END, &frame);
	expect_mail(s, &mailbox, NULL, &got);
	assert_int_equal(got.mail.sender.length, 0);
	if (str_find(got.mail.content, str_of(part)) == got.mail.content.length)
		fail_msg("no %s in %.*s", part, STR_ARG(got.mail.content));
	acknowledge(&mailbox, &got.mail, 0);
	expect_nothing(s, &mailbox);
}

static void what_is_old_and_was_tried_goes_back(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	CLEANUP(mem_free) char *settings = mem_printf("%squeue_lifetime_seconds = 1\ndelay_warning_seconds = 0\n", quick);
	(void)state;
	scene_open_with_settings(&s, settings);
	relay_up(&s, &relay, 100);
	send_to(&s, "a@one.test");
	for (unsigned i = 0; i < 3; i++) {
		expect_job(&s, &relay, "one.test", &job);
		settle(&s, &relay, &job, RELAY_DEFERRED, RELAY_REACHED);
	}
	expect_report(&s, "said so");
	expect_no_job(&s, &relay);
	scene_close(&s);
}

static void what_fails_is_reported_after_a_kill_too(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_to(&s, "nobody@one.test");
	expect_job(&s, &relay, "one.test", &job);
	s.auth_is_silent = true; /* no report is made before the kill */
	settle(&s, &relay, &job, RELAY_FAILED, RELAY_REACHED);
	scene_restart(&s);
	s.auth_is_silent = false;
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_report(&s, "550");
	expect_no_job(&s, &relay);
	scene_close(&s);
}

/* ---- destinations ----------------------------------------------------------------------------- */

static void a_dead_destination_harms_no_living_one(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job, dead;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	uint64_t waits = send_to(&s, "a@dead.test");
	expect_job(&s, &relay, "dead.test", &dead);
	settle(&s, &relay, &dead, RELAY_DEFERRED, RELAY_UNREACHABLE);
	uint64_t other = send_to(&s, "b@dead.test");
	send_to(&s, "a@one.test");
	expect_job(&s, &relay, "one.test", &job);
	settle(&s, &relay, &job, RELAY_DELIVERED, RELAY_REACHED);
	expect_no_job(&s, &relay);
	assert_int_equal(control_id(&s, "show", other, &rows), 0);
	assert_true(has_row(&rows, "state=deferred") && has_row(&rows, "reason=451 4.2.0 said so") &&
	            has_row(&rows, "attempts=0"));
	assert_int_equal(control_id(&s, "retry", other, &rows), 0);
	expect_job(&s, &relay, "dead.test", &dead);
	assert_true(dead.mail == other);
	settle(&s, &relay, &dead, RELAY_DELIVERED, RELAY_REACHED);
	/* it is back: who waited for it alone goes too */
	expect_job(&s, &relay, "dead.test", &dead);
	assert_true(dead.mail == waits);
	scene_close(&s);
}

static void a_destination_begins_with_few_and_grows(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job jobs[MANY];
	size_t first = 0, given = 0;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 1000);
	for (size_t i = 0; i < 20; i++)
		send_to(&s, "a@one.test");
	while (next_job(&s, &relay, &jobs[given], SOON_MS))
		given++;
	assert_true(given >= 1 && given < 10);
	first = given;
	settle(&s, &relay, &jobs[0], RELAY_DELIVERED, RELAY_REACHED);
	while (next_job(&s, &relay, &jobs[given], SOON_MS))
		given++;
	assert_int_equal(given, first + 2);
	settle(&s, &relay, &jobs[1], RELAY_DEFERRED, RELAY_REFUSED);
	expect_no_job(&s, &relay);
	scene_close(&s);
}

static void accounts_and_priorities_have_their_turns(void **state)
{
	static const char *const to[] = { "a@one.test", NULL };
	static const struct { uint64_t account; int64_t priority; } sent[] = { { 5, 0 }, { 5, 0 }, { 5, 0 }, { 6, 0 }, { 7, -3 }, { 8, 4 } };
	static const uint64_t wanted[] = { 8, 5, 6, 5, 5, 7 };
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	(void)state;
	scene_open_with_settings(&s, "destination_mails_max = 1\n");
	for (size_t i = 0; i < COUNT_OF(sent); i++)
		send_from(&s, sent[i].account, &(struct msg_mail_begin){ .priority = sent[i].priority }, to);
	relay_up(&s, &relay, 1000);
	for (size_t i = 0; i < COUNT_OF(wanted); i++) {
		CLEANUP(mem_free) char *sender = mem_printf("u%" PRIu64 "@example.test", wanted[i]);
		expect_job(&s, &relay, "one.test", &job);
		assert_string_equal(job.sender, sender);
		expect_no_job(&s, &relay); /* one at a time */
		settle(&s, &relay, &job, RELAY_DELIVERED, RELAY_REACHED);
	}
	scene_close(&s);
}

/* A hundred dead domains, and few jobs: one that lives gets its mail through. */
static void the_dead_do_not_take_all_jobs(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	size_t dead = 0;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 8);
	send_to(&s, "a@living.test");
	expect_job(&s, &relay, "living.test", &job);
	settle(&s, &relay, &job, RELAY_DELIVERED, RELAY_REACHED);
	for (unsigned i = 0; i < MANY; i++) {
		CLEANUP(mem_free) char *to = mem_printf("a@dead%u.test", i);
		send_to(&s, to);
	}
	while (next_job(&s, &relay, &job, SOON_MS))
		dead++;
	assert_int_equal(dead, 6);
	send_to(&s, "b@living.test");
	expect_job(&s, &relay, "living.test", &job);
	scene_close(&s);
}

/* Nothing is known of either: the newest does not wait for all that came before it. */
static void a_new_destination_does_not_wait_behind_all_dead_ones(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job jobs[6], job;
	bool found = false;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 8);
	for (unsigned i = 0; i < MANY; i++) {
		CLEANUP(mem_free) char *to = mem_printf("a@dead%u.test", i);
		send_to(&s, to);
	}
	for (size_t i = 0; i < COUNT_OF(jobs); i++)
		assert_true(next_job(&s, &relay, &jobs[i], ANSWER_MS));
	send_to(&s, "a@new.test");
	for (size_t i = 0; i < 2; i++) {
		settle(&s, &relay, &jobs[i], RELAY_DEFERRED, RELAY_UNREACHABLE);
		assert_true(next_job(&s, &relay, &job, ANSWER_MS));
		found |= strcmp(job.destination, "new.test") == 0;
	}
	assert_true(found);
	scene_close(&s);
}

/* However much mail there is for the dead: before the first of it told something, the next one waits. */
static void a_new_destination_goes_at_once_beside_much_mail_for_dead_ones(void **state)
{
	enum { JOBS_MAX = 64, DEAD = 30 };
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, JOBS_MAX);
	for (unsigned i = 0; i < 5 * DEAD; i++) {
		CLEANUP(mem_free) char *to = mem_printf("a@dead%u.test", i / 5);
		send_to(&s, to);
	}
	for (size_t given = 0; next_job(&s, &relay, &job, SOON_MS); given++)
		assert_true(given < JOBS_MAX * 6 / 8);
	send_to(&s, "a@new.test");
	expect_job(&s, &relay, "new.test", &job);
	scene_close(&s);
}

/* ---- held ------------------------------------------------------------------------------------- */

static void a_mail_is_held_released_and_deleted(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	uint64_t held = send_to(&s, "a@one.test"), deleted = send_to(&s, "b@one.test");
	assert_int_equal(control_id(&s, "hold", held, &rows), 0);
	assert_int_equal(control_id(&s, "hold", deleted, &rows), 0);
	relay_up(&s, &relay, 100);
	expect_no_job(&s, &relay);
	scene_restart(&s);
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_no_job(&s, &relay);
	assert_int_equal(control_id(&s, "delete", deleted, &rows), 0);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_true(has_row(&rows, "state=held") && !has_row(&rows, "b@one.test"));
	assert_int_equal(control_id(&s, "release", held, &rows), 0);
	expect_job(&s, &relay, "one.test", &job);
	assert_true(job.mail == held);
	settle(&s, &relay, &job, RELAY_DELIVERED, RELAY_REACHED);
	scene_restart(&s);
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_no_job(&s, &relay);
	assert_true(control_id(&s, "hold", held, &rows) != 0);
	scene_close(&s);
}

/* Neither an attempt that fails nor the end of relay brings it back; one that succeeds has succeeded. */
static void what_is_deleted_under_way_is_not_tried_again(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job deferred, lost, sent;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_to(&s, "a@one.test");
	expect_job(&s, &relay, "one.test", &deferred);
	send_to(&s, "a@two.test");
	expect_job(&s, &relay, "two.test", &lost);
	send_to(&s, "a@three.test");
	expect_job(&s, &relay, "three.test", &sent);
	assert_int_equal(control(&s, "delete domain:one.test", &rows), 0);
	assert_int_equal(control_id(&s, "delete", lost.mail, &rows), 0);
	assert_int_equal(control_id(&s, "delete", sent.mail, &rows), 0);
	settle(&s, &relay, &deferred, RELAY_DEFERRED, RELAY_REACHED);
	settle(&s, &relay, &sent, RELAY_DELIVERED, RELAY_REACHED);
	wait_for_no_row(&s, "one.test", &relay, &rows);
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_no_job(&s, &relay);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_int_equal(rows.length, 0);
	scene_close(&s);
}

static void a_held_queue_gives_no_jobs(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	assert_int_equal(control(&s, "hold", &rows), 0);
	send_to(&s, "a@one.test");
	expect_no_job(&s, &relay);
	assert_int_equal(control(&s, "release", &rows), 0);
	expect_job(&s, &relay, "one.test", &job);
	scene_close(&s);
}

/* RFC 4865: for accounts of ours, too. */
static void what_is_to_be_held_waits_for_its_time(void **state)
{
	static const char *const to[] = { "a@one.test", "u6@example.test", NULL };
	struct scene s;
	struct ipc_channel relay, mailbox;
	struct ipc_frame frame;
	struct delivered got;
	struct job job;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_from(&s, 5, &(struct msg_mail_begin){ .hold_until = time(NULL) + 2 }, to);
	assert_int_equal(control(&s, "list", &rows), 0);
	assert_true(has_row(&rows, "recipient=u6@example.test state=held") &&
	            has_row(&rows, "recipient=a@one.test state=held"));
	expect_job(&s, &relay, "one.test", &job);
	mailbox_start(&s, 6, false, &mailbox);
	expect(&s, &mailbox, MSG_REPLAY_END, &frame);
	expect_mail(&s, &mailbox, NULL, &got);
	scene_close(&s);
}

/* RFC 2852 §4.1.4: who asks for return gets it back without three attempts. */
static void what_is_not_there_by_its_time_goes_back(void **state)
{
	static const char *const to[] = { "a@dead.test", NULL };
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	(void)state;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_from(&s, 5, &(struct msg_mail_begin){ .deliver_by = time(NULL) + 2, .flags = MAIL_BY_RETURN }, to);
	expect_job(&s, &relay, "dead.test", &job);
	settle(&s, &relay, &job, RELAY_DEFERRED, RELAY_UNREACHABLE);
	expect_report(&s, "not delivered in time");
	expect_no_job(&s, &relay);
	scene_close(&s);
}

/* ---- the disk --------------------------------------------------------------------------------- */

/* What stands where the log would be: folders of the names that it could have. */
static void obstruct_some(const struct scene *s, unsigned first, unsigned end, bool on)
{
	for (unsigned i = first; i < end; i++) {
		CLEANUP(mem_free) char *path = mem_printf("%s/spool/results-%016x", s->folder, i);
		assert_int_equal(on ? mkdir(path, 0700) : rmdir(path), 0);
	}
}

static void obstruct(const struct scene *s, bool on)
{
	obstruct_some(s, 0, 20, on);
}

static void lose_results(const struct scene *s)
{
	for (unsigned i = 0; i < 50; i++) {
		CLEANUP(mem_free) char *path = mem_printf("%s/spool/results-%016x", s->folder, i);
		unlink(path);
	}
}

/* The report is durable, and what says so was not written yet; nor, where the power fails, what asked for it. */
static void report_and_kill(bool power_fails)
{
	enum { SECOND_FILE = 3, END = 6 };
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	scene_open(&s);
	relay_up(&s, &relay, 100);
	send_to(&s, "nobody@one.test");
	expect_job(&s, &relay, "one.test", &job);
	s.auth_is_silent = true; /* no report is made before the log cannot be written */
	settle(&s, &relay, &job, RELAY_FAILED, RELAY_REACHED);
	scene_restart(&s);
	obstruct_some(&s, SECOND_FILE, END, true);
	s.auth_is_silent = false;
	expect_report(&s, "550");
	scene_restart(&s);
	obstruct_some(&s, SECOND_FILE, END, false);
	if (power_fails) {
		lose_results(&s);
		scene_restart(&s);
	}
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_report(&s, "550"); /* the same one again: the account's place in the journal could not go on */
	expect_no_job(&s, &relay);
	scene_close(&s);
}

static void a_report_is_not_made_twice(void **state)
{
	(void)state;
	report_and_kill(false);
	report_and_kill(true);
}

static void a_result_that_cannot_be_written_is_not_noted(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	(void)state;
	scene_open(&s);
	obstruct(&s, true);
	relay_up(&s, &relay, 100);
	send_to(&s, "a@one.test");
	expect_job(&s, &relay, "one.test", &job);
	say_result(&relay, &job, 0, RELAY_DELIVERED, "ok");
	say_done(&relay, &job, RELAY_REACHED);
	expect_no_job(&s, &relay);
	obstruct(&s, false);
	expect_noted(&s, &relay, &job);
	scene_restart(&s);
	ipc_channel_release(&relay);
	relay_up(&s, &relay, 100);
	expect_no_job(&s, &relay);
	scene_close(&s);
}

/* The journal may still have the mail: then it comes back from there. */
static void a_damaged_file_is_set_aside(void **state)
{
	struct scene s;
	struct ipc_channel relay;
	struct job job;
	CLEANUP(buf_release) struct buf rows = BUF_WITH_LIMIT(100000);
	(void)state;
	scene_open(&s);
	uint64_t bad = send_to(&s, "a@one.test"), good = send_to(&s, "b@one.test");
	assert_int_equal(control_id(&s, "hold", bad, &rows), 0);
	assert_int_equal(control_id(&s, "hold", good, &rows), 0);
	wait_for_row(&s, "list", "place=file", &rows);
	while (has_row(&rows, "place=journal"))
		assert_int_equal(control(&s, "list", &rows), 0);
	CLEANUP(mem_free) char *path = mem_printf("%s/spool/%016" PRIx64, s.folder, bad);
	FILE *file = fopen(path, "r+e");
	assert_non_null(file);
	fseek(file, 4100, SEEK_SET);
	fputs("damage", file);
	fclose(file);
	scene_restart(&s);
	relay_up(&s, &relay, 100);
	assert_int_equal(control_id(&s, "release", good, &rows), 0);
	expect_job(&s, &relay, "one.test", &job);
	assert_true(job.mail == good);
	CLEANUP(mem_free) char *aside = mem_printf("%s/spool/damaged-%016" PRIx64, s.folder, bad);
	assert_int_equal(access(aside, F_OK), 0);
	scene_close(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recipients_of_a_domain_go_together),
		cmocka_unit_test(what_is_delivered_is_never_sent_again),
		cmocka_unit_test(results_may_come_twice),
		cmocka_unit_test(no_job_before_every_relay_has_spoken),
		cmocka_unit_test(jobs_of_a_dead_relay_are_given_again),
		cmocka_unit_test(a_relay_that_talks_nonsense_is_reported),
		cmocka_unit_test(what_may_pass_is_tried_again),
		cmocka_unit_test(what_is_old_and_was_tried_goes_back),
		cmocka_unit_test(what_fails_is_reported_after_a_kill_too),
		cmocka_unit_test(a_dead_destination_harms_no_living_one),
		cmocka_unit_test(a_destination_begins_with_few_and_grows),
		cmocka_unit_test(accounts_and_priorities_have_their_turns),
		cmocka_unit_test(the_dead_do_not_take_all_jobs),
		cmocka_unit_test(a_new_destination_does_not_wait_behind_all_dead_ones),
		cmocka_unit_test(a_new_destination_goes_at_once_beside_much_mail_for_dead_ones),
		cmocka_unit_test(a_mail_is_held_released_and_deleted),
		cmocka_unit_test(what_is_deleted_under_way_is_not_tried_again),
		cmocka_unit_test(a_held_queue_gives_no_jobs),
		cmocka_unit_test(what_is_to_be_held_waits_for_its_time),
		cmocka_unit_test(what_is_not_there_by_its_time_goes_back),
		cmocka_unit_test(a_report_is_not_made_twice),
		cmocka_unit_test(a_result_that_cannot_be_written_is_not_noted),
		cmocka_unit_test(a_damaged_file_is_set_aside),
	};
	return kit_start(argc, argv) ? cmocka_run_group_tests(tests, NULL, NULL) : 2;
}
