#include "dsn.h"

#include "date.h"
#include "header.h"
#include "text.h"

#include <time.h>

enum { LINE_MAX = 998, FOLD_AT = 76, TEXT_MAX = 2000 };

static const struct {
	const char *name;
	struct str subject, intro;
} actions[DSN_ACTION_COUNT] = {
	[DSN_FAILED] = { "failed", STR("Undelivered mail"), STR("Your mail could not be delivered to:") },
	[DSN_DELAYED] = { "delayed", STR("Delayed mail: delivery is still being tried"),
	                  STR("Your mail is delayed. There is nothing that you need to do: delivery is tried again to:") },
	[DSN_DELIVERED] = { "delivered", STR("Delivered mail"), STR("Your mail was delivered to:") },
	[DSN_RELAYED] = { "relayed", STR("Relayed mail"),
		STR("Your mail was handed to a host that may not report its delivery, for:") },
	[DSN_EXPANDED] = { "expanded", STR("Relayed mail"),
		STR("Your mail was handed on to those whom this address stands for:") },
};

static const char *action_name(enum dsn_action action)
{
	must((unsigned)action < DSN_ACTION_COUNT);
	return actions[action].name;
}

/* ---- text from outside ---- */

/* One character of s as it may stand in a line; returns how many octets it was. */
static size_t add_clean_character(struct buf *out, struct str s, bool utf8)
{
	uint32_t code;
	unsigned char c = (unsigned char)s.data[0];
	size_t length = text_utf8_next(s, &code);
	bool is_control = c < 0x20 || c == 0x7f || (length > 0 && code >= 0x80 && code < 0xa0);
	if (is_control)
		buf_add_char(out, ' ');
	else if (length == 0 || (!utf8 && code >= 0x80))
		buf_add_char(out, '?');
	else
		buf_add_str(out, str_first(s, length));
	return length ? length : 1;
}

static void add_clean(struct buf *out, struct str s, bool utf8)
{
	for (s = str_first(s, TEXT_MAX); s.length;)
		s = str_from_index(s, add_clean_character(out, s, utf8));
}

/* Where the line of text that begins at s is to be broken: at the last blank within room octets, or at a character. */
static size_t break_of(struct str s, size_t room)
{
	uint32_t code;
	if (s.length <= room)
		return s.length;
	size_t at = str_find_last_char(str_first(s, room), ' ');
	if (at > 0 && at < room)
		return at;
	size_t end = 0;
	for (size_t length; end < room && (length = text_utf8_next(str_from_index(s, end), &code)) > 0;)
		end += length;
	return end;
}

/* Clean text in lines of about FOLD_AT octets; between is what stands between two of them. A word is broken only
 * where no line could hold it (hard is the longest line). */
static void add_folded(struct buf *out, struct str text, size_t column, size_t hard, const char *between)
{
	for (bool is_first = true; text.length; is_first = false) {
		if (!is_first)
			buf_add_str(out, str_of(between));
		size_t room = is_first && column < FOLD_AT ? FOLD_AT - column : FOLD_AT;
		size_t end = break_of(text, room);
		if (end < text.length && text.data[end] != ' ') {
			size_t blank = str_find_char(text, ' ');
			end = blank <= hard ? blank : break_of(text, hard);
		}
		buf_add_str(out, str_first(text, end));
		text = str_trim(str_from_index(text, end));
	}
}

/* "Name: prefix; value" with the value clean and folded (RFC 5322 §2.2.3). */
static void add_field(struct buf *out, const char *name, const char *prefix, struct str value, bool utf8)
{
	CLEANUP(buf_release) struct buf clean = BUF_WITH_LIMIT(4 * TEXT_MAX);
	size_t start = out->length;
	buf_printf(out, "%s: %s", name, prefix);
	add_clean(&clean, str_trim(value), utf8);
	add_folded(out, str_trim(buf_str(&clean)), out->length - start, LINE_MAX - 60, "\r\n ");
	buf_add_str(out, STR("\r\n"));
}

static void add_date_field(struct buf *out, const char *name, int64_t seconds)
{
	buf_printf(out, "%s: ", name);
	date_format(out, (struct date){ .seconds = seconds });
	buf_add_str(out, STR("\r\n"));
}

/* ---- addresses ---- */

