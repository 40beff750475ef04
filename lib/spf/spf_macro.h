/*
 * Macros of SPF records (RFC 7208 §7). What they stand for comes from strangers; what does not fit into out, whose
 * limit the caller chooses, fails. The DNS is asked only for what a macro needs.
 */
#ifndef POSTHORN_SPF_SPF_MACRO_H
#define POSTHORN_SPF_SPF_MACRO_H

#include "spf.h"

struct spf_macro_values {
	const struct spf_request *request;
	struct str sender; /* with its local part */
	struct str domain; /* <domain> */
	/* The validated name of the client, asked for when it is needed. */
	struct str (*validated_name)(void *context);
	void *context;
};

/* The text, whose form was checked, with its macros replaced. False when it does not fit into out. */
bool spf_macro_expand(struct buf *out, struct str text, const struct spf_macro_values *values);

/* The same for a name that is asked: labels go from its left until it has 253 octets at most (§7.3), blanks are
 * written \032. */
bool spf_macro_expand_name(struct buf *out, struct str text, const struct spf_macro_values *values);

#endif
