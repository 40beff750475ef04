/*
 * The archive: what a backup file is, and what posthornctl and a mailbox process hand each other for export and import.
 *
 *	posthorn archive 1 LF
 *	entry FFFFFFFF SSSSSSSSSSSSSSSS KKKKKKKKKKKKKKKK LF     (lengths of fields and body, check; hexadecimal)
 *	fields: key NUL value NUL …
 *	body, as it is
 *	check KKKKKKKKKKKKKKKK LF                               (of the body)
 *	…
 *	end   NNNNNNNNNNNNNNNN KKKKKKKKKKKKKKKK LF              (number of entries, check)
 *
 * A check is XXH3-64 and begins with the check before it, so that a damaged, missing, doubled or cut-off entry is
 * noticed at once; it is no signature. docs/backup.md says what the entries of a backup are.
 *
 * Both sides are blocking and stream: memory does not depend on what is in an archive. Neither owns its descriptor.
 * The writer is sticky: after a failure every call does nothing, and archive_write_end tells. The reader trusts
 * nothing; what is wrong gives FAIL_CORRUPT, and then it is not to be used any more. The fields of an entry are never
 * doubted by the reader beyond their form: what they mean is the caller's affair.
 */
#ifndef POSTHORN_ARCHIVE_H
#define POSTHORN_ARCHIVE_H

#include "buf.h"
#include "fail.h"

#include <stdint.h>

#define ARCHIVE_FIELDS_MAX 262144 /* octets of the fields of one entry */

/* ---- fields ---- */

/* The value must not contain a NUL; one that does sets overflowed. */
void archive_field_add(struct buf *fields, const char *key, struct str value);
void archive_field_add_number(struct buf *fields, const char *key, uint64_t value);

/* The first value of that key; empty without. */
struct str archive_field(struct str fields, const char *key);

/* The same as a number; 0 without. False when it is no number up to max. */
bool archive_field_number(struct str fields, const char *key, uint64_t max, uint64_t *value);

/* ---- writing ---- */

struct archive_writer {
	int descriptor;
	struct buf waiting; /* not yet written */
	uint64_t check;
	uint64_t entries;
	uint64_t rest; /* octets of the body that are still to come */
	void *hash;    /* of the body */
	struct fail *fail;
};

void archive_write_begin(struct archive_writer *w, int descriptor);
void archive_write_release(struct archive_writer *w); /* for CLEANUP too */

/* An entry whose body has exactly size octets, which follow in any pieces. */
void archive_write_entry(struct archive_writer *w, struct str fields, uint64_t size);
void archive_write_body(struct archive_writer *w, const void *data, size_t length);
bool archive_write_failed(const struct archive_writer *w);

/* The end and all that waits. Without it the archive counts as cut off. */
bool archive_write_end(struct archive_writer *w, struct fail **fail);

/* ---- reading ---- */

struct archive_reader {
	int descriptor;
	struct buf input;
	size_t used; /* of input */
	uint64_t read; /* octets, up to the end of input */
	struct buf fields;
	uint64_t check;
	uint64_t entries;
	uint64_t rest;
	void *hash;
};

enum archive_got { ARCHIVE_ENTRY, ARCHIVE_END, ARCHIVE_FAILED };

/* Reads nothing yet. */
void archive_read_begin(struct archive_reader *r, int descriptor);
void archive_read_release(struct archive_reader *r); /* for CLEANUP too */

/* The next entry; what was not read of the body before is skipped and checked. *fields lives until the next call. */
enum archive_got archive_read_entry(struct archive_reader *r, struct str *fields, uint64_t *size, struct fail **fail);

/* Octets read, 0 at the body's end, which has then been checked; -1 on failure. */
int64_t archive_read_body(struct archive_reader *r, void *data, size_t size, struct fail **fail);

/* The rest of the body, added to out; FAIL_TOO_BIG beyond its limit, and then the body is skipped. */
bool archive_read_all(struct archive_reader *r, struct buf *out, struct fail **fail);

#endif
