#include "clock.h"
#include "dkim_key.h"
#include "dmarc.h"
#include "doctor_check.h"
#include "spf_record.h"

/* ---- SPF, RFC 7208 ---- */

static bool is_spf(struct str text)
{
	static const char version[] = "v=spf1";
	struct str rest = str_from_index(text, sizeof version - 1);
	return str_starts_nocase(text, STR("v=spf1")) && (rest.length == 0 || rest.data[0] == ' ');
}

static struct spf_outcome ask_spf(struct doctor *d, struct str domain, const struct endpoint *client)
{
	struct spf_outcome outcome;
	const struct spf_request request = { .dns = doctor_dns_source(d->dns), .client = *client, .helo = d->host,
		.sender = arena_printf(d->arena, "postmaster@%.*s", STR_ARG(domain)), .receiver = d->host, .now = clock_wall_seconds(),
		.deadline_ms = d->deadline_ms };
	spf_check(d->arena, &request, &outcome);
	return outcome;
}

/* May this host send for the domain? */
static bool spf_lets_us(struct doctor *d, struct str domain, struct str proposal)
{
	for (size_t i = 0; i < d->addresses.count; i++) {
		struct spf_outcome outcome = ask_spf(d, domain, &d->addresses.items[i]);
		if (outcome.result == SPF_PASS)
			continue;
		struct str address = doctor_address(d, &d->addresses.items[i]);
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "the result for mail from %.*s, which is this host, is %s%s%s", STR_ARG(address),
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
	return ask_spf(d, domain, &stranger);
}

static bool spf_refuses_others(struct doctor *d, struct str domain, struct str proposal)
{
	struct spf_outcome outcome = ask_for_stranger(d, domain);
	struct doctor_finding finding = { DOCTOR_ERROR, .record = proposal };
	if (outcome.result == SPF_TEMPERROR) {
		finding.level = DOCTOR_WARNING;
		finding.text = STR("what the record leads to does not answer");
	} else if (outcome.result == SPF_PERMERROR) {
		finding.text = arena_printf(d->arena, "the record is wrong: %s", outcome.why ? outcome.why : "it cannot be read");
		finding.advice = proposal.length ? STR("Receivers pass over such a record as a whole")
		                                 : STR("Take the terms out that lead there: no more than ten may ask the DNS, and each name must have what is asked for");
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

static struct str text_record(struct doctor *d, struct str owner, struct str text)
{
	return doctor_record(d, owner, "TXT", doctor_text_data(d, text));
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

/* Its terms are right, and where they lead is wrong: which of them to leave out nobody knows but who wrote them. */
static bool leads_astray(struct doctor *d, struct str domain, struct str text)
{
	enum spf_result result = can_be_read(d, text) ? ask_for_stranger(d, domain).result : SPF_NONE;
	return result == SPF_PERMERROR || result == SPF_TEMPERROR;
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
	return arena_printf(d->arena, "there is no SPF record: this one does not begin with \"v=spf1 \": %.*s", STR_ARG(text));
}

void doctor_check_spf(struct doctor *d, struct str domain)
{
	size_t count;
	struct str text;
	if (!doctor_ask_text(d, domain, is_spf, &count, &text))
		return;
	bool is_astray = count == 1 && leads_astray(d, domain, text);
	bool names_us = count == 1 && spf_lets_us(d, domain, is_astray ? STR("") : text_record(d, domain, propose_spf(d, text, false)));
	struct str proposal = propose_spf(d, text, names_us), record = is_astray ? STR("") : text_record(d, domain, proposal);
	bool good = count == 1 && spf_refuses_others(d, domain, record) && names_us;
	if (count != 1)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = count ? arena_printf(d->arena, "there are %zu SPF records, so none of them counts (RFC 7208 §4.5)", count)
			              : lack_of_spf(d, domain),
			.advice = count ? STR("Make one of them") : STR("Publish one"), .record = record });
	if (good && d->addresses.count)
		doctor_ok(d, "this host may send for %.*s: %.*s", STR_ARG(domain), STR_ARG(text));
	doctor_zone_add(d, domain, "TXT", doctor_text_data(d, good || is_astray ? text : proposal));
}

/* ---- DKIM, RFC 6376: the keys that queue signs with ---- */

struct key_row {
	struct str name, record, state;
};

struct key_rows {
	struct doctor *doctor;
	ARRAY(struct key_row) list;
};

static void take_key(void *owner, struct str row)
{
	struct key_rows *rows = owner;
	struct arena *a = rows->doctor->arena;
	struct key_row *key = array_add(&rows->list);
	struct str name, value;
	while (ctl_row_next(&row, &name, &value)) {
		if (str_equal(name, STR("name")))
			key->name = arena_copy(a, value);
		else if (str_equal(name, STR("record")))
			key->record = arena_copy(a, value);
		else if (str_equal(name, STR("state")))
			key->state = arena_copy(a, value);
	}
}

static bool ask_keys(struct doctor *d, struct str domain, struct key_rows *rows, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
	CLEANUP(buf_release) struct buf words = BUF_WITH_LIMIT(LIMIT_DOMAIN_MAX + 100);
	buf_append(&words, "dkim\0record", 12);
	buf_add_str(&words, domain);
	buf_add_char(&words, '\0');
	return ctl_connect(d->runtime_directory, CTL_QUEUE, &channel, fail) &&
	       ctl_ask(&channel, &(struct ctl_request){ .words = buf_str(&words), .descriptor = -1 }, take_key, rows, fail);
}

/* Are they the same key? What else a record says may differ. */
static bool is_same_key(struct doctor *d, struct str published, struct str ours, bool *is_tested, const char **why)
{
	struct dkim_key a = {}, b = {};
	const char *own = NULL;
	bool same = dkim_key_parse(d->arena, published, &a, why) && dkim_key_parse(d->arena, ours, &b, &own) && EVP_PKEY_eq(a.key, b.key) == 1;
	if (a.key && !same)
		*why = "it is another key";
	*is_tested = a.testing;
	dkim_key_release(&a);
	dkim_key_release(&b);
	return same;
}

static void check_key(struct doctor *d, const struct key_row *key)
{
	size_t count;
	struct str text;
	const char *why = NULL;
	bool signs = str_equal(key->state, STR("active")), is_tested = false;
	if (str_equal(key->state, STR("retired")))
		return;
	doctor_zone_add(d, key->name, "TXT", doctor_text_data(d, key->record));
	if (!doctor_ask_text(d, key->name, NULL, &count, &text))
		return;
	bool good = count == 1 && is_same_key(d, text, key->record, &is_tested, &why);
	if (good && is_tested) { /* RFC 6376 §3.6.1 */
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "%.*s is published as a test (t=y): receivers may take its signatures for none", STR_ARG(key->name)),
			.advice = STR("When the signatures pass, publish the key without it"), .record = text_record(d, key->name, key->record) });
		return;
	}
	if (good) {
		doctor_ok(d, "%.*s is published%s", STR_ARG(key->name), signs ? "" : "; it may be made active");
		return;
	}
	struct str wrong = count == 0 ? STR("is not published") : count > 1 ? STR("has several TXT records, of which receivers take any")
	                              : arena_printf(d->arena, "is published wrong: %s", why);
	doctor_report(d, (struct doctor_finding){ signs ? DOCTOR_ERROR : DOCTOR_NOTE,
		.text = arena_printf(d->arena, "%.*s %.*s%s", STR_ARG(key->name), STR_ARG(wrong), signs ? ", but mail is signed with it" : ""),
		.advice = STR("Publish the key"), .record = text_record(d, key->name, key->record) });
}

