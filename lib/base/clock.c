#include "clock.h"

#include "check.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
	struct timespec now;
	must(clock_gettime(id, &now) == 0);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_monotonic_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_monotonic_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_seconds(void)
{
	return read_us(CLOCK_REALTIME) / 1000000;
}

int64_t clock_wall_us(void)
{
	return read_us(CLOCK_REALTIME);
}
