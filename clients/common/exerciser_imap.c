#include "exerciser_imap_words.h"

enum state { NOT_AUTHENTICATED, AUTHENTICATED, SELECTED, LOGOUT };

static const char *const states[] = { "NOT AUTHENTICATED", "AUTHENTICATED", "SELECTED", "LOGOUT" };

static const char *const secret_commands[] = { "LOGIN", "AUTHENTICATE", NULL };

/* ---- the client's lines ---- */

/* "{12}" or "{12+}" at the end of a line: so many octets follow (RFC 9051 §4.3). */
static bool find_literal(struct str line, uint64_t *octets, bool *at_once)
{
	size_t open = str_find_last_char(line, '{');
	if (open == line.length || line.data[line.length - 1] != '}')
		return false;
	struct str number = str_from(line.data + open + 1, line.length - open - 2);
	*at_once = number.length && number.data[number.length - 1] == '+';
	number.length -= *at_once;
	return str_to_u64(number, UINT32_MAX, octets);
}

static void note_literal(struct exerciser *x, struct str line)
{
	uint64_t octets;
	bool at_once;
	if (!find_literal(line, &octets, &at_once))
		return;
	if (at_once)
		x->content_left = octets;
	else
		x->literal_asked = octets;
}

static bool hides(int verb)
{
	return verb == IMAP_LOGIN || verb == IMAP_AUTHENTICATE;
}

/* A log-in is among the commands that have no answer yet. */
static bool logs_in(const struct exerciser *x)
{
	for (size_t i = 0; i < x->count; i++)
		if (hides(x->pending[i].verb))
			return true;
	return false;
}

/* Of the arguments of LOGIN: the name and the blank behind it, as far as it is well written; and what only announces a
 * literal, which is needed to say it again. */
static size_t open_part_of_login(struct str arguments)
{
	uint64_t octets;
	bool at_once;
	size_t end = str_find_char(arguments, ' ');
	if (str_starts(arguments, STR("\"")))
		for (end = 1; end < arguments.length && arguments.data[end] != '"'; end++)
			end += arguments.data[end] == '\\';
	end += str_starts(arguments, STR("\""));
	struct str name = str_first(arguments, end), rest = str_from_index(arguments, end + 1);
	if (find_literal(name, &octets, &at_once) && name.data[0] == '{' && name.length == arguments.length)
		return arguments.length;
	if (end >= arguments.length || arguments.data[end] != ' ')
		return 0;
	return str_starts(rest, STR("{")) && find_literal(rest, &octets, &at_once) ? arguments.length : end + 1;
}

/* A line that begins as commands do. */
struct command {
	struct str tag, rest, arguments; /* rest: behind the tag */
	int verb;
	bool lacks_tag;                  /* LOGIN or AUTHENTICATE stands in its place */
};

static struct command read_command(struct str line)
{
	struct command c = { .tag = exerciser_first_word(line), .verb = EXERCISER_UNKNOWN };
	enum imap_verb verb;
	c.lacks_tag = imap_command_find(c.tag, &verb) && hides((int)verb);
	c.rest = str_from_index(line, c.tag.length + 1);
	struct str word = exerciser_first_word(c.rest), behind = str_from_index(c.rest, word.length + 1);
	if (str_equal_nocase(word, STR("UID"))) {
		word = exerciser_first_word(behind);
		behind = str_from_index(behind, word.length + 1);
	}
	if (!c.lacks_tag && imap_command_find(word, &verb))
		c.verb = (int)verb;
	c.arguments = behind;
	return c;
}

static void show_command(const struct exerciser *x, struct str line, const struct command *c, struct buf *shown)
{
	size_t open = line.length;
	if (c->verb == EXERCISER_UNKNOWN && !x->secret_may_follow && !c->lacks_tag) {
		buf_add_str(shown, str_first(line, line.length - c->rest.length));
		exerciser_show_unknown(x, c->rest, secret_commands, shown);
		return;
	}
	if (c->verb == EXERCISER_UNKNOWN) {
		exerciser_show_unknown(x, line, secret_commands, shown);
		return;
	}
	struct str mechanism = exerciser_first_word(c->arguments);
	if (c->verb == IMAP_LOGIN)
		open -= c->arguments.length - open_part_of_login(c->arguments);
	else if (c->verb == IMAP_AUTHENTICATE)
		open -= c->arguments.length - mechanism.length - (mechanism.length < c->arguments.length);
	buf_add_str(shown, str_first(line, open));
	if (open < line.length)
		buf_add_str(shown, STR("***"));
}

