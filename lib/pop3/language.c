#include "language.h"

enum { TEXT_SHOWN_MAX = 60 };

#define TEXT(english, italian, slovak)                                                                     \
	{                                                                                                      \
		[POP3_ENGLISH] = (english), [POP3_ITALIAN] = (italian), [POP3_SLOVAK] = (slovak)                   \
	}

static const char *const texts[POP3_TEXT_COUNT][POP3_LANGUAGE_COUNT] = {
	[POP3_SAY_READY] = TEXT("Posthorn POP3 server ready", "server POP3 Posthorn pronto",
		"server POP3 Posthorn je pripravený"),
	[POP3_SAY_DONE] = TEXT("done", "fatto", "hotovo"),
	[POP3_SAY_SEND_PASSWORD] = TEXT("send the password", "inviare la password", "pošlite heslo"),
	[POP3_SAY_MAILDROP] = TEXT("maildrop has {messages} ({octets})", "nella casella: {messages} ({octets})",
		"v schránke: {messages} ({octets})"),
	[POP3_SAY_LISTING] = TEXT("{messages} ({octets})", "in tutto {messages} ({octets})", "spolu {messages} ({octets})"),
	[POP3_SAY_MESSAGE_FOLLOWS] = TEXT("{octets}", "segue il messaggio: {octets}", "nasleduje správa: {octets}"),
	[POP3_SAY_TOP_FOLLOWS] = TEXT("top of message follows", "segue l'inizio del messaggio",
		"nasleduje začiatok správy"),
	[POP3_SAY_UIDL_FOLLOWS] = TEXT("unique-id listing follows", "segue l'elenco degli identificativi",
		"nasleduje zoznam jedinečných označení"),
	[POP3_SAY_CAPA_FOLLOWS] = TEXT("capability list follows", "segue l'elenco delle funzioni",
		"nasleduje zoznam schopností"),
	[POP3_SAY_DELETED] = TEXT("message {number} deleted", "messaggio {number} cancellato",
		"správa {number} je zmazaná"),
	[POP3_SAY_BYE] = TEXT("Posthorn POP3 server signing off", "il server POP3 Posthorn saluta",
		"server POP3 Posthorn sa lúči"),
	[POP3_SAY_BYE_EMPTY] = TEXT("Posthorn POP3 server signing off (maildrop empty)",
		"il server POP3 Posthorn saluta (casella vuota)", "server POP3 Posthorn sa lúči (schránka je prázdna)"),
	[POP3_SAY_BYE_LEFT] = TEXT("Posthorn POP3 server signing off ({messages} left)",
		"il server POP3 Posthorn saluta (rimane: {messages})", "server POP3 Posthorn sa lúči (zostáva: {messages})"),
	[POP3_SAY_BEGIN_TLS] = TEXT("begin TLS negotiation", "iniziare la negoziazione TLS", "začnite dohodu TLS"),
	[POP3_SAY_PIPELINED_TLS] = TEXT("nothing may be sent behind STLS before its answer, closing",
		"nulla può seguire STLS prima della sua risposta, chiusura",
		"za STLS nesmie nič nasledovať pred odpoveďou naň, končíme"),
	[POP3_SAY_UTF8_ON] = TEXT("UTF-8 mode is on", "la modalità UTF-8 è attiva", "režim UTF-8 je zapnutý"),
	[POP3_SAY_LANGUAGE_CHANGED] = TEXT("the language is English now", "la lingua ora è l'italiano",
		"jazykom je odteraz slovenčina"),
	[POP3_SAY_LANGUAGES_FOLLOW] = TEXT("language listing follows", "segue l'elenco delle lingue",
		"nasleduje zoznam jazykov"),

	[POP3_SAY_WRONG_PASSWORD] = TEXT("log-in failed: wrong name or password", "accesso negato: nome o password errati",
		"prihlásenie zlyhalo: nesprávne meno alebo heslo"),
	[POP3_SAY_USER_FIRST] = TEXT("PASS needs USER right before it", "PASS richiede subito prima USER",
		"pred PASS musí byť USER"),
	[POP3_SAY_TLS_FIRST] = TEXT("passwords in clear text are refused: use STLS first, or port 995",
		"password in chiaro non accettate: usare prima STLS, o la porta 995",
		"nešifrované heslá sa neprijímajú: najprv použite STLS alebo port 995"),
	[POP3_SAY_NO_MECHANISM] = TEXT("this mechanism is not offered, CAPA lists those that are",
		"meccanismo non disponibile, CAPA elenca quelli disponibili",
		"tento mechanizmus sa neponúka, ponúkané vypíše CAPA"),
	[POP3_SAY_NO_APOP] = TEXT("APOP is not offered here", "APOP non è disponibile qui", "APOP sa tu neponúka"),
	[POP3_SAY_BAD_BASE64] = TEXT("this is not valid base64", "base64 non valido", "toto nie je platné base64"),
	[POP3_SAY_LOGIN_CANCELLED] = TEXT("log-in given up", "accesso abbandonato", "prihlásenie zrušené"),
	[POP3_SAY_IN_USE] = TEXT("maildrop is in use by another POP3 session", "casella in uso da un'altra sessione POP3",
		"schránku práve používa iné spojenie POP3"),
	[POP3_SAY_LOGIN_DELAY] = TEXT("too soon after the last log-in, wait a little",
		"accesso troppo frequente, attendere un poco",
		"príliš skoro po poslednom prihlásení, chvíľu počkajte"),

	[POP3_SAY_EMPTY_LINE] = TEXT("an empty line is no command", "una riga vuota non è un comando",
		"prázdny riadok nie je príkaz"),
	[POP3_SAY_LINE_TOO_LONG] = TEXT("command line longer than {number} octets",
		"riga di comando oltre {number} ottetti",
		"príkazový riadok je dlhší ako {number} oktetov"),
	[POP3_SAY_BAD_BYTES] = TEXT("command line with a control character or broken UTF-8",
		"riga di comando con caratteri di controllo o UTF-8 errato",
		"príkazový riadok obsahuje riadiaci znak alebo chybné UTF-8"),
	[POP3_SAY_UNKNOWN_COMMAND] = TEXT("unknown command {text}", "comando {text} sconosciuto", "neznámy príkaz {text}"),
	[POP3_SAY_ONLY_BEFORE_LOGIN] = TEXT("{text} is only allowed before log-in",
		"{text} è permesso solo prima dell'accesso",
		"{text} je dovolené len pred prihlásením"),
	[POP3_SAY_ONLY_AFTER_LOGIN] = TEXT("{text} is only allowed after log-in: USER and PASS, APOP or AUTH come first",
		"{text} è permesso solo dopo l'accesso: prima USER e PASS, APOP o AUTH",
		"{text} je dovolené až po prihlásení: najprv USER a PASS, APOP alebo AUTH"),
	[POP3_SAY_MISSING_ARGUMENT] = TEXT("missing argument, the form is: {text}",
		"manca un argomento, la forma è: {text}",
		"chýba argument, správny tvar: {text}"),
	[POP3_SAY_EXTRA_ARGUMENT] = TEXT("too many arguments, the form is: {text}", "troppi argomenti, la forma è: {text}",
		"priveľa argumentov, správny tvar: {text}"),
	[POP3_SAY_ONE_SPACE] = TEXT("arguments are separated by one space, the form is: {text}",
		"gli argomenti sono separati da uno spazio, la forma è: {text}",
		"argumenty oddeľuje jedna medzera, správny tvar: {text}"),
	[POP3_SAY_NOT_A_NUMBER] = TEXT("not a number: {text}", "non è un numero: {text}", "toto nie je číslo: {text}"),
	[POP3_SAY_NUMBER_ZERO] = TEXT("no such message, numbers begin with 1",
		"messaggio inesistente, i numeri partono da 1",
		"taká správa nie je, čísla sa začínajú od 1"),
	[POP3_SAY_TLS_ACTIVE] = TEXT("TLS is active already", "TLS è già attivo", "TLS je už zapnuté"),
	[POP3_SAY_TLS_NOT_OFFERED] = TEXT("TLS is not offered here", "TLS non è disponibile qui", "TLS sa tu neponúka"),
	[POP3_SAY_TLS_BEFORE_UTF8] = TEXT("STLS must come before UTF8", "STLS deve precedere UTF8",
		"STLS musí byť pred UTF8"),
	[POP3_SAY_LANGUAGE_UNKNOWN] = TEXT("language {text} is not known here", "lingua {text} non conosciuta",
		"jazyk {text} tu nepoznáme"),
	[POP3_SAY_TOO_MANY_ERRORS] = TEXT("too many bad commands, closing", "troppi comandi errati, chiusura",
		"priveľa chybných príkazov, končíme"),

	[POP3_SAY_NO_SUCH_MESSAGE] = TEXT("no such message, only {messages} in maildrop",
		"messaggio inesistente, nella casella: {messages}", "taká správa nie je, v schránke: {messages}"),
	[POP3_SAY_ALREADY_DELETED] = TEXT("message {number} already deleted", "messaggio {number} già cancellato",
		"správa {number} už je zmazaná"),
	[POP3_SAY_NEEDS_UTF8] = TEXT("message {number} needs UTF-8 mode, give UTF8 before logging in",
		"il messaggio {number} richiede la modalità UTF-8: dare UTF8 prima dell'accesso",
		"správa {number} vyžaduje režim UTF-8: dajte UTF8 pred prihlásením"),
	[POP3_SAY_DAMAGED] = TEXT("what is stored is damaged", "i dati conservati sono danneggiati",
		"uložené údaje sú poškodené"),
	[POP3_SAY_NOT_REMOVED] = TEXT("some deleted messages not removed",
		"alcuni messaggi cancellati non sono stati rimossi",
		"niektoré zmazané správy neboli odstránené"),

	[POP3_SAY_NOT_FOUND] = TEXT("not found", "non trovato", "nenájdené"),
	[POP3_SAY_NOT_ALLOWED] = TEXT("not allowed", "non permesso", "nie je dovolené"),
	[POP3_SAY_INVALID] = TEXT("this makes no sense here", "richiesta senza senso qui", "toto tu nedáva zmysel"),
	[POP3_SAY_TOO_BIG] = TEXT("larger than allowed", "troppo grande", "väčšie, než je dovolené"),
	[POP3_SAY_TEMPORARY] = TEXT("temporary problem, try again later", "problema temporaneo, riprovare più tardi",
		"dočasný problém, skúste neskôr"),
	[POP3_SAY_PERMANENT] = TEXT("problem that needs the administrator", "problema che richiede l'amministratore",
		"problém, ktorý musí riešiť správca"),
	[POP3_SAY_NO_SPACE] = TEXT("no space left, try again later", "spazio esaurito, riprovare più tardi",
		"nedostatok miesta, skúste neskôr"),
	[POP3_SAY_TIMED_OUT] = TEXT("it took too long, try again later", "tempo scaduto, riprovare più tardi",
		"trvalo to pridlho, skúste neskôr"),
	[POP3_SAY_TOO_MANY_SESSIONS] = TEXT("too many sessions, try again later", "troppe sessioni, riprovare più tardi",
		"priveľa spojení, skúste neskôr"),
	[POP3_SAY_AUTOLOGOUT] = TEXT("no command for too long, nothing was deleted",
		"nessun comando da troppo tempo, nulla è cancellato",
		"pridlho bez príkazu, nič sa nezmazalo"),
	[POP3_SAY_SHUTTING_DOWN] = TEXT("server is shutting down, nothing was deleted",
		"il server si sta spegnendo, nulla è cancellato", "server sa vypína, nič sa nezmazalo"),
};

