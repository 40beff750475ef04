#include "generate.h"
#include "imap_session.h"
#include "options.h"
#include "stats.h"
#include "steps.h"
#include "task.h"

static uint64_t random_state;
static uint64_t next_random(void)
{
	return random_state = generate_mix(random_state + 1);
}
static unsigned long long some_message(struct imap *im)
{
	return 1 + next_random() % (im->exists ? im->exists : 1);
}

static bool mixed_step(struct imap *im, struct buf *message)
{
	unsigned dice = (unsigned)(next_random() % 100);
	unsigned long long n = some_message(im), m = n + 20 < im->exists ? n + 20 : im->exists;
	if (dice < 10)
		return imap_command(im, "NOOP");
	if (dice < 20)
		return imap_command(im, "SELECT \"%s\"", opt.mailbox);
	if (dice < 25)
		return imap_command(im, "LIST \"\" \"*\"");
	if (dice < 30)
		return imap_command(im, "STATUS \"%s\" (MESSAGES UNSEEN UIDNEXT)", opt.mailbox);
	if (dice < 40 || !im->exists)
		return imap_append(im, opt.mailbox, (long)(next_random() % 100000), 1, message);
	if (dice < 60)
		return imap_command(im, "FETCH %llu:%llu (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE)", n, m);
	if (dice < 75)
		return imap_command(im, "FETCH %llu (UID BODY.PEEK[])", n);
	if (dice < 80)
		return imap_command(im, "FETCH %llu:%llu (UID BODYSTRUCTURE)", n, m);
	if (dice < 88)
		return imap_command(im, "STORE %llu +FLAGS (\\Seen)", n);
	if (dice < 91)
		return imap_command(im, "STORE %llu +FLAGS (\\Deleted)", n);
	if (dice < 94)
		return imap_command(im, "EXPUNGE");
	if (dice < 97)
		return imap_command(im, "SEARCH UNSEEN");
	return imap_command(im, "SEARCH SUBJECT invoice");
}

static void imap_mixed_task(int id)
{
	CLEANUP(buf_release) struct buf message = BUF_WITH_LIMIT(GENERATE_MESSAGE_MAX);
	long index;
	while (stats.errors < 1000 && task_take_operation(&index)) {
		struct imap im;
		bool good = imap_open(&im, id, opt.mailbox);
		for (int k = 0; good && k < opt.per_conn && task_take_operation(&index); k++) {
			uint64_t t = stats_now_ns();
			good = mixed_step(&im, &message) || !im.c.failed; /* a NO is counted, the session goes on */
			if (good)
				stats_operation(t);
		}
		imap_close(&im);
	}
}

void imap_mixed_run(void)
{
	random_state = opt.seed;
	stats_begin();
	task_run_all(opt.conns, imap_mixed_task);
	stats_end();
	stats_print("mixed", "");
}
