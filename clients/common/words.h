/*
 * Words for people in their language: gettext, in the domain "posthorn". _() where a text is shown or put together,
 * N_() where it stands in a table or library and is translated by whoever shows it. After words_begin() a program
 * speaks the language of its environment, otherwise English.
 */
#ifndef POSTHORN_COMMON_WORDS_H
#define POSTHORN_COMMON_WORDS_H

#include "translate.h"

#include <libintl.h>

#define _(text) gettext(text)

void words_begin(void);

#endif
