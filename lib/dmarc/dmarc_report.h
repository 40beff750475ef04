/*
 * DMARC aggregate reports (RFC 9990), as a receiver of mail makes them: what one message adds to a report, the
 * report's XML, and who may get it.
 *
 * A row is packed where the message is checked and counted where the reports are kept: equal octets are one row. It
 * has two parts, so that a policy that changes during the day does not part the rows. Unpacking takes only what
 * packing can have made. Texts in a row come from strangers: they are bounded here, and escaped in the XML.
 */
#ifndef POSTHORN_DMARC_DMARC_REPORT_H
#define POSTHORN_DMARC_DMARC_REPORT_H

#include "dmarc.h"
#include "fail.h"

enum { DMARC_ROW_MAX = 4000, DMARC_ROW_PART_MAX = 2000, DMARC_ROW_SIGNATURES_MAX = 10, DMARC_DESTINATIONS_MAX = 5 };

enum dmarc_disposition {
	DMARC_DISPOSITION_NONE,
	DMARC_DISPOSITION_PASS,
	DMARC_DISPOSITION_QUARANTINE,
	DMARC_DISPOSITION_REJECT,
	DMARC_DISPOSITION_COUNT
};

/* Why that is not what the policy asks for. */
enum dmarc_override { DMARC_OVERRIDE_NONE, DMARC_OVERRIDE_LOCAL_POLICY, DMARC_OVERRIDE_TEST_MODE,
	DMARC_OVERRIDE_COUNT };

/* What was published. */
struct dmarc_row_policy {
	struct str domain;  /* where the record stands */
	struct str rua;     /* as published */
	enum dmarc_policy policy, subdomain_policy, nonexistent_policy;
	bool dkim_strict, spf_strict, testing;
	unsigned failure;   /* enum dmarc_failure */
};

struct dmarc_row_signature {
	struct str domain, selector, result; /* result as in RFC 8601 §2.7.1 */
};

/* What was found in a message. */
struct dmarc_row {
	struct str source;          /* IP address */
	struct str author;          /* domain of From */
	struct str sender;          /* domain of MAIL FROM; empty for the null sender */
	enum dmarc_disposition disposition;
	enum dmarc_override override;
	bool dkim_aligned, spf_aligned;
	struct str spf_domain, spf_result; /* empty: not looked at */
	struct dmarc_row_signature signatures[DMARC_ROW_SIGNATURES_MAX];
	size_t signature_count;
};

/* At most DMARC_ROW_MAX octets are added, of which DMARC_ROW_PART_MAX tell of the message; false when it would be
 * more. A row without signatures always fits. */
bool dmarc_row_pack(struct buf *out, const struct dmarc_row_policy *policy, const struct dmarc_row *row);

/* The two parts; and each read. Views. */
bool dmarc_row_split(struct str packed, struct str *policy, struct str *row);
bool dmarc_row_policy_read(struct str part, struct dmarc_row_policy *policy);
bool dmarc_row_read(struct str part, struct dmarc_row *row);

/* ---- the report ---- */

struct dmarc_report {
	struct str organisation; /* who makes it: a domain */
	struct str contact;      /* an address */
	struct str id;           /* dot-atom */
	struct str generator;
	struct str error;        /* or empty */
	int64_t begin, end;      /* wall clock, seconds; both included */
	struct dmarc_row_policy policy;
};

/* A beginning, rows, and an end; out's limit bounds it (buf.h). */
void dmarc_report_begin(struct buf *out, const struct dmarc_report *report);
void dmarc_report_row(struct buf *out, const struct dmarc_row *row, uint64_t count);
void dmarc_report_end(struct buf *out);

/* "mail.example.org!example.com!begin!end.xml.gz" */
void dmarc_report_name(struct buf *out, const struct dmarc_report *report);

/* ---- who gets it ---- */

/* The addresses of rua that take reports about the domain: those of its own organization, and those whose domain says
 * that it wants them (RFC 9990, "Verifying External Destinations"); in the arena. False when the DNS failed for now. */
bool dmarc_destinations(struct arena *a, const struct dns_source *dns, struct str policy_domain, struct str rua,
                        struct str addresses[DMARC_DESTINATIONS_MAX], size_t *count);

#endif