void doctor_check_dkim(struct doctor *d, struct str domain)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	struct key_rows rows = { .doctor = d };
	bool signs = false;
	if (!ask_keys(d, domain, &rows, &why) && !(why && why->kind == FAIL_NOT_FOUND)) {
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "which keys sign mail is not known: %s", fail_text(why)) });
		array_release(&rows.list);
		return;
	}
	for (size_t i = 0; i < rows.list.count; i++) {
		signs |= str_equal(rows.list.items[i].state, STR("active"));
		check_key(d, &rows.list.items[i]);
	}
	if (!signs)
		doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
			.text = arena_printf(d->arena, "no key signs the mail of %.*s: large receivers refuse it or take it for spam", STR_ARG(domain)),
			.advice = arena_printf(d->arena, "See posthornctl dkim: make keys for %.*s, publish them, make them active", STR_ARG(domain)) });
	array_release(&rows.list);
}

/* ---- DMARC, RFC 9989 ---- */

static bool is_dmarc(struct str text)
{
	struct dmarc_record record;
	return dmarc_record_parse(text, &record);
}

/* Reports that go to another domain need that domain's word (RFC 9990 §4). */
static void check_report_address(struct doctor *d, struct str domain, struct str address)
{
	size_t count;
	struct str text, there = str_from_index(address, str_find_last_char(address, '@') + 1);
	if (!there.length || dns_name_is_within(there, domain) || dns_name_is_within(domain, there))
		return;
	struct str owner = arena_printf(d->arena, "%.*s._report._dmarc.%.*s", STR_ARG(domain), STR_ARG(there));
	if (doctor_ask_text(d, owner, is_dmarc, &count, &text) && count == 0)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "reports to %.*s are not sent, because %.*s does not say that it takes them", STR_ARG(address), STR_ARG(there)),
			.advice = STR("Have them publish the record"), .record = text_record(d, owner, STR("v=DMARC1")) });
}

