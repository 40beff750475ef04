#include "ctl_archive_mbox.h"

#include "ctl_archive_text.h"
#include "date.h"
#include "limits.h"
#include "text.h"

#include <errno.h>
#include <time.h>

enum { LINE_PIECE = 65536, FLAGS_MAX = 200000, KEYWORDS_MAX = 150000 };

/* Letters of a flag, and in which field. */
static const struct {
	char letter;
	bool extended; /* X-Status */
	struct str name;
} letters[] = {
	{ 'R', false, { "\\Seen", 5 } }, { 'A', true, { "\\Answered", 9 } }, { 'F', true, { "\\Flagged", 8 } },
	{ 'T', true, { "\\Draft", 6 } }, { 'D', true, { "\\Deleted", 8 } },
};

/* ---- writing ---- */

static bool has_word(struct str words, struct str wanted)
{
	struct str word;
	while (str_take_until(&words, ' ', &word))
		if (str_equal_nocase(word, wanted))
			return true;
	return false;
}

static void add_letters(struct buf *out, struct str flags, bool extended)
{
	for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
		if (letters[i].extended == extended && has_word(flags, letters[i].name))
			buf_add_char(out, letters[i].letter);
}

static void add_keywords(struct buf *out, struct str flags)
{
	struct str word;
	while (str_take_until(&flags, ' ', &word))
		if (word.length && word.data[0] != '\\') {
			buf_add_char(out, ' ');
			buf_add_str(out, word);
		}
}

static void add_status(struct buf *out, struct str flags)
{
	buf_add_str(out, STR("Status: "));
	add_letters(out, flags, false);
	buf_add_str(out, STR("O\nX-Status: "));
	add_letters(out, flags, true);
	buf_add_str(out, STR("\nX-Keywords:"));
	add_keywords(out, flags);
	buf_add_char(out, '\n');
}

/* The envelope's sender, if delivery wrote it and it is one word. */
static struct str sender_of(struct str text)
{
	if (!str_starts_nocase(text, STR("Return-Path: <")))
		return STR("MAILER-DAEMON");
	struct str sender = str_first(str_from_index(text, 14), LIMIT_ADDRESS_MAX);
	sender = str_first(sender, str_find_char(sender, '>'));
	return sender.length && str_is_printable(sender) && str_find_char(sender, ' ') == sender.length
			   ? sender
			   : STR("MAILER-DAEMON");
}

static void add_separator(struct buf *out, const struct ctl_mail *mail)
{
	struct tm parts;
	time_t when = (time_t)mail->received;
	char date[64] = "Thu Jan  1 00:00:00 1970";
	if (gmtime_r(&when, &parts))
		strftime(date, sizeof date, "%a %b %e %H:%M:%S %Y", &parts);
	struct str sender = sender_of(mail->text);
	buf_printf(out, "From %.*s %s\n", STR_ARG(sender), date);
}

static struct str without_marks(struct str line)
{
	while (line.length && line.data[0] == '>')
		line = str_from_index(line, 1);
	return line;
}

static void write_lines(FILE *file, struct str text)
{
	while (text.length) {
		size_t end = str_find_char(text, '\n');
		struct str line = str_first(text, end + 1);
		if (str_starts(without_marks(line), STR("From ")))
			putc('>', file);
		fwrite(line.data, 1, line.length, file);
		text = str_from_index(text, line.length);
	}
}

bool ctl_mbox_write(FILE *file, const struct ctl_mail *mail, struct fail **fail)
{
	CLEANUP(buf_release) struct buf head = BUF_WITH_LIMIT(FLAGS_MAX + 2000), text = BUF_WITH_LIMIT(mail->text.length);
	add_separator(&head, mail);
	add_status(&head, mail->flags);
	ctl_text_of_mail(&text, mail->text);
	fwrite(head.data, 1, head.length, file);
	write_lines(file, buf_str(&text));
	putc('\n', file);
	return !ferror(file) || fail_set_errno(fail, FAIL_IO, "cannot write the mbox file");
}

/* ---- reading ---- */

void ctl_mbox_begin(struct ctl_mbox *mbox, FILE *file)
{
	*mbox = (struct ctl_mbox){
		.file = file, .line = BUF_WITH_LIMIT(LINE_PIECE), .raw = BUF_WITH_LIMIT(LIMIT_IMPORT_MAIL_MAX),
		.mail = BUF_WITH_LIMIT(2 * (size_t)LIMIT_IMPORT_MAIL_MAX), .flags = BUF_WITH_LIMIT(FLAGS_MAX),
	};
}

void ctl_mbox_release(struct ctl_mbox *mbox)
{
	buf_release(&mbox->line);
	buf_release(&mbox->raw);
	buf_release(&mbox->mail);
	buf_release(&mbox->flags);
}

/* The next line with its LF, or a piece of a long one. */
static bool read_line(struct ctl_mbox *mbox)
{
	int c = EOF;
	buf_clear(&mbox->line);
	while (mbox->line.length < LINE_PIECE && (c = getc_unlocked(mbox->file)) != EOF) {
		buf_add_char(&mbox->line, (char)c);
		if (c == '\n')
			break;
	}
	return mbox->line.length > 0;
}

/* "From sender date": any line with a time, since the dates of real files have many forms. */
static bool is_separator(struct str line)
{
	if (!str_starts(line, STR("From ")))
		return false;
	for (size_t i = 1; i + 2 < line.length; i++)
		if (line.data[i] == ':' && char_is_digit(line.data[i - 1]) && char_is_digit(line.data[i + 1]) &&
			char_is_digit(line.data[i + 2]))
			return true;
	return false;
}

