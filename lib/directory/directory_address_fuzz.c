/*
 * Any bytes as an address: what is taken is within its limits, and its comparing form, written
 * out, is an address with the same comparing form.
 */
#include "directory_address.h"

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct directory_address one;
	struct directory_address two;
	char text[DIRECTORY_ADDRESS_TEXT_MAX + 1];
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!directory_address_parse(str_from((const char *)data, size), &one, &fail)) {
		must(fail && fail->kind == FAIL_INVALID && text_is_utf8(str_of(fail->text)));
		return 0;
	}
	must(!fail && one.local[0] && text_is_utf8(str_of(one.local)) && text_is_ascii(str_of(one.domain)));
	must(strlen(one.local) <= LIMIT_LOCAL_PART_MAX && strlen(one.domain) <= LIMIT_DOMAIN_MAX);
	directory_address_write(str_of(one.local), str_of(one.domain), text);
	must(strlen(text) <= DIRECTORY_ADDRESS_TEXT_MAX);
	must(directory_address_parse(str_of(text), &two, NULL));
	must(strcmp(one.local, two.local) == 0 && strcmp(one.domain, two.domain) == 0);
	/* The written case leads to the same comparing form. */
	directory_address_write(str_of(one.shown), str_of(one.domain), text);
	must(directory_address_parse(str_of(text), &two, NULL));
	must(strcmp(one.local, two.local) == 0 && strcmp(one.domain, two.domain) == 0);
	return 0;
}
