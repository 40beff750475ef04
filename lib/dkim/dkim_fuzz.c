/* Any mail and any key records: verifying ends, says why when it does not pass, and signing what was read passes.
 * Input: zone, an empty line, mail. */
#include "dkim.h"

#include "dkim_key.h"
#include "dns_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void verify(struct arena *a, struct str header, struct str body, const struct dns_source *dns,
                   struct dkim_outcomes *outcomes)
{
	struct arc_outcome arc;
	CLEANUP(dkim_verifier_cleanup) struct dkim_verifier *v = dkim_verifier_new(a, header);
	dkim_verifier_body(v, str_first(body, body.length / 2));
	dkim_verifier_body(v, str_from_index(body, body.length / 2));
	dkim_verifier_finish(v, dns, 1700000000, outcomes);
	dkim_verifier_arc(v, dns, 1700000000, &arc);
	for (size_t i = 0; i < outcomes->count; i++)
		must((outcomes->list[i].result == DKIM_PASS) == (outcomes->list[i].why == NULL));
	must(arc.result == DKIM_NONE || arc.result == DKIM_PASS || arc.why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static EVP_PKEY *key;
	CLEANUP(arena_cleanup) struct arena *a = arena_new(256 << 20);
	CLEANUP(buf_release) struct buf pem = BUF_WITH_LIMIT(10000);
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(size * 2 + 100000);
	struct str input = str_from((const char *)data, size);
	size_t split = str_find(input, STR("\n\n"));
	struct dkim_outcomes outcomes;
	struct dns_zone *zone = dns_zone_parse(str_first(input, split), NULL);
	if (!zone)
		return 0;
	struct dns_source source = dns_zone_source(zone);
	struct str mail = str_from_index(input, split + 2);
	size_t end = str_find(mail, STR("\r\n\r\n"));
	struct str header = str_first(mail, end + 2);
	struct str body = str_from_index(mail, end + 4);
	verify(a, header, body, &source, &outcomes);
	/* what stands before these makes something else of them; so it does of lines that only CR ends, where there is no
	 * LF */
	bool is_own_field = str_ends_nocase(header, STR("\r\n")) && !str_starts(header, STR("From ")) &&
	                    !str_starts(header, STR(">From ")) && !strchr(" \t", header.length ? header.data[0] : 'x');
	if (!is_own_field) {
		dns_zone_free(zone);
		return 0;
	}
	if (!key)
		must(dkim_key_generate(0, &pem, NULL) && (key = dkim_key_from_pem(buf_str(&pem), NULL)));
	CLEANUP(dkim_signer_cleanup) struct dkim_signer *signer = dkim_signer_new(a, header, 1700000000);
	const struct dkim_signing_key signing = { STR("f.test"), STR("s"), key };
	dkim_signer_body(signer, body);
	if (dkim_signer_finish(signer, &signing, 1, &out, NULL)) {
		CLEANUP(buf_release) struct buf record = BUF_WITH_LIMIT(1000);
		buf_add_str(&record, STR("s._domainkey.f.test TXT \""));
		dkim_key_record(&record, key);
		buf_add_str(&record, STR("\"\n"));
		struct dns_zone *ours = dns_zone_parse(buf_str(&record), NULL);
		struct dns_source keys = dns_zone_source(ours);
		buf_add_str(&out, header);
		verify(a, buf_str(&out), body, &keys, &outcomes);
		must(outcomes.count > 0 && outcomes.list[0].result == DKIM_PASS);
		dns_zone_free(ours);
	}
	dns_zone_free(zone);
	return 0;
}
