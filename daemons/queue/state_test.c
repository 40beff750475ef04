#include "state.h"

#include "clock.h"
#include "queue.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
	char path[64];
};

static int begin(void **state)
{
	static struct fixture f;
	f = (struct fixture){ .path = "/tmp/posthorn-state-XXXXXX" };
	assert_non_null(mkdtemp(f.path));
	*state = &f;
	return 0;
}

static int end(void **state)
{
	struct fixture *f = *state;
	char command[100];
	snprintf(command, sizeof command, "rm -rf %s", f->path);
	return system(command);
}

static struct queue *open_queue(struct fixture *f)
{
	struct queue *q = calloc(1, sizeof *q);
	assert_non_null(q);
	q->daemon.folder = f->path;
	q->loop = loop_new();
	state_init(q);
	return q;
}

/* Each run is a process of its own, which ends without closing anything, as after kill -9. */
static void in_process(struct fixture *f, void (*run)(struct queue *q))
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct queue *q = open_queue(f);
		run(q);
		while (!state_is_written(q))
			loop_step(q->loop, 1000);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void take(void *owner, struct str key, struct str value, int64_t expires)
{
	(void)expires;
	buf_printf(owner, "%.*s=%.*s ", STR_ARG(key), STR_ARG(value));
}

static void assert_kept(struct queue *q, const char *kind, const char *wanted)
{
	CLEANUP(buf_release) struct buf got = BUF_WITH_LIMIT(10000);
	state_load(q, kind, take, &got);
	must(str_equal(buf_str(&got), str_of(wanted)));
}

static int64_t later(void)
{
	return clock_wall_seconds() + 1000;
}

static void put_some(struct queue *q)
{
	state_put(q, "one", STR("a"), STR("1"), later());
	state_put(q, "one", STR("b"), STR("2"), later());
	state_put(q, "two", STR("a"), STR("other"), later());
	state_put(q, "one", STR("old"), STR("x"), clock_wall_seconds() - 10);
	state_put(q, "one", STR("a"), STR("3"), later()); /* the last one counts */
}

static void change_some(struct queue *q)
{
	assert_kept(q, "one", "a=3 b=2 ");
	assert_kept(q, "two", "a=other ");
	state_remove(q, "one", STR("a"));
	state_put(q, "one", STR("c"), STR(""), later());
	state_put(q, "one", STR("gone"), STR("x"), later());
	state_remove(q, "one", STR("gone"));
}

static void look(struct queue *q)
{
	assert_kept(q, "one", "b=2 c= ");
	assert_kept(q, "two", "a=other ");
}

static void test_kept(void **state)
{
	in_process(*state, put_some);
	in_process(*state, change_some);
	in_process(*state, look);
}

static void look_at_nothing(struct queue *q)
{
	assert_kept(q, "one", "");
	put_some(q);
}

static void look_at_some(struct queue *q)
{
	assert_kept(q, "one", "a=3 b=2 ");
}

static void test_damaged(void **state)
{
	struct fixture *f = *state;
	char path[100];
	snprintf(path, sizeof path, "%s/state.db", f->path);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 5000; i++)
		fputs("this is no database\n", file);
	fclose(file);
	in_process(f, look_at_nothing);
	in_process(f, look_at_some);
	snprintf(path, sizeof path, "%s/state.db.damaged", f->path);
	assert_int_equal(access(path, F_OK), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_kept, begin, end),
		cmocka_unit_test_setup_teardown(test_damaged, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
