/*
 * struct message: all that the store keeps of a mail beside its octets, computed once at delivery.
 *
 * message_parse reads the raw text in one pass and cannot fail: any bytes are a message. Everything lies in the
 * arena or is a view of the text, so both must outlive it. An arena of MESSAGE_ARENA_SIZE is enough for any
 * text, since limits.h bounds the counts of what is found.
 */
#ifndef POSTHORN_MAIL_MESSAGE_H
#define POSTHORN_MAIL_MESSAGE_H

#include "date.h"
#include "fail.h"
#include "mime.h"

#define MESSAGE_ARENA_SIZE ((size_t)64 << 20)

enum message_flag {
	MESSAGE_HAS_DATE = 1 << 0,           /* date is from a Date field that could be read */
	MESSAGE_HAS_ATTACHMENT = 1 << 1,     /* a part looks like one, see mime_is_attachment */
	MESSAGE_HAS_8BIT_HEADER = 1 << 2,    /* some header, also of a part, has bytes over 0x7f, see downgrade.h */
	MESSAGE_IS_REPLY = 1 << 3,           /* by its subject: a reply or forward, for RFC 5256 threads */
	MESSAGE_SUBSET_COMPLETE = 1 << 4,    /* subset has every field of the names that it keeps */
	MESSAGE_FLAGS = 31
};

struct message {
	struct mail_envelope envelope;
	struct mime_part *root;
	unsigned flags;
	struct date date;
	size_t received_count;   /* Received fields, RFC 5321 §6.3 */
	struct str base_subject; /* RFC 5256 §2.1 in UTF-8 */
	struct str id;           /* of Message-ID without the angle brackets and needless quotes; empty without */
	struct str *references;  /* ids in the same form: of References, else the first of In-Reply-To */
	size_t reference_count;
	struct str subset; /* whole raw fields, in order, with their names: see message_keeps_field */
};

void message_parse(struct arena *a, struct str text, struct message *message);

/* Is a field of that name among those kept in subset? They are what clients ask for in lists of messages. */
bool message_keeps_field(struct str name);

/*
 * The message as one blob that the store keeps, and back, but for the subset, which the store keeps beside it. The
 * format has a version; unpacking trusts nothing: a damaged blob gives FAIL_CORRUPT. After it the strings are views
 * of the blob. message_unpack_envelope, message_unpack_structure (NULL: it failed) and message_unpack_head (all but
 * the structure) read nothing else, and are fast.
 */
bool message_pack(const struct message *message, struct buf *out);
bool message_unpack(struct arena *a, struct str blob, struct message *message, struct fail **fail) NODISCARD;
bool message_unpack_envelope(struct arena *a, struct str blob, struct mail_envelope *envelope,
                             struct fail **fail) NODISCARD;
bool message_unpack_head(struct arena *a, struct str blob, struct message *message, struct fail **fail) NODISCARD;
struct mime_part *message_unpack_structure(struct arena *a, struct str blob, struct fail **fail) NODISCARD;

#endif
