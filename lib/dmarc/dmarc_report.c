#include "dmarc_report.h"

#include "text.h"

#include <inttypes.h>

enum { TEXT_MAX = 255, RUA_MAX = 1000 };

static const char *const disposition_names[DMARC_DISPOSITION_COUNT] = {
	[DMARC_DISPOSITION_NONE] = "none", [DMARC_DISPOSITION_PASS] = "pass",
	[DMARC_DISPOSITION_QUARANTINE] = "quarantine", [DMARC_DISPOSITION_REJECT] = "reject",
};

static const char *disposition_name(enum dmarc_disposition disposition)
{
	must((unsigned)disposition < DMARC_DISPOSITION_COUNT);
	return disposition_names[disposition];
}

/* ---- packing: numbers in an octet, texts behind their length in two ---- */

/* Printable, so that XML can hold it. */
static void put_text(struct buf *out, struct str text, size_t max)
{
	text = str_first(text, max);
	buf_add_char(out, (char)(text.length & 0xff));
	buf_add_char(out, (char)(text.length >> 8));
	for (size_t i = 0; i < text.length; i++)
		buf_add_char(out, text.data[i] >= ' ' && text.data[i] <= '~' ? text.data[i] : '?');
}

static void put_number(struct buf *out, unsigned number)
{
	buf_add_char(out, (char)number);
}

static void put_policy(struct buf *out, const struct dmarc_row_policy *p)
{
	put_text(out, p->domain, TEXT_MAX);
	put_text(out, p->rua, RUA_MAX);
	put_number(out, p->policy);
	put_number(out, p->subdomain_policy);
	put_number(out, p->nonexistent_policy);
	put_number(out, (unsigned)(p->dkim_strict | p->spf_strict << 1 | p->testing << 2));
	put_number(out, p->failure);
}

static void put_row(struct buf *out, const struct dmarc_row *row)
{
	put_text(out, row->source, TEXT_MAX);
	put_text(out, row->author, TEXT_MAX);
	put_text(out, row->sender, TEXT_MAX);
	put_number(out, row->disposition);
	put_number(out, row->override);
	put_number(out, (unsigned)(row->dkim_aligned | row->spf_aligned << 1));
	put_text(out, row->spf_domain, TEXT_MAX);
	put_text(out, row->spf_result, TEXT_MAX);
	for (size_t i = 0; i < row->signature_count; i++) {
		put_text(out, row->signatures[i].domain, TEXT_MAX);
		put_text(out, row->signatures[i].selector, TEXT_MAX);
		put_text(out, row->signatures[i].result, TEXT_MAX);
	}
}

bool dmarc_row_pack(struct buf *out, const struct dmarc_row_policy *policy, const struct dmarc_row *row)
{
	CLEANUP(buf_release) struct buf all = BUF_WITH_LIMIT(DMARC_ROW_MAX);
	CLEANUP(buf_release) struct buf first = BUF_WITH_LIMIT(DMARC_ROW_MAX), second = BUF_WITH_LIMIT(DMARC_ROW_PART_MAX);
	must(row->signature_count <= DMARC_ROW_SIGNATURES_MAX);
	put_policy(&first, policy);
	put_number(&all, first.length & 0xff);
	put_number(&all, (unsigned)(first.length >> 8));
	buf_add_str(&all, buf_str(&first));
	put_row(&second, row);
	buf_add_str(&all, buf_str(&second));
	return !first.overflowed && !second.overflowed && !all.overflowed && buf_add_str(out, buf_str(&all));
}

static bool take_text(struct str *rest, size_t max, struct str *text)
{
	if (rest->length < 2)
		return false;
	size_t length = (unsigned char)rest->data[0] | (size_t)(unsigned char)rest->data[1] << 8;
	*rest = str_from_index(*rest, 2);
	*text = str_first(*rest, length);
	*rest = str_from_index(*rest, length);
	return text->length == length && length <= max && str_is_printable(*text);
}

static bool take_number(struct str *rest, unsigned max, unsigned *number)
{
	if (rest->length == 0)
		return false;
	*number = (unsigned char)rest->data[0];
	*rest = str_from_index(*rest, 1);
	return *number <= max;
}

bool dmarc_row_split(struct str packed, struct str *policy, struct str *row)
{
	if (packed.length < 2 || packed.length > DMARC_ROW_MAX)
		return false;
	size_t length = (unsigned char)packed.data[0] | (size_t)(unsigned char)packed.data[1] << 8;
	packed = str_from_index(packed, 2);
	*policy = str_first(packed, length);
	*row = str_from_index(packed, length);
	return policy->length == length;
}

