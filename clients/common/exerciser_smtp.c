#include "exerciser_internal.h"

#include "smtp_bdat.h"
#include "smtp_command.h"

enum state { CONNECTED, READY, MAIL, RECIPIENTS, CONTENT, CLOSED };

static const char *const states[] = { "CONNECTED", "READY", "MAIL", "RCPT", "DATA", N_("closed") };

/* What stands for the final dot of DATA among the pending commands. */
enum { VERB_CONTENT = SMTP_COMMAND_COUNT, ANY = -100 };

/* From the special to the general: the first row that fits counts. */
static const struct {
	int code, verb;
	const char *sentence, *rfc;
} replies[] = {
	{ 220, EXERCISER_GREETING, N_("The server greets and names itself; EHLO comes next."), "RFC 5321 §4.3.1" },
	{ 220, SMTP_COMMAND_STARTTLS, N_("The server is ready: the TLS handshake comes next, then EHLO again."),
	  "RFC 3207 §4" },
	{ 554, EXERCISER_GREETING, N_("The server takes no mail from here."), "RFC 5321 §3.1" },
	{ 250, SMTP_COMMAND_EHLO, N_("The server knows you now and has listed its extensions."), "RFC 5321 §4.1.1.1" },
	{ 250, SMTP_COMMAND_LHLO, N_("The server knows you now and has listed its extensions."), "RFC 2033 §4.1" },
	{ 250, SMTP_COMMAND_HELO, N_("The server knows you now; without EHLO there are no extensions."),
	  "RFC 5321 §4.1.1.1" },
	{ 250, SMTP_COMMAND_MAIL, N_("The sender is accepted and a transaction begins; RCPT comes next."),
	  "RFC 5321 §4.1.1.2" },
	{ 250, SMTP_COMMAND_RCPT, N_("This recipient is accepted; more may follow, or DATA."), "RFC 5321 §4.1.1.3" },
	{ 354, SMTP_COMMAND_DATA,
	  N_("Send the mail now; a line with a dot alone ends it, and dots that begin a line are doubled."),
	  "RFC 5321 §4.1.1.4" },
	{ 250, VERB_CONTENT, N_("The server has taken the mail: from now on it is responsible for it."),
	  "RFC 5321 §4.2.5" },
	{ 250, SMTP_COMMAND_BDAT, N_("The chunk is taken; with LAST the server is responsible for the mail now."),
	  "RFC 3030 §2" },
	{ 250, SMTP_COMMAND_RSET, N_("The transaction is forgotten, the session goes on."), "RFC 5321 §4.1.1.5" },
	{ 250, SMTP_COMMAND_NOOP, N_("Nothing was done."), "RFC 5321 §4.1.1.9" },
	{ 503, SMTP_COMMAND_AUTH, N_("You are logged in already, or a transaction is open."), "RFC 4954 §4" },
	{ 501, SMTP_COMMAND_AUTH, N_("The exchange was cancelled, or the base64 is not valid."), "RFC 4954 §4" },
	{ 550, SMTP_COMMAND_RCPT,
	  N_("The server takes no mail for this recipient: it is unknown, or relaying is not allowed."), "RFC 5321 §3.3" },
	{ 452, SMTP_COMMAND_RCPT, N_("Too many recipients for one transaction, or the mailbox is full: try again later."),
	  "RFC 5321 §4.5.3.1.10" },
	{ 211, ANY, N_("The state of the system, or help."), "RFC 5321 §4.2.3" },
	{ 214, ANY, N_("Help for people."), "RFC 5321 §4.1.1.8" },
	{ 220, ANY, N_("The server is ready."), "RFC 5321 §4.2.3" },
	{ 221, ANY, N_("The server says good-bye and closes the connection."), "RFC 5321 §4.1.1.10" },
	{ 235, ANY, N_("You are logged in."), "RFC 4954 §6" },
	{ 250, ANY, N_("Done as asked."), "RFC 5321 §4.2.3" },
	{ 251, ANY, N_("The user is not local; the server forwards."), "RFC 5321 §3.4" },
	{ 252, ANY, N_("The server does not say whether the user exists, but would take a mail."), "RFC 5321 §3.5.3" },
	{ 253, ANY, N_("The server has begun to send what waits for the host."), "RFC 1985 §5.1" },
	{ 334, ANY, N_("A challenge in base64: answer with base64, or with * to give up."), "RFC 4954 §4" },
	{ 354, ANY, N_("The server waits for the mail."), "RFC 5321 §4.2.3" },
	{ 421, ANY, N_("The server ends the session; try again later."), "RFC 5321 §3.8" },
	{ 432, ANY, N_("The password must be changed first."), "RFC 4954 §6" },
	{ 450, ANY, N_("The mailbox is busy, or the server wants you to come back later."), "RFC 5321 §4.2.3" },
	{ 451, ANY, N_("The server has a trouble that will pass."), "RFC 5321 §4.2.3" },
	{ 452, ANY, N_("The server lacks room at the moment."), "RFC 5321 §4.2.3" },
	{ 454, ANY, N_("TLS or the log-in is not available at the moment."), "RFC 3207 §4" },
	{ 455, ANY, N_("The server can't honour the parameters at the moment."), "RFC 5321 §4.1.1.11" },
	{ 500, ANY, N_("The server does not know this command, or the line is too long."), "RFC 5321 §4.2.4" },
	{ 501, ANY, N_("The arguments of the command are wrong."), "RFC 5321 §4.2.3" },
	{ 502, ANY, N_("The server knows the command but does not do it."), "RFC 5321 §4.2.4" },
	{ 503, ANY, N_("The command comes at the wrong place in the dialogue."), "RFC 5321 §4.1.4" },
	{ 504, ANY, N_("The server does not know this parameter or mechanism."), "RFC 5321 §4.2.3" },
	{ 521, ANY, N_("This host takes no mail at all."), "RFC 7504 §2" },
	{ 530, ANY, N_("TLS or a log-in is needed first."), "RFC 4954 §6" },
	{ 534, ANY, N_("This mechanism is too weak for this user."), "RFC 4954 §6" },
	{ 535, ANY, N_("The name or the password is wrong."), "RFC 4954 §6" },
	{ 538, ANY, N_("This mechanism needs TLS."), "RFC 4954 §6" },
	{ 550, ANY, N_("Refused for good: no such mailbox, or a rule of the server forbids it."), "RFC 5321 §4.2.3" },
	{ 551, ANY, N_("The user is not local; try the address that is given."), "RFC 5321 §3.4" },
	{ 552, ANY, N_("The mail is larger than allowed, or the mailbox is full."), "RFC 1870 §6.1" },
	{ 553, ANY, N_("The mailbox name is not allowed."), "RFC 5321 §4.2.3" },
	{ 554, ANY, N_("The transaction failed."), "RFC 5321 §4.2.3" },
	{ 555, ANY, N_("A parameter of MAIL or RCPT is not known here."), "RFC 5321 §4.1.1.11" },
	{ 556, ANY, N_("The domain takes no mail."), "RFC 7504 §4" },
};

