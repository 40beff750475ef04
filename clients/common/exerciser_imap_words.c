#include "exerciser_imap_words.h"

/* What OK means where it means more than "done". The section is that of the command. */
static const char *const completed[IMAP_VERB_COUNT] = {
	[IMAP_APPEND] = N_("The message is in the mailbox."),
	[IMAP_AUTHENTICATE] = N_("The SASL exchange succeeded: you are logged in."),
	[IMAP_CAPABILITY] = N_("The server has said what it can do."),
	[IMAP_CLOSE] = N_("The mailbox is closed, and what was marked \\Deleted is removed."),
	[IMAP_COPY] = N_("The messages are in the other mailbox too."),
	[IMAP_CREATE] = N_("The mailbox is made."),
	[IMAP_DELETE] = N_("The mailbox is gone."),
	[IMAP_ENABLE] = N_("Those extensions are on that ENABLED has named."),
	[IMAP_EXAMINE] = N_("The mailbox is open for reading only."),
	[IMAP_EXPUNGE] = N_("What was marked \\Deleted is removed; EXPUNGE or VANISHED has named each message."),
	[IMAP_FETCH] = N_("All that was asked for has been sent."),
	[IMAP_ID] = N_("Each side has said what program it is."),
	[IMAP_IDLE] = N_("The server has stopped telling news by itself."),
	[IMAP_LIST] = N_("These were all mailboxes that fit the pattern."),
	[IMAP_LOGIN] = N_("You are logged in."),
	[IMAP_LOGOUT] = N_("The session ends."),
	[IMAP_LSUB] = N_("These were all mailboxes that fit the pattern."),
	[IMAP_MOVE] = N_("The messages are in the other mailbox and no longer here."),
	[IMAP_NAMESPACE] = N_("The server has said where mailboxes are."),
	[IMAP_NOOP] = N_("Nothing was done; news, if there was any, stands above."),
	[IMAP_RENAME] = N_("The mailbox has its new name."),
	[IMAP_SEARCH] = N_("The search is done; its result stands above."),
	[IMAP_SELECT] = N_("The mailbox is open; its messages can be read and changed."),
	[IMAP_SORT] = N_("The search is done; its result stands above."),
	[IMAP_STARTTLS] = N_("The server is ready: the TLS handshake comes next."),
	[IMAP_STATUS] = N_("The numbers about the mailbox stand above."),
	[IMAP_STORE] = N_("The flags are changed."),
	[IMAP_SUBSCRIBE] = N_("The mailbox is subscribed to."),
	[IMAP_THREAD] = N_("The search is done; its result stands above."),
	[IMAP_UNAUTHENTICATE] = N_("You are logged out, and the connection stays: the NOT AUTHENTICATED state begins."),
	[IMAP_UNSELECT] = N_("The mailbox is closed, and nothing is removed."),
	[IMAP_UNSUBSCRIBE] = N_("The mailbox is no longer subscribed to."),
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
	{ "LSUB", N_("A mailbox that is subscribed to."), "RFC 3501 §7.2.3" },
	{ "NAMESPACE", N_("Where personal, other users' and shared mailboxes are."), "RFC 9051 §7.3.2" },
	{ "STATUS", N_("Numbers about a mailbox."), "RFC 9051 §7.3.3" },
	{ "ESEARCH", N_("The result of a search."), "RFC 9051 §7.3.4" },
	{ "SEARCH", N_("The result of a search."), "RFC 3501 §7.2.5" },
	{ "SORT", N_("The result of a search, in the order that was asked for."), "RFC 5256 §4" },
	{ "THREAD", N_("The result of a search: who answers whom, in parentheses."), "RFC 5256 §4" },
	{ "FLAGS", N_("The flags that messages here may have."), "RFC 9051 §7.3.5" },
	{ "VANISHED", N_("The messages with these UIDs are gone."), "RFC 7162 §3.2.10" },
	{ "QUOTA", N_("How much of a quota is used, and how much there is."), "RFC 9208 §4.2.1" },
	{ "QUOTAROOT", N_("Which quotas a mailbox counts for."), "RFC 9208 §4.2.2" },
	{ "ACL", N_("Who may do what with a mailbox."), "RFC 4314 §3.6" },
	{ "LISTRIGHTS", N_("Which rights somebody can be given for a mailbox."), "RFC 4314 §3.7" },
	{ "MYRIGHTS", N_("What you may do with a mailbox."), "RFC 4314 §3.8" },
	{ "METADATA", N_("Annotations of a mailbox or of the server."), "RFC 5464 §4.4" },
	{ "ID", N_("What program the server is."), "RFC 2971 §3.2" },
	{ "LANGUAGE", N_("The languages that the server knows, or the one that it now speaks."), "RFC 5255 §3.3" },
	{ "COMPARATOR", N_("How the server compares texts."), "RFC 5255 §4.8" },
};