/* RFC 6533 §3: utf-8-addr-xtext, for a report in ASCII. */
static void add_addr_xtext(struct buf *out, struct str s)
{
	uint32_t code;
	for (size_t length; s.length; s = str_from_index(s, length)) {
		length = text_utf8_next(s, &code);
		if (length == 0) {
			length = 1;
			buf_add_char(out, '?');
		} else if (code <= 0x20 || code >= 0x7f || code == '\\' || code == '+' || code == '=') {
			buf_printf(out, "\\x{%02X}", code);
		} else {
			buf_add_char(out, s.data[0]);
		}
	}
}

/* "rfc822; a@b", or with the type "utf-8" what is not ASCII (RFC 6533 §4.1). */
static void add_address_field(struct buf *out, const char *name, struct str type, struct str address, bool utf8)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(16 * TEXT_MAX);
	bool is_ascii = text_is_ascii(address);
	buf_printf(&text, "%.*s;", STR_ARG(is_ascii ? type : STR("utf-8")));
	if (is_ascii || utf8)
		buf_add_str(&text, address);
	else
		add_addr_xtext(&text, address);
	add_field(out, name, "", buf_str(&text), utf8);
}

static void add_original_recipient(struct buf *out, struct str original, bool utf8)
{
	struct str type, address = original;
	if (str_take_until(&address, ';', &type) && type.length > 0)
		add_address_field(out, "Original-Recipient", type, address, utf8);
}

/* ---- the header of the report ---- */

static enum dsn_action worst_action(const struct dsn_report *r)
{
	enum dsn_action worst = DSN_EXPANDED;
	for (size_t i = 0; i < r->count; i++)
		if (r->recipients[i].action < worst)
			worst = r->recipients[i].action;
	return worst;
}

/* The mail that it is about, so that clients show it there. */
static void add_references(struct buf *out, struct str original)
{
	struct header_field id;
	if (!header_find(str_first(original, DSN_HEADER_MAX), STR("Message-ID"), &id))
		return;
	struct str value = str_trim(id.value);
	if (value.length > 2 && value.length < 250 && str_is_printable(value) && value.data[0] == '<' &&
	    str_find_char(value, '>') == value.length - 1 && str_find_char(value, ' ') == value.length)
		buf_printf(out, "In-Reply-To: %.*s\r\nReferences: %.*s\r\n", STR_ARG(value), STR_ARG(value));
}

static void add_to(struct buf *out, const struct dsn_report *r, bool utf8)
{
	CLEANUP(buf_release) struct buf to = BUF_WITH_LIMIT(TEXT_MAX);
	bool has_domain = str_find_char(r->to, '@') < r->to.length;
	buf_printf(&to, has_domain ? "<%.*s>" : "<%.*s@%.*s>", STR_ARG(r->to), STR_ARG(r->hostname));
	add_field(out, "To", "", buf_str(&to), utf8);
}

static void add_header(struct buf *out, const struct dsn_report *r, bool utf8)
{
	buf_printf(out, "From: Mail Delivery System <MAILER-DAEMON@%.*s>\r\n", STR_ARG(r->hostname));
	add_to(out, r, utf8);
	buf_printf(out, "Subject: %.*s\r\n", STR_ARG(actions[worst_action(r)].subject));
	add_date_field(out, "Date", r->now);
	buf_printf(out, "Message-ID: <%.*s@%.*s>\r\n", STR_ARG(r->id), STR_ARG(r->hostname));
	add_references(out, r->original);
	/* RFC 3834 §5; RFC 6522 §3 */
	buf_printf(out, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	                "Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"report-%.*s\"\r\n\r\n",
	           STR_ARG(r->id));
}

static void begin_part(struct buf *out, const struct dsn_report *r, const char *type, bool has_8bit)
{
	buf_printf(out, "\r\n--report-%.*s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n\r\n", STR_ARG(r->id),
	           type, has_8bit ? "8bit" : "7bit");
}

/* ---- the text for people ---- */

static void add_person_line(struct buf *out, struct str text)
{
	CLEANUP(buf_release) struct buf clean = BUF_WITH_LIMIT(4 * TEXT_MAX);
	add_clean(&clean, text, true);
	buf_add_str(out, STR("    "));
	add_folded(out, str_trim(buf_str(&clean)), 4, LINE_MAX - 60, "\r\n    ");
	buf_add_str(out, STR("\r\n"));
}

