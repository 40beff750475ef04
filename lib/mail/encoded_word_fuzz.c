/* Decoding gives valid UTF-8 without controls that would break a line; what is encoded decodes to itself. */
#include "encoded_word.h"

#include "charset.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str text = str_from((const char *)data, size);
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(size * 12 + 100);
	CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(size * 80 + 1000);
	CLEANUP(buf_release) struct buf again = BUF_WITH_LIMIT(size * 12 + 100);
	encoded_word_decode(&decoded, text);
	must(!decoded.overflowed && text_is_utf8(buf_str(&decoded)));
	for (size_t i = 0; i < decoded.length; i++)
		must(decoded.data[i] != '\r' && decoded.data[i] != '\n' && decoded.data[i] != '\0');
	for (size_t i = 0; i < decoded.length; i++)
		if ((unsigned char)decoded.data[i] < 0x20)
			decoded.data[i] = ' ';
	encoded_word_encode(&encoded, buf_str(&decoded), size ? data[0] % 80 : 0);
	must(!encoded.overflowed && text_is_ascii(buf_str(&encoded)));
	encoded_word_decode(&again, str_trim(buf_str(&encoded)));
	must(str_equal(buf_str(&decoded), buf_str(&again)));
	return 0;
}
