#include "dmarc_feedback.h"

#include "charset.h"
#include "text.h"

#include <expat.h>
#include <stddef.h>

enum { OCTETS = 256, DEPTH_MAX = 20, PATH_MAX_OCTETS = 300, RESULTS_MAX = 2000, PIECE = 1 << 20 };

struct reading {
	struct arena *arena;
	struct dmarc_feedback *feedback;
	XML_Parser parser;
	struct buf path;    /* "/feedback/record/row" */
	struct buf text;    /* of the element at hand */
	unsigned depth;
	struct dmarc_feedback_row row;
	struct buf results; /* of the row */
	struct str domain, selector, result;
	const char *why;    /* stopped for this */
	enum fail_kind kind;
};

static const struct {
	const char *path;
	size_t offset;
} of_report[] = {
	{ "/feedback/report_metadata/org_name", offsetof(struct dmarc_feedback, organisation) },
	{ "/feedback/report_metadata/email", offsetof(struct dmarc_feedback, contact) },
	{ "/feedback/report_metadata/report_id", offsetof(struct dmarc_feedback, id) },
	{ "/feedback/report_metadata/date_range/begin", offsetof(struct dmarc_feedback, begin) },
	{ "/feedback/report_metadata/date_range/end", offsetof(struct dmarc_feedback, end) },
	{ "/feedback/report_metadata/error", offsetof(struct dmarc_feedback, error) },
	{ "/feedback/report_metadata/generator", offsetof(struct dmarc_feedback, generator) },
	{ "/feedback/policy_published/domain", offsetof(struct dmarc_feedback, domain) },
	{ "/feedback/policy_published/p", offsetof(struct dmarc_feedback, policy) },
	{ "/feedback/policy_published/sp", offsetof(struct dmarc_feedback, subdomain_policy) },
	{ "/feedback/policy_published/np", offsetof(struct dmarc_feedback, nonexistent_policy) },
	{ "/feedback/policy_published/testing", offsetof(struct dmarc_feedback, testing) },
};

static const struct {
	const char *path;
	size_t offset;
} of_row[] = {
	{ "/feedback/record/row/source_ip", offsetof(struct dmarc_feedback_row, source) },
	{ "/feedback/record/row/count", offsetof(struct dmarc_feedback_row, count) },
	{ "/feedback/record/row/policy_evaluated/disposition", offsetof(struct dmarc_feedback_row, disposition) },
	{ "/feedback/record/row/policy_evaluated/dkim", offsetof(struct dmarc_feedback_row, dkim) },
	{ "/feedback/record/row/policy_evaluated/spf", offsetof(struct dmarc_feedback_row, spf) },
	{ "/feedback/record/row/policy_evaluated/reason/type", offsetof(struct dmarc_feedback_row, reason) },
	{ "/feedback/record/row/policy_evaluated/reason/comment", offsetof(struct dmarc_feedback_row, comment) },
	{ "/feedback/record/identifiers/header_from", offsetof(struct dmarc_feedback_row, header_from) },
	{ "/feedback/record/identifiers/envelope_from", offsetof(struct dmarc_feedback_row, envelope_from) },
	{ "/feedback/record/identifiers/envelope_to", offsetof(struct dmarc_feedback_row, envelope_to) },
};

static void stop(struct reading *r, enum fail_kind kind, const char *why)
{
	r->why = why;
	r->kind = kind;
	XML_StopParser(r->parser, XML_FALSE);
}

static bool is_at(const struct reading *r, const char *path)
{
	return str_equal(buf_str(&r->path), str_of(path));
}

/* With or without the namespace: only the local name counts. */
static struct str local_name(const XML_Char *name)
{
	struct str whole = str_of(name);
	size_t separator = str_find_last_char(whole, '|');
	return separator < whole.length ? str_from_index(whole, separator + 1) : whole;
}

static void element_begins(void *owner, const XML_Char *name, const XML_Char **attributes)
{
	struct reading *r = owner;
	(void)attributes;
	if (++r->depth > DEPTH_MAX) {
		stop(r, FAIL_INVALID, "its elements are nested too deeply");
		return;
	}
	buf_add_char(&r->path, '/');
	buf_add_str(&r->path, local_name(name));
	buf_clear(&r->text);
	if (r->path.overflowed)
		stop(r, FAIL_INVALID, "it has an element with a long name");
	else if (r->depth == 1 && !is_at(r, "/feedback"))
		stop(r, FAIL_INVALID, "it is no DMARC report");
	else if (is_at(r, "/feedback/record")) {
		r->row = (struct dmarc_feedback_row){};
		buf_clear(&r->results);
	}
}

/* What comes again counts no more, so that memory is bounded by what is kept. */
static void keep(struct reading *r, struct str *where, struct str text)
{
	if (!where->data)
		*where = arena_copy(r->arena, text);
}

static void keep_text(struct reading *r, struct str text)
{
	for (size_t i = 0; i < COUNT_OF(of_report); i++)
		if (is_at(r, of_report[i].path))
			keep(r, (struct str *)((char *)r->feedback + of_report[i].offset), text);
	for (size_t i = 0; i < COUNT_OF(of_row); i++)
		if (is_at(r, of_row[i].path))
			keep(r, (struct str *)((char *)&r->row + of_row[i].offset), text);
}

static void keep_result(struct reading *r, struct str element, struct str text)
{
	struct str last = str_from_index(buf_str(&r->path), element.length + 1);
	struct str *where = str_equal(last, STR("domain")) ? &r->domain : str_equal(last, STR("selector")) ? &r->selector :
	                    str_equal(last, STR("result")) ? &r->result : NULL;
	if (where)
		keep(r, where, text);
}

