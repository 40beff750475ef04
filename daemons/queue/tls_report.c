#include "tls_report.h"

#include "clock.h"
#include "date.h"
#include "file.h"
#include "gzip.h"
#include "log.h"
#include "mem.h"
#include "state.h"
#include "submit.h"
#include "text.h"
#include "tlsrpt.h"
#include "transfer.h"

#include <inttypes.h>
#include <stdlib.h>

enum { DAY = 86400, KEEP_DAYS = 2, SPREAD = 14400, RETRY_SECONDS = 3600, LOOK_SECONDS = 60, POST_SECONDS_MAX = 120 };
enum { DOMAINS_MAX = 2000, ROWS_MAX = 20000, ROW_OCTETS_MAX = 6000, OCTETS_MAX = 16 << 20, DOMAIN_ROWS_MAX = 500 };
enum { REPORT_ARENA_MAX = 64 << 20, JSON_MAX = 8 << 20, PACKED_MAX = 700000 };

static const char kind[] = "tls-report";

/* What came of connections for one domain on one day. */
struct counted_domain {
	struct counted_domain *next;
	char *domain;
	int64_t day;          /* days since 1970 */
	struct map *rows;     /* packed → uint64_t * */
	bool forced;          /* now, though the day is not over */
	int64_t not_before;   /* wall clock, seconds */
};

/* The one that is under way. */
struct tls_report {
	struct queue *queue;
	struct counted_domain *of;
	struct arena *arena;
	struct tlsrpt_report facts;
	struct buf packed;    /* gzip */
	struct str rua;       /* addresses not tried yet */
	struct buf address;
	enum tlsrpt_scheme scheme;
	struct submission submission;
	uint64_t request;     /* of a post */
	int64_t posted_at;    /* 0: none is waited for */
};

struct tls_reports {
	struct counted_domain *first;
	struct map *by_name;  /* day and domain */
	size_t row_count, octets;
	int64_t next_look;
	uint64_t requests;
	struct tls_report *report; /* or NULL */
};

/* ---- counts ---- */

static void add_name(struct buf *name, int64_t day, struct str domain)
{
	buf_append(name, &day, sizeof day);
	buf_add_str(name, domain);
}

static struct counted_domain *find_or_add(struct queue *q, int64_t day, struct str domain)
{
	struct tls_reports *all = q->tls_reports;
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(sizeof day + LIMIT_DOMAIN_MAX + 1);
	add_name(&name, day, domain);
	struct counted_domain *d = map_get(all->by_name, buf_str(&name));
	if (d || name.overflowed || map_count(all->by_name) >= DOMAINS_MAX)
		return d;
	d = mem_alloc(sizeof *d);
	*d = (struct counted_domain){ .next = all->first, .domain = str_copy(domain), .day = day, .rows = map_new() };
	all->first = d;
	map_set(all->by_name, buf_str(&name), d);
	return d;
}

/* NULL when there is no room. */
static uint64_t *find_row(struct queue *q, struct counted_domain *d, struct str row)
{
	struct tls_reports *all = q->tls_reports;
	uint64_t *count = map_get(d->rows, row);
	if (count || all->row_count >= ROWS_MAX || all->octets + row.length > OCTETS_MAX ||
	    map_count(d->rows) >= DOMAIN_ROWS_MAX)
		return count;
	all->row_count++;
	all->octets += row.length;
	count = mem_alloc(sizeof *count);
	map_set(d->rows, row, count);
	return count;
}

/* The kind of policy, the result, and the texts, each with a NUL behind it. */
static void pack_row(struct buf *row, const struct msg_tls_outcome *o)
{
	const struct str texts[] = { o->policy, o->mx, o->address, o->local, o->reason };
	buf_add_char(row, (char)o->policy_type);
	buf_add_char(row, (char)o->result);
	for (size_t i = 0; i < COUNT_OF(texts); i++) {
		buf_add_str(row, str_first(texts[i], str_find_char(texts[i], '\0')));
		buf_add_char(row, '\0');
	}
}

static bool unpack_row(struct str row, struct tlsrpt_row *out)
{
	struct str *const texts[] = { &out->policy, &out->mx, &out->address, &out->local, &out->reason };
	*out = (struct tlsrpt_row){};
	if (row.length < 2 || (unsigned char)row.data[0] >= TLSRPT_POLICY_TYPE_COUNT ||
	    (unsigned char)row.data[1] >= TLSRPT_RESULT_COUNT)
		return false;
	out->type = (enum tlsrpt_policy_type)row.data[0];
	out->result = (enum tlsrpt_result)row.data[1];
	row = str_from_index(row, 2);
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		if (!str_take_until(&row, '\0', texts[i]))
			return false;
	return row.length == 0;
}

