#include "header.h"

#include "limits.h"
#include "line.h"

/* In the order of the enum. */
static const struct str names[HEADER_NAME_COUNT] = {
	[HEADER_BCC] = STR("Bcc"),
	[HEADER_CC] = STR("Cc"),
	[HEADER_COMMENTS] = STR("Comments"),
	[HEADER_CONTENT_BASE] = STR("Content-Base"),
	[HEADER_CONTENT_DESCRIPTION] = STR("Content-Description"),
	[HEADER_CONTENT_DISPOSITION] = STR("Content-Disposition"),
	[HEADER_CONTENT_ID] = STR("Content-ID"),
	[HEADER_CONTENT_LANGUAGE] = STR("Content-Language"),
	[HEADER_CONTENT_LOCATION] = STR("Content-Location"),
	[HEADER_CONTENT_MD5] = STR("Content-MD5"),
	[HEADER_CONTENT_TRANSFER_ENCODING] = STR("Content-Transfer-Encoding"),
	[HEADER_CONTENT_TYPE] = STR("Content-Type"),
	[HEADER_DATE] = STR("Date"),
	[HEADER_DELIVERED_TO] = STR("Delivered-To"),
	[HEADER_FROM] = STR("From"),
	[HEADER_IMPORTANCE] = STR("Importance"),
	[HEADER_IN_REPLY_TO] = STR("In-Reply-To"),
	[HEADER_KEYWORDS] = STR("Keywords"),
	[HEADER_LIST_ID] = STR("List-Id"),
	[HEADER_LIST_POST] = STR("List-Post"),
	[HEADER_LIST_UNSUBSCRIBE] = STR("List-Unsubscribe"),
	[HEADER_MESSAGE_ID] = STR("Message-ID"),
	[HEADER_MIME_VERSION] = STR("MIME-Version"),
	[HEADER_NEWSGROUPS] = STR("Newsgroups"),
	[HEADER_PRECEDENCE] = STR("Precedence"),
	[HEADER_PRIORITY] = STR("Priority"),
	[HEADER_RECEIVED] = STR("Received"),
	[HEADER_REFERENCES] = STR("References"),
	[HEADER_REPLY_TO] = STR("Reply-To"),
	[HEADER_RESENT_BCC] = STR("Resent-Bcc"),
	[HEADER_RESENT_CC] = STR("Resent-Cc"),
	[HEADER_RESENT_FROM] = STR("Resent-From"),
	[HEADER_RESENT_MESSAGE_ID] = STR("Resent-Message-ID"),
	[HEADER_RESENT_REPLY_TO] = STR("Resent-Reply-To"),
	[HEADER_RESENT_SENDER] = STR("Resent-Sender"),
	[HEADER_RESENT_TO] = STR("Resent-To"),
	[HEADER_RETURN_PATH] = STR("Return-Path"),
	[HEADER_SENDER] = STR("Sender"),
	[HEADER_SUBJECT] = STR("Subject"),
	[HEADER_TO] = STR("To"),
	[HEADER_USER_AGENT] = STR("User-Agent"),
	[HEADER_X_MAILER] = STR("X-Mailer"),
	[HEADER_X_PRIORITY] = STR("X-Priority"),
	[HEADER_X_SPAM_FLAG] = STR("X-Spam-Flag"),
};

struct str header_name_text(enum header_name id)
{
	return names[id];
}

enum header_name header_name_find(struct str name)
{
	if (name.length < 2 || name.length > 25)
		return HEADER_OTHER;
	char last = char_lower(name.data[name.length - 1]);
	for (enum header_name id = 1; id < HEADER_NAME_COUNT; id++)
		if (names[id].length == name.length && char_lower(names[id].data[name.length - 1]) == last &&
		    str_equal_nocase(names[id], name))
			return id;
	return HEADER_OTHER;
}

