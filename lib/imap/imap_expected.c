#include "imap_expected.h"

/* In the order of octets: looked up by halving. */
static const struct {
	const char *english, *italian, *slovak;
} phrases[] = {
	{ "0, 1 or infinity", "0, 1 o infinity", "0, 1 alebo infinity" },
	{ "CHANGEDSINCE with VANISHED", "CHANGEDSINCE con VANISHED", "CHANGEDSINCE spolu s VANISHED" },
	{ "CONDSTORE, or QRESYNC that is enabled", "CONDSTORE, o QRESYNC abilitato", "CONDSTORE alebo zapnuté QRESYNC" },
	{ "ENABLE QRESYNC before VANISHED", "ENABLE QRESYNC prima di VANISHED", "ENABLE QRESYNC pred VANISHED" },
	{ "FLAGS or FLAGS.SILENT", "FLAGS o FLAGS.SILENT", "FLAGS alebo FLAGS.SILENT" },
	{ "HEADER, HEADER.FIELDS, TEXT or a part number", "HEADER, HEADER.FIELDS, TEXT o il numero di una parte",
	  "HEADER, HEADER.FIELDS, TEXT alebo číslo časti" },
	{ "MAXSIZE or DEPTH", "MAXSIZE o DEPTH", "MAXSIZE alebo DEPTH" },
	{ "MessageNew and MessageExpunge together", "MessageNew e MessageExpunge insieme",
		"MessageNew a MessageExpunge spolu" },
	{ "SET or NONE", "SET o NONE", "SET alebo NONE" },
	{ "SUBSCRIBED or SPECIAL-USE beside RECURSIVEMATCH", "SUBSCRIBED o SPECIAL-USE accanto a RECURSIVEMATCH",
	  "SUBSCRIBED alebo SPECIAL-USE popri RECURSIVEMATCH" },
	{ "URL or TEXT", "URL o TEXT", "URL alebo TEXT" },
	{ "a closing angle bracket", "una parentesi angolare chiusa", "zatvorená lomená zátvorka" },
	{ "a closing brace", "una parentesi graffa chiusa", "zatvorená zložená zátvorka" },
	{ "a closing bracket", "una parentesi quadra chiusa", "zatvorená hranatá zátvorka" },
	{ "a closing parenthesis", "una parentesi chiusa", "zatvorená zátvorka" },
	{ "a colon", "due punti", "dvojbodka" },
	{ "a comma", "una virgola", "čiarka" },
	{ "a data item of FETCH", "un elemento di FETCH", "položka príkazu FETCH" },
	{ "a day of that month", "un giorno di quel mese", "deň toho mesiaca" },
	{ "a digit of a date or time", "una cifra di una data o di un'ora", "číslica dátumu alebo času" },
	{ "a dot", "un punto", "bodka" },
	{ "a field name", "il nome di un campo", "názov poľa" },
	{ "a flag", "un flag", "príznak" },
	{ "a flag that can be set", "un flag che si può impostare", "príznak, ktorý sa dá nastaviť" },
	{ "a hyphen", "un trattino", "spojovník" },
	{ "a literal", "un letterale", "literál" },
	{ "a literal without NUL", "un letterale senza NUL", "literál bez NUL" },
	{ "a literal8", "un literal8", "literal8" },
	{ "a mailbox name", "il nome di una casella", "meno schránky" },
	{ "a mailbox name in modified UTF-7", "il nome di una casella in UTF-7 modificato",
	  "meno schránky v modifikovanom UTF-7" },
	{ "a mailbox name or pattern", "il nome o il modello di una casella", "meno alebo vzor schránky" },
	{ "a message", "un messaggio", "správa" },
	{ "a modifier of FETCH", "un modificatore di FETCH", "modifikátor príkazu FETCH" },
	{ "a number", "un numero", "číslo" },
	{ "a number above zero", "un numero maggiore di zero", "číslo väčšie ako nula" },
	{ "a parameter", "un parametro", "parameter" },
	{ "a pattern", "un modello", "vzor" },
	{ "a plus sign", "un segno più", "znamienko plus" },
	{ "a quotation mark", "una virgoletta", "úvodzovka" },
	{ "a quoted string", "una stringa tra virgolette", "reťazec v úvodzovkách" },
	{ "a return option", "un'opzione di RETURN", "voľba RETURN" },
	{ "a search key", "una chiave di ricerca", "kľúč hľadania" },
	{ "a selection option", "un'opzione di selezione", "voľba výberu" },
	{ "a shorter field or value", "un campo o un valore più corto", "kratšie pole alebo hodnota" },
	{ "a shorter flag", "un flag più corto", "kratší príznak" },
	{ "a shorter mailbox name", "un nome di casella più corto", "kratšie meno schránky" },
	{ "a shorter mailbox pattern", "un modello di casella più corto", "kratší vzor schránky" },
	{ "a shorter tag", "un'etichetta più corta", "kratšia značka" },
	{ "a slash", "una barra", "lomka" },
	{ "a smaller number", "un numero più piccolo", "menšie číslo" },
	{ "a sort key", "un criterio di ordinamento", "kľúč triedenia" },
	{ "a space", "uno spazio", "medzera" },
	{ "a string", "una stringa", "reťazec" },
	{ "a tag", "un'etichetta", "značka" },
	{ "a tag without a plus sign", "un'etichetta senza segno più", "značka bez znamienka plus" },
	{ "a threading algorithm", "un algoritmo di THREAD", "algoritmus príkazu THREAD" },
	{ "a time of day", "un'ora del giorno", "čas dňa" },
	{ "a time zone", "un fuso orario", "časové pásmo" },
	{ "an atom", "un atomo", "atóm" },
	{ "an entry", "una voce", "záznam" },
	{ "an entry and its value", "una voce e il suo valore", "záznam a jeho hodnota" },
	{ "an entry name below /private or /shared", "il nome di una voce sotto /private o /shared",
	  "meno záznamu pod /private alebo /shared" },
	{ "an entry that can have a value", "una voce che può avere un valore", "záznam, ktorý môže mať hodnotu" },
	{ "an item of STATUS", "un elemento di STATUS", "položka príkazu STATUS" },
	{ "an opening angle bracket", "una parentesi angolare aperta", "otvorená lomená zátvorka" },
	{ "an opening brace", "una parentesi graffa aperta", "otvorená zložená zátvorka" },
	{ "an opening bracket", "una parentesi quadra aperta", "otvorená hranatá zátvorka" },
	{ "an opening parenthesis", "una parentesi aperta", "otvorená zátvorka" },
	{ "another character", "un altro carattere", "iný znak" },
	{ "at most 30 fields", "al massimo 30 campi", "najviac 30 polí" },
	{ "either PARTIAL or ALL", "o PARTIAL o ALL", "buď PARTIAL, alebo ALL" },
	{ "fewer arguments", "meno argomenti", "menej argumentov" },
	{ "fewer data items", "meno elementi", "menej položiek" },
	{ "fewer entries", "meno voci", "menej záznamov" },
	{ "fewer events", "meno eventi", "menej udalostí" },
	{ "fewer field names", "meno nomi di campi", "menej názvov polí" },
	{ "fewer groups", "meno gruppi", "menej skupín" },
	{ "fewer items", "meno elementi", "menej položiek" },
	{ "fewer keywords", "meno parole chiave", "menej kľúčových slov" },
	{ "fewer mailboxes", "meno caselle", "menej schránok" },
	{ "fewer parentheses within each other", "meno parentesi annidate", "menej vnorených zátvoriek" },
	{ "fewer part numbers", "meno numeri di parti", "menej čísel častí" },
	{ "fewer patterns", "meno modelli", "menej vzorov" },
	{ "fewer ranges of numbers", "meno intervalli di numeri", "menej rozsahov čísel" },
	{ "fewer search keys", "meno chiavi di ricerca", "menej kľúčov hľadania" },
	{ "message events only for the selected mailbox", "eventi di messaggi solo per la casella selezionata",
	  "udalosti správ len pre vybranú schránku" },
	{ "no items but for the selected mailbox", "elementi solo per la casella selezionata",
		"položky len pre vybranú schránku" },
	{ "numbers without *", "numeri senza *", "čísla bez *" },
	{ "one PARTIAL only", "un solo PARTIAL", "len jedno PARTIAL" },
	{ "one message", "un solo messaggio", "jedna správa" },
	{ "priv, shared or all", "priv, shared o all", "priv, shared alebo all" },
	{ "search keys that are less deep", "chiavi di ricerca meno annidate", "menej vnorené kľúče hľadania" },
	{ "the end of the command", "la fine del comando", "koniec príkazu" },
	{ "the name of a filter", "il nome di un filtro", "meno filtra" },
	{ "the name of a filter that there is", "il nome di un filtro esistente", "meno filtra, ktorý je" },
	{ "the name of a flag's entry", "il nome della voce di un flag", "meno záznamu príznaku" },
	{ "the name of a month", "il nome di un mese", "názov mesiaca" },
	{ "the selected mailbox once", "la casella selezionata una volta sola", "vybraná schránka len raz" },
	{ "which mailboxes", "quali caselle", "ktoré schránky" },
};

static const char *in_language(size_t i, enum imap_language language)
{
	switch (language) {
	case IMAP_ITALIAN:
		return phrases[i].italian;
	case IMAP_SLOVAK:
		return phrases[i].slovak;
	default:
		return phrases[i].english;
	}
}

struct str imap_expected(enum imap_language language, struct str english)
{
	size_t low = 0, high = COUNT_OF(phrases);
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = str_compare(english, str_of(phrases[middle].english));
		if (order == 0)
			return str_of(in_language(middle, language));
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return english;
}