static void add_key(struct buf *key, const struct counted_domain *d, struct str row)
{
	buf_append(key, &d->day, sizeof d->day);
	buf_append(key, d->domain, strlen(d->domain) + 1);
	buf_add_str(key, row);
}

bool tls_report_count(struct queue *q, const struct msg_tls_outcome *outcome)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_OCTETS_MAX), key = BUF_WITH_LIMIT(STATE_KEY_MAX);
	int64_t day = clock_wall_seconds() / DAY;
	if (outcome->policy_type >= TLSRPT_POLICY_TYPE_COUNT || outcome->result >= TLSRPT_RESULT_COUNT ||
	    outcome->domain.length == 0)
		return false;
	if (!q->daemon.config.tls_reports)
		return true;
	pack_row(&row, outcome);
	struct counted_domain *d = row.overflowed ? NULL : find_or_add(q, day, outcome->domain);
	uint64_t *count = d ? find_row(q, d, buf_str(&row)) : NULL;
	if (!count)
		return true;
	++*count;
	add_key(&key, d, buf_str(&row));
	state_put(q, kind, buf_str(&key), MAP_KEY(*count), (day + KEEP_DAYS + 1) * DAY);
	return true;
}

static void load(void *owner, struct str key, struct str value, int64_t expires)
{
	struct queue *q = owner;
	struct str domain;
	int64_t day;
	struct tlsrpt_row read;
	(void)expires;
	if (key.length < sizeof day || value.length != sizeof(uint64_t))
		return;
	memcpy(&day, key.data, sizeof day);
	key = str_from_index(key, sizeof day);
	if (!str_take_until(&key, '\0', &domain) || !unpack_row(key, &read))
		return;
	struct counted_domain *d = find_or_add(q, day, domain);
	uint64_t *count = d ? find_row(q, d, key) : NULL;
	if (count)
		memcpy(count, value.data, sizeof *count);
}

void tls_report_init(struct queue *q)
{
	q->tls_reports = mem_alloc(sizeof *q->tls_reports);
	q->tls_reports->by_name = map_new();
	state_load(q, kind, load, q);
}

static void forget_rows(struct queue *q, struct counted_domain *d)
{
	size_t position = 0;
	struct str row;
	void *count;
	while (map_next(d->rows, &position, &row, &count)) {
		CLEANUP(buf_release) struct buf key = BUF_WITH_LIMIT(STATE_KEY_MAX);
		add_key(&key, d, row);
		state_remove(q, kind, buf_str(&key));
		q->tls_reports->row_count--;
		q->tls_reports->octets -= row.length;
		free(count);
	}
	map_free(d->rows);
}

static void forget(struct queue *q, struct counted_domain *d)
{
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(sizeof d->day + LIMIT_DOMAIN_MAX + 1);
	struct counted_domain **at = &q->tls_reports->first;
	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	add_name(&name, d->day, str_of(d->domain));
	map_remove(q->tls_reports->by_name, buf_str(&name));
	forget_rows(q, d);
	free(d->domain);
	free(d);
}

/* ---- the mail, RFC 8460 §5.3 ---- */

static void write_head(struct buf *text, const struct tls_report *r)
{
	const struct tlsrpt_report *f = &r->facts;
	const char *host = r->queue->daemon.config.hostname;
	buf_printf(text, "From: TLS reports <%.*s>\r\nTo: <%.*s>\r\nDate: ", STR_ARG(f->contact),
	           STR_ARG(buf_str(&r->address)));
	date_format(text, (struct date){ .seconds = clock_wall_seconds() });
	buf_printf(text,
	           "\r\nSubject: Report Domain: %.*s\r\n Submitter: %s\r\n Report-ID: <%.*s>\r\nMessage-ID: <%.*s>\r\n",
	           STR_ARG(f->domain), host, STR_ARG(f->id), STR_ARG(f->id));
	buf_printf(text, "TLS-Report-Domain: %.*s\r\nTLS-Report-Submitter: %s\r\nTLS-Required: No\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n",
	           STR_ARG(f->domain), host);
}