static const struct exerciser_word numbered[] = {
	{ "EXISTS", N_("So many messages are in the mailbox."), "RFC 9051 §7.4.1" },
	{ "RECENT", N_("So many messages are new to the server's clients."), "RFC 3501 §7.3.2" },
	{ "EXPUNGE", N_("This message is gone, and the numbers of all behind it go down by one."), "RFC 9051 §7.5.1" },
	{ "FETCH", N_("Data of this message."), "RFC 9051 §7.5.2" },
};

/* CAPABILITY and READ-WRITE are not here: what the command did says more. */
static const struct exerciser_word codes[] = {
	{ "ALERT", N_("The server wants everybody to read this."), "RFC 9051 §7.1" },
	{ "ALREADYEXISTS", N_("There is such a mailbox already."), "RFC 9051 §7.1" },
	{ "APPENDUID", N_("The UIDVALIDITY of the mailbox, and the UID that the message got."), "RFC 9051 §7.1" },
	{ "AUTHENTICATIONFAILED", N_("The name or the password is wrong, and the server does not say which."),
		"RFC 9051 §7.1" },
	{ "AUTHORIZATIONFAILED", N_("You are who you say, but may not act for the other user."), "RFC 9051 §7.1" },
	{ "BADCHARSET", N_("The server can't search in this character set; those that it knows may follow."),
		"RFC 9051 §7.1" },
	{ "BADCOMPARATOR", N_("The server has no such way of comparing texts."), "RFC 5255 §4.9" },
	{ "BADEVENT", N_("The server can't tell news of this kind."), "RFC 5465 §3.1" },
	{ "BADURL", N_("What this URL names can't be put into the message."), "RFC 4469 §4.1" },
	{ "CANNOT", N_("This can never be done on this server, with whatever name."), "RFC 9051 §7.1" },
	{ "CLIENTBUG", N_("The server thinks that the client is at fault."), "RFC 9051 §7.1" },
	{ "CLOSED", N_("The mailbox that was open before is closed; what follows is about the other one."),
		"RFC 9051 §7.1" },
	{ "COMPRESSIONACTIVE", N_("The connection is compressed already."), "RFC 4978 §3" },
	{ "CONTACTADMIN", N_("Somebody must mend this: ask who runs the server."), "RFC 9051 §7.1" },
	{ "COPYUID", N_("The UIDs of the messages, and the UIDs that their copies got."), "RFC 9051 §7.1" },
	{ "CORRUPTION", N_("Something that the server keeps is damaged."), "RFC 9051 §7.1" },
	{ "EXPIRED", N_("The password was right once, but is too old now."), "RFC 9051 §7.1" },
	{ "EXPUNGEISSUED", N_("Another session has removed one of these messages."), "RFC 9051 §7.1" },
	{ "HASCHILDREN", N_("The mailbox has others below it, so it can't be deleted."), "RFC 9051 §7.1" },
	{ "HIGHESTMODSEQ", N_("The number of the latest change in this mailbox."), "RFC 7162 §3.1.2.1" },
	{ "INUSE", N_("Another session holds the mailbox; try again later."), "RFC 9051 §7.1" },
	{ "LIMIT", N_("More than the server allows."), "RFC 9051 §7.1" },
	{ "MAILBOXID", N_("The id that the mailbox keeps even when it is renamed."), "RFC 8474 §4.2" },
	{ "METADATA", N_("Something about annotations: one is too long, or there are too many."), "RFC 5464 §4.3" },
	{ "MODIFIED", N_("These messages were left alone, because another session has changed them since."),
		"RFC 7162 §3.1.3" },
	{ "NOMODSEQ", N_("The server does not count the changes in this mailbox."), "RFC 7162 §3.1.2.2" },
	{ "NONEXISTENT", N_("There is no such mailbox."), "RFC 9051 §7.1" },
	{ "NOPERM", N_("You have no right to do this."), "RFC 9051 §7.1" },
	{ "NOTIFICATIONOVERFLOW", N_("There are too many news: the server tells none from now on."), "RFC 5465 §5.8" },
	{ "NOTSAVED", N_("The result of the search could not be kept."), "RFC 5182 §2.5" },
	{ "NOUPDATE", N_("The server does not keep this result up to date."), "RFC 5267 §4.3.1" },
	{ "OVERQUOTA", N_("There is no room left in the quota."), "RFC 9051 §7.1" },
	{ "PARSE", N_("The server could not read the headers of a message."), "RFC 9051 §7.1" },
	{ "PERMANENTFLAGS", N_("The flags that can be changed so that it lasts; with \\* new ones can be made."),
		"RFC 9051 §7.1" },
	{ "PRIVACYREQUIRED", N_("This needs TLS first."), "RFC 9051 §7.1" },
	{ "READ-ONLY", N_("The mailbox is open for reading only."), "RFC 9051 §7.1" },
	{ "SERVERBUG", N_("The server has met a fault of its own."), "RFC 9051 §7.1" },
	{ "TOOBIG", N_("The message is larger than the server takes."), "RFC 4469 §4.2" },
	{ "TRYCREATE", N_("There is no such mailbox, but CREATE could make it."), "RFC 9051 §7.1" },
	{ "UIDNEXT", N_("The UID that the next message will get, or a higher one."), "RFC 9051 §7.1" },
	{ "UIDNOTSTICKY", N_("UIDs in this mailbox do not last."), "RFC 9051 §7.1" },
	{ "UIDVALIDITY", N_("As long as this number stays, UIDs mean the same messages."), "RFC 9051 §7.1" },
	{ "UNAVAILABLE", N_("A part of the server can't be reached now; try again later."), "RFC 9051 §7.1" },
	{ "UNKNOWN-CTE", N_("The server can't decode this part of the message."), "RFC 9051 §7.1" },
	{ "UNSEEN", N_("The number of the first message that has not been read."), "RFC 3501 §7.1" },
	{ "USEATTR", N_("The server does not know this use of a mailbox."), "RFC 6154 §3" },
};