static void judge_dmarc(struct doctor *d, struct str domain, struct str text)
{
	struct dmarc_record record;
	struct str address;
	must(dmarc_record_parse(text, &record));
	struct str reports = record.aggregate;
	bool named = false;
	for (unsigned i = 0; i < 10 && dmarc_address_next(d->arena, &reports, &address); i++, named = true)
		check_report_address(d, domain, address);
	if (record.testing || record.policy == DMARC_POLICY_NONE)
		doctor_note(d, "the policy is %s%s: it only watches. When the reports show no mail of yours that fails, make it reject",
		            dmarc_policy_name(record.policy), record.testing ? " and t=y" : "");
	else
		doctor_ok(d, "forged mail is to be met with %s", dmarc_policy_name(record.policy));
	if (record.psd == DMARC_PSD_YES)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = STR("psd=y says that others register names below the domain, as below org: mail from there no longer passes in its name"),
			.advice = STR("Leave it out") });
	if (!named && record.aggregate.length)
		doctor_report(d, (struct doctor_finding){ DOCTOR_WARNING,
			.text = arena_printf(d->arena, "no reports come: rua=%.*s names no address", STR_ARG(record.aggregate)),
			.advice = arena_printf(d->arena, "Write rua=mailto:postmaster@%.*s", STR_ARG(domain)) });
	else if (!named)
		doctor_note(d, "no reports are asked for (rua=)");
}

/* Without p= it asks for nothing, and who knows RFC 7489 only passes over it. */
static bool dmarc_is_malformed(struct str text)
{
	struct dmarc_record record;
	return dmarc_record_parse(text, &record) && (record.malformed || record.policy == DMARC_POLICY_ABSENT);
}

/* A domain below one that has a policy needs none of its own. */
static bool has_policy_above(struct doctor *d, struct str domain)
{
	struct dmarc_outcome outcome;
	const struct dmarc_request request = { .dns = doctor_dns_source(d->dns), .author = domain };
	dmarc_check(d->arena, &request, &outcome);
	if (!outcome.policy_domain.length || str_equal(outcome.policy_domain, domain))
		return false;
	doctor_ok(d, "the policy of %.*s holds (%s)", STR_ARG(outcome.policy_domain), dmarc_policy_name(outcome.policy));
	return true;
}

void doctor_check_dmarc(struct doctor *d, struct str domain)
{
	size_t count;
	struct str text, owner = arena_printf(d->arena, "_dmarc.%.*s", STR_ARG(domain));
	struct str proposal = arena_printf(d->arena, "v=DMARC1; p=none; rua=mailto:postmaster@%.*s", STR_ARG(domain));
	if (!doctor_ask_text(d, owner, is_dmarc, &count, &text) || (count == 0 && has_policy_above(d, domain)))
		return;
	bool good = count == 1 && !dmarc_is_malformed(text);
	struct str stray = count ? STR("") : doctor_stray_text(d, owner);
	doctor_zone_add(d, owner, "TXT", doctor_text_data(d, good ? text : proposal));
	if (good) {
		judge_dmarc(d, domain, text);
		return;
	}
	doctor_report(d, (struct doctor_finding){ DOCTOR_ERROR,
		.text = count == 0 && stray.length ? arena_printf(d->arena, "what stands there is no DMARC record: %.*s", STR_ARG(stray))
		        : count == 0 ? STR("there is no DMARC record: large receivers take the domain's mail for spam, and anybody can forge it")
		        : count > 1 ? arena_printf(d->arena, "there are %zu DMARC records, so none of them counts", count)
		                    : arena_printf(d->arena, "the DMARC record makes no sense: %.*s", STR_ARG(text)),
		.advice = count ? STR("Replace it") : STR("Publish one"), .record = text_record(d, owner, proposal) });
}
