/* A line of the log holds what strangers wrote: views stay inside it, and every field has a key. */
#include "ctl_log_line.h"

#include "mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(mem_free) char *copy = mem_copy_text((const char *)data, size);
	CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(size + 1);
	struct ctl_log_line line;
	struct str key;
	size_t total = 0;
	int64_t seconds;
	ctl_log_since_parse(copy, 1000, &seconds);
	if (!ctl_log_line_parse(str_from(copy, size), &line))
		return 0;
	must(line.event.data >= copy && line.event.data + line.event.length <= copy + size);
	must(ctl_log_line_has(&line, STR("event"), line.event));
	must(ctl_log_line_has(&line, STR("session"), line.session));
	for (struct str rest = line.fields; ctl_log_field_next(&rest, &key, &value);) {
		must(key.length > 0 && !value.overflowed);
		total += key.length + value.length;
	}
	must(total <= line.fields.length);
	return 0;
}
