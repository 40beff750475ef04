/*
 * Prints what is made from config.def at build time: `config_docs conf` the commented default
 * file, `config_docs manual` the list of keys as mdoc(7).
 */
#include "config.h"

#include <stdio.h>

/* Each sentence on a line of its own, as mdoc(7) wants it. */
static void print_sentences(struct buf *out, const char *text)
{
	for (const char *c = text; *c; c++) {
		bool ends = c[0] == '.' && c[1] == ' ';
		buf_add_char(out, *c);
		if (ends)
			buf_add_char(out, '\n');
		c += ends;
	}
	buf_add_char(out, '\n');
}

static void print_key(struct buf *out, const struct config_key_info *info)
{
	buf_printf(out, ".It Ic %s\n", info->name);
	print_sentences(out, info->sentence);
	if (info->words)
		buf_printf(out, "One of: %s.\n", info->words);
	if (info->max)
		buf_printf(out, "From %ju to %ju.\n", (uintmax_t)info->min, (uintmax_t)info->max);
	if (info->unit)
		buf_printf(out, "Unit: %s.\n", info->unit);
	buf_printf(out, "Default: %s.\n", info->standard[0] ? info->standard : "empty");
}

/* mdoc(7) would take quotation marks as its own. */
static void print_heading(struct buf *out, const char *heading)
{
	buf_add_str(out, STR(".Ss "));
	for (const char *c = heading; *c; c++)
		*c == '"' ? buf_add_str(out, STR("\\(dq")) : buf_add_char(out, *c);
	buf_add_str(out, STR("\n.Bl -tag -width Ds\n"));
}

static void print_manual(struct buf *out)
{
	struct config_key_info info;
	const char *heading = NULL;
	for (size_t i = 0; config_key_info(i, &info); i++) {
		if (info.heading != heading && heading)
			buf_add_str(out, STR(".El\n"));
		if (info.heading != heading)
			print_heading(out, info.heading);
		heading = info.heading;
		print_key(out, &info);
	}
	buf_add_str(out, STR(".El\n"));
}

int main(int argc, char **argv)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(LIMIT_CONFIG_SIZE_MAX);
	struct str what = argc == 2 ? str_of(argv[1]) : STR("");
	if (str_equal(what, STR("conf"))) {
		config_print_default(&out);
	} else if (str_equal(what, STR("manual"))) {
		print_manual(&out);
	} else {
		fputs("usage: config_docs conf | manual\n", stderr);
		return 2;
	}
	must(!out.overflowed);
	return fwrite(out.data, 1, out.length, stdout) == out.length && fflush(stdout) == 0 ? 0 : 1;
}