bool exerciser_imap_explain_code(struct exerciser_note *note, struct str rest)
{
	struct str word, code;
	str_take_until(&rest, ' ', &word);
	return str_starts(rest, STR("[")) && str_take_until(&rest, ']', &code) &&
	       exerciser_explain_word(note, codes, COUNT_OF(codes), str_from_index(code, 1));
}

void exerciser_imap_explain_untagged(struct exerciser_note *note, struct str rest)
{
	struct str number, behind = rest;
	uint64_t value;
	bool is_word = str_starts_nocase(rest, STR("OK ")) || str_starts_nocase(rest, STR("NO ")) ||
	               str_starts_nocase(rest, STR("BAD "));
	if (is_word && exerciser_imap_explain_code(note, rest))
		return;
	if (exerciser_explain_word(note, untagged, COUNT_OF(untagged), rest))
		return;
	if (str_take_until(&behind, ' ', &number) && str_to_u64(number, UINT32_MAX, &value) &&
	    exerciser_explain_word(note, numbered, COUNT_OF(numbered), behind))
		return;
	exerciser_explain(note, N_("Data that this exerciser does not know; a client must bear with it."),
	                  "RFC 9051 §2.2.2");
}

void exerciser_imap_explain_done(struct exerciser_note *note, int verb)
{
	const char *sentence = verb >= 0 ? completed[verb] : NULL;
	const char *rfc = verb >= 0 ? imap_command_info((enum imap_verb)verb)->rfc : "RFC 9051 §7.1.1";
	exerciser_explain(note, sentence ? sentence : N_("The command is done."), rfc);
}