void header_begin(struct header_reader *r, struct str text)
{
	*r = (struct header_reader){ .text = text, .terminator = line_terminator(text) };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* RFC 5322 §3.6.8 ftext, and bytes of RFC 6532 and worse. */
static bool is_name_char(char c)
{
	return ((unsigned char)c > 0x20 && c != ':' && c != 0x7f);
}

/* Index of the colon of a field line, with *name_length before it; 0 when it is none. */
static size_t find_colon(struct str line, size_t *name_length)
{
	size_t i = 0;
	while (i < line.length && is_name_char(line.data[i]))
		i++;
	*name_length = i;
	while (i < line.length && is_blank(line.data[i])) /* RFC 5322 §4.5.8 */
		i++;
	return *name_length && i < line.length && line.data[i] == ':' ? i : 0;
}

static bool is_field_at(const struct header_reader *r, size_t start)
{
	size_t name_length;
	size_t next = line_next(r->text, start, r->terminator);
	return find_colon(line_content(r->text, start, next, r->terminator), &name_length) != 0;
}

static bool may_pass_over(const struct header_reader *r, struct str line, size_t next)
{
	if (r->position == 0 && (str_starts(line, STR("From ")) || str_starts(line, STR(">From "))))
		return true;
	return is_field_at(r, next);
}

static size_t skip_continuations(const struct header_reader *r, size_t next)
{
	while (next < r->text.length && is_blank(r->text.data[next]))
		next = line_next(r->text, next, r->terminator);
	return next;
}

static void fill_field(const struct header_reader *r, struct header_field *field, size_t name_length, size_t colon,
                       size_t next)
{
	size_t start = r->position;
	struct str whole = line_content(r->text, start, next, r->terminator);
	if (start < LIMIT_HEADER_SIZE_MAX)
		whole = str_first(whole, LIMIT_HEADER_SIZE_MAX - start);
	field->name = str_first(whole, name_length);
	field->value = str_from_index(whole, colon + 1);
	field->offset = start;
	field->length = next - start;
}

/* The next field, however far behind the limits. */
static bool next_field(struct header_reader *r, struct header_field *field)
{
	while (!r->ended && r->position < r->text.length) {
		size_t name_length, next = line_next(r->text, r->position, r->terminator);
		struct str line = line_content(r->text, r->position, next, r->terminator);
		size_t colon = find_colon(line, &name_length);
		if (colon) {
			next = skip_continuations(r, next);
			fill_field(r, field, name_length, colon, next);
			r->position = next;
			r->fields++;
			return true;
		}
		if (line.length == 0 || !may_pass_over(r, line, next)) {
			r->ended = true;
			if (line.length == 0)
				r->position = next;
			return false;
		}
		r->position = next;
	}
	r->ended = true;
	return false;
}

bool header_next(struct header_reader *r, struct header_field *field)
{
	if (r->fields >= LIMIT_HEADER_FIELDS_MAX || r->position >= LIMIT_HEADER_SIZE_MAX)
		return false;
	if (!next_field(r, field) || field->offset >= LIMIT_HEADER_SIZE_MAX)
		return false;
	field->id = header_name_find(field->name);
	return true;
}

size_t header_finish(struct header_reader *r)
{
	struct header_field field;
	while (next_field(r, &field))
		continue;
	return r->position;
}

size_t header_size(struct str text)
{
	struct header_reader r;
	header_begin(&r, text);
	return header_finish(&r);
}

bool header_find(struct str text, struct str name, struct header_field *field)
{
	struct header_reader r;
	header_begin(&r, text);
	while (header_next(&r, field))
		if (str_equal_nocase(field->name, name))
			return true;
	return false;
}

static bool needs_unfolding(struct str value)
{
	return value.length && (memchr(value.data, '\n', value.length) || memchr(value.data, '\r', value.length) ||
	                        memchr(value.data, '\0', value.length));
}

/* A line break before a blank goes; any other control that would break a line becomes a blank. */
static size_t unfold_into(char *out, struct str value)
{
	size_t length = 0;
	for (size_t i = 0; i < value.length; i++) {
		char c = value.data[i];
		if (c != '\r' && c != '\n' && c != '\0') {
			out[length++] = c;
			continue;
		}
		if (c == '\r' && i + 1 < value.length && value.data[i + 1] == '\n')
			i++;
		if (c == '\0' || i + 1 >= value.length || !is_blank(value.data[i + 1]))
			out[length++] = ' ';
	}
	return length;
}

struct str header_unfold(struct arena *a, struct str value)
{
	value = str_trim(value);
	if (!needs_unfolding(value))
		return value;
	char *out = arena_alloc(a, value.length);
	return str_trim(str_from(out, unfold_into(out, value)));
}

void header_unfold_add(struct buf *out, struct str value)
{
	char *room = buf_reserve(out, value.length);
	if (room)
		buf_claim(out, unfold_into(room, value));
}
