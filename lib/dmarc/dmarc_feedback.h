/*
 * Reports that others send (RFC 9990, and the older form of RFC 7489): unpacked and read.
 *
 * What comes in is hostile: the unpacked size, the count of rows and the length of texts are bounded, a document type
 * (and with it every entity of its own) is refused, and nothing is fetched. Elements that are not known are passed
 * over. The XML is parsed by expat, in any charset of one octet for each character, and in UTF-8 and UTF-16.
 */
#ifndef POSTHORN_DMARC_DMARC_FEEDBACK_H
#define POSTHORN_DMARC_DMARC_FEEDBACK_H

#include "arena.h"
#include "array.h"
#include "buf.h"
#include "fail.h"

enum {
	DMARC_FEEDBACK_SIZE_MAX = 64 << 20, /* unpacked */
	DMARC_FEEDBACK_ROWS_MAX = 100000,
	DMARC_FEEDBACK_TEXT_MAX = 1000,     /* of an element; longer ones are cut */
	DMARC_FEEDBACK_ARENA_MAX = 1 << 30,
};

/* Texts as they stand in the report. */
struct dmarc_feedback_row {
	struct str source, count, disposition, dkim, spf, reason, comment;
	struct str header_from, envelope_from, envelope_to;
	struct str results; /* "dkim=pass (example.org, selector) spf=fail (example.org)" */
};

struct dmarc_feedback {
	struct str organisation, contact, id, begin, end, error, generator;
	struct str domain, policy, subdomain_policy, nonexistent_policy, testing;
	ARRAY(struct dmarc_feedback_row) rows;
};

/* Gzip (RFC 1952), and of a ZIP archive the first XML file, without one the first file, are unpacked into out, whose
 * limit counts; all else is added as it is. FAIL_CORRUPT, FAIL_TOO_BIG. */
bool dmarc_feedback_unpack(struct str packed, struct buf *out, struct fail **fail);

/* FAIL_INVALID: no XML, or no report. The texts lie in the arena; release it in any case. */
bool dmarc_feedback_read(struct arena *a, struct str xml, struct dmarc_feedback *feedback, struct fail **fail);
void dmarc_feedback_release(struct dmarc_feedback *feedback);

#endif
