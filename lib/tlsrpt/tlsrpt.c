#include "tlsrpt.h"

#include "dns_tagged.h"
#include "text.h"

#include <time.h>

/* ---- the record ---- */

static bool parse_record(struct str record, struct str *rua)
{
	struct str field;
	bool found = false;
	while (dns_tagged_next(&record, &field)) {
		size_t equals = str_find_char(field, '=');
		if (equals == 0 || equals == field.length || !str_is_printable(field))
			return false;
		if (!found && str_equal(str_first(field, equals), STR("rua"))) {
			*rua = str_from_index(field, equals + 1);
			found = true;
		}
	}
	return found && rua->length > 0;
}

bool tlsrpt_find_rua(const struct str *records, size_t count, struct str *rua)
{
	struct str record;
	return dns_tagged_find(records, count, STR("v=TLSRPTv1"), &record) && parse_record(record, rua);
}

/* RFC 6068 §2: what is behind a "?" is not for us. */
static bool decode_address(struct str text, struct buf *address)
{
	text = str_first(text, str_find_char(text, '?'));
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == '%') {
			unsigned char byte;
			if (!text_hex_decode(str_first(str_from_index(text, i + 1), 2), &byte, 1))
				return false;
			c = (char)byte;
			i += 2;
		}
		if (c <= 0x20 || c >= 0x7f || !buf_add_char(address, c))
			return false;
	}
	return address->length > 0;
}

bool tlsrpt_next_uri(struct str *rua, enum tlsrpt_scheme *scheme, struct buf *address)
{
	struct str uri, mailto = STR("mailto:"), https = STR("https://");
	while (str_take_until(rua, ',', &uri)) {
		uri = dns_tagged_trim(uri);
		buf_clear(address);
		if (str_starts_nocase(uri, mailto) && decode_address(str_from_index(uri, mailto.length), address)) {
			*scheme = TLSRPT_MAILTO;
			return true;
		}
		if (str_starts_nocase(uri, https) && str_is_printable(uri) && str_find_char(uri, ' ') == uri.length &&
		    buf_add_str(address, uri)) {
			*scheme = TLSRPT_HTTPS;
			return true;
		}
	}
	return false;
}

/* ---- what was applied ---- */

void tlsrpt_policy_begin(struct buf *policy, struct str rua)
{
	buf_clear(policy);
	buf_add_str(policy, rua);
	buf_add_char(policy, '\n');
}

void tlsrpt_policy_add(struct buf *policy, char kind, struct str text)
{
	buf_add_char(policy, kind);
	buf_add_str(policy, text);
	buf_add_char(policy, '\n');
}

struct str tlsrpt_policy_rua(struct str policy)
{
	return str_first(policy, str_find_char(policy, '\n'));
}

/* ---- JSON, RFC 8259 ---- */

static void add_string(struct buf *json, struct str text)
{
	uint32_t code;
	buf_add_char(json, '"');
	while (text.length) {
		size_t length = text_utf8_next(text, &code);
		if (length == 0)
			buf_add_str(json, STR("\\ufffd"));
		else if (code < 0x20 || code == 0x7f)
			buf_printf(json, "\\u%04x", code);
		else {
			if (code == '"' || code == '\\')
				buf_add_char(json, '\\');
			buf_add_str(json, str_first(text, length));
		}
		text = str_from_index(text, length ? length : 1);
	}
	buf_add_char(json, '"');
}

static void add_field(struct buf *json, const char *name, struct str value)
{
	buf_printf(json, "\"%s\":", name);
	add_string(json, value);
}

