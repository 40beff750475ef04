#include "task.h"

#include "mem.h"
#include "options.h"
#include "stats.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <ucontext.h>

struct task {
	ucontext_t context;
	void *stack;
	void (*run)(int id);
	uint64_t wake_at; /* 0: only an event wakes it */
	int id;
	bool done;
};

enum { STACK_SIZE = 128 * 1024, MAX_EVENTS = 512 };
static ucontext_t scheduler;
static struct task *tasks, *current;
static int ntasks, nlive, epoll_fd = -1;
static uint64_t stop_at; /* --seconds: no new operation after this */
static long next_operation;

void task_yield(void)
{
	swapcontext(&current->context, &scheduler);
}

static void task_resume(struct task *t)
{
	if (t->done)
		return;
	current = t;
	swapcontext(&scheduler, &t->context);
	current = NULL;
	if (t->done) {
		munmap(t->stack, STACK_SIZE);
		nlive--;
	}
}

static void task_main(void)
{
	current->run(current->id);
	current->done = true;
	task_yield();
}

static void task_start(struct task *t, int id, void (*run)(int))
{
	*t = (struct task){ .run = run, .id = id };
	t->stack =
		mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->stack == MAP_FAILED)
		die("no memory for a coroutine stack");
	getcontext(&t->context);
	t->context.uc_stack.ss_sp = t->stack;
	t->context.uc_stack.ss_size = STACK_SIZE;
	makecontext(&t->context, task_main, 0);
	nlive++;
}

void task_wait(uint64_t deadline_ns)
{
	current->wake_at = deadline_ns;
	task_yield();
	current->wake_at = 0;
}

void task_watch(int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = current };
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll_ctl: %m");
}

void task_wake_others(void)
{
	for (int i = 0; i < ntasks; i++)
		tasks[i].wake_at = 1;
	current->wake_at = 0;
}

void task_prepare(void)
{
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (opt.seconds > 0)
		stop_at = stats_now_ns() + (uint64_t)(opt.seconds * 1e9);
}

void task_sleep_until(uint64_t when_ns)
{
	while (stats_now_ns() < when_ns) {
		current->wake_at = when_ns;
		task_yield();
	}
	current->wake_at = 0;
}

static void wake_sleepers(void)
{
	uint64_t now = stats_now_ns();
	for (int i = 0; i < ntasks; i++)
		if (!tasks[i].done && tasks[i].wake_at && tasks[i].wake_at <= now)
			task_resume(&tasks[i]);
}

/* Runs n coroutines run(0) .. run(n-1) to their end. */
void task_run_all(int n, void (*run)(int))
{
	struct epoll_event events[MAX_EVENTS];
	uint64_t next_tick = 0;
	ntasks = n;
	tasks = mem_resize(NULL, (size_t)n, sizeof *tasks);
	for (int i = 0; i < n; i++)
		task_start(&tasks[i], i, run);
	for (int i = 0; i < n; i++)
		task_resume(&tasks[i]);
	while (nlive > 0) {
		int count = epoll_wait(epoll_fd, events, MAX_EVENTS, 5);
		for (int i = 0; i < count; i++)
			task_resume(events[i].data.ptr);
		if (stats_now_ns() >= next_tick) {
			wake_sleepers();
			next_tick = stats_now_ns() + 5000000;
		}
	}
	free(tasks);
}

bool task_take_operation(long *index)
{
	if (stop_at ? stats_now_ns() >= stop_at : next_operation >= opt.count)
		return false;
	*index = next_operation++;
	return true;
}

void task_take_more(long n)
{
	next_operation += n;
}
