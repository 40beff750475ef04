/*
 * For libraries that stand before libc: NEXT(f) is the f that would have been called without
 * them, looked up once. Include it first: programs call either of pwrite and pwrite64, and
 * with _FILE_OFFSET_BITS the compiler would make one symbol of the two.
 */
#ifndef POSTHORN_TESTS_INTERPOSE_H
#define POSTHORN_TESTS_INTERPOSE_H

#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <stdlib.h>

#define NEXT(function)                                \
	({                                                \
		static __typeof__(&function) next_;           \
		if (!next_)                                   \
			next_ = next_symbol(#function);           \
		next_;                                        \
	})

static inline void *next_symbol(const char *name)
{
	void *symbol = dlsym(RTLD_NEXT, name);
	if (!symbol)
		abort();
	return symbol;
}

#endif
