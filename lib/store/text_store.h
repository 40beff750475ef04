/*
 * struct text_store: the search text of an account's mail, in files of its directory. There are two of each account:
 * text/NNNN has FIELDS, HEADERS and BODIES of all mails, list/NNNN has ORDER and FIELDS. The second is made of what the
 * store keeps beside the mails, at a tenth of the price, and so sorting, threading and keys of dates and of the usual
 * fields do not wait for the first.
 *
 * It is a cache: what is in it can be made again from the mails at any time, so nothing of it is in a backup, no
 * delivery waits for it, and any damage is answered by throwing it away. A file is a row of groups (text_group.h) and
 * is only appended to.
 *
 * INVARIANTS
 *  1  What is in it is the text of that message number for ever: only mail whose commit is durable is taken up, so that
 *     no power loss gives the number to another mail. store_rebuild, which numbers anew, removes the folders.
 *  2  Groups that are in force do not overlap. Of two that do, the one written later counts: so small groups are
 *     joined, and those with messages that are gone are written again, without changing anything in place.
 *  3  All mail up to a number is in it, or is gone, or could not be read; the rest is said to be missing, and can be
 *     taken up at any time.
 *  4  A file is unlinked only after what takes its place is durable. All else is written without waiting for the
 *     disk; after a power loss the first group that is not whole ends the newest file.
 *
 * Any number of threads may scan while one takes up mail. Memory: 40 octets a group (some 32 messages), and for each
 * scan a few megabytes at most.
 */
#ifndef POSTHORN_STORE_TEXT_STORE_H
#define POSTHORN_STORE_TEXT_STORE_H

#include "store.h"
#include "text_make.h"

struct text_store;
enum text_kind { TEXT_WHOLE, TEXT_LISTED, TEXT_KINDS };

/* The store must not be in recovery, and outlives it. Files are looked at when they are first needed. */
struct text_store *text_store_new(struct store *store, enum text_kind kind);
void text_store_free(struct text_store **text);

/* Takes up mail that is not in it yet, until about octets_max octets of mail were read. *more: there is some left. */
bool text_store_update(struct text_store *text, uint64_t octets_max, bool *more, struct fail **fail);

/* One step of what can wait: taking up new mail, then writing files again that hold little that is still of use.
 * Nothing when somebody else is at it. The last step releases the memory that making texts needs. */
bool text_store_care(struct text_store *text, uint64_t octets_max, bool *more, struct fail **fail);

/* Removes the folders below an account's directory; one that is not there is removed. */
bool text_store_remove(int account_directory, struct fail **fail);

/* A mail, or its first LIMIT_SEARCH_MAIL_MAX octets, which is mail's limit; it is cleared first. FAIL_NOT_FOUND,
 * FAIL_CORRUPT. */
bool text_read_mail(struct store_reader *reader, uint64_t message, struct buf *mail, struct fail **fail);

/* ---- scans ---- */

#define TEXT_BIT(section) (1u << (section))

struct text_wanted {
	const uint64_t *messages; /* ascending */
	size_t count;
	unsigned sections;           /* TEXT_BIT of those that entries are to have */
	unsigned filters;            /* TEXT_BIT of HEADERS and BODIES whose filters are asked; 0: none */
	const struct text_key *key;  /* for them */
};

struct text_scan;
struct text_scan *text_scan_begin(struct text_store *text, const struct text_wanted *wanted, struct fail **fail);
void text_scan_end(struct text_scan **scan); /* for CLEANUP too */

enum text_scanned {
	TEXT_SCAN_END,
	TEXT_SCAN_FOUND,   /* *entry has what is there; a section that a filter denied is empty */
	TEXT_SCAN_MISSING, /* it is not in the text: look at the mail */
};

/* The next of the wanted messages, in their order; those in whose group no filter that is asked knows the key are
 * passed over, unless they were cut. Views live until the next call. */
enum text_scanned text_scan_next(struct text_scan *scan, size_t *index, struct text_entry *entry);

#endif
