/* Any text as SEARCH, SORT and THREAD: trees are sound (each node has one parent, none is its own ancestor) and
 * bounded. */
#include "imap_search_key.h"

#include "limits.h"
#include "mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Filters have the text itself, so that they nest. */
static bool find_filter(void *context, struct str name, struct str *criteria)
{
	const struct str *text = context;
	*criteria = name.length % 2 ? *text : STR("OR SEEN FILTER x1");
	return name.length < 4;
}

static void check_tree(const struct imap_search_program *program)
{
	size_t children = 0;
	must(program->count >= 1 && program->count <= LIMIT_IMAP_SEARCH_KEYS_MAX && program->nodes[0].op == IMAP_KEY_AND);
	for (uint32_t i = 0; i < program->count; i++) {
		const struct imap_search_node *node = &program->nodes[i];
		bool group = node->op == IMAP_KEY_AND || node->op == IMAP_KEY_OR;
		must(group || !node->first);
		must(!node->next || node->next > i);
		must(!node->first || node->first > i);
		for (uint32_t child = node->first; child; child = program->nodes[child].next)
			children++;
		must(node->op != IMAP_KEY_OR || node->first);
	}
	must(children == program->count - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);
	const struct imap_search_filters filters = { find_filter, &text };
	struct arena *arena = arena_new((size_t)64 << 20);
	struct imap_parser p;
	struct imap_search_program program;
	struct imap_search_return options;
	struct imap_sort_criteria criteria;
	enum imap_thread_algorithm algorithm;
	imap_parser_init(&p, arena, text, size % 2);
	imap_parse_search_return(&p, &options);
	imap_parse_search(&p, &filters, &program);
	if (imap_parse_end(&p))
		check_tree(&program);
	imap_parser_init(&p, arena, text, false);
	imap_parse_search_return(&p, &options);
	imap_parse_sort_criteria(&p, &criteria);
	must(criteria.count <= IMAP_SORT_KEYS);
	imap_parse_space(&p);
	imap_parse_sort_search(&p, &filters, &program);
	if (imap_parse_end(&p))
		check_tree(&program);
	imap_parser_init(&p, arena, text, false);
	imap_parse_thread_algorithm(&p, &algorithm);
	imap_parse_space(&p);
	imap_parse_sort_search(&p, NULL, &program);
	arena_free(arena);
	return 0;
}
