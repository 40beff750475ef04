/*
 * What SEARCH, SORT and THREAD look for: the search program (RFC 9051 §6.4.4, RFC 3501 §6.4.4) as a flat tree, and
 * the return options in front of it.
 *
 * Keys also of WITHIN (RFC 5032), MODSEQ (RFC 7162 §3.1.5), EMAILID and THREADID (RFC 8474), SAVEDBEFORE, SAVEDON,
 * SAVEDSINCE and SAVEDATESUPPORTED (RFC 8514), FILTER (RFC 5466), UIDAFTER and UIDBEFORE (RFC 9738 §3.2) and "$" (RFC
 * 5182). Return options of RFC 4731, 5182, 5267 and 9394.
 *
 * Parsing takes no recursion: nesting is bounded by LIMIT_IMAP_SEARCH_DEPTH_MAX, keys by LIMIT_IMAP_SEARCH_KEYS_MAX;
 * a chain of NOTs or ORs of any length is one node. NOT is a property of a node; OLD, NEW, SEEN … are made of simpler
 * ones. Everything lies in the parser's arena or is a view of its text.
 */
#ifndef POSTHORN_IMAP_IMAP_SEARCH_KEY_H
#define POSTHORN_IMAP_IMAP_SEARCH_KEY_H

#include "imap_fetch_items.h"
#include "imap_sequence.h"

enum imap_search_op {
	IMAP_KEY_AND,        /* of no children: all messages */
	IMAP_KEY_OR,
	IMAP_KEY_NUMBERS,    /* sequence */
	IMAP_KEY_UIDS,       /* sequence */
	IMAP_KEY_FLAG,       /* number: an enum imap_search_flag */
	IMAP_KEY_KEYWORD,    /* text */
	IMAP_KEY_BEFORE,     /* number: days since 1970, of what the next ones say, too */
	IMAP_KEY_ON,
	IMAP_KEY_SINCE,
	IMAP_KEY_SENT_BEFORE,
	IMAP_KEY_SENT_ON,
	IMAP_KEY_SENT_SINCE,
	IMAP_KEY_SAVED_BEFORE,
	IMAP_KEY_SAVED_ON,
	IMAP_KEY_SAVED_SINCE,
	IMAP_KEY_LARGER,     /* number: octets */
	IMAP_KEY_SMALLER,
	IMAP_KEY_OLDER,      /* number: seconds */
	IMAP_KEY_YOUNGER,
	IMAP_KEY_MODSEQ,     /* number */
	IMAP_KEY_UID_AFTER,  /* number */
	IMAP_KEY_UID_BEFORE, /* number */
	IMAP_KEY_EMAILID,    /* text */
	IMAP_KEY_THREADID,   /* text */
	IMAP_KEY_HEADER,     /* name, text; FROM, TO, CC, BCC and SUBJECT, too */
	IMAP_KEY_BODY,       /* text */
	IMAP_KEY_TEXT,       /* text */
};

enum imap_search_flag {
	IMAP_SEARCH_ANSWERED,
	IMAP_SEARCH_DELETED,
	IMAP_SEARCH_DRAFT,
	IMAP_SEARCH_FLAGGED,
	IMAP_SEARCH_SEEN,
	IMAP_SEARCH_RECENT,
};

struct imap_search_node {
	enum imap_search_op op;
	bool negated;
	uint32_t first, next; /* children and siblings in nodes; 0: none */
	int64_t number;
	struct str name;
	struct str text; /* octets as they came, in the program's charset */
	struct imap_sequence sequence;
};

struct imap_search_program {
	struct imap_search_node *nodes; /* the first is the whole: an AND */
	size_t count;
	struct str charset;       /* given by CHARSET; empty: none, UTF-8 */
	bool uses_modseq;         /* MODSEQ is among them: the answer has the highest one, and CONDSTORE is on */
	bool uses_numbers;        /* message numbers are among them */
	bool uses_filters;
	struct str unknown_filter; /* data not NULL: this one does not exist, or says nothing that can be searched for */
};

/* Gives the criteria of a FILTER, in UTF-8, with a life as long as the arena's; false: there is none of that name. */
struct imap_search_filters {
	bool (*find)(void *context, struct str name, struct str *criteria);
	void *context;
};

/* SEARCH behind its return options: the optional CHARSET, and search-key *(SP search-key) up to the end of the text. A
 * filter that can't be used sets unknown_filter and fails the parser. filters may be NULL: then there are none. */
void imap_parse_search(struct imap_parser *p, const struct imap_search_filters *filters,
                       struct imap_search_program *program);

enum imap_search_option {
	IMAP_RETURN_MIN = 1 << 0,
	IMAP_RETURN_MAX = 1 << 1,
	IMAP_RETURN_ALL = 1 << 2,
	IMAP_RETURN_COUNT = 1 << 3,
	IMAP_RETURN_SAVE = 1 << 4,
	IMAP_RETURN_UPDATE = 1 << 5,
	IMAP_RETURN_CONTEXT = 1 << 6,
	IMAP_RETURN_PARTIAL = 1 << 7,
};

struct imap_search_return {
	bool given;
	unsigned options; /* enum imap_search_option; with an empty list ALL */
	struct imap_partial partial;
	struct str update_items; /* UPDATE (…): FETCH items in parentheses, RFC 5465 §7; empty: none */
};

/* "RETURN (…) " when it is next. A mixture of PARTIAL and ALL is a misfit (RFC 9394 §3.1). */
void imap_parse_search_return(struct imap_parser *p, struct imap_search_return *options);

/* ---- SORT and THREAD, RFC 5256 §3, RFC 5957 ---- */

enum imap_sort_key {
	IMAP_SORT_ARRIVAL,
	IMAP_SORT_CC,
	IMAP_SORT_DATE,
	IMAP_SORT_DISPLAYFROM,
	IMAP_SORT_DISPLAYTO,
	IMAP_SORT_FROM,
	IMAP_SORT_SIZE,
	IMAP_SORT_SUBJECT,
	IMAP_SORT_TO,
	IMAP_SORT_KEYS,
};

struct imap_sort_criterion {
	enum imap_sort_key key;
	bool reverse;
};

struct imap_sort_criteria {
	struct imap_sort_criterion list[2 * IMAP_SORT_KEYS]; /* more would say nothing new */
	size_t count;
};

/* "(REVERSE DATE SUBJECT)" */
void imap_parse_sort_criteria(struct imap_parser *p, struct imap_sort_criteria *criteria);

enum imap_thread_algorithm { IMAP_THREAD_ORDEREDSUBJECT, IMAP_THREAD_REFERENCES, IMAP_THREAD_REFS };

void imap_parse_thread_algorithm(struct imap_parser *p, enum imap_thread_algorithm *algorithm);

/* The charset of SORT and THREAD, which is not optional, and the keys. */
void imap_parse_sort_search(struct imap_parser *p, const struct imap_search_filters *filters,
                            struct imap_search_program *program);

#endif
