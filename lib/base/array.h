/*
 * A growing array of one type:
 *
 *	ARRAY(struct rcpt) rcpts = {};
 *	*array_add(&rcpts) = (struct rcpt){ … };
 *	for (size_t i = 0; i < rcpts.count; i++) use(&rcpts.items[i]);
 *	array_release(&rcpts);
 *
 * The caller bounds count. Pointers to items die with the next addition.
 */
#ifndef POSTHORN_BASE_ARRAY_H
#define POSTHORN_BASE_ARRAY_H

#include "mem.h"

#include <stdlib.h>
#include <string.h>

#define ARRAY(type)      \
	struct {             \
		type *items;     \
		size_t count;    \
		size_t capacity; \
	}

/* A pointer to a new zeroed item at the end. */
#define array_add(a)                                                                               \
	({                                                                                             \
		if ((a)->count == (a)->capacity) {                                                         \
			(a)->capacity = (a)->capacity ? (a)->capacity * 2 : 8;                                 \
			(a)->items = mem_resize((a)->items, (a)->capacity, sizeof *(a)->items);                \
		}                                                                                          \
		(__typeof__((a)->items))memset(&(a)->items[(a)->count++], 0, sizeof *(a)->items);           \
	})

/* Takes item i out; the order of the others stays. */
#define array_remove(a, i)                                                                         \
	do {                                                                                           \
		size_t removed_ = (i);                                                                     \
		memmove(&(a)->items[removed_], &(a)->items[removed_ + 1],                                  \
		        ((a)->count - removed_ - 1) * sizeof *(a)->items);                                 \
		(a)->count--;                                                                              \
	} while (0)

#define array_release(a)      \
	do {                      \
		free((a)->items);     \
		(a)->items = NULL;    \
		(a)->count = 0;       \
		(a)->capacity = 0;    \
	} while (0)

#endif
