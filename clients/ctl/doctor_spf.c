#include "clock.h"
#include "doctor_check.h"
#include "spf_record.h"

/* ---- what the record says now, RFC 7208 ---- */

static struct spf_outcome ask_spf(struct doctor *d, const struct dns_source *dns, struct str domain,
                                  const struct endpoint *client)
{
	struct spf_outcome outcome;
	const struct spf_request request = { .dns = dns, .client = *client, .helo = d->host,
		.sender = arena_printf(d->arena, "postmaster@%.*s", STR_ARG(domain)), .receiver = d->host,
		.now = clock_wall_seconds(),
		.deadline_ms = d->deadline_ms };
	spf_check(d->arena, &request, &outcome);
	return outcome;
}

/* May this host send for the domain? */
static bool spf_lets_us(struct doctor *d, struct str domain, struct str proposal)
{
	for (size_t i = 0; i < d->addresses.count; i++) {
		struct spf_outcome outcome = ask_spf(d, doctor_dns_source(d->dns), domain, &d->addresses.items[i]);
		if (outcome.result == SPF_PASS)
			continue;
		struct str address = doctor_address(d, &d->addresses.items[i]);
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "the result for mail from %.*s, which is this host, is %s%s%s",
				STR_ARG(address),
			                     spf_result_name(outcome.result), outcome.why ? ": " : "", outcome.why ? outcome.why : ""),
			.advice = STR("Name this host in the record, and keep its terms in order"), .record = proposal });
		return false;
	}
	return true;
}

/* An address that no record names walks through all terms: so those behind the one that names us are looked at too. */
static struct spf_outcome ask_for_stranger(struct doctor *d, struct str domain)
{
	struct endpoint stranger;
	must(endpoint_parse_ip(STR("192.0.2.255"), 0, &stranger, NULL));
	if (doctor_is_among(d->addresses.items, d->addresses.count, &stranger))
		return (struct spf_outcome){ .result = SPF_FAIL };
	return ask_spf(d, doctor_dns_source(d->dns), domain, &stranger);
}

static bool spf_refuses_others(struct doctor *d, struct str domain, struct str proposal, struct str advice)
{
	struct spf_outcome outcome = ask_for_stranger(d, domain);
	struct doctor_finding finding = { DOCTOR_ERROR, .record = proposal };
	if (outcome.result == SPF_TEMPERROR) {
		finding.level = DOCTOR_WARNING;
		finding.text = STR("what the record leads to does not answer");
	} else if (outcome.result == SPF_PERMERROR) {
		finding.text = arena_printf(d->arena, "the record is wrong: %s",
		                            outcome.why ? outcome.why : "it cannot be read");
		finding.advice = advice;
	} else if (outcome.result == SPF_PASS) {
		finding.text = arena_printf(d->arena, "everybody may send mail as the domain (%.*s)", STR_ARG(outcome.term));
		finding.advice = STR("End the record with -all");
	} else if (outcome.result != SPF_FAIL && outcome.result != SPF_SOFTFAIL) {
		finding.level = DOCTOR_WARNING;
		finding.text = STR("the record says nothing about hosts that it does not name");
		finding.advice = STR("End it with -all");
	} else {
		return true;
	}
	doctor_report(d, finding);
	return false;
}

static bool is_all(struct str term)
{
	if (term.length && (term.data[0] == '+' || term.data[0] == '-' || term.data[0] == '~' || term.data[0] == '?'))
		term = str_from_index(term, 1);
	return str_equal_nocase(term, STR("all"));
}

static bool can_be_read(struct doctor *d, struct str text)
{
	struct spf_record record;
	const char *why;
	return spf_record_parse(d->arena, text, &record, &why);
}

