#include "exerciser_internal.h"

enum state { NOT_AUTHENTICATED, AUTHENTICATED, SELECTED, LOGOUT };

static const char *const states[] = { "NOT AUTHENTICATED", "AUTHENTICATED", "SELECTED", "LOGOUT" };

enum verb {
	VERB_LOGIN,
	VERB_AUTHENTICATE,
	VERB_STARTTLS,
	VERB_SELECT,
	VERB_EXAMINE,
	VERB_CLOSE,
	VERB_UNSELECT,
	VERB_LOGOUT,
	VERB_IDLE,
	VERB_COUNT
};

static const char *const verbs[VERB_COUNT] = {
	[VERB_LOGIN] = "LOGIN",   [VERB_AUTHENTICATE] = "AUTHENTICATE", [VERB_STARTTLS] = "STARTTLS",
	[VERB_SELECT] = "SELECT", [VERB_EXAMINE] = "EXAMINE",           [VERB_CLOSE] = "CLOSE",
	[VERB_UNSELECT] = "UNSELECT", [VERB_LOGOUT] = "LOGOUT",         [VERB_IDLE] = "IDLE",
};

/* What OK means where it means more than "done". */
static const struct {
	const char *sentence, *rfc;
} completed[VERB_COUNT] = {
	[VERB_LOGIN] = { N_("You are logged in."), "RFC 9051 §6.2.3" },
	[VERB_AUTHENTICATE] = { N_("The SASL exchange succeeded: you are logged in."), "RFC 9051 §6.2.2" },
	[VERB_STARTTLS] = { N_("The server is ready: the TLS handshake comes next."), "RFC 9051 §6.2.1" },
	[VERB_SELECT] = { N_("The mailbox is open; its messages can be read and changed."), "RFC 9051 §6.3.2" },
	[VERB_EXAMINE] = { N_("The mailbox is open for reading only."), "RFC 9051 §6.3.3" },
	[VERB_CLOSE] = { N_("The mailbox is closed, and what was marked \\Deleted is removed."), "RFC 9051 §6.4.1" },
	[VERB_UNSELECT] = { N_("The mailbox is closed, and nothing is removed."), "RFC 9051 §6.4.2" },
	[VERB_LOGOUT] = { N_("The session ends."), "RFC 9051 §6.1.3" },
	[VERB_IDLE] = { N_("The server has stopped telling news by itself."), "RFC 9051 §6.3.13" },
};

static const struct exerciser_word untagged[] = {
	{ "OK", N_("A word from the server that answers no command."), "RFC 9051 §7.1.1" },
	{ "NO", N_("A warning: something did not work, though no command failed."), "RFC 9051 §7.1.2" },
	{ "BAD", N_("The server did not understand something."), "RFC 9051 §7.1.3" },
	{ "PREAUTH", N_("You are logged in from the start, so TLS can't begin any more: distrust it if you wanted TLS."),
	  "RFC 9051 §7.1.4" },
	{ "BYE", N_("The server is about to close the connection."), "RFC 9051 §7.1.5" },
	{ "CAPABILITY", N_("What the server can do."), "RFC 9051 §7.2.2" },
	{ "ENABLED", N_("These extensions are switched on."), "RFC 9051 §7.2.1" },
	{ "LIST", N_("A mailbox, with its attributes and its hierarchy delimiter."), "RFC 9051 §7.3.1" },
	{ "NAMESPACE", N_("Where personal, other users' and shared mailboxes are."), "RFC 9051 §7.3.2" },
	{ "STATUS", N_("Numbers about a mailbox."), "RFC 9051 §7.3.4" },
	{ "ESEARCH", N_("The result of a search."), "RFC 9051 §7.3.5" },
	{ "SEARCH", N_("The result of a search."), "RFC 3501 §7.2.5" },
	{ "FLAGS", N_("The flags that messages here may have."), "RFC 9051 §7.3.6" },
};

static const struct exerciser_word numbered[] = {
	{ "EXISTS", N_("So many messages are in the mailbox."), "RFC 9051 §7.4.1" },
	{ "RECENT", N_("So many messages are new to the server's clients."), "RFC 3501 §7.3.2" },
	{ "EXPUNGE", N_("This message is gone, and the numbers of all behind it go down by one."), "RFC 9051 §7.5.1" },
	{ "FETCH", N_("Data of this message."), "RFC 9051 §7.5.2" },
};

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
	return verb == VERB_LOGIN || verb == VERB_AUTHENTICATE;
}

