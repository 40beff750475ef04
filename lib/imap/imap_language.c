#include "imap_language.h"

#include "imap_expected.h"
#include "text.h"

enum { TEXT_SHOWN_MAX = 60 };

#define TEXT(english, italian, slovak)                                                                     \
	{                                                                                                      \
		[IMAP_ENGLISH] = (english), [IMAP_ITALIAN] = (italian), [IMAP_SLOVAK] = (slovak)                   \
	}

static const char *const texts[IMAP_TEXT_COUNT][IMAP_LANGUAGE_COUNT] = {
	[IMAP_SAY_READY] = TEXT("Posthorn IMAP server ready", "server IMAP Posthorn pronto",
		"server IMAP Posthorn je pripravený"),
	[IMAP_SAY_DONE] = TEXT("{text} done", "{text} fatto", "{text} hotovo"),
	[IMAP_SAY_LOGGED_IN] = TEXT("logged in", "accesso eseguito", "prihlásenie prebehlo úspešne"),
	[IMAP_SAY_BYE] = TEXT("Posthorn IMAP server signing off", "il server IMAP Posthorn saluta",
		"server IMAP Posthorn sa lúči"),
	[IMAP_SAY_BEGIN_TLS] = TEXT("begin TLS negotiation now", "iniziare ora la negoziazione TLS",
		"teraz začnite dohodu TLS"),

	[IMAP_SAY_WRONG_PASSWORD] = TEXT("log-in failed: wrong name or password", "accesso negato: nome o password errati",
		"prihlásenie zlyhalo: nesprávne meno alebo heslo"),
	[IMAP_SAY_TLS_FIRST] = TEXT("passwords in clear text are refused: use STARTTLS first, or port 993",
		"password in chiaro non accettate: usare prima STARTTLS, o la porta 993",
		"nešifrované heslá sa neprijímajú: najprv použite STARTTLS alebo port 993"),
	[IMAP_SAY_NO_MECHANISM] = TEXT("this mechanism is not offered, CAPABILITY lists those that are",
		"meccanismo non disponibile, CAPABILITY elenca quelli disponibili",
		"tento mechanizmus sa neponúka, ponúkané vypíše CAPABILITY"),
	[IMAP_SAY_BAD_BASE64] = TEXT("this is not valid base64", "base64 non valido", "toto nie je platné base64"),
	[IMAP_SAY_LOGIN_CANCELLED] = TEXT("log-in given up", "accesso abbandonato", "prihlásenie zrušené"),
	[IMAP_SAY_ALREADY_TLS] = TEXT("TLS is active already", "TLS è già attivo", "TLS je už zapnuté"),
	[IMAP_SAY_TLS_NOT_OFFERED] = TEXT("TLS is not offered here", "TLS non è disponibile qui", "TLS sa tu neponúka"),
	[IMAP_SAY_PIPELINED_TLS] = TEXT("nothing may be sent behind STARTTLS before its answer, closing",
		"nulla può seguire STARTTLS prima della sua risposta, chiusura",
		"za STARTTLS nesmie nič nasledovať pred odpoveďou naň, končíme"),
	[IMAP_SAY_MOVED] = TEXT("this account's mail is on {text} now", "la posta di questa utenza ora è su {text}",
		"pošta tohto účtu je teraz na {text}"),

	[IMAP_SAY_NO_TAG] = TEXT("a command begins with a tag", "un comando comincia con un'etichetta",
		"príkaz sa začína značkou"),
	[IMAP_SAY_NO_COMMAND] = TEXT("a command follows its tag behind one space",
		"un comando segue la sua etichetta dopo uno spazio",
		"príkaz nasleduje za značkou po jednej medzere"),
	[IMAP_SAY_UNKNOWN_COMMAND] = TEXT("unknown command {text}", "comando {text} sconosciuto", "neznámy príkaz {text}"),
	[IMAP_SAY_ONLY_BEFORE_LOGIN] = TEXT("{text} is only allowed before log-in",
		"{text} è permesso solo prima dell'accesso",
		"{text} je dovolené len pred prihlásením"),
	[IMAP_SAY_LOGIN_FIRST] = TEXT("{text} is only allowed after log-in", "{text} è permesso solo dopo l'accesso",
		"{text} je dovolené až po prihlásení"),
	[IMAP_SAY_SELECT_FIRST] = TEXT("{text} needs a selected mailbox, use SELECT first",
		"{text} richiede una casella selezionata, usare prima SELECT",
		"{text} potrebuje vybranú schránku, najprv použite SELECT"),
	[IMAP_SAY_NO_UID_FORM] = TEXT("{text} has no UID form", "{text} non ha una forma UID", "{text} nemá tvar s UID"),
	[IMAP_SAY_NO_ARGUMENTS] = TEXT("{text} takes no arguments", "{text} non accetta argomenti",
		"{text} nemá argumenty"),
	[IMAP_SAY_EXPECTED] = TEXT("expected {text} at octet {number}", "all'ottetto {number} era atteso: {text}",
		"na oktete {number} malo byť: {text}"),
	[IMAP_SAY_TOO_MUCH] = TEXT("more than this server takes, expected {text} at octet {number}",
		"più di quanto il server accetta, all'ottetto {number} era atteso: {text}",
		"viac, než server prijme, na oktete {number} malo byť: {text}"),
	[IMAP_SAY_LINE_TOO_LONG] = TEXT("command line longer than {number} octets",
		"riga di comando oltre {number} ottetti",
		"príkazový riadok je dlhší ako {number} oktetov"),
	[IMAP_SAY_LITERAL_TOO_BIG] = TEXT("literal larger than this server takes here",
		"letterale più grande di quanto il server accetta qui",
		"literál je väčší, než tu server prijme"),
	[IMAP_SAY_TOO_MANY_ERRORS] = TEXT("too many bad commands, closing", "troppi comandi errati, chiusura",
		"priveľa chybných príkazov, končíme"),
	[IMAP_SAY_UID_REQUIRED] = TEXT("message numbers are off in this session, use the UID form",
		"in questa sessione i numeri dei messaggi sono esclusi, usare la forma UID",
		"čísla správ sú v tomto spojení vypnuté, použite tvar s UID"),
	[IMAP_SAY_READ_ONLY] = TEXT("the mailbox was opened for reading only", "la casella è aperta in sola lettura",
		"schránka je otvorená len na čítanie"),

	[IMAP_SAY_NO_MAILBOX] = TEXT("no such mailbox", "casella inesistente", "taká schránka nie je"),
	[IMAP_SAY_TRY_CREATE] = TEXT("no such mailbox, create it first", "casella inesistente, crearla prima",
		"taká schránka nie je, najprv ju vytvorte"),
	[IMAP_SAY_MAILBOX_EXISTS] = TEXT("the mailbox exists already", "la casella esiste già", "schránka už existuje"),
	[IMAP_SAY_INBOX_STAYS] = TEXT("INBOX cannot be removed", "INBOX non può essere rimossa", "INBOX sa nedá odstrániť"),
	[IMAP_SAY_HAS_CHILDREN] = TEXT("the mailbox has others below it, remove them first",
		"la casella ne contiene altre, rimuovere prima quelle",
		"schránka má pod sebou ďalšie, najprv odstráňte tie"),
	[IMAP_SAY_BAD_NAME] = TEXT("this name is not possible for a mailbox", "nome non possibile per una casella",
		"schránka sa takto volať nemôže"),
	[IMAP_SAY_NO_SPECIAL_USE] = TEXT("a mailbox cannot have this special use",
		"una casella non può avere questo uso speciale",
		"schránka nemôže mať toto zvláštne použitie"),
	[IMAP_SAY_NO_QUOTA_ROOT] = TEXT("no such quota root", "radice di quota inesistente", "taký koreň kvóty nie je"),
	[IMAP_SAY_NO_LANGUAGE] = TEXT("the language {text} is not known here", "lingua {text} non conosciuta",
		"jazyk {text} tu nie je známy"),
	[IMAP_SAY_NO_COMPARATOR] = TEXT("no such comparator", "comparatore inesistente", "taký porovnávač nie je"),
	[IMAP_SAY_COMPRESSED] = TEXT("compression begins now", "la compressione comincia ora", "kompresia sa teraz začína"),
	[IMAP_SAY_COMPRESSED_ALREADY] = TEXT("compression is on already", "la compressione è già attiva",
		"kompresia je už zapnutá"),
	[IMAP_SAY_PIPELINED_COMPRESS] = TEXT("nothing may be sent behind COMPRESS before its answer",
		"nulla può seguire COMPRESS prima della sua risposta",
		"za COMPRESS nesmie nič nasledovať pred odpoveďou naň"),
	[IMAP_SAY_BAD_EVENT] = TEXT("some of these events are not known here",
		"alcuni di questi eventi non sono conosciuti",
		"niektoré z týchto udalostí tu nie sú známe"),
	[IMAP_SAY_TOO_MANY_EVENTS] = TEXT("more than can be watched, nothing is told from now on",
		"più di quanto si possa seguire, d'ora in poi non viene annunciato nulla",
		"viac, než sa dá sledovať, odteraz sa nič neoznamuje"),
	[IMAP_SAY_NO_MESSAGES] = TEXT("no such messages", "messaggi inesistenti", "také správy nie sú"),
	[IMAP_SAY_EXPUNGED] = TEXT("some of the messages are gone", "alcuni dei messaggi non ci sono più",
		"niektoré zo správ už nie sú"),
	[IMAP_SAY_OVER_QUOTA] = TEXT("no room left in the account", "spazio dell'utenza esaurito",
		"v účte už nie je miesto"),
	[IMAP_SAY_TOO_BIG] = TEXT("larger than allowed", "troppo grande", "väčšie, než je dovolené"),
	[IMAP_SAY_BAD_CHARSET] = TEXT("this charset is not known here", "codifica dei caratteri non conosciuta",
		"táto znaková sada tu nie je známa"),
	[IMAP_SAY_NO_CHARSET_HERE] = TEXT("no CHARSET here: with UTF8=ACCEPT all is UTF-8",
		"niente CHARSET: con UTF8=ACCEPT tutto è UTF-8",
		"bez CHARSET: s UTF8=ACCEPT je všetko v UTF-8"),
	[IMAP_SAY_NO_FILTER] = TEXT("there is no filter {text} that can be searched with",
		"non esiste un filtro {text} utilizzabile",
		"filter {text}, s ktorým sa dá hľadať, neexistuje"),
	[IMAP_SAY_TAG_IN_USE] = TEXT("this tag belongs to a search that is still updated",
		"questo tag appartiene a una ricerca ancora aggiornata",
		"táto značka patrí hľadaniu, ktoré sa ešte aktualizuje"),
	[IMAP_SAY_TOO_MANY_CONTEXTS] = TEXT("too many searches are updated already",
		"troppe ricerche vengono già aggiornate",
		"už sa aktualizuje priveľa hľadaní"),
	[IMAP_SAY_UNKNOWN_CTE] = TEXT("the part has an encoding that is not known here",
		"la parte ha una codifica non conosciuta", "časť má kódovanie, ktoré tu nie je známe"),
	[IMAP_SAY_MODIFIED] = TEXT("some of the messages changed meanwhile",
		"alcuni dei messaggi sono cambiati nel frattempo",
		"niektoré zo správ sa medzitým zmenili"),
	[IMAP_SAY_MAILBOX_DELETED] = TEXT("the selected mailbox was deleted, closing",
		"la casella selezionata è stata eliminata, chiusura",
		"vybraná schránka bola zmazaná, končíme"),
	[IMAP_SAY_FLAGS_KEPT] = TEXT("these flags are kept", "questi flag vengono conservati",
		"tieto príznaky sa uchovávajú"),
	[IMAP_SAY_NO_FLAGS_KEPT] = TEXT("the mailbox is open for reading only", "la casella è aperta in sola lettura",
		"schránka je otvorená len na čítanie"),
	[IMAP_SAY_NO_SUCH_NUMBER] = TEXT("the mailbox has only {number} messages", "la casella ha solo {number} messaggi",
		"schránka má len {number} správ"),
	[IMAP_SAY_MAILBOX_ID] = TEXT("this mailbox's lasting name", "nome permanente di questa casella",
		"trvalé meno tejto schránky"),
	[IMAP_SAY_FIRST_UNSEEN] = TEXT("first message not yet seen", "primo messaggio non ancora letto",
		"prvá neprečítaná správa"),
	[IMAP_SAY_UIDS_VALID] = TEXT("UIDs mean the same as long as this number stays",
		"gli UID valgono finché questo numero non cambia",
		"UID platia, kým sa toto číslo nezmení"),
	[IMAP_SAY_NEXT_UID] = TEXT("the next message gets this UID or a higher one",
		"il prossimo messaggio avrà questo UID o uno superiore",
		"ďalšia správa dostane toto UID alebo vyššie"),
	[IMAP_SAY_HIGHEST_MODSEQ] = TEXT("state of the mailbox", "stato della casella", "stav schránky"),
	[IMAP_SAY_MESSAGE_LIMIT] = TEXT("one command takes at most {number} messages",
		"un comando prende al massimo {number} messaggi",
		"jeden príkaz berie najviac {number} správ"),
	[IMAP_SAY_WORKING] = TEXT("still working", "ancora al lavoro", "ešte pracujem"),
	[IMAP_SAY_BAD_URL] = TEXT("this address is none of a message of yours",
		"questo indirizzo non è di un tuo messaggio",
		"táto adresa nie je adresou vašej správy"),
	[IMAP_SAY_CLOSED] = TEXT("the mailbox selected before is closed", "la casella selezionata prima è chiusa",
		"predtým vybraná schránka je zatvorená"),
	[IMAP_SAY_IDLING] = TEXT("waiting for news, DONE ends it", "in attesa di novità, DONE la termina",
		"čakáme na novinky, ukončí to DONE"),

	[IMAP_SAY_NOT_FOUND] = TEXT("not found", "non trovato", "nenájdené"),
	[IMAP_SAY_NOT_ALLOWED] = TEXT("not allowed", "non permesso", "nie je dovolené"),
	[IMAP_SAY_INVALID] = TEXT("this makes no sense here", "richiesta senza senso qui", "toto tu nedáva zmysel"),
	[IMAP_SAY_LIMIT] = TEXT("more than this server allows", "più di quanto il server permette",
		"viac, než server dovolí"),
	[IMAP_SAY_IN_USE] = TEXT("in use at the moment, try again later", "attualmente in uso, riprovare più tardi",
		"práve sa používa, skúste neskôr"),
	[IMAP_SAY_DAMAGED] = TEXT("what is stored is damaged", "i dati conservati sono danneggiati",
		"uložené údaje sú poškodené"),
	[IMAP_SAY_TEMPORARY] = TEXT("temporary problem, try again later", "problema temporaneo, riprovare più tardi",
		"dočasný problém, skúste neskôr"),
	[IMAP_SAY_NO_SPACE] = TEXT("no space left on the server, try again later",
		"spazio esaurito sul server, riprovare più tardi",
		"na serveri už nie je miesto, skúste neskôr"),
	[IMAP_SAY_TOO_MANY_SESSIONS] = TEXT("too many sessions, try again later", "troppe sessioni, riprovare più tardi",
		"priveľa spojení, skúste neskôr"),
	[IMAP_SAY_AUTOLOGOUT] = TEXT("no command for too long", "nessun comando da troppo tempo", "pridlho bez príkazu"),
	[IMAP_SAY_SHUTTING_DOWN] = TEXT("server is shutting down", "il server si sta spegnendo", "server sa vypína"),
};

