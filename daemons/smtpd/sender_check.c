#include "sender_check.h"

#include "clock.h"
#include "dkim.h"
#include "dmarc_report.h"
#include "header.h"
#include "host.h"
#include "log.h"
#include "mem.h"
#include "spf.h"

#include <stdlib.h>

enum { CHECK_ARENA_MAX = 64 << 20, FIELD_MAX = 6000, SPF_PATIENCE_MS = 20000, VALUE_MAX = 200 };

struct sender_check {
	struct arena *arena;
	struct str header; /* a copy */
	unsigned wanted;   /* CONFIG_CHECK_… */
	struct dns_source dns;
	struct dkim_verifier *verifier;
	struct spf_outcome spf;
	struct dkim_outcomes dkim;
	struct arc_outcome arc;
	enum dmarc_author author;
	struct str author_domain;
	struct dmarc_outcome dmarc;
	struct buf report; /* of sender_check_report */
	bool refused;
	struct smtp_reply refusal;
};

/* For the log: "pass:example.org,fail:example.net"; "none" without signatures. */
static struct str dkim_summary(const struct sender_check *c)
{
	struct str text = STR("");
	for (size_t i = 0; i < c->dkim.count; i++)
		text = arena_printf(c->arena, "%.*s%s%s:%.*s", STR_ARG(text), i ? "," : "",
		                    dkim_result_name(c->dkim.list[i].result), STR_ARG(c->dkim.list[i].domain));
	return text.length ? text : STR("none");
}

/* ---- the beginning ---- */

static bool wants(const struct sender_check *c, unsigned one)
{
	return c->wanted & one;
}

static bool is_in_name(char c)
{
	return char_is_alpha(c) || char_is_digit(c) || (c && strchr("-._", c));
}

/* Is the field an Authentication-Results of ours? RFC 8601 §5: comments, quotes and backslashes do not hide it. */
static bool is_forged(const struct header_field *field, struct str host)
{
	if (!str_equal_nocase(field->name, STR("Authentication-Results")))
		return false;
	char name[LIMIT_DOMAIN_MAX + 1];
	size_t length = 0;
	struct str id = str_first(field->value, str_find_char(field->value, ';'));
	for (size_t i = 0; i <= id.length; i++) {
		char c = i < id.length ? id.data[i] : ' ';
		if (c == '\\')
			continue;
		if (is_in_name(c)) {
			name[length < sizeof name - 1 ? length++ : length] = c;
			continue;
		}
		if (str_equal_nocase(str_from(name, length), host))
			return true;
		length = 0;
	}
	return false;
}

/* The fields move together; one pass. */
static void strip_forged(struct buf *body, struct str host)
{
	struct header_reader reader;
	struct header_field field;
	size_t kept = 0;
	size_t done = 0;
	header_begin(&reader, buf_str(body));
	while (header_next(&reader, &field)) {
		if (!is_forged(&field, host))
			continue;
		memmove(body->data + kept, body->data + done, field.offset - done);
		kept += field.offset - done;
		done = field.offset + field.length;
	}
	if (done == 0)
		return;
	memmove(body->data + kept, body->data + done, body->length - done);
	buf_truncate(body, body->length - (done - kept));
}

static bool is_from_stranger(const struct session *s)
{
	return s->protocol == SMTP_ON_MX && !(s->flags & (SESSION_LOGGED_IN | SESSION_TRUSTED));
}

/* Within our own trust boundary (RFC 8601 §5): it may say what we would say. */
static bool is_one_of_us(const struct session *s)
{
	return s->protocol == SMTP_ON_LMTP || s->flags & SESSION_TRUSTED;
}

/* What will be asked for certain, all at once and while the body is still to come. */
static void ask_ahead(const struct session *s, struct sender_check *c)
{
	struct str sender = s->txn->mail.from.mailbox;
	struct str domain = sender.length ? str_from_index(sender, str_find_last_char(sender, '@') + 1) : str_of(s->helo);
	if (wants(c, CONFIG_CHECK_SPF) || wants(c, CONFIG_CHECK_DMARC))
		dns_ask_ahead(&c->dns, c->arena, domain, DNS_TXT);
	if (c->verifier)
		dkim_verifier_ask_ahead(c->verifier, &c->dns);
	if (c->author == DMARC_AUTHOR_FOUND && c->author_domain.length)
		dns_ask_ahead(&c->dns, c->arena, arena_printf(c->arena, "_dmarc.%.*s", STR_ARG(c->author_domain)), DNS_TXT);
}

