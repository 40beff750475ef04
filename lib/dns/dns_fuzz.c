/* RDATA and packed answers from anywhere: what a reader accepts is a well-formed name, and what unpacks packs to the
 * same. */
#include "dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(struct str name)
{
	must(name.length == 0 || dns_name_is_valid(name));
}

static void read_record(struct arena *a, struct str record)
{
	struct dns_mx mx;
	struct dns_srv srv;
	struct dns_tlsa tlsa;
	struct str text;
	if (dns_read_mx(a, record, &mx))
		check_name(mx.host);
	if (dns_read_srv(a, record, &srv))
		check_name(srv.host);
	if (dns_read_name(a, record, &text))
		must(dns_name_is_valid(text));
	if (dns_read_txt(a, record, &text))
		must(text.length <= record.length);
	if (dns_read_tlsa(record, &tlsa))
		must(tlsa.data.length + 3 == record.length);
	if (dns_name_normalise(a, record, &text)) {
		struct str again;
		must(dns_name_normalise(a, text, &again) && str_equal(text, again));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP(arena_cleanup) struct arena *a = arena_new(64 << 20);
	CLEANUP(buf_release) struct buf packed = BUF_WITH_LIMIT(size + 100);
	struct str input = str_from((const char *)data, size);
	struct dns_answer answer;
	read_record(a, input);
	if (!dns_answer_unpack(a, input, &answer))
		return 0;
	for (size_t i = 0; i < answer.count; i++)
		read_record(a, answer.records[i]);
	dns_answer_pack(&answer, &packed);
	must(packed.length == size);
	return 0;
}