/* The good ones of the terms that are there, with this host before them if it is not named, and a strict end. */
static struct str propose_spf(struct doctor *d, struct str present, bool names_us)
{
	struct str alone = arena_printf(d->arena, "v=spf1 a:%.*s", STR_ARG(d->host));
	struct str proposal = names_us ? STR("v=spf1") : alone;
	struct str rest = str_from_index(present, sizeof "v=spf1" - 1), term;
	bool goes_on = false;
	while (str_take_until(&rest, ' ', &term)) {
		if (!term.length || is_all(term) || !can_be_read(d, arena_printf(d->arena, "v=spf1 %.*s", STR_ARG(term))))
			continue;
		goes_on |= str_starts_nocase(term, STR("redirect="));
		proposal = arena_printf(d->arena, "%.*s %.*s", STR_ARG(proposal), STR_ARG(term));
	}
	if (!goes_on)
		proposal = arena_printf(d->arena, "%.*s -all", STR_ARG(proposal));
	return can_be_read(d, proposal) ? proposal : arena_printf(d->arena, "%.*s -all", STR_ARG(alone));
}

/* ---- a record that leads astray, mended: each term is tried as if it stood at the domain alone ---- */

enum { WRITTEN_OUT_MAX = 8 };

struct trial {
	struct doctor *doctor;
	struct str domain;
	struct str data; /* of the TXT record that is tried */
	unsigned voids;
};

static void ask_for_trial(void *context, struct arena *a, struct str name, enum dns_type type,
                          struct dns_answer *answer)
{
	struct trial *trial = context;
	if (type == DNS_TXT && str_equal_nocase(name, trial->domain))
		*answer = (struct dns_answer){ .status = DNS_FOUND, .records = &trial->data, .count = 1 };
	else
		dns_ask(doctor_dns_source(trial->doctor->dns), a, name, type, answer);
	trial->voids += answer->status == DNS_NO_DATA || answer->status == DNS_NO_NAME;
}

/* Strings of a length and as many octets, RFC 1035 §3.3.14. */
static struct str text_as_data(struct doctor *d, struct str text)
{
	CLEANUP(buf_release) struct buf data = BUF_WITH_LIMIT(2 * UINT16_MAX);
	while (text.length) {
		struct str part = str_first(text, UINT8_MAX);
		buf_add_char(&data, (char)part.length);
		buf_add_str(&data, part);
		text = str_from_index(text, part.length);
	}
	return arena_copy(d->arena, buf_str(&data));
}

static struct spf_outcome try_spf(struct doctor *d, struct str domain, struct str text, const struct endpoint *client,
                                  unsigned *voids)
{
	struct trial trial = { .doctor = d, .domain = domain, .data = text_as_data(d, text) };
	struct spf_outcome outcome = ask_spf(d, &(struct dns_source){ .ask = ask_for_trial, .context = &trial }, domain,
		client);
	*voids = trial.voids;
	return outcome;
}

struct spf_part {
	struct str text;    /* empty: left out */
	struct str written; /* empty: as it is */
	unsigned lookups;   /* of the text */
};

struct spf_mending {
	struct doctor *doctor;
	struct str domain;
	ARRAY(struct spf_part) parts;
	bool ends_elsewhere; /* redirect= */
	struct str nowhere, homeless; /* terms that were left out */
};

static void mending_release(struct spf_mending *m)
{
	array_release(&m->parts);
}

static void note_term(struct spf_mending *m, struct str *list, struct str term)
{
	*list = arena_printf(m->doctor->arena, "%.*s%s%.*s", STR_ARG(*list), list->length ? ", " : "", STR_ARG(term));
}

static bool has_macro(struct str term)
{
	return str_find_char(term, '%') < term.length;
}