struct sender_check *sender_check_begin(struct session *s, struct content *content)
{
	unsigned wanted = session_config(s)->sender_checks;
	struct sender_check *c = NULL;
	if (is_from_stranger(s) && (wanted || session_config(s)->dnsbl.count || session_config(s)->dnswl.count)) {
		size_t size = header_size(buf_str(&content->body));
		c = mem_alloc(sizeof *c);
		c->arena = arena_new(CHECK_ARENA_MAX);
		c->wanted = wanted;
		c->dns = dns_link_source(&s->smtpd->resolver);
		c->header = arena_copy(c->arena, str_first(buf_str(&content->body), size));
		if (wants(c, CONFIG_CHECK_DKIM) || wants(c, CONFIG_CHECK_DMARC))
			c->verifier = dkim_verifier_new(c->arena, c->header);
		if (wants(c, CONFIG_CHECK_DMARC))
			c->author = dmarc_author_find(c->arena, c->header, &c->author_domain);
		ask_ahead(s, c);
	}
	if (!is_one_of_us(s))
		strip_forged(&content->body, str_of(session_config(s)->hostname));
	return c;
}

void sender_check_free(struct sender_check *c)
{
	if (!c)
		return;
	dkim_verifier_free(c->verifier);
	buf_release(&c->report);
	arena_free(c->arena);
	free(c);
}

void sender_check_body(struct sender_check *c, struct str piece)
{
	if (c && c->verifier && dkim_verifier_wants_body(c->verifier))
		dkim_verifier_body(c->verifier, piece);
}

/* ---- the checks ---- */

static void check_spf(struct session *s, struct sender_check *c)
{
	struct spf_request request = {
		.dns = &c->dns, .helo = str_of(s->helo), .sender = s->txn->mail.from.mailbox,
		.receiver = str_of(session_config(s)->hostname), .deadline_ms = clock_monotonic_ms() + SPF_PATIENCE_MS,
		.now = clock_wall_seconds(),
	};
	c->spf.result = SPF_NONE;
	if (endpoint_parse_ip(str_of(s->peer), 0, &request.client, NULL))
		spf_check(c->arena, &request, &c->spf);
}

static void check_dkim(struct sender_check *c)
{
	int64_t now = clock_wall_seconds();
	if (!c->verifier)
		return;
	dkim_verifier_finish(c->verifier, &c->dns, now, &c->dkim);
	dkim_verifier_arc(c->verifier, &c->dns, now, &c->arc);
}

/* The domains of the signatures that came to that. */
static size_t domains_of(const struct sender_check *c, enum dkim_result result, struct str domains[DKIM_SIGNATURES_MAX])
{
	size_t count = 0;
	for (size_t i = 0; i < c->dkim.count; i++)
		if (c->dkim.list[i].result == result)
			domains[count++] = c->dkim.list[i].domain;
	return count;
}

static void check_dmarc(struct sender_check *c)
{
	struct str passed[DKIM_SIGNATURES_MAX], unanswered[DKIM_SIGNATURES_MAX];
	if (c->author != DMARC_AUTHOR_FOUND)
		return;
	const struct dmarc_request request = {
		.dns = &c->dns, .author = c->author_domain, .spf_domain = c->spf.result == SPF_PASS ? c->spf.domain : (struct str){},
		.dkim_domains = passed, .dkim_count = domains_of(c, DKIM_PASS, passed),
		.spf_unanswered = c->spf.result == SPF_TEMPERROR ? c->spf.domain : (struct str){},
		.dkim_unanswered = unanswered, .dkim_unanswered_count = domains_of(c, DKIM_TEMPERROR, unanswered),
	};
	dmarc_check(c->arena, &request, &c->dmarc);
}

/* ---- what is said of it ---- */

/* RFC 8601 §2.2 pvalue: what is no token goes into quotes; what comes from outside is bounded and printable. */
static void add_value(struct buf *out, struct str value)
{
	bool is_token = value.length > 0;
	value = str_first(value, VALUE_MAX);
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];
		is_token = is_token && (char_is_alpha(c) || char_is_digit(c) || (c && strchr("!#$%&'*+-.^_`{|}~@", c)));
	}
	if (is_token) {
		buf_add_str(out, value);
		return;
	}
	buf_add_char(out, '"');
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];
		if (c == '"' || c == '\\')
			buf_add_char(out, '\\');
		buf_add_char(out, c >= ' ' && c <= '~' ? c : '?');
	}
	buf_add_char(out, '"');
}