static void add_reply_line(struct buf *out, const struct dsn_recipient *one)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(4 * TEXT_MAX);
	if (one->host.length)
		buf_printf(&text, "%.*s", STR_ARG(one->host));
	if (one->host.length && one->peer.length)
		buf_printf(&text, " (%.*s)", STR_ARG(one->peer));
	if (one->host.length)
		buf_add_str(&text, STR(" said: "));
	buf_add_str(&text, one->reply);
	add_person_line(out, buf_str(&text));
}

static void add_person_recipient(struct buf *out, const struct dsn_recipient *one)
{
	buf_add_str(out, STR("\r\n  "));
	add_clean(out, one->address, true);
	buf_add_str(out, STR("\r\n"));
	if (one->reply.length)
		add_reply_line(out, one);
	if (one->action == DSN_DELAYED && one->retry_until) {
		buf_add_str(out, STR("    It is tried until "));
		date_format(out, (struct date){ .seconds = one->retry_until });
		buf_add_str(out, STR("\r\n"));
	}
}

static void add_people_text(struct buf *out, const struct dsn_report *r)
{
	buf_printf(out, "This is the mail system of %.*s.\r\n", STR_ARG(r->hostname));
	for (enum dsn_action action = DSN_FAILED; action < DSN_ACTION_COUNT; action++) {
		bool is_first = true;
		for (size_t i = 0; i < r->count; i++) {
			if (r->recipients[i].action != action)
				continue;
			if (is_first)
				buf_printf(out, "\r\n%.*s\r\n", STR_ARG(actions[action].intro));
			is_first = false;
			add_person_recipient(out, &r->recipients[i]);
		}
	}
	buf_printf(out, "\r\nThe queue id of your mail here is %.*s.\r\n", STR_ARG(r->queue_id));
}

/* ---- the fields for programs ---- */

