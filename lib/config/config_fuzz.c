#include "config.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool set_line(struct config *config, struct str line)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_CONFIG_SIZE_MAX);
	buf_add_str(&text, line);
	return config_set(config, buf_text(&text), NULL);
}

/* What is taken prints to a text that reads back to the same; what is refused says where. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(config_release) struct config config = {}, again = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(buf_release) struct buf first = BUF_WITH_LIMIT(16 << 20), second = BUF_WITH_LIMIT(16 << 20);
	if (!config_parse((const char *)data, size, &config, &fail)) {
		must(fail && str_starts(str_of(fail->text), STR("posthorn.conf:")) && char_is_digit(fail->text[14]));
		config_init(&config);
		set_line(&config, str_from((const char *)data, size));
	}
	config_print(&config, &first);
	if (first.length <= LIMIT_CONFIG_SIZE_MAX) {
		must(config_parse(first.data, first.length, &again, NULL));
		config_print(&again, &second);
		must(str_equal(buf_str(&first), buf_str(&second)));
	}
	return 0;
}