/* It makes the record an error by itself, or has nothing for hosts of IPv4 nor of IPv6. */
static bool leads_nowhere(struct spf_mending *m, struct str term, unsigned *lookups)
{
	static const char *const strangers[] = { "192.0.2.255", "2001:db8::ffff:ffff" };
	struct str text = arena_printf(m->doctor->arena, "v=spf1 %.*s", STR_ARG(term));
	bool nowhere = true;
	*lookups = 0;
	for (size_t i = 0; i < COUNT_OF(strangers); i++) {
		struct endpoint stranger;
		unsigned voids;
		must(endpoint_parse_ip(str_of(strangers[i]), 0, &stranger, NULL));
		struct spf_outcome outcome = try_spf(m->doctor, m->domain, text, &stranger, &voids);
		if (outcome.lookups > *lookups)
			*lookups = outcome.lookups;
		nowhere &= (outcome.result == SPF_PERMERROR && outcome.lookups <= SPF_LOOKUPS_MAX) ||
		           (outcome.lookups == 1 && voids > 0 && !has_macro(term));
	}
	return nowhere;
}

/* Nobody looks behind "all", but for an explanation. */
static void take_parts(struct spf_mending *m, struct str present)
{
	struct str rest = str_from_index(present, sizeof "v=spf1" - 1), term;
	bool is_over = false;
	while (str_take_until(&rest, ' ', &term)) {
		struct spf_part part = { .text = term };
		is_over |= is_all(term);
		if (!term.length || (is_over && !str_starts_nocase(term, STR("exp="))))
			continue;
		if (leads_nowhere(m, term, &part.lookups)) {
			note_term(m, &m->nowhere, term);
			continue;
		}
		m->ends_elsewhere |= str_starts_nocase(term, STR("redirect="));
		*array_add(&m->parts) = part;
	}
}

static unsigned lookups_of(const struct spf_mending *m)
{
	unsigned sum = 0;
	for (size_t i = 0; i < m->parts.count; i++)
		sum += m->parts.items[i].written.length ? 0 : m->parts.items[i].lookups;
	return sum;
}

static void ask_hosts_of(struct spf_mending *m, const struct spf_term *term, struct doctor_addresses *found)
{
	struct str name = term->domain.data ? term->domain : m->domain;
	struct dns_answer answer;
	if (term->mechanism == SPF_A)
		doctor_ask_addresses(m->doctor, name, found);
	else if (doctor_ask(m->doctor, name, DNS_MX, &answer))
		for (size_t i = 0; i < answer.count; i++) {
			struct dns_mx mx;
			if (dns_read_mx(m->doctor->arena, answer.records[i], &mx) && mx.host.length)
				doctor_ask_addresses(m->doctor, mx.host, found);
		}
}

static struct str address_term(struct doctor *d, struct str sign, const struct endpoint *address,
                               const struct spf_term *term)
{
	bool is_v4 = address->any.sa_family == AF_INET;
	unsigned prefix = is_v4 ? term->prefix4 : term->prefix6;
	struct str text = doctor_address(d, address);
	text = arena_printf(d->arena, "%.*s%s:%.*s", STR_ARG(sign), is_v4 ? "ip4" : "ip6", STR_ARG(text));
	return prefix == (is_v4 ? 32 : 128) ? text : arena_printf(d->arena, "%.*s/%u", STR_ARG(text), prefix);
}

/* The addresses that a or mx has today ask for nothing. */
static void write_out(struct spf_mending *m, struct spf_part *part)
{
	CLEANUP(doctor_addresses_release) struct doctor_addresses found = {};
	struct arena *a = m->doctor->arena;
	struct spf_record record;
	const char *why;
	if (!spf_record_parse(a, arena_printf(a, "v=spf1 %.*s", STR_ARG(part->text)), &record, &why) || record.count == 0)
		return;
	const struct spf_term *term = &record.terms[0];
	if ((term->mechanism != SPF_A && term->mechanism != SPF_MX) || has_macro(part->text))
		return;
	ask_hosts_of(m, term, &found);
	if (found.list.count == 0 || found.list.count > WRITTEN_OUT_MAX)
		return;
	struct str sign = str_first(part->text, char_is_alpha(part->text.data[0]) ? 0 : 1), text = {};
	for (size_t i = 0; i < found.list.count; i++) {
		struct str one = address_term(m->doctor, sign, &found.list.items[i], term);
		text = arena_printf(a, "%.*s%s%.*s", STR_ARG(text), i ? " " : "", STR_ARG(one));
	}
	part->written = text;
}

