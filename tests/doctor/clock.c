/*
 * clock.so: what a program hears of the kernel's clock, for tests of posthornctl doctor.
 *
 *	LD_PRELOAD=…/clock.so CLOCK=unsynchronised posthornctl doctor
 *
 * CLOCK is right, unsynchronised, or old: ten years behind, and said to be synchronised.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

enum { TEN_YEARS = 315576000 };

static int is(const char *kind)
{
	const char *value = getenv("CLOCK");
	return value && strcmp(value, kind) == 0;
}

int adjtimex(struct timex *facts)
{
	memset(facts, 0, sizeof *facts);
	facts->status = is("unsynchronised") ? STA_UNSYNC : 0;
	return is("unsynchronised") ? TIME_ERROR : TIME_OK;
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, clock, now);
	if (result == 0 && clock == CLOCK_REALTIME && is("old"))
		now->tv_sec -= TEN_YEARS;
	return result;
}