static const char *const classes[] = {
	[2] = N_("The server did what was asked."),
	[3] = N_("The server waits for more."),
	[4] = N_("It did not work now, but may later."),
	[5] = N_("It did not work, and will not as it stands."),
};

static const struct exerciser_word extensions[] = {
	{ "PIPELINING", N_("Several commands may be sent without waiting for replies."), "RFC 2920 §3" },
	{ "SIZE", N_("MAIL may announce the size; the number is the largest mail that is taken."), "RFC 1870 §4" },
	{ "8BITMIME", N_("Bodies may have octets beyond ASCII."), "RFC 6152 §2" },
	{ "CHUNKING", N_("BDAT sends the mail in counted chunks."), "RFC 3030 §2" },
	{ "BINARYMIME", N_("With BDAT even bodies that are no lines can be sent."), "RFC 3030 §3" },
	{ "SMTPUTF8", N_("Addresses and headers may be UTF-8."), "RFC 6531 §3.1" },
	{ "ENHANCEDSTATUSCODES", N_("Replies carry a finer code such as 5.1.1."), "RFC 2034 §3" },
	{ "LIMITS", N_("How many commands of a kind the server takes."), "RFC 9422 §3" },
	{ "STARTTLS", N_("STARTTLS begins TLS on this connection."), "RFC 3207 §2" },
	{ "AUTH", N_("AUTH may be used with these mechanisms."), "RFC 4954 §3" },
	{ "DSN", N_("The sender may choose what is reported about the delivery."), "RFC 3461 §3" },
	{ "REQUIRETLS", N_("A mail may ask to travel inside TLS only."), "RFC 8689 §2" },
	{ "FUTURERELEASE", N_("A mail may be held until a given time."), "RFC 4865 §3" },
	{ "DELIVERBY", N_("A mail may have a deadline."), "RFC 2852 §2" },
	{ "MT-PRIORITY", N_("A mail may have a priority."), "RFC 6710 §3" },
	{ "ETRN", N_("ETRN makes the server send what waits for a host."), "RFC 1985 §2" },
	{ "NO-SOLICITING", N_("The server does not want advertisements of these kinds."), "RFC 3865 §2.1" },
	{ "RRVS", N_("A mail may ask that the mailbox has had the same owner since a given time."), "RFC 7293 §3.1" },
	{ "VRFY", N_("VRFY asks about a user."), "RFC 5321 §4.1.1.6" },
	{ "EXPN", N_("EXPN asks about a list."), "RFC 5321 §4.1.1.7" },
	{ "HELP", N_("HELP gives help for people."), "RFC 5321 §4.1.1.8" },
};

