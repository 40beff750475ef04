/* Decoding in pieces gives what decoding at once gives; what is encoded decodes to itself. */
#include "transfer.h"

#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_in_pieces(enum transfer_encoding encoding, struct str text, size_t step)
{
	CLEANUP(buf_release) struct buf whole = BUF_WITH_LIMIT(text.length * 2 + 100);
	CLEANUP(buf_release) struct buf pieces = BUF_WITH_LIMIT(text.length * 2 + 100);
	struct transfer_decoder d;
	transfer_decode_all(encoding, text, &whole);
	transfer_decode_begin(&d, encoding);
	for (size_t i = 0; i < text.length; i += step)
		transfer_decode(&d, str_first(str_from_index(text, i), step), &pieces);
	transfer_decode_finish(&d, &pieces);
	must(whole.length <= text.length && str_equal(buf_str(&whole), buf_str(&pieces)));
}

static void encode_and_back(enum transfer_encoding encoding, struct str content, size_t step)
{
	CLEANUP(buf_release) struct buf encoded = BUF_WITH_LIMIT(content.length * 4 + 100);
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(content.length * 4 + 100);
	struct transfer_encoder e;
	struct str line;
	transfer_encode_begin(&e, encoding, false);
	for (size_t i = 0; i < content.length; i += step)
		transfer_encode(&e, str_first(str_from_index(content, i), step), &encoded);
	transfer_encode_finish(&e, &encoded);
	transfer_decode_all(encoding, buf_str(&encoded), &decoded);
	must(str_equal(buf_str(&decoded), content));
	for (struct str rest = buf_str(&encoded); str_take_until(&rest, '\n', &line);)
		must(line.length <= 77 && text_is_ascii(line));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	struct str text = str_from((const char *)data + 2, size - 2);
	size_t step = (size_t)data[1] + 1;
	decode_in_pieces((enum transfer_encoding)(data[0] % TRANSFER_ENCODING_COUNT), text, step);
	encode_and_back(data[0] & 1 ? TRANSFER_BASE64 : TRANSFER_QUOTED_PRINTABLE, text, step);
	return 0;
}