/* The date begins behind the sender, which may have spaces. */
static int64_t separator_date(struct str line)
{
	struct date date;
	line = str_trim(str_from_index(line, 5));
	for (int i = 0; i < 5; i++) {
		line = str_from_index(line, str_find_char(line, ' ') + 1);
		if (line.length && date_parse(line, &date))
			return date.seconds > 0 ? date.seconds : 0;
	}
	return 0;
}

static bool is_blank(struct str line)
{
	return str_equal(line, STR("\n")) || str_equal(line, STR("\r\n"));
}

/* Up to the next separator line, whose date is then known. False at the end of the file. */
static bool read_raw(struct ctl_mbox *mbox)
{
	bool line_begins = true, after_blank = false;
	while (read_line(mbox)) {
		struct str line = buf_str(&mbox->line);
		if (line_begins && after_blank && is_separator(line)) {
			mbox->received = separator_date(line);
			return true;
		}
		if (line_begins && line.data[0] == '>' && str_starts(without_marks(line), STR("From ")))
			line = str_from_index(line, 1);
		after_blank = line_begins && is_blank(line);
		line_begins = line.length && line.data[line.length - 1] == '\n';
		buf_add_str(&mbox->raw, line);
	}
	return false;
}

/* The line that separates it from the next mail is not part of it. */
static struct str without_last_blank(struct str raw)
{
	if (raw.length >= 2 && raw.data[raw.length - 1] == '\n' && raw.data[raw.length - 2] == '\n')
		return str_first(raw, raw.length - 1);
	if (raw.length >= 4 && memcmp(raw.data + raw.length - 4, "\r\n\r\n", 4) == 0)
		return str_first(raw, raw.length - 2);
	return str_equal(raw, STR("\n")) ? STR("") : raw;
}

static void take_letters(struct buf *flags, struct str value, bool extended)
{
	for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++)
		if (letters[i].extended == extended && str_find_char(value, letters[i].letter) < value.length) {
			buf_add_str(flags, letters[i].name);
			buf_add_char(flags, ' ');
		}
}

/* True for a field that holds flags, which are then taken. */
static bool take_status(struct buf *flags, struct str line)
{
	size_t colon = str_find_char(line, ':');
	struct str name = str_first(line, colon), value = str_trim(str_from_index(line, colon + 1));
	if (str_equal_nocase(name, STR("Status")))
		take_letters(flags, value, false);
	else if (str_equal_nocase(name, STR("X-Status")))
		take_letters(flags, value, true);
	else if (str_equal_nocase(name, STR("X-Keywords"))) {
		buf_add_str(flags, str_first(value, KEYWORDS_MAX));
		buf_add_char(flags, ' ');
	} else {
		return false;
	}
	return true;
}

static struct str first_line(struct str text)
{
	return str_first(text, str_find_char(text, '\n') + 1);
}

/* The three that ctl_mbox_write put there; false when it did not. */
static bool take_own_status(struct buf *flags, struct str *raw)
{
	static const struct str names[] = { { "Status: ", 8 }, { "X-Status: ", 10 }, { "X-Keywords:", 11 } };
	struct str rest = *raw;
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct str line = first_line(rest);
		if (!str_starts(line, names[i]))
			return false;
		rest = str_from_index(rest, line.length);
	}
	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct str line = first_line(*raw);
		take_status(flags, line);
		*raw = str_from_index(*raw, line.length);
	}
	return true;
}

/* Flags go from the header into mbox->flags, all else into mbox->mail. */
static void take_apart(struct ctl_mbox *mbox, struct str raw)
{
	bool folded_away = false;
	buf_clear(&mbox->mail);
	buf_clear(&mbox->flags);
	if (!take_own_status(&mbox->flags, &raw))
		for (struct str line = first_line(raw); raw.length && !is_blank(line); line = first_line(raw)) {
			bool folded = line.data[0] == ' ' || line.data[0] == '\t';
			folded_away = folded ? folded_away : take_status(&mbox->flags, line);
			if (!folded_away)
				ctl_text_to_mail(&mbox->mail, line);
			raw = str_from_index(raw, line.length);
		}
	ctl_text_to_mail(&mbox->mail, raw);
}

static enum ctl_mbox_got fail_read(enum fail_kind kind, const char *why, struct fail **fail)
{
	fail_set(fail, kind, "%s", why);
	return CTL_MBOX_FAILED;
}

enum ctl_mbox_got ctl_mbox_read(struct ctl_mbox *mbox, struct ctl_mail *mail, struct fail **fail)
{
	if (!mbox->began) {
		if (!read_line(mbox))
			return ferror(mbox->file) ? fail_read(FAIL_IO, strerror(errno), fail) : CTL_MBOX_END;
		if (!str_starts(buf_str(&mbox->line), STR("From ")))
			return fail_read(FAIL_INVALID, "this is no mbox file: it does not begin with \"From \"", fail);
		mbox->received = separator_date(buf_str(&mbox->line));
		mbox->began = true;
	} else if (feof(mbox->file)) {
		return CTL_MBOX_END;
	}
	buf_clear(&mbox->raw);
	*mail = (struct ctl_mail){ .received = mbox->received };
	read_raw(mbox);
	if (ferror(mbox->file))
		return fail_read(FAIL_IO, strerror(errno), fail);
	if (mbox->raw.overflowed)
		return fail_read(FAIL_TOO_BIG, "a mail is too large", fail);
	take_apart(mbox, without_last_blank(buf_str(&mbox->raw)));
	mail->text = buf_str(&mbox->mail);
	mail->flags = str_trim(buf_str(&mbox->flags));
	return CTL_MBOX_MAIL;
}
