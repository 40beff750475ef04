#include "imap_compress.h"

/* The octets that stream_write was given before a transport is another's business. */
static uint64_t position(const struct imap_session *s)
{
	return stream_bytes_given(s->stream) - s->plain_octets + s->out.length;
}

void imap_compress_boundary(struct imap_session *s)
{
	if (s->deflate)
		imap_deflate_boundary(s->deflate, position(s));
}

/* RFC 4978 §3: from the first octet behind the OK. */
static void begin(struct imap_session *s)
{
	if (!stream_flush(s->stream))
		return;
	s->plain_octets = stream_bytes_given(s->stream);
	s->deflate = imap_deflate_new();
	struct stream_transport transport = imap_deflate_transport(s->deflate);
	must(stream_set_transport(s->stream, &transport)); /* nothing was read since the handler looked */
	s->kept.compressed = true;
}

void imap_compress(struct imap_session *s)
{
	imap_parse_space(&s->parser);
	struct str mechanism = imap_parse_atom(&s->parser);
	if (!imap_arguments_end(s))
		return;
	if (!str_equal_nocase(mechanism, STR("DEFLATE"))) {
		imap_no(s, "", IMAP_SAY_INVALID, NULL);
	} else if (s->deflate) {
		imap_no(s, "COMPRESSIONACTIVE", IMAP_SAY_COMPRESSED_ALREADY, NULL); /* RFC 4978 §3 */
	} else if (stream_buffered(s->stream).length) {
		/* whoever put it there need not be the client; it is no compressed data in any case */
		imap_bad(s, "", IMAP_SAY_PIPELINED_COMPRESS, NULL);
	} else {
		s->after_answer = begin;
		imap_ok(s, "", IMAP_SAY_COMPRESSED, NULL);
	}
}