static void add_property(struct buf *out, const char *name, struct str value)
{
	if (!value.length)
		return;
	buf_printf(out, " %s=", name);
	add_value(out, value);
}

/* RFC 8601 §2.7.2 */
static void add_spf(const struct session *s, const struct sender_check *c, struct buf *out)
{
	buf_printf(out, ";\r\n\tspf=%s", spf_result_name(c->spf.result));
	if (c->spf.why)
		buf_printf(out, " (%s)", c->spf.why);
	struct str sender = s->txn->mail.from.mailbox;
	add_property(out, sender.length ? "smtp.mailfrom" : "smtp.helo", sender.length ? sender : str_of(s->helo));
}

static void add_dkim(const struct sender_check *c, struct buf *out)
{
	if (c->dkim.count == 0)
		buf_add_str(out, STR(";\r\n\tdkim=none"));
	for (size_t i = 0; i < c->dkim.count; i++) {
		const struct dkim_outcome *one = &c->dkim.list[i];
		buf_printf(out, ";\r\n\tdkim=%s", dkim_result_name(one->result));
		if (one->why)
			buf_printf(out, " (%s)", one->why);
		else if (one->part_of_body)
			buf_add_str(out, STR(" (of a part of the body)"));
		if (one->testing) /* RFC 6376 §3.6.1: one that fails is to be taken for none */
			buf_add_str(out, STR(" (the key is being tested)"));
		add_property(out, "header.d", one->domain);
		add_property(out, "header.s", one->selector);
		add_property(out, "header.b", one->signature);
	}
	if (c->arc.result == DKIM_NONE)
		return;
	buf_printf(out, ";\r\n\tarc=%s", dkim_result_name(c->arc.result));
	if (c->arc.why)
		buf_printf(out, " (%s)", c->arc.why);
	/* RFC 8617 §5.2: of a chain of one it is known; older signatures are not looked at */
	add_property(out, "header.oldest-pass", c->arc.result == DKIM_PASS && c->arc.instances == 1 ? STR("0") : (struct str){});
}

/* RFC 8601 §2.7.3 */
static void add_iprev(struct session *s, struct buf *out)
{
	struct str name;
	enum iprev_result result = host_name(s, &name);
	if (result == IPREV_NONE)
		return;
	buf_printf(out, ";\r\n\tiprev=%s", iprev_result_name(result));
	if (name.length) {
		buf_add_str(out, STR(" ("));
		for (size_t i = 0; i < name.length && i < VALUE_MAX; i++)
			buf_add_char(out, is_in_name(name.data[i]) ? name.data[i] : '?');
		buf_add_char(out, ')');
	}
	add_property(out, "policy.iprev", str_of(s->peer));
}

/* RFC 8904 §2; of lists of bad hosts nothing is registered. */
static void add_lists(struct session *s, struct buf *out)
{
	const struct host_listing *white = host_white(s), *black = host_black(s);
	if (white->zone)
		buf_printf(out, ";\r\n\tdnswl=pass dns.zone=%s policy.ip=%s", white->zone, white->answer);
	if (black->zone)
		buf_printf(out, ";\r\n\tx-dnsbl=fail dns.zone=%s policy.ip=%s", black->zone, black->answer);
}

/* RFC 9989 §9.1: the policy that was found goes along. */
static void add_dmarc(const struct sender_check *c, struct buf *out)
{
	if (c->author != DMARC_AUTHOR_FOUND) {
		buf_printf(out, ";\r\n\tdmarc=%s",
		           c->author == DMARC_AUTHOR_SEVERAL ? "permerror (several authors)" : "none (no author)");
		return;
	}
	buf_printf(out, ";\r\n\tdmarc=%s", dmarc_result_name(c->dmarc.result));
	if (c->dmarc.result == DMARC_FAIL)
		buf_printf(out, " (p=%s)", dmarc_policy_name(c->dmarc.published));
	else if (c->dmarc.why)
		buf_printf(out, " (%s)", c->dmarc.why);
	add_property(out, "header.from", c->author_domain);
	if (c->dmarc.result == DMARC_FAIL)
		add_property(out, "policy.dmarc", str_of(dmarc_policy_name(c->dmarc.policy)));
}

