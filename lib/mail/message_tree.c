/* For message_compare.py: prints the types of all parts of each file named on the command line, a file a line. */
#include "mail_check.h"

#include <stdio.h>

static void print_types(struct str text)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	for (const struct mime_part *part = mime_parse(a, text, NULL); part; part = mime_next(part))
		printf("%.*s/%.*s ", STR_ARG(part->type), STR_ARG(part->subtype));
	printf("\n");
}

int main(int count, char **paths)
{
	enum { SIZE_LIMIT = 64 << 20 };
	for (int i = 1; i < count; i++) {
		CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(SIZE_LIMIT);
		FILE *file = fopen(paths[i], "rb");
		if (!file)
			return 1;
		char *room;
		size_t got;
		while ((room = buf_reserve(&text, 65536)) && (got = fread(room, 1, 65536, file)) > 0)
			buf_claim(&text, got);
		fclose(file);
		print_types(buf_str(&text));
	}
	return 0;
}
