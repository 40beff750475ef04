#include "dkim_key.h"
#include "dmarc.h"
#include "doctor_check.h"

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
	bool same = dkim_key_parse(d->arena, published, &a, why) && dkim_key_parse(d->arena, ours, &b, &own) &&
	            EVP_PKEY_eq(a.key, b.key) == 1;
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
			.text = arena_printf(d->arena,
				"%.*s is published as a test (t=y): receivers may take its signatures for none", STR_ARG(key->name)),
			.advice = STR("When the signatures pass, publish the key without it"),
			.record = doctor_text_record(d, key->name, key->record) });
		return;
	}
	if (good) {
		doctor_ok(d, "%.*s is published%s", STR_ARG(key->name), signs ? "" : "; it may be made active");
		return;
	}
	struct str wrong = count == 0  ? STR("is not published")
	                   : count > 1 ? STR("has several TXT records, of which receivers take any")
	                               : arena_printf(d->arena, "is published wrong: %s", why);
	doctor_report(d, (struct doctor_finding){ signs ? DOCTOR_ERROR : DOCTOR_NOTE,
		.text = arena_printf(d->arena, "%.*s %.*s%s", STR_ARG(key->name), STR_ARG(wrong), signs ? ", but mail is signed with it" : ""),
		.advice = STR("Publish the key"), .record = doctor_text_record(d, key->name, key->record) });
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
			.text = arena_printf(d->arena,
				"no key signs the mail of %.*s: large receivers refuse it or take it for spam", STR_ARG(domain)),
			.advice = arena_printf(d->arena, "See posthornctl dkim: make keys for %.*s, publish them, make them active",
				STR_ARG(domain)) });
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
			.text = arena_printf(d->arena, "reports to %.*s are not sent, because %.*s does not say that it takes them",
				STR_ARG(address), STR_ARG(there)),
			.advice = STR("Have them publish the record"), .record = doctor_text_record(d, owner, STR("v=DMARC1")) });
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
		doctor_note(d,
			"the policy is %s%s: it only watches. When the reports show no mail of yours that fails, make it reject",
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
		.advice = count ? STR("Replace it") : STR("Publish one"), .record = doctor_text_record(d, owner, proposal) });
}