/* What was written out in vain, for another term that found no place, stays as it was. */
static void write_back(struct spf_mending *m)
{
	for (size_t i = 0; i < m->parts.count; i++) {
		struct spf_part *part = &m->parts.items[i];
		if (part->written.length && lookups_of(m) + part->lookups <= SPF_LOOKUPS_MAX)
			part->written = (struct str){};
	}
}

/* What finds no place any more, behind those that stand before it. */
static void leave_out(struct spf_mending *m)
{
	unsigned sum = 0;
	for (size_t i = 0; i < m->parts.count; i++) {
		struct spf_part *part = &m->parts.items[i];
		unsigned lookups = part->written.length ? 0 : part->lookups;
		if (sum + lookups <= SPF_LOOKUPS_MAX) {
			sum += lookups;
			continue;
		}
		bool is_more = part->lookups > SPF_LOOKUPS_MAX;
		note_term(m, &m->homeless,
		          arena_printf(m->doctor->arena, "%.*s (%s%u look-ups)", STR_ARG(part->text),
		                       is_more ? "more than " : "", is_more ? SPF_LOOKUPS_MAX : part->lookups));
		m->ends_elsewhere &= !str_starts_nocase(part->text, STR("redirect="));
		*part = (struct spf_part){};
	}
}

static bool has_word(struct str text, struct str word)
{
	struct str one;
	while (str_take_until(&text, ' ', &one))
		if (str_equal_nocase(one, word))
			return true;
	return false;
}

static struct str add_words(struct doctor *d, struct str record, struct str words)
{
	struct str word;
	while (str_take_until(&words, ' ', &word))
		if (word.length && !has_word(record, word))
			record = arena_printf(d->arena, "%.*s %.*s", STR_ARG(record), STR_ARG(word));
	return record;
}

/* names: terms for this host. Others are not refused while some of the domain's own are left out. */
static struct str join_parts(const struct spf_mending *m, struct str names)
{
	struct str record = add_words(m->doctor, STR("v=spf1"), names);
	for (size_t i = 0; i < m->parts.count; i++)
		record = add_words(m->doctor, record,
		                   m->parts.items[i].written.length ? m->parts.items[i].written : m->parts.items[i].text);
	return m->ends_elsewhere ? record : add_words(m->doctor, record, m->homeless.length ? STR("~all") : STR("-all"));
}

static struct str unnamed_of_us(struct spf_mending *m, struct str record)
{
	static const struct spf_term exact = { .prefix4 = 32, .prefix6 = 128 };
	struct doctor *d = m->doctor;
	struct str names = {};
	for (size_t i = 0; i < d->addresses.count; i++) {
		unsigned voids;
		if (try_spf(d, m->domain, record, &d->addresses.items[i], &voids).result == SPF_PASS)
			continue;
		struct str name = address_term(d, STR(""), &d->addresses.items[i], &exact);
		names = arena_printf(d->arena, "%.*s%s%.*s", STR_ARG(names), names.length ? " " : "", STR_ARG(name));
	}
	return names;
}

static struct str advice_of(struct spf_mending *m)
{
	struct arena *a = m->doctor->arena;
	struct str advice = STR("Receivers pass over such a record as a whole"), written = {};
	for (size_t i = 0; i < m->parts.count; i++)
		if (m->parts.items[i].written.length)
			note_term(m, &written, m->parts.items[i].text);
	if (m->nowhere.length)
		advice = arena_printf(a, "%.*s. Left out, because they lead nowhere: %.*s", STR_ARG(advice),
		                      STR_ARG(m->nowhere));
	if (written.length)
		advice = arena_printf(a, "%.*s. Written as the addresses of today, which have to be kept up to date: %.*s",
		                      STR_ARG(advice), STR_ARG(written));
	if (m->homeless.length)
		advice = arena_printf(a,
			"%.*s. Left out, because no more than ten look-ups are allowed: %.*s; let who sends there sign with DKIM, "
		                      "or use a subdomain with a record of its own", STR_ARG(advice), STR_ARG(m->homeless));
	return advice;
}

