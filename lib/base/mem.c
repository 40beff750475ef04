#include "mem.h"

#include "check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *mem_alloc(size_t size)
{
	void *memory = calloc(1, size ? size : 1);
	must(memory != NULL);
	return memory;
}

void *mem_resize(void *memory, size_t count, size_t size)
{
	size_t total;
	must(!__builtin_mul_overflow(count, size, &total));
	void *resized = realloc(memory, total ? total : 1);
	must(resized != NULL);
	return resized;
}

char *mem_copy_text(const char *data, size_t length)
{
	must(length < SIZE_MAX);
	char *copy = mem_resize(NULL, length + 1, 1);
	if (length)
		memcpy(copy, data, length);
	copy[length] = '\0';
	return copy;
}

char *mem_printf(const char *format, ...)
{
	va_list arguments;
	char *text = NULL;
	va_start(arguments, format);
	int length = vasprintf(&text, format, arguments);
	va_end(arguments);
	must(length >= 0);
	return text;
}

void mem_free(void *pointer_to_variable)
{
	void **variable = pointer_to_variable;
	free(*variable);
	*variable = NULL;
}

void mem_wipe(void *memory, size_t size)
{
	explicit_bzero(memory, size);
}

int mem_equal_secret(const void *a, const void *b, size_t size)
{
	const volatile unsigned char *left = a, *right = b;
	unsigned char difference = 0;
	for (size_t i = 0; i < size; i++)
		difference = (unsigned char)(difference | (left[i] ^ right[i]));
	return difference == 0;
}