static void write_text(struct buf *text, const struct tls_report *r)
{
	static const char boundary[] = "=_report";
	struct transfer_encoder encoder;
	const struct tlsrpt_report *f = &r->facts;
	write_head(text, r);
	buf_printf(text, "Content-Type: multipart/report; report-type=\"tlsrpt\"; boundary=\"%s\"\r\n\r\n--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
	           boundary, boundary);
	buf_printf(text, "This is an aggregate TLS report (RFC 8460) of %s\r\nabout connections to the mail servers of %.*s.\r\n\r\n--%s\r\n",
	           r->queue->daemon.config.hostname, STR_ARG(f->domain), boundary);
	buf_printf(text, "Content-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment;\r\n"
	                 " filename=\"%s!%.*s!%" PRId64 "!%" PRId64 ".json.gz\"\r\n\r\n",
	           r->queue->daemon.config.hostname, STR_ARG(f->domain), f->begin, f->end);
	transfer_encode_begin(&encoder, TRANSFER_BASE64, false);
	transfer_encode(&encoder, buf_str(&r->packed), text);
	transfer_encode_finish(&encoder, text);
	buf_printf(text, "\r\n--%s--\r\n", boundary);
}

/* ---- sending ---- */

static void try_next(struct tls_report *r);

static void end(struct tls_report *r, bool sent)
{
	struct queue *q = r->queue;
	struct counted_domain *d = r->of;
	q->tls_reports->report = NULL;
	d->forced = false;
	d->not_before = clock_wall_seconds() + RETRY_SECONDS;
	log_event(sent ? LOG_INFO : LOG_WARNING, 0, sent ? "tls-report-sent" : "tls-report-not-sent",
	          LOG_TEXT("domain", str_of(d->domain)),
	          LOG_TEXT("to", buf_str(&r->address)));
	if (sent)
		forget(q, d);
	buf_release(&r->packed);
	buf_release(&r->address);
	arena_free(r->arena);
	free(r);
}

static void submitted(struct submission *s, enum submit_outcome outcome)
{
	struct tls_report *r = s->owner;
	buf_release(&s->text);
	if (outcome == SUBMIT_DURABLE)
		end(r, true);
	else
		try_next(r);
}

static void mail(struct tls_report *r)
{
	r->submission = (struct submission){ .queue = r->queue, .recipient = buf_str(&r->address),
	                                     .notify = ENVELOPE_NOTIFY_NEVER,
		                                 .done = submitted, .owner = r };
	buf_init(&r->submission.text, LIMIT_INLINE_BODY_MAX);
	write_text(&r->submission.text, r);
	submit_mail(&r->submission);
}

static void post(struct tls_report *r)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	int content = file_sealed_memory("report", buf_str(&r->packed), &fail);
	r->request = ++r->queue->tls_reports->requests;
	r->posted_at = clock_monotonic_ms();
	if (content < 0 || !relay_post(r->queue, r->request, buf_str(&r->address), r->packed.length, content))
		r->posted_at = 1; /* as if it were long ago: the tick goes on to the next address */
}

void tls_report_posted(struct queue *q, uint64_t request, unsigned status)
{
	struct tls_report *r = q->tls_reports->report;
	if (!r || !r->posted_at || r->request != request)
		return;
	r->posted_at = 0;
	if (status / 100 == 2)
		end(r, true);
	else
		try_next(r);
}

static void try_next(struct tls_report *r)
{
	if (!tlsrpt_next_uri(&r->rua, &r->scheme, &r->address))
		end(r, false);
	else if (r->scheme == TLSRPT_MAILTO)
		mail(r);
	else
		post(r);
}

/* ---- making ---- */

/* When a domain changed who wants the report, any of them will do. */
static void copy_rows(struct tls_report *r)
{
	const struct counted_domain *d = r->of;
	struct tlsrpt_row *rows = arena_alloc_array(r->arena, map_count(d->rows), sizeof *rows);
	size_t position = 0;
	struct str row;
	void *count;
	while (map_next(d->rows, &position, &row, &count)) {
		struct tlsrpt_row *to = &rows[r->facts.row_count];
		if (!unpack_row(arena_copy(r->arena, row), to))
			continue;
		to->count = *(uint64_t *)count;
		r->rua = tlsrpt_policy_rua(to->policy);
		r->facts.row_count++;
	}
	r->facts.rows = rows;
}