static void write_field(struct session *s, const struct sender_check *c, struct buf *front)
{
	CLEANUP(buf_release) struct buf field = BUF_WITH_LIMIT(FIELD_MAX);
	buf_printf(&field, "Authentication-Results: %s", session_config(s)->hostname);
	size_t length = field.length;
	if (wants(c, CONFIG_CHECK_IPREV))
		add_iprev(s, &field);
	add_lists(s, &field);
	if (wants(c, CONFIG_CHECK_SPF))
		add_spf(s, c, &field);
	if (c->verifier)
		add_dkim(c, &field);
	if (wants(c, CONFIG_CHECK_DMARC))
		add_dmarc(c, &field);
	if (field.length == length)
		buf_add_str(&field, STR("; none")); /* RFC 8601 §2.2 */
	buf_add_str(&field, STR("\r\n"));
	if (!field.overflowed)
		buf_add_str(front, buf_str(&field));
}

/* ---- what follows from it ---- */

static const struct smtp_reply *refuse(struct sender_check *c, const char *enhanced, struct str text)
{
	c->refusal = (struct smtp_reply){ 550, enhanced, text.data };
	return &c->refusal;
}

/* What the administrator wants for that domain: the entry of the longest name that it is within. NULL: nothing of its
 * own. */
static const struct config_domain_policy *policy_of(const struct config *config, struct str domain)
{
	const struct config_domain_policies *list = &config->domain_policies;
	const struct config_domain_policy *best = NULL;
	for (size_t i = 0; i < list->count; i++)
		if (dns_name_is_within(domain, str_of(list->items[i].domain)) &&
		    (!best || strlen(list->items[i].domain) > strlen(best->domain)))
			best = &list->items[i];
	return best;
}

static enum config_domain_action action_of(const struct session *s, const struct sender_check *c)
{
	const struct config_domain_policy *own = policy_of(session_config(s), c->author_domain);
	if (own)
		return own->action;
	if (session_config(s)->dmarc_policy != CONFIG_DMARC_FOLLOW || c->dmarc.policy <= DMARC_POLICY_NONE)
		return CONFIG_DOMAIN_MARK;
	return c->dmarc.policy == DMARC_POLICY_REJECT ? CONFIG_DOMAIN_REJECT : CONFIG_DOMAIN_JUNK;
}

/* RFC 7372 §3.3: what failed was a policy of several checks. */
static const struct smtp_reply *judge(struct session *s, struct sender_check *c, bool *quarantine)
{
	const struct config *config = session_config(s);
	if (wants(c, CONFIG_CHECK_DMARC) && c->author == DMARC_AUTHOR_SEVERAL)
		return refuse(c, "5.7.26", STR("The message has several authors: no policy can speak for it"));
	enum config_domain_action action = c->dmarc.result == DMARC_FAIL ? action_of(s, c) : CONFIG_DOMAIN_MARK;
	if (action == CONFIG_DOMAIN_REJECT)
		return refuse(c, "5.7.26", arena_printf(c->arena,
			"By the DMARC policy of %.*s this message is not from it: neither SPF nor DKIM says so",
		                                        STR_ARG(c->dmarc.policy_domain)));
	bool is_black = config->dnsbl_action == CONFIG_DNSBL_JUNK && host_black(s)->zone;
	*quarantine = action == CONFIG_DOMAIN_JUNK || is_black;
	bool spf_decides = config->spf_fail == CONFIG_SPF_REJECT && c->spf.result == SPF_FAIL &&
	                   c->dmarc.result != DMARC_PASS;
	if (spf_decides) /* RFC 7372 §3.2 */
		return refuse(c, "5.7.23",
		              c->spf.explanation.length
		                  ? arena_copy(c->arena, c->spf.explanation)
		                  : STR("By its SPF record the sender's domain does not send from this address"));
	return NULL;
}

/* ---- what a report tells of it, RFC 9990 ---- */

static enum dmarc_disposition disposition_of(const struct sender_check *c, bool quarantine)
{
	if (c->dmarc.result == DMARC_PASS)
		return c->dmarc.published > DMARC_POLICY_NONE ? DMARC_DISPOSITION_PASS : DMARC_DISPOSITION_NONE;
	return c->refused ? DMARC_DISPOSITION_REJECT : quarantine ? DMARC_DISPOSITION_QUARANTINE : DMARC_DISPOSITION_NONE;
}

