#include "check.h"

#include <stdio.h>
#include <stdlib.h>

void check_failed(const char *expr, const char *file, int line, const char *function)
{
	fprintf(stderr, "%s:%d: %s: must hold: %s\n", file, line, function, expr);
	abort();
}