/* What goes on with the command sent last: literals, SASL messages, DONE. */
static void more_of_command(struct exerciser *x, struct str line, struct buf *shown)
{
	struct command c = read_command(line);
	if (logs_in(x) && (x->content_left || !str_equal(line, STR("*"))))
		buf_add_str(shown, STR("***"));
	else if (x->content_left)
		buf_add_str(shown, line);
	else
		show_command(x, line, &c, shown); /* the server may ask for more when nobody has any */
	x->client_turn = false;
	if (x->content_left > line.length) {
		exerciser_count_content(x, line.length);
		return;
	}
	struct str rest = str_from_index(line, (size_t)x->content_left);
	x->content_left = 0;
	note_literal(x, rest);
}

static void client_line(struct exerciser *x, struct str line, struct buf *shown)
{
	if (x->client_turn || x->content_left) {
		more_of_command(x, line, shown);
		return;
	}
	struct command c = read_command(line);
	struct exerciser_pending *p = exerciser_push(x, c.verb);
	str_copy_to_array(str_first(c.tag, EXERCISER_TAG_MAX), p->tag, sizeof p->tag);
	show_command(x, line, &c, shown);
	x->literal_asked = 0;
	note_literal(x, line);
	if (c.verb == IMAP_AUTHENTICATE || (c.verb == IMAP_LOGIN && (x->literal_asked || x->content_left)))
		x->secret_may_follow = true;
	else if (c.verb != EXERCISER_UNKNOWN)
		x->secret_may_follow = false;
}

/* ---- the server's lines ---- */

/* True while a literal goes on; *rest is what stands behind it. */
static bool in_literal(struct exerciser *x, struct str text, uint64_t octets, struct str *rest)
{
	if (x->literal_left >= octets + 2) {
		x->literal_left -= octets + 2;
		return true;
	}
	*rest = str_from_index(text, (size_t)x->literal_left);
	x->literal_left = 0;
	return false;
}

static void greeting(struct exerciser *x, struct str rest, struct exerciser_note *note)
{
	exerciser_remove(x, 0);
	if (str_starts_nocase(rest, STR("OK")))
		exerciser_explain(note, N_("The server greets: the NOT AUTHENTICATED state begins."), "RFC 9051 §7.1.1");
	else
		exerciser_imap_explain_untagged(note, rest);
	if (str_starts_nocase(rest, STR("PREAUTH")))
		x->state = AUTHENTICATED;
}

static void untagged_line(struct exerciser *x, struct str rest, struct exerciser_note *note)
{
	if (str_starts_nocase(rest, STR("BYE")))
		x->state = LOGOUT;
	if (x->count && x->pending[0].verb == EXERCISER_GREETING)
		greeting(x, rest, note);
	else
		exerciser_imap_explain_untagged(note, rest);
}

static void move_on(struct exerciser *x, int verb, struct exerciser_note *note)
{
	switch (verb) {
	case IMAP_LOGIN:
	case IMAP_AUTHENTICATE:
		x->is_logged_in = true;
		x->secret_may_follow = false;
		x->state = AUTHENTICATED;
		break;
	case IMAP_UNAUTHENTICATE:
		x->is_logged_in = false;
		x->state = NOT_AUTHENTICATED;
		break;
	case IMAP_CLOSE:
	case IMAP_UNSELECT:
		x->state = x->state == SELECTED ? AUTHENTICATED : x->state;
		break;
	case IMAP_SELECT:
	case IMAP_EXAMINE:
		x->state = SELECTED;
		break;
	case IMAP_LOGOUT:
		x->state = LOGOUT;
		break;
	case IMAP_STARTTLS:
		note->begins_tls = true;
		break;
	default:
		break;
	}
}

static bool fits_state(const struct exerciser *x, int verb)
{
	unsigned now = x->state == SELECTED        ? IMAP_SELECTED
	               : x->state == AUTHENTICATED ? IMAP_AUTHENTICATED
	                                           : IMAP_NOT_AUTHENTICATED;
	return verb < 0 || imap_command_info((enum imap_verb)verb)->states & now;
}

