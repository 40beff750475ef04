#include "content.h"

#include "address.h"
#include "dns.h"
#include "header.h"
#include "limits.h"

static void add_authors(struct arena *arena, struct str value, struct content_author ***end,
                        struct content_facts *facts)
{
	struct address_list list = {};
	address_parse(arena, value, LIMIT_ADDRESSES_MAX, &list);
	for (const struct address *a = list.first; a; a = a->next) {
		if (!address_is_mailbox(a) || a->host.length == 0)
			continue;
		struct content_author *author = arena_alloc(arena, sizeof *author);
		author->address = arena_printf(arena, "%.*s@%.*s", STR_ARG(a->mailbox), STR_ARG(a->host));
		if (!facts->authors && !dns_name_normalise(arena, a->host, &facts->author_domain))
			facts->author_domain = (struct str){};
		**end = author;
		*end = &author->next;
	}
}

/* RFC 6376 §3.5, RFC 8617 §4.1; RFC 1847 §2.1 says why a signed part must not be re-encoded on its way. */
static bool is_signature(const struct header_field *field)
{
	if (field->id == HEADER_CONTENT_TYPE)
		return str_starts_nocase(str_trim(field->value), STR("multipart/signed"));
	return field->id == HEADER_OTHER && (str_equal_nocase(field->name, STR("DKIM-Signature")) ||
	                                     str_equal_nocase(field->name, STR("ARC-Message-Signature")));
}

static bool says_tls_optional(const struct header_field *field)
{
	return field->id == HEADER_OTHER && str_equal_nocase(field->name, STR("TLS-Required")) &&
	       str_equal_nocase(str_trim(field->value), STR("No"));
}

void content_look(struct arena *arena, struct str text, struct content_facts *facts)
{
	struct content_author **end = &facts->authors;
	struct header_reader reader;
	struct header_field field;
	*facts = (struct content_facts){};
	header_begin(&reader, text);
	while (header_next(&reader, &field)) {
		if (field.id == HEADER_FROM)
			add_authors(arena, field.value, &end, facts);
		facts->is_signed |= is_signature(&field);
		facts->tls_optional |= says_tls_optional(&field);
	}
	facts->has_8bit = content_is_8bit(text);
}

/* Without a branch per octet: the compiler takes many at once. */
bool content_is_8bit(struct str piece)
{
	enum { STRIDE = 4096 };
	unsigned char seen = 0;
	for (size_t i = 0; i < piece.length && seen < 0x80;) {
		size_t end = piece.length - i < STRIDE ? piece.length : i + STRIDE;
		for (; i < end; i++)
			seen |= (unsigned char)piece.data[i];
	}
	return seen >= 0x80;
}