static void add_result(struct reading *r, const char *method)
{
	struct buf one = BUF_WITH_LIMIT(RESULTS_MAX);
	buf_printf(&one, "%s%s=%.*s (%.*s%s%.*s)", r->results.length ? " " : "", method, STR_ARG(r->result),
	           STR_ARG(r->domain), r->selector.length ? ", " : "", STR_ARG(r->selector));
	if (r->results.length + one.length <= RESULTS_MAX)
		buf_add_str(&r->results, buf_str(&one));
	buf_release(&one);
	r->domain = r->selector = r->result = (struct str){};
}

static void end_record(struct reading *r)
{
	if (r->feedback->rows.count == DMARC_FEEDBACK_ROWS_MAX) {
		stop(r, FAIL_TOO_BIG, "it has too many rows");
		return;
	}
	r->row.results = arena_copy(r->arena, buf_str(&r->results));
	*array_add(&r->feedback->rows) = r->row;
}

static void element_ends(void *owner, const XML_Char *name)
{
	const struct str dkim = STR("/feedback/record/auth_results/dkim"), spf = STR("/feedback/record/auth_results/spf");
	struct reading *r = owner;
	if (r->why) /* expat still tells the end of an empty element that it was stopped at */
		return;
	struct str text = str_trim(buf_str(&r->text));
	struct str path = buf_str(&r->path);
	if (is_at(r, "/feedback/record"))
		end_record(r);
	else if (str_equal(path, dkim))
		add_result(r, "dkim");
	else if (str_equal(path, spf))
		add_result(r, "spf");
	else if (str_starts(path, dkim))
		keep_result(r, dkim, text);
	else if (str_starts(path, spf))
		keep_result(r, spf, text);
	else
		keep_text(r, text);
	buf_clear(&r->text);
	buf_truncate(&r->path, r->path.length - local_name(name).length - 1);
	r->depth--;
}

static void characters(void *owner, const XML_Char *text, int length)
{
	struct reading *r = owner;
	size_t room = r->text.limit - r->text.length;
	buf_append(&r->text, text, (size_t)length < room ? (size_t)length : room);
}

static void document_type(void *owner, const XML_Char *name, const XML_Char *system, const XML_Char *public,
                          int has_internal)
{
	(void)name;
	(void)system;
	(void)public;
	(void)has_internal;
	stop(owner, FAIL_INVALID, "it declares a document type, which no report does");
}

/* expat knows UTF-8, UTF-16 and ISO 8859-1 by itself; of the others those are read that have one octet for each
 * character. */
static int other_charset(void *owner, const XML_Char *name, XML_Encoding *encoding)
{
	struct str charset = str_of(name);
	(void)owner;
	encoding->data = NULL;
	encoding->convert = NULL;
	encoding->release = NULL;
	for (int i = 0; i < OCTETS; i++) {
		CLEANUP(buf_release) struct buf utf8 = BUF_WITH_LIMIT(64);
		const char octet = (char)i;
		uint32_t code;
		if (!charset_to_utf8(&utf8, charset, str_from(&octet, 1)))
			return XML_STATUS_ERROR;
		bool single = utf8.length && text_utf8_next(buf_str(&utf8), &code) == utf8.length;
		encoding->map[i] = single && code < 0xfffd ? (int)code : -1;
	}
	return XML_STATUS_OK;
}

static bool parse(struct reading *r, struct str xml, struct fail **fail)
{
	while (xml.length && strchr(" \t\r\n", xml.data[0]) && xml.data[0]) /* some senders put a line before the declaration */
		xml = str_from_index(xml, 1);
	do {
		struct str piece = str_first(xml, PIECE);
		xml = str_from_index(xml, piece.length);
		if (XML_Parse(r->parser, piece.data, (int)piece.length, xml.length == 0) != XML_STATUS_OK) {
			enum XML_Error error = XML_GetErrorCode(r->parser);
			return fail_set(fail, r->why ? r->kind : FAIL_INVALID, "line %lu: %s",
			                (unsigned long)XML_GetCurrentLineNumber(r->parser),
			                r->why ? r->why : XML_ErrorString(error));
		}
	} while (xml.length);
	return true;
}

bool dmarc_feedback_read(struct arena *a, struct str xml, struct dmarc_feedback *feedback, struct fail **fail)
{
	struct reading r = { .arena = a, .feedback = feedback, .parser = XML_ParserCreateNS(NULL, '|') };
	*feedback = (struct dmarc_feedback){};
	must(r.parser);
	buf_init(&r.path, PATH_MAX_OCTETS);
	buf_init(&r.text, DMARC_FEEDBACK_TEXT_MAX);
	buf_init(&r.results, RESULTS_MAX);
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, element_begins, element_ends);
	XML_SetCharacterDataHandler(r.parser, characters);
	XML_SetStartDoctypeDeclHandler(r.parser, document_type);
	XML_SetUnknownEncodingHandler(r.parser, other_charset, NULL);
	bool good = xml.length <= DMARC_FEEDBACK_SIZE_MAX ? parse(&r, xml, fail)
	                                                  : fail_set(fail, FAIL_TOO_BIG, "it is too long");
	XML_ParserFree(r.parser);
	buf_release(&r.path);
	buf_release(&r.text);
	buf_release(&r.results);
	if (good && !feedback->domain.length)
		good = fail_set(fail, FAIL_INVALID, "it is no DMARC report: it names no domain");
	return good;
}

void dmarc_feedback_release(struct dmarc_feedback *feedback)
{
	array_release(&feedback->rows);
}