static const char *const tags[IMAP_LANGUAGE_COUNT] = { [IMAP_ENGLISH] = "en", [IMAP_ITALIAN] = "it",
	[IMAP_SLOVAK] = "sk" };

struct str imap_language_tag(enum imap_language language)
{
	must((unsigned)language < IMAP_LANGUAGE_COUNT);
	return str_of(tags[language]);
}

bool imap_language_find(struct str range, enum imap_language preferred, enum imap_language *language)
{
	if (str_equal(range, STR("*")) || str_equal_nocase(range, STR("default"))) {
		*language = preferred;
		return true;
	}
	if (str_equal_nocase(range, STR("i-default"))) {
		*language = IMAP_ENGLISH;
		return true;
	}
	struct str primary = str_first(range, str_find_char(range, '-'));
	for (unsigned i = 0; i < IMAP_LANGUAGE_COUNT; i++)
		if (str_equal_nocase(primary, str_of(tags[i]))) {
			*language = (enum imap_language)i;
			return true;
		}
	return false;
}

void imap_language_write_all(struct buf *out)
{
	buf_add_str(out, STR("* LANGUAGE ("));
	for (unsigned i = 0; i < IMAP_LANGUAGE_COUNT; i++) {
		buf_add_str(out, str_of(tags[i]));
		buf_add_char(out, ' ');
	}
	buf_add_str(out, STR("i-default)\r\n"));
}