static void state_facts(struct tls_report *r)
{
	const char *host = r->queue->daemon.config.hostname;
	int64_t last = (r->of->day + 1) * DAY - 1, now = clock_wall_seconds();
	struct tlsrpt_report *f = &r->facts;
	f->organisation = str_of(host);
	f->contact = arena_printf(r->arena, "postmaster@%s", host);
	f->domain = arena_copy(r->arena, str_of(r->of->domain));
	f->begin = r->of->day * DAY;
	f->end = now < last ? now : last;
	f->id = arena_printf(r->arena, "%" PRId64 ".%" PRId64 ".%.*s.tls@%s", f->begin, f->end, STR_ARG(f->domain), host);
}

static void begin(struct queue *q, struct counted_domain *d)
{
	CLEANUP(buf_release) struct buf json = BUF_WITH_LIMIT(JSON_MAX);
	struct tls_report *r = mem_alloc(sizeof *r);
	*r = (struct tls_report){ .queue = q, .of = d, .arena = arena_new(REPORT_ARENA_MAX), .packed = BUF_WITH_LIMIT(PACKED_MAX),
		                      .address = BUF_WITH_LIMIT(1000) };
	q->tls_reports->report = r;
	copy_rows(r);
	state_facts(r);
	tlsrpt_write(&json, &r->facts);
	if (json.overflowed || !gzip_pack(&r->packed, buf_str(&json), PACKED_MAX))
		end(r, false);
	else
		try_next(r);
}

/* ---- when ---- */

/* RFC 8460 §4.1: not all hosts of the world at midnight. */
static int64_t spread(const struct queue *q)
{
	unsigned sum = 0;
	for (const char *at = q->daemon.config.hostname; *at; at++)
		sum = sum * 31 + (unsigned char)*at;
	return sum % SPREAD;
}

static bool is_due(const struct queue *q, const struct counted_domain *d, int64_t now)
{
	return d->not_before <= now && (d->forced || now >= (d->day + 1) * DAY + spread(q));
}

void tls_report_tick(struct queue *q)
{
	struct tls_reports *all = q->tls_reports;
	struct tls_report *r = all->report;
	int64_t now = clock_wall_seconds();
	if (r && r->posted_at && clock_monotonic_ms() - r->posted_at > 1000 * POST_SECONDS_MAX) {
		r->posted_at = 0;
		try_next(r);
	}
	if (all->report || now < all->next_look)
		return;
	for (struct counted_domain *d = all->first, *next; d && !all->report; d = next) {
		next = d->next;
		if (now >= (d->day + KEEP_DAYS + 1) * DAY)
			forget(q, d);
		else if (is_due(q, d, now))
			begin(q, d);
	}
	all->next_look = all->report ? now : now + LOOK_SECONDS;
}

/* ---- posthornctl ---- */

static void add_field(struct buf *row, const char *name, struct str value)
{
	buf_append(row, name, strlen(name) + 1);
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

static void tell(struct control *c, const struct counted_domain *d)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(2000), rows = BUF_WITH_LIMIT(20), day = BUF_WITH_LIMIT(20);
	buf_add_u64(&rows, map_count(d->rows));
	buf_add_u64(&day, (uint64_t)(d->day * DAY));
	add_field(&row, "domain", str_of(d->domain));
	add_field(&row, "begin", buf_str(&day));
	add_field(&row, "rows", buf_str(&rows));
	control_row(c, buf_str(&row));
}

void tls_report_control(struct queue *q, struct control *c, struct str words)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct str verb = {}, domain = {};
	str_take_until(&words, '\0', &verb);
	str_take_until(&words, '\0', &domain);
	bool is_send = str_equal(verb, STR("send")), found = false;
	if (!is_send && !str_equal(verb, STR("list")))
		fail_set(&fail, FAIL_INVALID, "tlsrpt list, send");
	for (struct counted_domain *d = q->tls_reports->first; d && !fail; d = d->next) {
		if (domain.length && !str_equal_nocase(str_of(d->domain), domain))
			continue;
		tell(c, d);
		found = true;
		d->forced |= is_send;
		d->not_before = is_send ? 0 : d->not_before;
	}
	if (is_send)
		q->tls_reports->next_look = 0;
	if (!fail && domain.length && !found)
		fail_set(&fail, FAIL_NOT_FOUND, "nothing was counted for %.*s", STR_ARG(domain));
	control_done(c, fail);
}