/* Empty: no record of these terms would do. */
static struct str mend_spf(struct doctor *d, struct str domain, struct str present, struct str *advice)
{
	CLEANUP(mending_release) struct spf_mending m = { .doctor = d, .domain = domain };
	struct endpoint stranger;
	unsigned voids;
	take_parts(&m, present);
	for (size_t i = 0; i < m.parts.count && lookups_of(&m) > SPF_LOOKUPS_MAX; i++)
		write_out(&m, &m.parts.items[i]);
	leave_out(&m);
	write_back(&m);
	struct str record = join_parts(&m, unnamed_of_us(&m, join_parts(&m, STR(""))));
	must(endpoint_parse_ip(STR("192.0.2.255"), 0, &stranger, NULL));
	enum spf_result result = try_spf(d, domain, record, &stranger, &voids).result;
	bool good = result != SPF_PERMERROR && result != SPF_TEMPERROR;
	*advice = good ? advice_of(&m)
	               : STR("Take the terms out that lead there: no more than ten may ask the DNS, and each name must have what is asked for");
	return good ? record : STR("");
}

/* ---- the check ---- */

/* Are its terms right, and where they lead is wrong? SPF_PERMERROR or SPF_TEMPERROR then. */
static enum spf_result where_it_leads(struct doctor *d, struct str domain, struct str text)
{
	enum spf_result result = can_be_read(d, text) ? ask_for_stranger(d, domain).result : SPF_NONE;
	return result == SPF_PERMERROR || result == SPF_TEMPERROR ? result : SPF_NONE;
}

static bool looks_like_spf(struct str text)
{
	return str_starts_nocase(text, STR("v=spf"));
}

/* Anything that was meant to be one is shown. */
static struct str lack_of_spf(struct doctor *d, struct str domain)
{
	size_t count;
	struct str text;
	if (!doctor_ask_text(d, domain, looks_like_spf, &count, &text) || !count)
		return STR("there is no SPF record: nobody knows that this host may send for the domain");
	return arena_printf(d->arena, "there is no SPF record: this one does not begin with \"v=spf1 \": %.*s",
	                    STR_ARG(text));
}

void doctor_check_spf(struct doctor *d, struct str domain)
{
	size_t count;
	struct str text, advice = STR("Receivers pass over such a record as a whole");
	if (!doctor_ask_text(d, domain, spf_is_record, &count, &text))
		return;
	enum spf_result end = count == 1 ? where_it_leads(d, domain, text) : SPF_NONE;
	struct str mended = end == SPF_PERMERROR ? mend_spf(d, domain, text, &advice)
	                    : end == SPF_NONE    ? propose_spf(d, text, false)
	                                         : STR("");
	bool names_us = count == 1 &&
	                spf_lets_us(d, domain, mended.length ? doctor_text_record(d, domain, mended) : STR(""));
	struct str proposal = end == SPF_NONE && names_us ? propose_spf(d, text, true) : mended;
	struct str record = proposal.length ? doctor_text_record(d, domain, proposal) : STR("");
	bool good = count == 1 && spf_refuses_others(d, domain, record, advice) && names_us;
	if (count != 1)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = count ? arena_printf(d->arena, "there are %zu SPF records, so none of them counts (RFC 7208 §4.5)", count)
			              : lack_of_spf(d, domain),
			.advice = count ? STR("Make one of them") : STR("Publish one"), .record = record });
	if (good && d->addresses.count)
		doctor_ok(d, "this host may send for %.*s: %.*s", STR_ARG(domain), STR_ARG(text));
	doctor_zone_add(d, domain, "TXT", doctor_text_data(d, good || !proposal.length ? text : proposal));
}