bool dmarc_row_policy_read(struct str part, struct dmarc_row_policy *p)
{
	unsigned number[5];
	*p = (struct dmarc_row_policy){};
	if (!take_text(&part, TEXT_MAX, &p->domain) || !take_text(&part, RUA_MAX, &p->rua) || !dns_name_is_valid(p->domain))
		return false;
	for (size_t i = 0; i < 3; i++)
		if (!take_number(&part, DMARC_POLICY_COUNT - 1, &number[i]))
			return false;
	if (!take_number(&part, 7, &number[3]) || !take_number(&part, 15, &number[4]) || part.length)
		return false;
	p->policy = (enum dmarc_policy)number[0];
	p->subdomain_policy = (enum dmarc_policy)number[1];
	p->nonexistent_policy = (enum dmarc_policy)number[2];
	p->dkim_strict = number[3] & 1;
	p->spf_strict = number[3] & 2;
	p->testing = number[3] & 4;
	p->failure = number[4];
	return true;
}

static bool read_signatures(struct str part, struct dmarc_row *row)
{
	while (part.length) {
		if (row->signature_count == DMARC_ROW_SIGNATURES_MAX)
			return false;
		struct dmarc_row_signature *one = &row->signatures[row->signature_count++];
		if (!take_text(&part, TEXT_MAX, &one->domain) || !take_text(&part, TEXT_MAX, &one->selector) ||
		    !take_text(&part, TEXT_MAX, &one->result))
			return false;
	}
	return true;
}

bool dmarc_row_read(struct str part, struct dmarc_row *row)
{
	struct endpoint address;
	unsigned disposition, override, aligned;
	*row = (struct dmarc_row){};
	if (!take_text(&part, TEXT_MAX, &row->source) || !take_text(&part, TEXT_MAX, &row->author) ||
	    !take_text(&part, TEXT_MAX, &row->sender) || !endpoint_parse_ip(row->source, 0, &address, NULL))
		return false;
	if (!take_number(&part, DMARC_DISPOSITION_COUNT - 1, &disposition) ||
	    !take_number(&part, DMARC_OVERRIDE_COUNT - 1, &override) || !take_number(&part, 3, &aligned))
		return false;
	row->disposition = (enum dmarc_disposition)disposition;
	row->override = (enum dmarc_override)override;
	row->dkim_aligned = aligned & 1;
	row->spf_aligned = aligned & 2;
	return take_text(&part, TEXT_MAX, &row->spf_domain) && take_text(&part, TEXT_MAX, &row->spf_result) &&
	       read_signatures(part, row);
}

/* ---- XML ---- */

static void add_escaped(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.length; i++) {
		char c = text.data[i];
		if (c == '<')
			buf_add_str(out, STR("&lt;"));
		else if (c == '>')
			buf_add_str(out, STR("&gt;"));
		else if (c == '&')
			buf_add_str(out, STR("&amp;"));
		else
			buf_add_char(out, c >= ' ' && c <= '~' ? c : '?');
	}
}

static void add_element(struct buf *out, unsigned depth, const char *name, struct str text)
{
	buf_printf(out, "%*s<%s>", (int)depth * 2, "", name);
	add_escaped(out, text);
	buf_printf(out, "</%s>\n", name);
}

static void add_policy(struct buf *out, const char *name, enum dmarc_policy policy)
{
	if (policy != DMARC_POLICY_ABSENT)
		add_element(out, 2, name, str_of(dmarc_policy_name(policy)));
}

static void add_failure(struct buf *out, unsigned failure)
{
	static const char letters[] = { '0', '1', 'd', 's' };
	struct buf text = BUF_WITH_LIMIT(16);
	for (size_t i = 0; i < sizeof letters; i++)
		if (failure >> i & 1)
			buf_printf(&text, "%s%c", text.length ? ":" : "", letters[i]);
	add_element(out, 2, "fo", buf_str(&text));
	buf_release(&text);
}

