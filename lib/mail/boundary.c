#include "boundary.h"

#include "check.h"

#include <sys/auxv.h>

/* The seed is from the random bytes that the kernel gives every process, so that nobody can aim at one slot. */
void boundary_init(struct boundary_stack *stack)
{
	stack->count = 0;
	stack->longest = 0;
	memset(stack->of_length, 0, sizeof stack->of_length);
	memset(stack->slots, 0, sizeof stack->slots);
	const void *random = (const void *)(uintptr_t)getauxval(AT_RANDOM);
	if (random)
		memcpy(&stack->seed, random, sizeof stack->seed);
	else
		stack->seed = 0xcbf29ce484222325;
}

static uint64_t hash_step(uint64_t hash, char c)
{
	hash = (hash ^ (unsigned char)c) * 0x9e3779b97f4a7c15u;
	return hash ^ hash >> 29;
}

/* The slot where the boundary with that hash and length is, or the empty one where it would be. */
static size_t find_slot(const struct boundary_stack *stack, uint64_t hash, size_t length)
{
	size_t i = hash % BOUNDARY_SLOTS;
	while (stack->slots[i]) {
		const struct boundary *b = &stack->open[stack->slots[i] - 1];
		if (b->hash == hash && b->text.length == length)
			break;
		i = (i + 1) % BOUNDARY_SLOTS;
	}
	return i;
}

void boundary_push(struct boundary_stack *stack, struct str text, void *owner)
{
	must(stack->count < COUNT_OF(stack->open) && text.length > 0 && text.length <= LIMIT_BOUNDARY_MAX);
	uint64_t hash = stack->seed;
	for (size_t i = 0; i < text.length; i++)
		hash = hash_step(hash, text.data[i]);
	size_t slot = find_slot(stack, hash, text.length);
	stack->open[stack->count] = (struct boundary){ text, hash, owner, stack->longest, stack->slots[slot] };
	stack->slots[slot] = (uint8_t)++stack->count;
	stack->of_length[text.length]++;
	if (text.length > stack->longest)
		stack->longest = text.length;
}

void boundary_pop(struct boundary_stack *stack)
{
	must(stack->count > 0);
	const struct boundary *last = &stack->open[stack->count - 1];
	stack->slots[find_slot(stack, last->hash, last->text.length)] = last->shadowed;
	stack->of_length[last->text.length]--;
	stack->longest = last->longest_before;
	stack->count--;
}

/* Only the longest is compared byte by byte: with a 64-bit hash that nobody knows the seed of, an accident is
 * the only way for it to differ, and the line is then no delimiter. */
void *boundary_match(const struct boundary_stack *stack, struct str line, bool *closing)
{
	const struct boundary *found = NULL;
	struct str rest = str_from_index(line, 2);
	uint64_t hash = stack->seed;
	for (size_t i = 0; i < rest.length && i < stack->longest; i++) {
		hash = hash_step(hash, rest.data[i]);
		if (!stack->of_length[i + 1])
			continue;
		uint8_t index = stack->slots[find_slot(stack, hash, i + 1)];
		if (index)
			found = &stack->open[index - 1];
	}
	if (!found || !str_starts(rest, found->text))
		return NULL;
	*closing = str_starts(str_from_index(rest, found->text.length), STR("--"));
	return found->owner;
}
