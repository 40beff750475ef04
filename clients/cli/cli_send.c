/* posthorn send: the mail on standard input, submitted as sendmail(1) would. */
#include "cli.h"

#include "clock.h"
#include "date.h"
#include "header.h"
#include "mem.h"
#include "sendmail_message.h"
#include "smtp_client.h"
#include "text.h"

#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 300000, PIECE = 65536, RANDOM_SIZE = 16 };

struct sending {
	struct server server;
	struct buf password;
	struct buf text;                 /* as it was typed */
	struct buf domain;               /* of the sender, for addresses that have none */
	struct sendmail_message message;
	struct buf content;              /* what is sent */
	struct smtp_result *results;
};

static void end(struct sending *s)
{
	if (s->results)
		smtp_results_release(s->results, s->message.recipients.count);
	free(s->results);
	if (s->message.memory)
		sendmail_message_release(&s->message);
	buf_wipe(&s->password);
	buf_release(&s->text);
	buf_release(&s->domain);
	buf_release(&s->content);
}

static bool read_text(struct sending *s, struct fail **fail)
{
	ssize_t got = 0;
	for (char *room; (room = buf_reserve(&s->text, PIECE)) && (got = read(STDIN_FILENO, room, PIECE)) > 0;)
		buf_claim(&s->text, (size_t)got);
	if (got < 0)
		return fail_set_errno(fail, FAIL_IO, _("standard input"));
	if (got > 0)
		return fail_set(fail, FAIL_TOO_BIG, _("the mail is larger than %d octets"), LIMIT_CLIENT_SEND_MAX);
	return s->text.length > 0 || fail_set(fail, FAIL_INVALID, _("there is no mail on standard input"));
}

/* -f, the account's address, or a user name that is an address. */
static const char *sender_of(const struct cli_call *call, const struct account *account, const struct server *server)
{
	if (call->from)
		return call->from;
	if (account->address[0])
		return account->address;
	return strchr(server->user, '@') ? server->user : NULL;
}

static bool take_envelope(struct cli_call *call, struct sending *s, const char *sender, struct fail **fail)
{
	struct str address = str_of(sender);
	struct str domain = str_from_index(address, str_find_last_char(address, '@') + 1);
	if (domain.length && domain.data[domain.length - 1] == '>')
		domain.length--;
	buf_add_str(&s->domain, domain.length ? domain : str_of(s->server.host));
	sendmail_message_init(&s->message, buf_text(&s->domain), LIMIT_CLIENT_SEND_MAX);
	if (!sendmail_set_sender(&s->message, address, fail))
		return false;
	for (int i = 1; i < call->operand_count; i++)
		if (!sendmail_add_recipients(&s->message, str_of(call->operands[i]), fail))
			return false;
	struct str name = str_of(call->full_name ? call->full_name : "");
	if (!sendmail_take_text(&s->message, buf_str(&s->text), s->message.sender, name,
	                        call->given & CLI_RECIPIENTS_IN_HEADER, fail))
		return false;
	return s->message.recipients.count > 0 || fail_set(fail, FAIL_INVALID, _("no recipient was given"));
}

static void add_date(struct buf *out)
{
	time_t now = (time_t)clock_wall_seconds();
	struct tm local;
	must(localtime_r(&now, &local) != NULL);
	buf_add_str(out, STR("Date: "));
	date_format(out, (struct date){ now, (int)(local.tm_gmtoff / 60) });
	buf_add_str(out, STR("\r\n"));
}

static void add_message_id(struct buf *out, struct str domain)
{
	unsigned char random[RANDOM_SIZE];
	must(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random);
	buf_add_str(out, STR("Message-ID: <"));
	text_hex_encode(out, str_from((const char *)random, sizeof random));
	buf_printf(out, "@%.*s>\r\n", STR_ARG(domain));
}

/* RFC 5322 §3.6: a mail has a Date, and should have a Message-ID. */
static void complete(struct sending *s)
{
	struct header_field field;
	struct str content = buf_str(&s->message.content);
	if (!header_find(content, STR("Date"), &field))
		add_date(&s->content);
	if (!header_find(content, STR("Message-ID"), &field))
		add_message_id(&s->content, buf_str(&s->domain));
	buf_add_str(&s->content, content);
}

static void tell_refused(const struct sending *s)
{
	for (size_t i = 0; i < s->message.recipients.count; i++)
		if (s->results[i].code >= 400)
			cli_say(_("%.*s was refused: %d %s"), STR_ARG(s->message.recipients.items[i]), s->results[i].code,
			        s->results[i].text);
}

static bool submit(struct cli_call *call, struct sending *s, struct fail **fail)
{
	const struct smtp_client_options options = {
		.server = s->server,
		.ca_file = call->ca,
		.password = buf_str(&s->password),
		.method = call->method,
		.timeout_ms = call->timeout_ms ? call->timeout_ms : TIMEOUT_MS,
		.send_to_accepted = call->given & CLI_PARTIAL,
		.warn = cli_warn,
	};
	const struct smtp_submission submission = {
		.sender = s->message.sender,
		.recipients = s->message.recipients.items,
		.recipient_count = s->message.recipients.count,
		.content = buf_str(&s->content),
		.has_8bit = s->message.has_8bit,
		.has_utf8_header = s->message.needs_utf8,
	};
	s->results = mem_alloc(submission.recipient_count * sizeof *s->results);
	bool good = smtp_client_submit(&options, &submission, s->results, fail);
	tell_refused(s);
	return good;
}

static bool all_accepted(const struct sending *s, struct fail **fail)
{
	for (size_t i = 0; i < s->message.recipients.count; i++)
		if (s->results[i].code >= 400)
			return fail_set(fail, FAIL_NOT_FOUND, _("the mail was sent to the other recipients"));
	return true;
}

bool cli_send(struct cli_call *call, struct fail **fail)
{
	CLEANUP(end) struct sending s = {};
	struct account account;
	buf_init(&s.text, LIMIT_CLIENT_SEND_MAX);
	buf_init(&s.domain, LIMIT_ADDRESS_MAX);
	buf_init(&s.content, 2ul * LIMIT_CLIENT_SEND_MAX);
	if (!cli_find_server(call, call->operands[0], SERVER_SMTP, &s.server, &account, fail))
		return false;
	const char *sender = sender_of(call, &account, &s.server);
	if (!sender)
		return fail_set(fail, FAIL_INVALID, _("the sender is not known; give --from"));
	if (!read_text(&s, fail) || !take_envelope(call, &s, sender, fail) ||
	    !cli_password(call, &s.server, &s.password, fail))
		return false;
	complete(&s);
	return submit(call, &s, fail) && all_accepted(&s, fail);
}
