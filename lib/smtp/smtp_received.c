#include "smtp_received.h"

#include "calendar.h"
#include "limits.h"
#include "text.h"

enum { COLUMNS = 78, WORD_MAX_OCTETS = 600, MAILBOX_MAX_OCTETS = 800 };

/* Writes words, folding before one that would pass the last column. */
struct folder {
	struct buf *out;
	size_t column;
};

static void add_word(struct folder *f, struct str word)
{
	bool fold = f->column + 1 + word.length > COLUMNS;
	buf_add_str(f->out, fold ? STR("\r\n\t") : STR(" "));
	buf_add_str(f->out, word);
	f->column = word.length + (fold ? 1 : f->column + 1);
}

/* Two words that stay together. */
static void add_pair(struct folder *f, struct str clause, struct str value)
{
	size_t length = clause.length + 1 + value.length;
	bool fold = f->column + 1 + length > COLUMNS;
	buf_add_str(f->out, fold ? STR("\r\n\t") : STR(" "));
	buf_add_str(f->out, clause);
	buf_add_char(f->out, ' ');
	buf_add_str(f->out, value);
	f->column = length + (fold ? 1 : f->column + 1);
}

/* What is harmless as a word, in a comment and in a literal. */
static bool is_safe(char c)
{
	static const bool marks[128] = {
		['-'] = true, ['.'] = true, ['_'] = true, [':'] = true, ['['] = true,
		[']'] = true, ['/'] = true, ['+'] = true, ['='] = true,
	};
	return char_is_alpha(c) || char_is_digit(c) || ((unsigned char)c < 128 && marks[(unsigned char)c]);
}

static void add_safe(struct buf *out, struct str s, size_t max)
{
	s = str_first(s, max);
	for (size_t done = 0; done < s.length;) {
		size_t run = done;
		while (run < s.length && is_safe(s.data[run]))
			run++;
		buf_append(out, s.data + done, run - done);
		if (run < s.length)
			buf_add_char(out, '?');
		done = run + 1;
	}
}

/* A canonical mailbox can't break out of <>; anything else becomes harmless. */
static void add_mailbox(struct buf *out, struct str mailbox, bool utf8)
{
	if (mailbox.length <= MAILBOX_MAX_OCTETS && str_is_printable(mailbox)) {
		buf_add_str(out, mailbox);
		return;
	}
	bool intact = mailbox.length <= MAILBOX_MAX_OCTETS && (utf8 ? text_is_utf8(mailbox) : true);
	for (size_t i = 0; i < mailbox.length && i < MAILBOX_MAX_OCTETS; i++) {
		unsigned char c = (unsigned char)mailbox.data[i];
		bool pass = c >= 0x20 && c != 0x7f && (c < 0x80 || (utf8 && intact));
		buf_add_char(out, pass ? mailbox.data[i] : '?');
	}
}

static void add_from(struct folder *f, const struct smtp_received *r)
{
	CLEANUP(buf_release) struct buf word = BUF_WITH_LIMIT(WORD_MAX_OCTETS);
	add_safe(&word, r->helo.length ? r->helo : STR("unknown"), LIMIT_DOMAIN_MAX);
	add_pair(f, STR("from"), buf_str(&word));
	if (!r->client_address.length)
		return;
	buf_clear(&word);
	buf_add_char(&word, '(');
	add_safe(&word, r->client_name, LIMIT_DOMAIN_MAX);
	bool six = memchr(r->client_address.data, ':', r->client_address.length) != NULL;
	buf_printf(&word, "%s[%s", r->client_name.length ? " " : "", six ? "IPv6:" : "");
	add_safe(&word, r->client_address, 64);
	buf_add_str(&word, STR("])"));
	add_word(f, buf_str(&word));
}

const char *smtp_received_with(const struct smtp_received *r)
{
	static const char *const names[2][2][4] = {
		{ { "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA" }, { "UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA" } },
		{ { "LMTP", "LMTPS", "LMTPA", "LMTPSA" }, { "UTF8LMTP", "UTF8LMTPS", "UTF8LMTPA", "UTF8LMTPSA" } },
	};
	if (!r->lmtp && !r->extended && !r->tls && !r->authenticated && !r->utf8)
		return "SMTP";
	return names[r->lmtp][r->utf8][(r->authenticated ? 2 : 0) + (r->tls ? 1 : 0)];
}

static void add_with(struct folder *f, const struct smtp_received *r)
{
	add_pair(f, STR("with"), str_of(smtp_received_with(r)));
	if (!r->tls || !r->tls_version.length)
		return;
	CLEANUP(buf_release) struct buf word = BUF_WITH_LIMIT(WORD_MAX_OCTETS);
	buf_add_char(&word, '(');
	add_safe(&word, r->tls_version, 32);
	buf_add_char(&word, ' ');
	add_safe(&word, r->tls_cipher, 64);
	buf_add_char(&word, ')');
	add_word(f, buf_str(&word));
}

static void add_date(struct folder *f, int64_t when, int zone_minutes)
{
	CLEANUP(buf_release) struct buf word = BUF_WITH_LIMIT(WORD_MAX_OCTETS);
	calendar_write_date_time(&word, when, zone_minutes);
	add_word(f, buf_str(&word));
}

void smtp_received_write(struct buf *out, const struct smtp_received *r)
{
	struct folder f = { .out = out, .column = sizeof "Received:" - 1 };
	CLEANUP(buf_release) struct buf word = BUF_WITH_LIMIT(WORD_MAX_OCTETS * 2);
	buf_add_str(out, STR("Received:"));
	add_from(&f, r);
	add_safe(&word, r->host, LIMIT_DOMAIN_MAX);
	add_pair(&f, STR("by"), buf_str(&word));
	add_word(&f, STR("(Posthorn)"));
	add_with(&f, r);
	buf_clear(&word);
	add_safe(&word, r->id, 128);
	bool recipient = r->recipient.length > 0;
	if (!recipient)
		buf_add_char(&word, ';');
	add_pair(&f, STR("id"), buf_str(&word));
	if (recipient) {
		buf_clear(&word);
		buf_add_str(&word, STR("for <"));
		add_mailbox(&word, r->recipient, r->utf8);
		buf_add_str(&word, STR(">;"));
		add_word(&f, buf_str(&word));
	}
	add_date(&f, r->time, r->zone_minutes);
	buf_add_str(out, STR("\r\n"));
}

void smtp_return_path_write(struct buf *out, struct str mailbox)
{
	buf_add_str(out, STR("Return-Path: <"));
	add_mailbox(out, mailbox, true);
	buf_add_str(out, STR(">\r\n"));
}
