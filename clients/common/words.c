#include "words.h"

#include <locale.h>

/* Texts are UTF-8 everywhere here, whatever the terminal says. Numbers stay as programs read them. */
void words_begin(void)
{
	setlocale(LC_CTYPE, "");
	setlocale(LC_MESSAGES, "");
	bindtextdomain("posthorn", LOCALE_FOLDER);
	bind_textdomain_codeset("posthorn", "UTF-8");
	textdomain("posthorn");
}
