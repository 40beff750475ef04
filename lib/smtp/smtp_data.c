#include "smtp_data.h"

#include "limits.h"

/*
 * The search for what deserves a closer look. An octet is plain unless
 *   - it is a CR not followed by an LF, or is not a CR but followed by an LF (both are one comparison), or
 *   - it is an LF followed by a dot.
 * Between two such places content is copied as it is. It is done 16 octets at a time with the compiler's vectors, which
 * run on any target. look is a constant at each call, so that every use gets a loop of its own.
 */
typedef unsigned char octets16 __attribute__((vector_size(16)));

enum look { LOOK_FOR_NOTHING = 0, LOOK_FOR_BARE = 1, LOOK_FOR_DOT = 2 };

struct notes {
	unsigned char high; /* all octets or-ed */
	bool nul;
	uint64_t lines;
};

#define INLINE static inline __attribute__((always_inline))

INLINE octets16 load(const char *p)
{
	octets16 v;
	memcpy(&v, p, sizeof v);
	return v;
}

INLINE bool any(octets16 v)
{
	uint64_t halves[2];
	memcpy(halves, &v, sizeof halves);
	return (halves[0] | halves[1]) != 0;
}

/* Marks the octets of p that are not plain; reads one octet beyond the 16. */
INLINE octets16 not_plain(const char *p, enum look look)
{
	octets16 here = load(p), next = load(p + 1), marks = {};
	if (look & LOOK_FOR_BARE)
		marks |= (octets16)(here == '\r') ^ (octets16)(next == '\n');
	if (look & LOOK_FOR_DOT)
		marks |= (octets16)(here == '\n') & (octets16)(next == '.');
	return marks;
}

INLINE uint64_t sum(octets16 v)
{
	uint64_t total = 0;
	for (size_t i = 0; i < sizeof v; i++)
		total += v[i];
	return total;
}

/* Plain octets at the front of p in steps of 64, at most 63 steps, since a lane of the line counter holds 255. */
INLINE size_t plain_blocks(const char *p, size_t length, enum look look, struct notes *notes)
{
	size_t done = 0;
	octets16 lines = {}, high = {}, nul = {};
	for (; length - done > 64 && done < (size_t)63 * 64; done += 64) {
		const char *q = p + done;
		if (any(not_plain(q, look) | not_plain(q + 16, look) | not_plain(q + 32, look) | not_plain(q + 48, look)))
			break;
		for (size_t i = 0; i < 64; i += 16) {
			octets16 here = load(q + i);
			high |= here;
			nul |= (octets16)(here == 0);
			lines -= (octets16)(here == '\n');
		}
	}
	if (done == 0)
		return 0;
	notes->high |= any(high & 0x80) ? 0x80 : 0;
	notes->nul |= any(nul);
	notes->lines += sum(lines);
	return done;
}

/* How many octets at the front of p are plain. The last one never is, since what follows it is not known yet. */
INLINE size_t plain_length(const char *p, size_t length, enum look look, struct notes *out)
{
	struct notes notes = {};
	size_t done = 0, blocks;
	do {
		blocks = plain_blocks(p + done, length - done, look, &notes);
		done += blocks;
	} while (blocks == (size_t)63 * 64);
	for (; done + 1 < length; done++) {
		const char *q = p + done;
		if ((look & LOOK_FOR_BARE && (q[0] == '\r') != (q[1] == '\n')) ||
		    (look & LOOK_FOR_DOT && q[0] == '\n' && q[1] == '.'))
			break;
		notes.high |= (unsigned char)q[0];
		notes.nul |= q[0] == '\0';
		notes.lines += q[0] == '\n';
	}
	*out = notes;
	return done;
}

void smtp_data_begin(struct smtp_data *d, enum smtp_data_form form, enum smtp_data_policy policy, uint64_t limit)
{
	*d = (struct smtp_data){ .form = form, .policy = policy, .limit = limit };
}

