/*
 * Lists of tags: `v=1; a=rsa-sha256; …` (RFC 6376 §3.2), as signatures, key records and DMARC records have them.
 *
 * Values are views of the text, trimmed, with folding inside as it came. A list that breaks the form is no list at
 * all; of a tag that stands twice likewise. At most DKIM_TAGS_MAX tags.
 */
#ifndef POSTHORN_DKIM_DKIM_TAG_H
#define POSTHORN_DKIM_DKIM_TAG_H

#include "arena.h"
#include "buf.h"

enum { DKIM_TAGS_MAX = 50 };

struct dkim_tag {
	struct str name;
	struct str value;
};

struct dkim_tags {
	struct dkim_tag list[DKIM_TAGS_MAX];
	size_t count;
};

/* False when it has not the form. */
bool dkim_tags_parse(struct str text, struct dkim_tags *tags);

/* The value of a tag, whose names have a case; data NULL when it is not there. */
struct str dkim_tag_value(const struct dkim_tags *tags, struct str name);

/* The value without any white space: base64, lists of names. In the arena. */
struct str dkim_tag_packed(struct arena *a, const struct dkim_tags *tags, struct str name);

/* Is the word (any case) one of those in a colon-separated list? */
bool dkim_list_has(struct str list, struct str word);

#endif
