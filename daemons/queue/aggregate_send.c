/* A report is made in the thread of reports, from a copy of the counts, and goes out as mail from the loop's. */
#include "aggregate.h"

#include "clock.h"
#include "date.h"
#include "dmarc_report.h"
#include "dns_link.h"
#include "gzip.h"
#include "log.h"
#include "mem.h"
#include "submit.h"
#include "transfer.h"

#include <inttypes.h>
#include <stdlib.h>

enum { REPORT_ARENA_MAX = 512 << 20, XML_MAX = 32 << 20, PACKED_MAX = 700000, RETRY_DNS = 3600, RETRY_MAIL = 600 };

struct counted {
	struct str row;
	uint64_t count;
};

struct aggregate_report {
	struct job job;
	struct queue *queue;
	struct aggregate *aggregate;
	struct arena *arena;
	struct dmarc_report facts;
	struct counted *rows;
	size_t row_count;
	/* the job's answer */
	bool dns_failed;
	struct buf packed;       /* gzip */
	struct str addresses[DMARC_DESTINATIONS_MAX];
	size_t address_count;
	/* sending */
	size_t next;
	struct submission submission;
};

/* ---- in the thread ---- */

static void write_xml(const struct aggregate_report *r, size_t row_count, struct buf *xml)
{
	struct dmarc_row row;
	dmarc_report_begin(xml, &r->facts);
	for (size_t i = 0; i < row_count; i++)
		if (dmarc_row_read(r->rows[i].row, &row))
			dmarc_report_row(xml, &row, r->rows[i].count);
	dmarc_report_end(xml);
}

/* Rows that would make it too long for a mail are left out: half of them, until it fits. */
static void make(struct aggregate_report *r)
{
	for (size_t rows = r->row_count; rows > 0; rows /= 2) {
		CLEANUP(buf_release) struct buf xml = BUF_WITH_LIMIT(XML_MAX);
		if (rows < r->row_count)
			r->facts.error = STR("The report was too long: rows were left out");
		write_xml(r, rows, &xml);
		buf_clear(&r->packed);
		if (!xml.overflowed && gzip_pack(&r->packed, buf_str(&xml), PACKED_MAX))
			return;
	}
	r->address_count = 0;
}

static void run(struct job *job)
{
	struct aggregate_report *r = (struct aggregate_report *)job;
	struct dns_link *link = r->queue->aggregates->dns;
	struct dns_source dns = dns_link_source(link);
	dns_link_forget(link);
	r->dns_failed = !dmarc_destinations(r->arena, &dns, r->facts.policy.domain, r->facts.policy.rua, r->addresses,
	                                    &r->address_count);
	if (!r->dns_failed && r->address_count)
		make(r);
}

/* ---- the mail ---- */

static void write_header(struct buf *text, const struct aggregate_report *r)
{
	const struct dmarc_report *facts = &r->facts;
	const char *host = r->queue->daemon.config.hostname;
	buf_printf(text, "From: DMARC reports <%.*s>\r\nTo: <%.*s>\r\nDate: ", STR_ARG(facts->contact),
	           STR_ARG(r->addresses[r->next]));
	date_format(text, (struct date){ .seconds = clock_wall_seconds() });
	buf_printf(text,
	           "\r\nSubject: Report Domain: %.*s\r\n Submitter: %s\r\n Report-ID: <%.*s>\r\nMessage-ID: <%zu.%.*s>\r\n",
	           STR_ARG(facts->policy.domain), host, STR_ARG(facts->id), r->next, STR_ARG(facts->id));
	buf_add_str(text, STR("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n")); /* RFC 3834 §5 */
}

static void write_text(struct buf *text, const struct aggregate_report *r)
{
	static const char boundary[] = "=_report";
	CLEANUP(buf_release) struct buf name = BUF_WITH_LIMIT(1000);
	struct transfer_encoder encoder;
	dmarc_report_name(&name, &r->facts);
	write_header(text, r);
	buf_printf(text, "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n",
	           boundary, boundary);
	buf_printf(text, "This is a DMARC aggregate report (RFC 9990) of %s about mail\r\nthat came under the name of %.*s.\r\n\r\n--%s\r\n",
	           r->queue->daemon.config.hostname, STR_ARG(r->facts.policy.domain), boundary);
	buf_printf(text, "Content-Type: application/gzip\r\nContent-Transfer-Encoding: base64\r\n"
	                 "Content-Disposition: attachment;\r\n filename=\"%.*s\"\r\n\r\n", STR_ARG(buf_str(&name)));
	transfer_encode_begin(&encoder, TRANSFER_BASE64, false);
	transfer_encode(&encoder, buf_str(&r->packed), text);
	transfer_encode_finish(&encoder, text);
	buf_printf(text, "\r\n--%s--\r\n", boundary);
}

