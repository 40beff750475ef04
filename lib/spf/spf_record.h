/*
 * An SPF record read into terms (RFC 7208 §4.6, §12), every one checked for its form, also those that will never be
 * looked at.
 */
#ifndef POSTHORN_SPF_SPF_RECORD_H
#define POSTHORN_SPF_SPF_RECORD_H

#include "spf.h"

enum spf_mechanism { SPF_ALL, SPF_INCLUDE, SPF_A, SPF_MX, SPF_PTR, SPF_IP4, SPF_IP6, SPF_EXISTS, SPF_MECHANISM_COUNT };

struct spf_term {
	struct str text;          /* as written */
	enum spf_mechanism mechanism;
	enum spf_result qualifier;
	struct str domain;        /* domain-spec with its macros; data NULL: the current domain */
	struct endpoint address;  /* of ip4 and ip6 */
	unsigned prefix4, prefix6; /* 32 and 128 without */
};

struct spf_record {
	struct spf_term *terms;
	size_t count;
	struct str redirect; /* data NULL: none; so exp */
	struct str exp;
};

/* Does the text begin as a record of this version does (§4.5)? */
bool spf_is_record(struct str text);

/* False: *why says what is wrong with it. */
bool spf_record_parse(struct arena *a, struct str text, struct spf_record *record, const char **why);

/* macro-string, as values of unknown modifiers are; with spaces: explain-string. */
bool spf_macro_is_valid(struct str text, bool explanation);

#endif