static void add_time(struct buf *json, const char *name, int64_t seconds)
{
	time_t time = (time_t)seconds;
	struct tm tm = {};
	must(gmtime_r(&time, &tm) != NULL);
	buf_printf(json, "\"%s\":\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", name, tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
	           tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* The lines of one kind as an array; nothing when there is none. */
static void add_lines(struct buf *json, const char *name, struct str policy, char kind)
{
	struct str line, rest = str_from_index(policy, str_find_char(policy, '\n') + 1);
	bool first = true;
	while (str_take_until(&rest, '\n', &line)) {
		if (line.length == 0 || line.data[0] != kind)
			continue;
		if (first)
			buf_printf(json, ",\"%s\":[", name);
		else
			buf_add_char(json, ',');
		add_string(json, str_from_index(line, 1));
		first = false;
	}
	if (!first)
		buf_add_char(json, ']');
}

/* ---- the report ---- */

static bool is_same_policy(const struct tlsrpt_row *a, const struct tlsrpt_row *b)
{
	return a->type == b->type && str_equal(a->policy, b->policy);
}

static uint64_t sum(const struct tlsrpt_report *r, const struct tlsrpt_row *like, bool failures)
{
	uint64_t total = 0;
	for (size_t i = 0; i < r->row_count; i++)
		if (is_same_policy(&r->rows[i], like) && (r->rows[i].result != TLSRPT_SUCCESS) == failures)
			total += r->rows[i].count;
	return total;
}

static void add_failure(struct buf *json, const struct tlsrpt_row *row)
{
	static const char *const results[] = {
		[TLSRPT_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
		[TLSRPT_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
		[TLSRPT_CERTIFICATE_EXPIRED] = "certificate-expired",
		[TLSRPT_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
		[TLSRPT_VALIDATION_FAILURE] = "validation-failure", [TLSRPT_TLSA_INVALID] = "tlsa-invalid",
		[TLSRPT_DNSSEC_INVALID] = "dnssec-invalid", [TLSRPT_STS_FETCH_ERROR] = "sts-policy-fetch-error",
		[TLSRPT_STS_INVALID] = "sts-policy-invalid", [TLSRPT_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
	};
	const struct {
		const char *name;
		struct str value;
	} fields[] = { { "sending-mta-ip", row->local }, { "receiving-mx-hostname", row->mx },
	               { "receiving-ip", row->address },
		           { "failure-reason-code", row->reason } };
	buf_add_char(json, '{');
	add_field(json, "result-type", str_of(results[row->result]));
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (fields[i].value.length == 0)
			continue;
		buf_add_char(json, ',');
		add_field(json, fields[i].name, fields[i].value);
	}
	buf_printf(json, ",\"failed-session-count\":%llu}", (unsigned long long)row->count);
}

static void add_policy(struct buf *json, const struct tlsrpt_report *r, const struct tlsrpt_row *like)
{
	static const char *const types[] = { [TLSRPT_TLSA] = "tlsa", [TLSRPT_STS] = "sts",
	                                     [TLSRPT_NO_POLICY] = "no-policy-found" };
	bool first = true;
	buf_add_str(json, STR("{\"policy\":{"));
	add_field(json, "policy-type", str_of(types[like->type]));
	add_lines(json, "policy-string", like->policy, 's');
	buf_add_char(json, ',');
	add_field(json, "policy-domain", r->domain);
	add_lines(json, "mx-host", like->policy, 'm');
	buf_printf(json, "},\"summary\":{\"total-successful-session-count\":%llu,\"total-failure-session-count\":%llu}",
	           (unsigned long long)sum(r, like, false), (unsigned long long)sum(r, like, true));
	for (size_t i = 0; i < r->row_count; i++) {
		if (!is_same_policy(&r->rows[i], like) || r->rows[i].result == TLSRPT_SUCCESS)
			continue;
		buf_add_str(json, first ? STR(",\"failure-details\":[") : STR(","));
		add_failure(json, &r->rows[i]);
		first = false;
	}
	buf_add_str(json, first ? STR("}") : STR("]}"));
}

void tlsrpt_write(struct buf *json, const struct tlsrpt_report *r)
{
	bool first = true;
	buf_add_char(json, '{');
	add_field(json, "organization-name", r->organisation);
	buf_add_str(json, STR(",\"date-range\":{"));
	add_time(json, "start-datetime", r->begin);
	buf_add_char(json, ',');
	add_time(json, "end-datetime", r->end);
	buf_add_str(json, STR("},"));
	add_field(json, "contact-info", r->contact);
	buf_add_char(json, ',');
	add_field(json, "report-id", r->id);
	buf_add_str(json, STR(",\"policies\":["));
	for (size_t i = 0; i < r->row_count; i++) {
		size_t before = 0;
		while (before < i && !is_same_policy(&r->rows[before], &r->rows[i]))
			before++;
		if (before < i)
			continue;
		if (!first)
			buf_add_char(json, ',');
		add_policy(json, r, &r->rows[i]);
		first = false;
	}
	buf_add_str(json, STR("]}\n"));
}