/* ---- the client's lines ---- */

static void content_line(struct exerciser *x, struct str line)
{
	if (!str_equal(line, STR(".")))
		return;
	x->in_content = false;
	exerciser_push(x, VERB_CONTENT);
}

static void begin_chunk(struct exerciser *x, struct str argument, struct exerciser_pending *p)
{
	struct smtp_bdat bdat;
	if (smtp_bdat_parse(argument, &bdat) != NULL)
		return;
	x->content_left = bdat.size;
	p->last = bdat.last;
}

static void content(struct exerciser *x, struct str line, struct buf *shown)
{
	buf_add_str(shown, line);
	if (x->in_content)
		content_line(x, line);
	else
		exerciser_count_content(x, line.length);
}

/* The initial response of AUTH is the password as often as not. */
static void show_auth(struct str line, size_t end, struct buf *shown)
{
	size_t open = end + 1 + exerciser_first_word(str_from_index(line, end + 1)).length;
	buf_add_str(shown, str_first(line, open));
	if (open < line.length)
		buf_add_str(shown, STR(" ***"));
}

static void client_line(struct exerciser *x, struct str line, struct buf *shown)
{
	static const char *const secret_commands[] = { "AUTH", NULL };
	size_t end = str_find_char(line, ' ');
	const struct smtp_command *command = smtp_command_find(str_first(line, end));
	if (x->client_turn) {
		x->client_turn = false;
		buf_add_str(shown, str_equal(line, STR("*")) ? line : STR("***"));
		return;
	}
	if (x->in_content || x->content_left) {
		content(x, line, shown);
		return;
	}
	struct exerciser_pending *p = exerciser_push(x, command ? (int)command->id : EXERCISER_UNKNOWN);
	if (p->verb == SMTP_COMMAND_BDAT)
		begin_chunk(x, str_from_index(line, end + 1), p);
	if (p->verb == SMTP_COMMAND_AUTH)
		show_auth(line, end, shown);
	else if (p->verb == EXERCISER_UNKNOWN)
		exerciser_show_unknown(x, line, secret_commands, shown);
	else
		buf_add_str(shown, line);
	x->secret_may_follow = command ? p->verb == SMTP_COMMAND_AUTH : x->secret_may_follow;
}

/* ---- the server's lines ---- */