/* Hops from line end to line end, backwards from as far as a line may reach: one search covers many short lines. */
static void note_line_lengths(struct smtp_data *d, const char *p, size_t length)
{
	if (length == 1 && d->column + 1 < LIMIT_SMTP_TEXT_LINE_MAX) {
		d->column = *p == '\n' ? 0 : d->column + 1;
		return;
	}
	while (length) {
		size_t reach = LIMIT_SMTP_TEXT_LINE_MAX - d->column;
		size_t window = length < reach ? length : reach;
		const char *end = memrchr(p, '\n', window);
		if (!end && window == reach) {
			d->has_long_line = true;
			end = memchr(p + window, '\n', length - window);
		}
		if (!end) {
			d->column = window == reach ? LIMIT_SMTP_TEXT_LINE_MAX - 1 : d->column + window;
			return;
		}
		d->column = 0;
		length -= (size_t)(end + 1 - p);
		p = end + 1;
	}
}

static void store(struct smtp_data *d, struct buf *out, const char *p, size_t length)
{
	note_line_lengths(d, p, length);
	d->octets += length;
	if (d->octets > d->limit)
		d->too_big = true;
	if (d->too_big || (d->bare && d->policy == SMTP_DATA_REFUSE))
		return;
	if (!buf_append(out, p, length))
		d->too_big = true;
}

static void note_bare(struct smtp_data *d, uint64_t offset)
{
	if (!d->bare)
		d->bare_offset = offset;
	d->bare = true;
}

/* A CR that no LF follows: normalised, it gets one. */
static void bare_cr(struct smtp_data *d, struct buf *out, uint64_t offset)
{
	note_bare(d, offset);
	if (d->policy != SMTP_DATA_NORMALISE)
		return;
	store(d, out, "\n", 1);
	d->lines++;
}

static void bare_lf(struct smtp_data *d, struct buf *out)
{
	note_bare(d, d->position);
	bool normalise = d->policy == SMTP_DATA_NORMALISE;
	store(d, out, normalise ? "\r\n" : "\n", normalise ? 2 : 1);
	d->lines += normalise;
	if (normalise && d->form == SMTP_DATA_TEXT) /* in DATA no dot may count as stuffed behind it */
		d->state = SMTP_DATA_LINE_START;
}

/* An octet that is neither at the start of a line nor behind a CR. */
static void step_middle(struct smtp_data *d, char c, struct buf *out)
{
	d->has_nul |= c == '\0';
	d->has_8bit |= (unsigned char)c >= 0x80;
	d->state = c == '\r' ? SMTP_DATA_AFTER_CR : SMTP_DATA_MIDDLE;
	if (c == '\n')
		bare_lf(d, out);
	else
		store(d, out, &c, 1);
}

static void step_after_cr(struct smtp_data *d, char c, struct buf *out)
{
	if (c == '\n') {
		store(d, out, "\n", 1);
		d->lines++;
		d->state = SMTP_DATA_LINE_START;
		return;
	}
	bare_cr(d, out, d->position - 1);
	step_middle(d, c, out);
}

/* RFC 5321 §4.5.2: a dot at the start of a line ends the mail if CRLF follows, else it is dropped. */
static void step(struct smtp_data *d, char c, struct buf *out)
{
	switch (d->state) {
	case SMTP_DATA_LINE_START:
		if (c == '.' && d->form == SMTP_DATA_DOTTED)
			d->state = SMTP_DATA_DOT;
		else
			step_middle(d, c, out);
		return;
	case SMTP_DATA_AFTER_CR:
		step_after_cr(d, c, out);
		return;
	case SMTP_DATA_DOT:
		if (c == '\r')
			d->state = SMTP_DATA_DOT_CR;
		else
			step_middle(d, c, out);
		return;
	case SMTP_DATA_DOT_CR:
		if (c == '\n') {
			d->state = SMTP_DATA_END;
			return;
		}
		store(d, out, "\r", 1);
		step_after_cr(d, c, out);
		return;
	default:
		step_middle(d, c, out);
	}
}

static void take_notes(struct smtp_data *d, const struct notes *notes)
{
	d->has_8bit |= notes->high >= 0x80;
	d->has_nul |= notes->nul;
	d->lines += notes->lines;
}