static enum dmarc_override override_of(const struct sender_check *c, enum dmarc_disposition disposition)
{
	static const enum dmarc_disposition asked[DMARC_POLICY_COUNT] = {
		[DMARC_POLICY_QUARANTINE] = DMARC_DISPOSITION_QUARANTINE, [DMARC_POLICY_REJECT] = DMARC_DISPOSITION_REJECT,
	};
	if (c->dmarc.result == DMARC_PASS || disposition == asked[c->dmarc.published])
		return DMARC_OVERRIDE_NONE;
	return disposition == asked[c->dmarc.policy] ? DMARC_OVERRIDE_TEST_MODE : DMARC_OVERRIDE_LOCAL_POLICY;
}

enum { RANKS = 4 };

/* RFC 9990 §3.1.3: which signature is told of first. */
static int rank_of(const struct sender_check *c, const struct dkim_outcome *one)
{
	if (one->result != DKIM_PASS)
		return 3;
	return str_equal_nocase(one->domain, c->author_domain)           ? 0
	       : dns_name_is_within(one->domain, c->dmarc.policy_domain) ? 1
	                                                                 : 2;
}

/* Those that say whose they are. */
static void add_signatures(const struct sender_check *c, struct dmarc_row *row)
{
	for (int rank = 0; rank < RANKS; rank++)
		for (size_t i = 0; i < c->dkim.count && row->signature_count < DMARC_ROW_SIGNATURES_MAX; i++) {
			const struct dkim_outcome *one = &c->dkim.list[i];
			if (rank_of(c, one) == rank && one->domain.length && one->selector.length)
				row->signatures[row->signature_count++] =
					(struct dmarc_row_signature){ one->domain, one->selector, str_of(dkim_result_name(one->result)) };
		}
}

/* Of mail whose domain wants reports. */
static void write_report(const struct session *s, struct sender_check *c, bool quarantine)
{
	const struct dmarc_record *record = &c->dmarc.record;
	struct str sender = s->txn->mail.from.mailbox;
	buf_init(&c->report, DMARC_ROW_MAX);
	if ((c->dmarc.result != DMARC_PASS && c->dmarc.result != DMARC_FAIL) || !record->aggregate.length)
		return;
	const struct dmarc_row_policy policy = {
		.domain = c->dmarc.policy_domain, .rua = record->aggregate, .policy = record->policy,
		.subdomain_policy = record->subdomain_policy, .nonexistent_policy = record->nonexistent_policy,
		.dkim_strict = record->dkim_strict, .spf_strict = record->spf_strict, .testing = record->testing,
		.failure = record->failure,
	};
	struct dmarc_row row = {
		.source = str_of(s->peer), .author = c->author_domain,
		.sender = str_from_index(sender, str_find_last_char(sender, '@') + 1),
		.disposition = disposition_of(c, quarantine), .dkim_aligned = c->dmarc.dkim_aligned,
		.spf_aligned = c->dmarc.spf_aligned,
		.spf_domain = c->spf.domain, .spf_result = str_of(spf_result_name(c->spf.result)),
	};
	row.override = override_of(c, row.disposition);
	add_signatures(c, &row);
	while (!dmarc_row_pack(&c->report, &policy, &row) && row.signature_count > 0)
		row.signature_count--; /* long names are no way out of the report */
}

struct str sender_check_report(const struct sender_check *c, bool refused)
{
	return c && c->refused == refused ? buf_str(&c->report) : (struct str){};
}

const struct smtp_reply *sender_check_finish(struct session *s, struct sender_check *c, struct buf *front,
                                             bool *quarantine)
{
	*quarantine = false;
	if (!c)
		return NULL;
	if (wants(c, CONFIG_CHECK_SPF) || wants(c, CONFIG_CHECK_DMARC))
		check_spf(s, c);
	check_dkim(c);
	if (wants(c, CONFIG_CHECK_DMARC))
		check_dmarc(c);
	write_field(s, c, front);
	const struct smtp_reply *refusal = judge(s, c, quarantine);
	c->refused = refusal != NULL;
	write_report(s, c, *quarantine);
	log_event(LOG_INFO, s->connection, "checked", LOG_TEXT("spf", str_of(spf_result_name(c->spf.result))),
	          LOG_TEXT("dkim", dkim_summary(c)), LOG_TEXT("dmarc", str_of(dmarc_result_name(c->dmarc.result))),
	          LOG_TEXT("author", c->author_domain), LOG_NUMBER("quarantine", *quarantine));
	return refusal;
}
