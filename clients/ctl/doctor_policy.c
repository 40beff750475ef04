#include "clock.h"
#include "doctor_check.h"
#include "mtasts.h"

enum { POLICY_MAX = 65536, AGE_LOW_SECONDS = 86400 };

/* ---- MTA-STS, RFC 8461 ---- */

static bool is_sts(struct str text)
{
	return str_starts(text, STR("v=STSv1;"));
}

/* The first MX that the policy does not name; empty: it names all. */
static struct str missing_mx(struct doctor *d, struct str domain, const struct mtasts_policy *policy)
{
	struct dns_answer answer;
	struct dns_mx mx;
	dns_ask(doctor_dns_source(d->dns), d->arena, domain, DNS_MX, &answer);
	for (size_t i = 0; i < answer.count; i++)
		if (dns_read_mx(d->arena, answer.records[i], &mx) && mx.host.length && !mtasts_policy_allows(policy, mx.host))
			return mx.host;
	return STR("");
}

/* The id is to change with the policy; the time is an id that nobody has used. */
static struct str new_sts_record(struct doctor *d)
{
	return arena_printf(d->arena, "v=STSv1; id=%lld", (long long)clock_wall_seconds());
}

static struct doctor_finding propose_policy(struct doctor *d, struct str domain, enum doctor_level level,
                                            struct str text)
{
	struct str owner = arena_printf(d->arena, "_mta-sts.%.*s", STR_ARG(domain));
	return (struct doctor_finding){ level, .text = text,
		.advice = arena_printf(d->arena,
			"Put \"version: STSv1\", \"mode: enforce\", \"mx: %.*s\" and \"max_age: 604800\", a line each, at "
		                       "https://mta-sts.%.*s/.well-known/mta-sts.txt, then publish the record",
		                       STR_ARG(d->host), STR_ARG(domain)),
		.record = doctor_text_record(d, owner, new_sts_record(d)) };
}

static void judge_policy(struct doctor *d, struct str domain, struct str page)
{
	struct mtasts_policy policy;
	if (!mtasts_policy_parse(page, &policy)) {
		doctor_report(d, propose_policy(d, domain, DOCTOR_ERROR,
		                                STR("what stands at its place is no valid MTA-STS policy (RFC 8461 §3.2)")));
		return;
	}
	struct str missing = policy.mode == MTASTS_NONE ? STR("") : missing_mx(d, domain, &policy);
	if (missing.length)
		doctor_report(d, propose_policy(d, domain, DOCTOR_ERROR,
			arena_printf(d->arena, "the MTA-STS policy does not name the MX %.*s", STR_ARG(missing))));
	else if (policy.mode != MTASTS_ENFORCE)
		doctor_note(d, "the MTA-STS policy has the mode %s, which protects no mail", mtasts_mode_name(policy.mode));
	else if (policy.age_seconds < AGE_LOW_SECONDS)
		doctor_note(d, "the MTA-STS policy holds for %u seconds only; weeks are usual", policy.age_seconds);
	else
		doctor_ok(d, "the MTA-STS policy names all MX hosts and is enforced");
}

static void fetch_policy(struct doctor *d, struct str domain)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	CLEANUP(buf_release) struct buf page = BUF_WITH_LIMIT(POLICY_MAX);
	struct str host = arena_printf(d->arena, "mta-sts.%.*s", STR_ARG(domain));
	if (doctor_https_get(d, host, "/.well-known/mta-sts.txt", &page, &why))
		judge_policy(d, domain, arena_copy(d->arena, buf_str(&page)));
	else
		doctor_report(d,
		              propose_policy(d, domain, DOCTOR_ERROR,
		                             arena_printf(d->arena, "there is an MTA-STS record, but %.*s gives no policy: %s",
		                                          STR_ARG(host), fail_text(why))));
}

void doctor_check_mta_sts(struct doctor *d, struct str domain)
{
	size_t count;
	struct str text, id, owner = arena_printf(d->arena, "_mta-sts.%.*s", STR_ARG(domain));
	if (!doctor_ask_text(d, owner, is_sts, &count, &text))
		return;
	bool good = count == 1 && mtasts_find_id(&text, 1, &id);
	struct str stray = count ? STR("") : doctor_stray_text(d, owner);
	if (count || stray.length)
		doctor_zone_add(d, owner, "TXT", doctor_text_data(d, good ? text : new_sts_record(d)));
	if (stray.length)
		doctor_report(d, propose_policy(d, domain, DOCTOR_ERROR,
			arena_printf(d->arena, "what stands there is no MTA-STS record: %.*s", STR_ARG(stray))));
	else if (count == 0)
		doctor_report(d,
		              propose_policy(d, domain, DOCTOR_NOTE,
		                             STR("there is no MTA-STS policy, which would have other servers insist on TLS")));
	else if (count > 1)
		doctor_report(d, propose_policy(d, domain, DOCTOR_ERROR,
			arena_printf(d->arena, "there are %zu MTA-STS records, so none of them counts (RFC 8461 §3.1)", count)));
	else if (!good)
		doctor_report(d,
		              propose_policy(d, domain, DOCTOR_ERROR,
		                             arena_printf(d->arena, "the MTA-STS record makes no sense: %.*s", STR_ARG(text))));
	else
		fetch_policy(d, domain);
}

/* ---- TLSRPT, RFC 8460 §3 ---- */

static bool is_tls_report(struct str text)
{
	return str_starts(text, STR("v=TLSRPTv1;"));
}

/* rua=mailto:… or https:… */
static bool names_receiver(struct str text)
{
	struct str field;
	while (str_take_until(&text, ';', &field)) {
		size_t equals = str_find_char(field, '=');
		struct str value = str_trim(str_from_index(field, equals + 1));
		size_t scheme = str_find_char(value, ':');
		if (str_equal(str_trim(str_first(field, equals)), STR("rua")) && scheme + 1 < value.length &&
		    (str_starts_nocase(value, STR("mailto:")) || str_starts_nocase(value, STR("https:"))))
			return true;
	}
	return false;
}

void doctor_check_tls_report(struct doctor *d, struct str domain)
{
	size_t count;
	struct str text, owner = arena_printf(d->arena, "_smtp._tls.%.*s", STR_ARG(domain));
	if (!doctor_ask_text(d, owner, is_tls_report, &count, &text))
		return;
	bool good = count == 1 && names_receiver(text);
	struct str stray = count ? STR("") : doctor_stray_text(d, owner);
	struct str proposal = arena_printf(d->arena, "v=TLSRPTv1; rua=mailto:postmaster@%.*s", STR_ARG(domain));
	doctor_zone_add(d, owner, "TXT", doctor_text_data(d, good ? text : proposal));
	if (good) {
		doctor_ok(d, "other servers report how TLS went");
		return;
	}
	doctor_report(d, (struct doctor_finding){ count || stray.length ? DOCTOR_ERROR : DOCTOR_NOTE,
		.text = stray.length ? arena_printf(d->arena, "what stands there is no TLSRPT record: %.*s", STR_ARG(stray))
		        : count > 1 ? STR("there are several TLSRPT records, so none of them counts")
		        : count   ? STR("the TLSRPT record names no place for reports (rua=)")
		                  : STR("there is no TLSRPT record: nobody reports that TLS with this host fails"),
		.advice = STR("Publish the record"), .record = doctor_text_record(d, owner, proposal) });
}