static int find_verb(struct str word)
{
	for (int i = 0; i < VERB_COUNT; i++)
		if (str_equal_nocase(word, str_of(verbs[i])))
			return i;
	return EXERCISER_UNKNOWN;
}

/* What goes on with the command sent last: literals, SASL messages, DONE. */
static void more_of_command(struct exerciser *x, struct str line, struct buf *shown)
{
	bool hidden = x->count && hides(x->pending[x->count - 1].verb) && !str_equal(line, STR("*"));
	buf_add_str(shown, hidden ? STR("***") : line);
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
	struct str rest = line, tag = {}, word = {};
	if (x->client_turn || x->content_left) {
		more_of_command(x, line, shown);
		return;
	}
	str_take_until(&rest, ' ', &tag);
	str_take_until(&rest, ' ', &word);
	struct exerciser_pending *p = exerciser_push(x, find_verb(word));
	tag = str_first(tag, EXERCISER_TAG_MAX);
	if (tag.length)
		memcpy(p->tag, tag.data, tag.length);
	note_literal(x, line);
	size_t open = line.length - rest.length;
	if (p->verb == VERB_AUTHENTICATE)
		open += str_find_char(rest, ' ') + (str_find_char(rest, ' ') < rest.length);
	if (!hides(p->verb))
		open = line.length;
	buf_add_str(shown, str_first(line, open));
	if (open < line.length)
		buf_add_str(shown, STR("***"));
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
		exerciser_explain_word(note, untagged, COUNT_OF(untagged), rest);
	if (str_starts_nocase(rest, STR("PREAUTH")))
		x->state = AUTHENTICATED;
}

static void untagged_line(struct exerciser *x, struct str rest, struct exerciser_note *note)
{
	struct str number;
	uint64_t value;
	if (str_starts_nocase(rest, STR("BYE")))
		x->state = LOGOUT;
	if (x->count && x->pending[0].verb == EXERCISER_GREETING) {
		greeting(x, rest, note);
		return;
	}
	if (exerciser_explain_word(note, untagged, COUNT_OF(untagged), rest))
		return;
	if (str_take_until(&rest, ' ', &number) && str_to_u64(number, UINT32_MAX, &value))
		exerciser_explain_word(note, numbered, COUNT_OF(numbered), rest);
}

static void move_on(struct exerciser *x, int verb, struct exerciser_note *note)
{
	switch (verb) {
	case VERB_LOGIN:
	case VERB_AUTHENTICATE:
	case VERB_CLOSE:
	case VERB_UNSELECT:
		x->state = AUTHENTICATED;
		break;
	case VERB_SELECT:
	case VERB_EXAMINE:
		x->state = SELECTED;
		break;
	case VERB_LOGOUT:
		x->state = LOGOUT;
		break;
	case VERB_STARTTLS:
		note->begins_tls = true;
		break;
	default:
		break;
	}
}

static void tagged_line(struct exerciser *x, size_t i, struct str rest, struct exerciser_note *note)
{
	int verb = x->pending[i].verb;
	exerciser_remove(x, i);
	x->client_turn = false;
	x->literal_asked = x->content_left = 0;
	if (str_starts_nocase(rest, STR("OK"))) {
		move_on(x, verb, note);
		exerciser_explain(note, verb >= 0 ? completed[verb].sentence : N_("The command is done."),
		                  verb >= 0 ? completed[verb].rfc : "RFC 9051 §7.1.1");
	} else if (str_starts_nocase(rest, STR("NO"))) {
		/* RFC 9051 §6.3.2: a SELECT that fails closes the mailbox that was open. */
		if (x->state == SELECTED && (verb == VERB_SELECT || verb == VERB_EXAMINE))
			x->state = AUTHENTICATED;
		exerciser_explain(note, N_("The command is understood, but can't be done."), "RFC 9051 §7.1.2");
	} else {
		exerciser_explain(note, N_("The command is not understood, or not allowed in this state."), "RFC 9051 §7.1.3");
	}
}

static void continuation(struct exerciser *x, struct exerciser_note *note)
{
	x->client_turn = true;
	x->content_left = x->literal_asked;
	x->literal_asked = 0;
	exerciser_explain(note, N_("The server waits for the rest of the command."), "RFC 9051 §7.6");
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
	states, "tls STARTTLS", VERB_STARTTLS, client_line, server_line, tls_started
};
