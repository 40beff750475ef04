#include "subject.h"

#include "encoded_word.h"
#include "limits.h"

/* Step 1. */
static void normalise(struct buf *out, struct str subject)
{
	CLEANUP(buf_release) struct buf decoded = BUF_WITH_LIMIT(subject.length * 3 + 1);
	bool blank = true;
	encoded_word_decode(&decoded, subject);
	for (size_t i = 0; i < decoded.length; i++) {
		char c = decoded.data[i];
		bool white = c == ' ' || c == '\t' || c == '\r' || c == '\n';
		if (!white || !blank)
			buf_add_char(out, white ? ' ' : c);
		blank = white;
	}
}

/* Step 2. subj-trailer = "(fwd)" / WSP */
static bool remove_trailers(struct str *s)
{
	bool forwarded = false;
	for (;;) {
		if (s->length && s->data[s->length - 1] == ' ') {
			s->length--;
		} else if (str_ends_nocase(*s, STR("(fwd)"))) {
			s->length -= 5;
			forwarded = true;
		} else {
			return forwarded;
		}
	}
}

static size_t blanks(struct str s)
{
	size_t length = 0;
	while (length < s.length && s.data[length] == ' ')
		length++;
	return length;
}

/* subj-blob = "[" *BLOBCHAR "]" *WSP; its length or 0 */
static size_t blob_length(struct str s)
{
	size_t i = 1;
	if (s.length == 0 || s.data[0] != '[')
		return 0;
	while (i < s.length && s.data[i] != '[' && s.data[i] != ']')
		i++;
	if (i >= s.length || s.data[i] == '[')
		return 0;
	return i + 1 + blanks(str_from_index(s, i + 1));
}

/* subj-refwd = ("re" / ("fw" ["d"])) *WSP [subj-blob] ":"; its length or 0 */
static size_t refwd_length(struct str s)
{
	size_t length = str_starts_nocase(s, STR("fwd")) ? 3
	                : str_starts_nocase(s, STR("fw")) || str_starts_nocase(s, STR("re")) ? 2 : 0;
	if (length == 0)
		return 0;
	length += blanks(str_from_index(s, length));
	length += blob_length(str_from_index(s, length));
	return length < s.length && s.data[length] == ':' ? length + 1 : 0;
}

/* Step 3. subj-leader = (*subj-blob subj-refwd) / WSP */
static size_t leader_length(struct str s, bool *is_reply)
{
	size_t length = 0, blob;
	if (s.length && s.data[0] == ' ')
		return 1;
	while ((blob = blob_length(str_from_index(s, length))) > 0)
		length += blob;
	size_t refwd = refwd_length(str_from_index(s, length));
	if (refwd == 0)
		return 0;
	*is_reply = true;
	return length + refwd;
}

/* Steps 3 to 5. */
static void remove_leaders(struct str *s, bool *is_reply)
{
	for (;;) {
		size_t length = leader_length(*s, is_reply);
		if (length == 0) {
			length = blob_length(*s);
			if (length == 0 || length == s->length)
				return;
		}
		*s = str_from_index(*s, length);
	}
}

void subject_base(struct buf *out, struct str subject, bool *is_reply)
{
	subject = str_first(subject, LIMIT_SUBJECT_MAX);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(subject.length * 3 + 1);
	normalise(&text, subject);
	struct str s = buf_str(&text);
	*is_reply = false;
	for (;;) {
		*is_reply |= remove_trailers(&s);
		remove_leaders(&s, is_reply);
		if (!str_starts_nocase(s, STR("[fwd:")) || !str_ends_nocase(s, STR("]"))) /* step 6 */
			break;
		s = str_first(str_from_index(s, 5), s.length - 6);
		*is_reply = true;
	}
	buf_add_str(out, s);
}