void imap_language_write_chosen(struct buf *out, enum imap_language language)
{
	buf_add_str(out, STR("* LANGUAGE ("));
	buf_add_str(out, imap_language_tag(language));
	buf_add_str(out, STR(")\r\n"));
}

struct str imap_text_raw(enum imap_language language, enum imap_text text)
{
	must((unsigned)text < IMAP_TEXT_COUNT && (unsigned)language < IMAP_LANGUAGE_COUNT);
	return str_of(texts[text][language]);
}

static void add_foreign(struct buf *out, struct str text)
{
	struct str shown = str_first(text, TEXT_SHOWN_MAX);
	for (size_t i = 0; i < shown.length; i++) {
		char c = shown.data[i];
		buf_add_char(out, c < 0x20 || c > 0x7e ? '?' : c);
	}
	if (text.length > shown.length)
		buf_add_str(out, STR("..."));
}

/* What comes from the client is made printable; what the parser expected is ours. */
static void add_value(struct buf *out, enum imap_language language, enum imap_text text, struct str value)
{
	if (text == IMAP_SAY_EXPECTED || text == IMAP_SAY_TOO_MUCH)
		buf_add_str(out, imap_expected(language, value));
	else
		add_foreign(out, value);
}

void imap_text_add(struct buf *out, enum imap_language language, enum imap_text text, const struct imap_values *values)
{
	struct str rest = imap_text_raw(language, text), part;
	while (str_take_until(&rest, '{', &part)) {
		buf_add_str(out, part);
		if (!str_take_until(&rest, '}', &part))
			break;
		must(values != NULL);
		if (str_equal(part, STR("number")))
			buf_add_u64(out, values->number);
		else
			add_value(out, language, text, values->text);
	}
}
