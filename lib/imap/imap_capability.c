#include "imap_capability.h"

#define ALWAYS IMAP_ANY_STATE
#define INSIDE IMAP_LOGGED_IN

/* In the order in which they are told. What a client needs to know before log-in is told there already. */
static const struct {
	const char *name;
	unsigned states; /* of enum imap_state */
} capabilities[] = {
	{ "IMAP4rev1", ALWAYS },                   /* RFC 3501 */
	{ "IMAP4rev2", ALWAYS },                   /* RFC 9051 */
	{ "LITERAL-", IMAP_NOT_AUTHENTICATED },    /* RFC 7888 §5: never both */
	{ "LITERAL+", INSIDE },
	{ "LOGIN-REFERRALS", IMAP_NOT_AUTHENTICATED }, /* RFC 2221 */
	{ "SASL-IR", IMAP_NOT_AUTHENTICATED },     /* RFC 4959 */
	{ "ENABLE", ALWAYS },                      /* RFC 5161 */
	{ "ID", ALWAYS },                          /* RFC 2971 */
	{ "IDLE", ALWAYS },                        /* RFC 2177 */
	{ "LANGUAGE", ALWAYS },                    /* RFC 5255 */
	{ "UNSELECT", INSIDE },                    /* RFC 3691 */
	{ "UIDPLUS", INSIDE },                     /* RFC 4315 */
	{ "MOVE", INSIDE },                        /* RFC 6851 */
	{ "MULTIAPPEND", INSIDE },                 /* RFC 3502 */
	{ "CATENATE", INSIDE },                    /* RFC 4469 */
	{ "CONDSTORE", INSIDE },                   /* RFC 7162 §3.1 */
	{ "QRESYNC", INSIDE },                     /* RFC 7162 §3.2 */
	{ "UTF8=ACCEPT", INSIDE },                 /* RFC 6855 */
	{ "REPLACE", INSIDE },                     /* RFC 8508 */
	{ "UIDONLY", INSIDE },                     /* RFC 9586 */
	{ "UNAUTHENTICATE", INSIDE },              /* RFC 8437 */
	{ "NAMESPACE", INSIDE },                   /* RFC 2342 */
	{ "CHILDREN", INSIDE },                    /* RFC 3348 */
	{ "LIST-EXTENDED", INSIDE },               /* RFC 5258 */
	{ "LIST-STATUS", INSIDE },                 /* RFC 5819 */
	{ "LIST-METADATA", INSIDE },               /* RFC 9590 */
	{ "SPECIAL-USE", INSIDE },                 /* RFC 6154 */
	{ "CREATE-SPECIAL-USE", INSIDE },
	{ "STATUS=SIZE", INSIDE },                 /* RFC 8438 */
	{ "STATUS=DELETED", INSIDE },              /* RFC 9051 §6.3.11 */
	{ "QUOTA", INSIDE },                       /* RFC 9208 */
	{ "QUOTASET", INSIDE },                    /* RFC 9208 §4.1.3 */
	{ "QUOTA=RES-STORAGE", INSIDE },
	{ "QUOTA=RES-MESSAGE", INSIDE },
	{ "METADATA", INSIDE },                    /* RFC 5464 */
	{ "METADATA-SERVER", INSIDE },
	{ "BINARY", INSIDE },                      /* RFC 3516 */
	{ "OBJECTID", INSIDE },                    /* RFC 8474 */
	{ "SAVEDATE", INSIDE },                    /* RFC 8514 */
	{ "PREVIEW", INSIDE },                     /* RFC 8970 */
	{ "ESEARCH", INSIDE },                     /* RFC 4731 */
	{ "SEARCHRES", INSIDE },                   /* RFC 5182 */
	{ "WITHIN", INSIDE },                      /* RFC 5032 */
	{ "PARTIAL", INSIDE },                     /* RFC 9394 */
	{ "FILTERS", INSIDE },                     /* RFC 5466 */
	{ "SORT", INSIDE },                        /* RFC 5256 */
	{ "SORT=DISPLAY", INSIDE },                /* RFC 5957 */
	{ "ESORT", INSIDE },                       /* RFC 5267 */
	{ "CONTEXT=SEARCH", INSIDE },
	{ "CONTEXT=SORT", INSIDE },
	{ "THREAD=ORDEREDSUBJECT", INSIDE },       /* RFC 5256 */
	{ "THREAD=REFERENCES", INSIDE },
	{ "THREAD=REFS", INSIDE },                 /* draft-ietf-morg-inthread */
	{ "I18NLEVEL=2", INSIDE },                 /* RFC 5255 §4 */
	{ "INPROGRESS", INSIDE },                  /* RFC 9585 */
	{ "NOTIFY", INSIDE },                      /* RFC 5465 */
};

static const struct {
	const char *name;
	enum imap_enable bit;
} enables[] = {
	{ "CONDSTORE", IMAP_ENABLE_CONDSTORE },     /* RFC 7162 §3.1 */
	{ "QRESYNC", IMAP_ENABLE_QRESYNC },         /* RFC 7162 §3.2.3 */
	{ "UTF8=ACCEPT", IMAP_ENABLE_UTF8_ACCEPT }, /* RFC 6855 §3 */
	{ "IMAP4rev2", IMAP_ENABLE_IMAP4REV2 },     /* RFC 9051 §6.3.1 */
	{ "UIDONLY", IMAP_ENABLE_UIDONLY },         /* RFC 9586 §3 */
};

static void add_name(struct buf *out, size_t start, struct str name)
{
	if (out->length > start)
		buf_add_char(out, ' ');
	buf_add_str(out, name);
}

static void add_log_in(struct buf *out, size_t start, const struct imap_offer *offer)
{
	struct str mechanisms = offer->mechanisms, name;
	if (offer->starttls && !offer->tls)
		add_name(out, start, STR("STARTTLS")); /* RFC 9051 §6.2.1 */
	if (!offer->password_allowed)
		add_name(out, start, STR("LOGINDISABLED")); /* RFC 9051 §6.2.3 */
	while (str_take_until(&mechanisms, ' ', &name)) {
		add_name(out, start, STR("AUTH="));
		buf_add_str(out, name);
	}
}

static void add_limit(struct buf *out, size_t start, struct str name, uint64_t limit)
{
	add_name(out, start, name);
	buf_add_u64(out, limit);
}

void imap_capability_write(struct buf *out, const struct imap_offer *offer)
{
	size_t start = out->length;
	for (size_t i = 0; i < COUNT_OF(capabilities); i++)
		if (capabilities[i].states & offer->state)
			add_name(out, start, str_of(capabilities[i].name));
	if (offer->state == IMAP_NOT_AUTHENTICATED) {
		add_log_in(out, start, offer);
		return;
	}
	add_limit(out, start, STR("APPENDLIMIT="), offer->append_limit); /* RFC 7889 §2 */
	if (offer->message_limit)
		add_limit(out, start, STR("MESSAGELIMIT="), offer->message_limit); /* RFC 9738 §3 */
	if (offer->save_limit)
		add_limit(out, start, STR("SAVELIMIT="), offer->save_limit);
	if (!offer->compressed)
		add_name(out, start, STR("COMPRESS=DEFLATE")); /* RFC 4978 §3 */
}

unsigned imap_enable_find(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(enables); i++)
		if (str_equal_nocase(name, str_of(enables[i].name)))
			return enables[i].bit;
	return 0;
}

struct str imap_enable_name(enum imap_enable bit)
{
	for (size_t i = 0; i < COUNT_OF(enables); i++)
		if (enables[i].bit == bit)
			return str_of(enables[i].name);
	return (struct str){};
}
