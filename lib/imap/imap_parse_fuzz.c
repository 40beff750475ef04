/* Commands of any text through the command table and every element of the parser: nothing is taken beyond the text, a
 * misfit stays where it was, what is taken is as it says, and what is written again is read again. */
#include "imap_command.h"
#include "imap_sequence.h"
#include "imap_write.h"
#include "limits.h"
#include "text.h"

static void check_parser(const struct imap_parser *p)
{
	must(p->at <= p->text.length && p->failed_at <= p->text.length);
	must(!p->failed || p->expected);
	must(!p->too_much || p->failed);
	must(!p->bad_name || (p->failed && !p->too_much && !p->utf8));
}

static void check_string_again(struct arena *arena, struct str s)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(4 * s.length + 100);
	struct imap_parser p;
	imap_write_astring(&out, s, true);
	must(!out.overflowed);
	imap_parser_init(&p, arena, buf_str(&out), true);
	struct str again = imap_parse_astring(&p);
	must(imap_parse_end(&p) && str_equal(again, s));
}

static void check_mailbox_again(struct arena *arena, struct str name, bool utf8)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(10 * name.length + 100);
	struct imap_parser p;
	must(name.length <= LIMIT_MAILBOX_NAME_MAX && text_is_utf8(name));
	imap_write_mailbox(&out, name, utf8);
	must(!out.overflowed && (utf8 || text_is_ascii(buf_str(&out))));
	imap_parser_init(&p, arena, buf_str(&out), utf8);
	struct str again = imap_parse_mailbox(&p);
	must(imap_parse_end(&p) && str_equal(again, name));
}

static void check_date_again(struct arena *arena, int64_t seconds, int zone)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(100);
	struct imap_parser p;
	imap_write_date_time(&out, seconds, zone);
	imap_parser_init(&p, arena, buf_str(&out), false);
	int again_zone;
	int64_t again = imap_parse_date_time(&p, &again_zone);
	/* a zone may lead out of the years that can be written */
	must(imap_parse_end(&p) &&
	     ((again == seconds && again_zone == zone) || seconds < -62167219200 || seconds > 253402300799));
}

static void take_list(struct imap_parser *p, unsigned depth)
{
	must(depth <= LIMIT_IMAP_DEPTH_MAX + 1);
	for (imap_parse_list_begin(p); imap_parse_list_next(p);) {
		size_t before = p->at;
		if (imap_parse_peek(p) == '(')
			take_list(p, depth + 1);
		else
			imap_parse_nstring(p);
		must(p->failed || p->at > before);
	}
}

/* One element of each kind from where p stands. */
static void take_each(struct arena *arena, const struct imap_parser *start)
{
	bool flag;
	struct imap_parser p = *start;
	struct str s = imap_parse_astring(&p);
	check_parser(&p);
	if (!p.failed)
		check_string_again(arena, s);
	must(!p.failed || s.length == 0);
	p = *start;
	s = imap_parse_mailbox(&p);
	if (!p.failed)
		check_mailbox_again(arena, s, p.utf8);
	check_parser(&p);
	p = *start;
	take_list(&p, 1);
	check_parser(&p);
	p = *start;
	int zone;
	int64_t seconds = imap_parse_date_time(&p, &zone);
	if (!p.failed)
		check_date_again(arena, seconds, zone);
	p = *start;
	imap_parse_literal8_or_string(&p, &flag);
	check_parser(&p);
	p = *start;
	must(imap_parse_list_mailbox(&p).length <= LIMIT_IMAP_PATTERN_MAX);
	p = *start;
	must(imap_parse_flag(&p).length <= LIMIT_IMAP_FLAG_MAX);
	p = *start;
	imap_parse_date(&p);
	check_parser(&p);
	p = *start;
	must(imap_parse_number(&p, 1000) <= 1000);
}

static void check_command(struct arena *arena, struct str text, enum imap_state state, bool utf8)
{
	struct imap_parser p;
	struct imap_command command;
	imap_parser_init(&p, arena, text, utf8);
	enum imap_command_check check = imap_command_begin(&p, state, &command);
	must((check == IMAP_COMMAND_NO_TAG) == (command.tag.length == 0));
	must(command.tag.length <= LIMIT_IMAP_TAG_MAX && str_is_printable(command.tag));
	if (check != IMAP_COMMAND_OK)
		return;
	must(command.info && command.info->states & state);
	must(!command.uid || command.info->traits & IMAP_UID_TOO);
	must(!(command.info->traits & IMAP_NO_ARGUMENTS) || command.uid || p.at == text.length);
	if (imap_parse_more(&p))
		take_each(arena, &p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(64 << 20);
	struct str text = str_from((const char *)data + 1, size - 1);
	check_command(arena, text, (enum imap_state)(1 << data[0] % 3), data[0] & 0x80);
	imap_command_literal_is_message(text);
	return 0;
}