/* The plain octets at the front, copied at once; 0 when the first one needs a step of its own. */
static size_t read_plain(struct smtp_data *d, const char *p, size_t length, struct buf *out)
{
	bool dotted = d->form == SMTP_DATA_DOTTED;
	bool start = d->state == SMTP_DATA_LINE_START && !(dotted && *p == '.');
	if ((!start && d->state != SMTP_DATA_MIDDLE) || *p == '\n')
		return 0;
	struct notes notes;
	size_t plain = dotted ? plain_length(p, length, LOOK_FOR_BARE | LOOK_FOR_DOT, &notes)
	                      : plain_length(p, length, LOOK_FOR_BARE, &notes);
	if (plain == 0)
		return 0;
	take_notes(d, &notes);
	store(d, out, p, plain);
	char last = p[plain - 1];
	d->state = last == '\r' ? SMTP_DATA_AFTER_CR : last == '\n' ? SMTP_DATA_LINE_START : SMTP_DATA_MIDDLE;
	return plain;
}

static void read_binary(struct smtp_data *d, struct str input, struct buf *out)
{
	struct notes notes;
	size_t plain = plain_length(input.data, input.length, LOOK_FOR_NOTHING, &notes);
	char last = input.data[input.length - 1];
	must(plain + 1 == input.length);
	take_notes(d, &notes);
	d->has_8bit |= (unsigned char)last >= 0x80;
	d->has_nul |= last == '\0';
	d->lines += last == '\n';
	store(d, out, input.data, input.length);
	if (input.length > 1)
		d->state = input.data[plain - 1] == '\r' ? SMTP_DATA_AFTER_CR : SMTP_DATA_MIDDLE;
	d->state = d->state == SMTP_DATA_AFTER_CR && last == '\n' ? SMTP_DATA_LINE_START
	           : last == '\r' ? SMTP_DATA_AFTER_CR : SMTP_DATA_MIDDLE;
}

bool smtp_data_read(struct smtp_data *d, struct str input, size_t *used, struct buf *out)
{
	*used = 0;
	if (d->form == SMTP_DATA_BINARY && input.length) {
		read_binary(d, input, out);
		d->position += input.length;
		*used = input.length;
		return false;
	}
	while (*used < input.length && d->state != SMTP_DATA_END) {
		const char *p = input.data + *used;
		size_t taken = read_plain(d, p, input.length - *used, out);
		if (taken == 0) {
			step(d, *p, out);
			taken = 1;
		}
		*used += taken;
		d->position += taken;
	}
	return d->state == SMTP_DATA_END;
}

void smtp_data_finish(struct smtp_data *d, struct buf *out)
{
	must(d->form != SMTP_DATA_DOTTED);
	if (d->form == SMTP_DATA_BINARY || d->state != SMTP_DATA_AFTER_CR)
		return;
	bare_cr(d, out, d->position - 1);
	d->state = d->policy == SMTP_DATA_NORMALISE ? SMTP_DATA_LINE_START : SMTP_DATA_MIDDLE;
}

const struct smtp_reply *smtp_data_verdict(const struct smtp_data *d)
{
	static const struct smtp_reply bare = { 550, "5.5.2",
		                                    "A CR or LF alone is not allowed in a message, lines end with CRLF" };
	if (d->bare && d->policy == SMTP_DATA_REFUSE)
		return &bare;
	return d->too_big ? smtp_reply_of_fail(FAIL_TOO_BIG, true) : NULL;
}

enum { STUFF_LINE_START, STUFF_MIDDLE, STUFF_AFTER_CR };

static unsigned char state_behind(struct str content, unsigned char before)
{
	char last = content.data[content.length - 1];
	if (last == '\r')
		return STUFF_AFTER_CR;
	bool after_cr = content.length > 1 ? content.data[content.length - 2] == '\r' : before == STUFF_AFTER_CR;
	return last == '\n' && after_cr ? STUFF_LINE_START : STUFF_MIDDLE;
}

void smtp_stuff_add(struct smtp_stuffer *s, struct str content, struct buf *out)
{
	s->begun |= content.length > 0;
	while (content.length) {
		if (s->state == STUFF_LINE_START && content.data[0] == '.')
			buf_add_char(out, '.');
		struct notes notes;
		size_t plain = plain_length(content.data, content.length, LOOK_FOR_DOT, &notes) + 1;
		struct str run = str_first(content, plain);
		buf_add_str(out, run);
		s->state = state_behind(run, s->state);
		content = str_from_index(content, plain);
	}
}

void smtp_stuff_end(struct smtp_stuffer *s, struct buf *out)
{
	if (s->begun && s->state != STUFF_LINE_START)
		buf_add_str(out, STR("\r\n"));
	buf_add_str(out, STR(".\r\n"));
	*s = (struct smtp_stuffer){};
}