static void end(struct aggregate_report *r, int64_t retry_seconds)
{
	struct queue *q = r->queue;
	r->aggregate->busy = false;
	r->aggregate->not_before = clock_wall_seconds() + retry_seconds;
	if (!retry_seconds)
		aggregate_forget(q, r->aggregate);
	q->aggregates->report = NULL;
	buf_release(&r->packed);
	arena_free(r->arena);
	free(r);
}

static void submitted(struct submission *s, enum submit_outcome outcome);

static void send_next(struct aggregate_report *r)
{
	if (r->next == r->address_count) {
		end(r, 0);
		return;
	}
	r->submission = (struct submission){
		.queue = r->queue, .recipient = r->addresses[r->next], .notify = ENVELOPE_NOTIFY_NEVER, .done = submitted,
		.owner = r,
	};
	buf_init(&r->submission.text, LIMIT_INLINE_BODY_MAX);
	write_text(&r->submission.text, r);
	submit_mail(&r->submission);
}

static void submitted(struct submission *s, enum submit_outcome outcome)
{
	struct aggregate_report *r = s->owner;
	buf_release(&s->text);
	if (outcome == SUBMIT_LATER) {
		end(r, RETRY_MAIL);
		return;
	}
	log_event(LOG_INFO, 0, outcome == SUBMIT_DURABLE ? "dmarc-report-sent" : "dmarc-report-unwanted",
	          LOG_TEXT("domain", r->facts.policy.domain), LOG_TEXT("to", r->addresses[r->next]),
	          LOG_NUMBER("rows", r->row_count));
	r->next++;
	send_next(r);
}

static void made(struct job *job)
{
	struct aggregate_report *r = (struct aggregate_report *)job;
	struct dns_link *link = r->queue->aggregates->dns; /* the thread is idle, and has only this one job */
	if (link->failed)
		daemon_report(&r->queue->daemon, ROLE_RESOLVER, 0);
	link->failed = false;
	if (r->dns_failed) {
		end(r, RETRY_DNS);
		return;
	}
	if (!r->address_count)
		log_event(LOG_INFO, 0, "dmarc-report-unwanted", LOG_TEXT("domain", r->facts.policy.domain),
		          LOG_TEXT("rua", r->facts.policy.rua));
	send_next(r);
}

/* ---- the beginning ---- */

static void copy_rows(struct aggregate_report *r, const struct aggregate *a)
{
	size_t position = 0;
	struct str row;
	void *count;
	r->rows = arena_alloc_array(r->arena, map_count(a->rows), sizeof *r->rows);
	while (map_next(a->rows, &position, &row, &count))
		r->rows[r->row_count++] = (struct counted){ arena_copy(r->arena, row), *(uint64_t *)count };
}

static void state_facts(struct aggregate_report *r, const struct aggregate *a)
{
	const char *host = r->queue->daemon.config.hostname;
	int64_t last = (a->day + 1) * AGGREGATE_DAY - 1, now = clock_wall_seconds();
	struct dmarc_report *f = &r->facts;
	must(dmarc_row_policy_read(arena_copy(r->arena, a->policy), &f->policy));
	f->organisation = arena_copy(r->arena, str_of(host));
	f->contact = arena_printf(r->arena, "postmaster@%s", host);
	f->begin = a->begin;
	f->end = now < last ? now : last;
	f->id = arena_printf(r->arena, "%" PRId64 ".%" PRId64 ".%.*s@%s", f->begin, f->end, STR_ARG(f->policy.domain),
	                     host);
	f->generator = STR("Posthorn " POSTHORN_VERSION);
	if (a->left_out)
		f->error = arena_printf(r->arena, "%" PRIu64 " messages were not counted: there were too many different ones",
		                        a->left_out);
}

void aggregate_send(struct queue *q, struct aggregate *a)
{
	struct aggregate_report *r = mem_alloc(sizeof *r);
	must(!q->aggregates->report);
	q->aggregates->report = r;
	a->busy = true;
	r->queue = q;
	r->aggregate = a;
	r->arena = arena_new(REPORT_ARENA_MAX);
	r->job = (struct job){ .run = run, .done = made };
	buf_init(&r->packed, PACKED_MAX);
	copy_rows(r, a);
	state_facts(r, a);
	worker_give(&q->aggregates->worker, &r->job);
}