static void explain_tagged(const struct exerciser *x, int verb, bool is_no, struct exerciser_note *note)
{
	if (!fits_state(x, verb))
		exerciser_explain(note, N_("This command does not belong to the present state."), "RFC 9051 §3");
	else if (is_no && verb == IMAP_LOGIN)
		exerciser_explain(note,
		                  N_("The log-in failed: the name or the password is wrong, or the server wants another way."),
		                  "RFC 9051 §6.2.3");
	else if (is_no && verb == IMAP_AUTHENTICATE)
		exerciser_explain(note, N_("The SASL exchange failed; the state is as before."), "RFC 9051 §6.2.2");
	else if (is_no)
		exerciser_explain(note, N_("The command is understood, but can't be done."), "RFC 9051 §7.1.2");
	else if (verb == EXERCISER_UNKNOWN)
		exerciser_explain(note, N_("The server does not know this command, or not in this state."), "RFC 9051 §7.1.3");
	else
		exerciser_explain(note, N_("The command is not understood, or not allowed in this state."), "RFC 9051 §7.1.3");
}

static void tagged_line(struct exerciser *x, size_t i, struct str rest, struct exerciser_note *note)
{
	int verb = x->pending[i].verb;
	bool is_ok = str_starts_nocase(rest, STR("OK")), is_no = str_starts_nocase(rest, STR("NO"));
	exerciser_remove(x, i);
	x->client_turn = false;
	x->literal_asked = x->content_left = 0;
	if (is_ok)
		exerciser_imap_explain_done(note, verb);
	else
		explain_tagged(x, verb, is_no, note);
	if (is_ok)
		move_on(x, verb, note);
	/* RFC 9051 §6.3.2: a SELECT that fails closes the mailbox that was open. */
	else if (is_no && x->state == SELECTED && (verb == IMAP_SELECT || verb == IMAP_EXAMINE))
		x->state = AUTHENTICATED;
	exerciser_imap_explain_code(note, rest);
}

/* RFC 9051 §7.6. Only commands that have more to say can be asked for it: whatever else is sent next is a command. */
static void continuation(struct exerciser *x, struct exerciser_note *note)
{
	int verb = x->count ? x->pending[x->count - 1].verb : EXERCISER_UNKNOWN;
	x->idles = verb == IMAP_IDLE;
	x->client_turn = x->literal_asked || x->idles || logs_in(x) || (x->count && verb == EXERCISER_UNKNOWN);
	x->content_left = x->literal_asked;
	x->literal_asked = 0;
	if (x->idles)
		exerciser_explain(note, N_("From now on the server tells news by itself, until you send DONE."),
		                  "RFC 9051 §6.3.13");
	else if (x->content_left)
		exerciser_explain(note, N_("The server waits for the octets that were announced."), "RFC 9051 §4.3");
	else if (verb == IMAP_AUTHENTICATE)
		exerciser_explain(note, N_("A challenge in base64: answer with base64, or with * to give up."),
		                  "RFC 9051 §6.2.2");
	else if (x->client_turn)
		exerciser_explain(note, N_("The server waits for the rest of the command."), "RFC 9051 §7.6");
	else
		exerciser_explain(note, N_("The server waits for the rest of a command, but none has any."), "RFC 9051 §7.6");
}

static void server_line(struct exerciser *x, struct str text, uint64_t octets, struct exerciser_note *note)
{
	struct str rest = text, first = {};
	bool goes_on = x->goes_on, at_once;
	if (x->literal_left && in_literal(x, text, octets, &rest))
		return;
	x->goes_on = octets == text.length && find_literal(rest, &x->literal_left, &at_once);
	if (goes_on)
		return;
	str_take_until(&rest, ' ', &first);
	if (str_equal(first, STR("*"))) {
		untagged_line(x, rest, note);
		return;
	}
	if (str_equal(first, STR("+"))) {
		continuation(x, note);
		return;
	}
	for (size_t i = 0; i < x->count; i++)
		if (x->pending[i].tag[0] && str_equal(str_of(x->pending[i].tag), str_first(first, EXERCISER_TAG_MAX))) {
			tagged_line(x, i, rest, note);
			return;
		}
	exerciser_explain(note, N_("This is no answer to any command that was sent."), "RFC 9051 §2.2.2");
}

/* RFC 9051 §6.2.1. */
static void tls_started(struct exerciser *x)
{
	x->state = NOT_AUTHENTICATED;
}

const struct exerciser_protocol exerciser_imap = {
	states, "tls STARTTLS", IMAP_STARTTLS, client_line, server_line, tls_started
};