enum plural { ONE, FEW, MANY, PLURAL_COUNT };

static const struct {
	const char *tag, *name;
	const char *messages[PLURAL_COUNT], *octets[PLURAL_COUNT];
} languages[POP3_LANGUAGE_COUNT] = {
	[POP3_ENGLISH] = { "en", "English", { "message", "messages", "messages" }, { "octet", "octets", "octets" } },
	[POP3_ITALIAN] = { "it", "Italiano", { "messaggio", "messaggi", "messaggi" }, { "ottetto", "ottetti", "ottetti" } },
	[POP3_SLOVAK] = { "sk", "Slovenčina", { "správa", "správy", "správ" }, { "oktet", "oktety", "oktetov" } },
};

struct str pop3_language_tag(enum pop3_language language)
{
	must((unsigned)language < POP3_LANGUAGE_COUNT);
	return str_of(languages[language].tag);
}

struct str pop3_language_name(enum pop3_language language)
{
	must((unsigned)language < POP3_LANGUAGE_COUNT);
	return str_of(languages[language].name);
}

bool pop3_language_find(struct str range, enum pop3_language preferred, enum pop3_language *language)
{
	if (str_equal(range, STR("*"))) {
		*language = preferred;
		return true;
	}
	struct str primary = str_first(range, str_find_char(range, '-'));
	for (unsigned i = 0; i < POP3_LANGUAGE_COUNT; i++)
		if (str_equal_nocase(primary, str_of(languages[i].tag))) {
			*language = (enum pop3_language)i;
			return true;
		}
	return false;
}

