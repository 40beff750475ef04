/*
 * Marks texts that a client may show to people in their language, for xgettext. Libraries and daemons speak English;
 * who shows such a text translates it as a whole.
 */
#ifndef POSTHORN_BASE_TRANSLATE_H
#define POSTHORN_BASE_TRANSLATE_H

#define N_(text) text

#endif