static void explain(struct exerciser_note *note, int verb, int code)
{
	for (size_t i = 0; i < COUNT_OF(replies); i++)
		if (replies[i].code == code && (replies[i].verb == verb || replies[i].verb == ANY)) {
			exerciser_explain(note, replies[i].sentence, replies[i].rfc);
			return;
		}
	exerciser_explain(note, classes[code / 100], "RFC 5321 §4.2.1");
}

static void move_on(struct exerciser *x, const struct exerciser_pending *p)
{
	switch (p->verb) {
	case SMTP_COMMAND_EHLO:
	case SMTP_COMMAND_HELO:
	case SMTP_COMMAND_LHLO:
		x->state = READY;
		break;
	case SMTP_COMMAND_AUTH:
		x->is_logged_in = true;
		x->secret_may_follow = false;
		break;
	case SMTP_COMMAND_RSET:
		x->state = x->state == CONNECTED ? CONNECTED : READY;
		break;
	case SMTP_COMMAND_MAIL:
		x->state = MAIL;
		break;
	case SMTP_COMMAND_RCPT:
		x->state = RECIPIENTS;
		break;
	case SMTP_COMMAND_BDAT:
		x->state = p->last ? READY : CONTENT;
		break;
	default:
		break;
	}
}

static void complete(struct exerciser *x, const struct exerciser_pending *p, int code, struct exerciser_note *note)
{
	explain(note, p->verb, code);
	if (code / 100 == 2)
		move_on(x, p);
	/* Taken or refused, the transaction is over with the final dot: RFC 5321 §4.1.1.4. */
	if (p->verb == VERB_CONTENT)
		x->state = READY;
	if (p->verb == SMTP_COMMAND_DATA && code == 354) {
		x->in_content = true;
		x->state = CONTENT;
	}
	note->begins_tls = p->verb == SMTP_COMMAND_STARTTLS && code == 220;
	if (code == 421 || code == 221 || (p->verb == EXERCISER_GREETING && code >= 400))
		x->state = CLOSED;
}

/* One of several lines of the answer to EHLO: the first names the server, RFC 5321 §4.1.1.1. */
static void explain_listed(struct exerciser *x, struct str text, struct exerciser_note *note)
{
	if (!x->in_listing)
		exerciser_explain(note, N_("The server's name and a greeting; its extensions follow."), "RFC 5321 §4.1.1.1");
	else if (!exerciser_explain_word(note, extensions, COUNT_OF(extensions), str_from_index(text, 4)))
		exerciser_explain(note, N_("An extension that this exerciser does not know."), "RFC 5321 §2.2.1");
	x->in_listing = true;
}

static void server_line(struct exerciser *x, struct str text, uint64_t octets, struct exerciser_note *note)
{
	uint64_t code;
	struct exerciser_pending p = { .verb = EXERCISER_UNKNOWN };
	(void)octets;
	if (text.length < 3 || !str_to_u64(str_first(text, 3), 599, &code) || code < 200) {
		exerciser_explain(note, N_("This is no SMTP reply: those begin with three digits."), "RFC 5321 §4.2");
		return;
	}
	if (x->count)
		p = x->pending[0];
	bool lists = p.verb == SMTP_COMMAND_EHLO || p.verb == SMTP_COMMAND_LHLO;
	if (text.length > 3 && text.data[3] == '-') {
		if (lists && code == 250)
			explain_listed(x, text, note);
		return;
	}
	x->in_listing = false;
	if (p.verb == SMTP_COMMAND_AUTH && code == 334) {
		x->client_turn = true;
		explain(note, p.verb, (int)code);
		return;
	}
	if (x->count)
		exerciser_remove(x, 0);
	complete(x, &p, (int)code, note);
	if (lists && code == 250)
		exerciser_explain_word(note, extensions, COUNT_OF(extensions), str_from_index(text, 4));
}

/* RFC 3207 §4.2: as if nothing had been said, but for the greeting. */
static void tls_started(struct exerciser *x)
{
	x->state = CONNECTED;
}

const struct exerciser_protocol exerciser_smtp = {
	states, "STARTTLS", SMTP_COMMAND_STARTTLS, client_line, server_line, tls_started
};