struct str pop3_text_raw(enum pop3_language language, enum pop3_text text)
{
	must((unsigned)text < POP3_TEXT_COUNT && (unsigned)language < POP3_LANGUAGE_COUNT);
	return str_of(texts[text][language]);
}

static void add_counted(struct buf *out, uint64_t count, const char *const names[PLURAL_COUNT])
{
	enum plural plural = count == 1 ? ONE : count >= 2 && count <= 4 ? FEW : MANY;
	buf_add_u64(out, count);
	buf_add_char(out, ' ');
	buf_add_str(out, str_of(names[plural]));
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

static void add_value(struct buf *out, enum pop3_language language, struct str name, const struct pop3_values *values)
{
	if (str_equal(name, STR("messages")))
		add_counted(out, values->messages, languages[language].messages);
	else if (str_equal(name, STR("octets")))
		add_counted(out, values->octets, languages[language].octets);
	else if (str_equal(name, STR("number")))
		buf_add_u64(out, values->number);
	else
		add_foreign(out, values->text);
}

void pop3_text_add(struct buf *out, enum pop3_language language, enum pop3_text text, const struct pop3_values *values)
{
	struct str rest = pop3_text_raw(language, text), part;
	while (str_take_until(&rest, '{', &part)) {
		buf_add_str(out, part);
		if (!str_take_until(&rest, '}', &part))
			break;
		must(values != NULL);
		add_value(out, language, part, values);
	}
}