static void add_published(struct buf *out, const struct dmarc_row_policy *p)
{
	buf_add_str(out, STR("  <policy_published>\n"));
	add_element(out, 2, "domain", p->domain);
	add_policy(out, "p", p->policy == DMARC_POLICY_ABSENT ? DMARC_POLICY_NONE : p->policy);
	add_policy(out, "sp", p->subdomain_policy);
	add_policy(out, "np", p->nonexistent_policy);
	add_element(out, 2, "adkim", p->dkim_strict ? STR("s") : STR("r"));
	add_element(out, 2, "aspf", p->spf_strict ? STR("s") : STR("r"));
	add_element(out, 2, "discovery_method", STR("treewalk"));
	add_failure(out, p->failure);
	add_element(out, 2, "testing", p->testing ? STR("y") : STR("n"));
	buf_add_str(out, STR("  </policy_published>\n"));
}

void dmarc_report_begin(struct buf *out, const struct dmarc_report *r)
{
	buf_add_str(out,
		STR("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<feedback xmlns=\"urn:ietf:params:xml:ns:dmarc-2.0\">\n"
	                     "  <version>1.0</version>\n  <report_metadata>\n"));
	add_element(out, 2, "org_name", r->organisation);
	add_element(out, 2, "email", r->contact);
	add_element(out, 2, "report_id", r->id);
	buf_printf(out,
	           "    <date_range>\n      <begin>%" PRId64 "</begin>\n      <end>%" PRId64 "</end>\n    </date_range>\n",
	           r->begin, r->end);
	if (r->error.length)
		add_element(out, 2, "error", r->error);
	add_element(out, 2, "generator", r->generator);
	buf_add_str(out, STR("  </report_metadata>\n"));
	add_published(out, &r->policy);
}

static void add_evaluated(struct buf *out, const struct dmarc_row *row)
{
	static const char *const reasons[] = { [DMARC_OVERRIDE_LOCAL_POLICY] = "local_policy",
		[DMARC_OVERRIDE_TEST_MODE] = "policy_test_mode" };
	buf_add_str(out, STR("      <policy_evaluated>\n"));
	add_element(out, 4, "disposition", str_of(disposition_name(row->disposition)));
	add_element(out, 4, "dkim", row->dkim_aligned ? STR("pass") : STR("fail"));
	add_element(out, 4, "spf", row->spf_aligned ? STR("pass") : STR("fail"));
	if (row->override != DMARC_OVERRIDE_NONE)
		buf_printf(out, "        <reason>\n          <type>%s</type>\n        </reason>\n", reasons[row->override]);
	buf_add_str(out, STR("      </policy_evaluated>\n"));
}

static void add_results(struct buf *out, const struct dmarc_row *row)
{
	buf_add_str(out, STR("    <auth_results>\n"));
	for (size_t i = 0; i < row->signature_count; i++) {
		const struct dmarc_row_signature *one = &row->signatures[i];
		buf_add_str(out, STR("      <dkim>\n"));
		add_element(out, 4, "domain", one->domain);
		add_element(out, 4, "selector", one->selector);
		add_element(out, 4, "result", one->result);
		buf_add_str(out, STR("      </dkim>\n"));
	}
	if (row->spf_result.length) {
		buf_add_str(out, STR("      <spf>\n"));
		add_element(out, 4, "domain", row->spf_domain);
		add_element(out, 4, "scope", STR("mfrom"));
		add_element(out, 4, "result", row->spf_result);
		buf_add_str(out, STR("      </spf>\n"));
	}
	buf_add_str(out, STR("    </auth_results>\n"));
}

void dmarc_report_row(struct buf *out, const struct dmarc_row *row, uint64_t count)
{
	buf_add_str(out, STR("  <record>\n    <row>\n"));
	add_element(out, 3, "source_ip", row->source);
	buf_printf(out, "      <count>%" PRIu64 "</count>\n", count);
	add_evaluated(out, row);
	buf_add_str(out, STR("    </row>\n    <identifiers>\n"));
	add_element(out, 3, "header_from", row->author);
	add_element(out, 3, "envelope_from", row->sender);
	buf_add_str(out, STR("    </identifiers>\n"));
	add_results(out, row);
	buf_add_str(out, STR("  </record>\n"));
}

void dmarc_report_end(struct buf *out)
{
	buf_add_str(out, STR("</feedback>\n"));
}

void dmarc_report_name(struct buf *out, const struct dmarc_report *r)
{
	buf_printf(out, "%.*s!%.*s!%" PRId64 "!%" PRId64 ".xml.gz", STR_ARG(r->organisation), STR_ARG(r->policy.domain),
	           r->begin, r->end);
}