/* RFC 4865 §5.1.2, as the client asked. */
static void add_hold(struct buf *out, const struct dsn_report *r)
{
	time_t until = (time_t)r->hold_until;
	struct tm tm = {};
	if (r->hold_is_interval) {
		buf_printf(out, "Future-Release-Request: for;%lld\r\n", (long long)(r->hold_until - r->arrival));
		return;
	}
	if (gmtime_r(&until, &tm))
		buf_printf(out, "Future-Release-Request: until;%04d-%02d-%02dT%02d:%02d:%02dZ\r\n", tm.tm_year + 1900,
		           tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static void add_message_fields(struct buf *out, const struct dsn_report *r)
{
	if (r->envid.length) /* RFC 3461 §6.3 (a) */
		add_field(out, "Original-Envelope-Id", "", r->envid, false);
	add_field(out, "Reporting-MTA", "dns; ", r->hostname, false);
	if (r->helo.length)
		add_field(out, "Received-From-MTA", "dns; ", r->helo, false);
	add_date_field(out, "Arrival-Date", r->arrival);
	if (r->deliver_by) /* RFC 2852 §5 */
		add_date_field(out, "Deliver-By-Date", r->deliver_by);
	if (r->hold_until)
		add_hold(out, r);
	add_field(out, "X-Posthorn-Queue-Id", "", r->queue_id, false);
}

static bool is_status(struct str s)
{
	return s.length >= 5 && s.length <= 11 && (s.data[0] == '2' || s.data[0] == '4' || s.data[0] == '5') &&
	       s.data[1] == '.';
}

/* RFC 3461 §6.3 (g): X.0.0 where nothing better is known, and the class must fit the action. */
static void add_status(struct buf *out, const struct dsn_recipient *one)
{
	char class = one->action == DSN_FAILED ? '5' : one->action == DSN_DELAYED ? '4' : '2';
	struct str rest = is_status(one->status) ? str_from_index(one->status, 1) : STR(".0.0");
	buf_printf(out, "Status: %c", class);
	add_clean(out, rest, false);
	buf_add_str(out, STR("\r\n"));
}

static void add_recipient_fields(struct buf *out, const struct dsn_recipient *one, bool utf8)
{
	buf_add_str(out, STR("\r\n"));
	add_original_recipient(out, one->original, utf8);
	add_address_field(out, "Final-Recipient", STR("rfc822"), one->address, utf8);
	buf_printf(out, "Action: %s\r\n", action_name(one->action));
	add_status(out, one);
	if (one->host.length) {
		add_field(out, "Remote-MTA", "dns; ", one->host, false);
		if (one->reply.length)
			add_field(out, "Diagnostic-Code", "smtp; ", one->reply, false);
	} else if (one->reply.length) {
		add_field(out, "Diagnostic-Code", "x-posthorn; ", one->reply, false);
	}
	if (one->attempt)
		add_date_field(out, "Last-Attempt-Date", one->attempt);
	if (one->action == DSN_DELAYED && one->retry_until)
		add_date_field(out, "Will-Retry-Until", one->retry_until);
}

static void add_fields(struct buf *out, const struct dsn_report *r, bool utf8)
{
	add_message_fields(out, r);
	for (size_t i = 0; i < r->count; i++)
		add_recipient_fields(out, &r->recipients[i], utf8);
}

/* ---- the original ---- */

/* Only CRLF ends lines, none is longer than mail allows (RFC 5321 §4.5.3.1.6), and there is no NUL. */
static bool is_mail(struct str text)
{
	while (text.length) {
		size_t end = str_find_char(text, '\n');
		struct str line = str_first(text, end);
		if (end < text.length && (line.length == 0 || line.data[--line.length] != '\r'))
			return false;
		if (line.length > LINE_MAX || str_find_char(line, '\r') < line.length ||
		    str_find_char(line, '\0') < line.length)
			return false;
		text = str_from_index(text, end + 1);
	}
	return true;
}

/* The header line by line, so that whatever stands in it fits into a mail. */
static void add_header_lines(struct buf *out, struct str header)
{
	struct str line;
	while (str_take_until(&header, '\n', &line)) {
		line = str_first(line, LINE_MAX + 1);
		if (line.length > 0 && line.data[line.length - 1] == '\r')
			line.length--;
		line = str_first(line, LINE_MAX);
		for (size_t i = 0; i < line.length; i++)
			buf_add_char(out, line.data[i] == '\r' || line.data[i] == '\0' ? ' ' : line.data[i]);
		buf_add_str(out, STR("\r\n"));
	}
}

struct returned {
	struct str text;
	bool whole;
	bool is_global; /* its header has UTF-8, and whom it goes to takes that */
	bool has_8bit;
};

static struct returned look_at_original(const struct dsn_report *r, bool takes_utf8)
{
	struct returned back = { .text = str_first(r->original, header_size(str_first(r->original, DSN_HEADER_MAX))) };
	bool header_is_ascii = text_is_ascii(back.text);
	back.is_global = takes_utf8 && !header_is_ascii && text_is_utf8(back.text);
	back.whole = r->whole && is_mail(r->original);
	if (back.whole)
		back.text = r->original;
	back.has_8bit = !text_is_ascii(back.text);
	return back;
}

static void add_original(struct buf *out, const struct dsn_report *r, const struct returned *back)
{
	static const char *const types[2][2] = { { "text/rfc822-headers", "message/global-headers" },
		{ "message/rfc822", "message/global" } };
	begin_part(out, r, types[back->whole][back->is_global], back->has_8bit);
	if (back->whole)
		buf_add_str(out, back->text);
	else
		add_header_lines(out, back->text);
}

static bool addresses_are_ascii(const struct dsn_report *r)
{
	for (size_t i = 0; i < r->count; i++)
		if (!text_is_ascii(r->recipients[i].address) || !text_is_ascii(r->recipients[i].original))
			return false;
	return true;
}

bool dsn_write(struct buf *out, const struct dsn_report *r, struct dsn_facts *facts)
{
	bool takes_utf8 = r->takes_utf8 || !text_is_ascii(r->to);
	bool utf8 = takes_utf8 && !addresses_are_ascii(r); /* RFC 6533 §4.4: else the older types tell all */
	struct returned back = look_at_original(r, takes_utf8);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(out->limit);
	size_t start = out->length;
	must(r->count > 0 && r->id.length <= 60);
	add_people_text(&text, r);
	bool text_is_8bit = !text_is_ascii(buf_str(&text));
	add_header(out, r, takes_utf8);
	begin_part(out, r, text_is_8bit ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii", text_is_8bit);
	buf_add_str(out, buf_str(&text));
	begin_part(out, r, utf8 ? "message/global-delivery-status" : "message/delivery-status", utf8);
	add_fields(out, r, utf8);
	add_original(out, r, &back);
	buf_printf(out, "\r\n--report-%.*s--\r\n", STR_ARG(r->id));
	*facts = (struct dsn_facts){
		.is_utf8 = !text_is_ascii(r->to) || back.is_global || utf8,
		.has_8bit = !text_is_ascii(str_from_index(buf_str(out), start)),
	};
	return !out->overflowed && !text.overflowed;
}
