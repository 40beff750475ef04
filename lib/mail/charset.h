/*
 * From the charsets of mail to UTF-8, and the folding of case for search.
 *
 * What comes out is always valid UTF-8: a byte that means nothing becomes U+FFFD. us-ascii, UTF-8, ISO
 * 8859-1 and Windows-1252 are converted here (the third is read as the fourth, as every client does); the others by
 * iconv, whose modules glibc opens when they are first used: a program that shuts itself off from the file
 * system calls charset_preload before. An unknown charset shows its ASCII bytes and U+FFFD for the rest.
 */
#ifndef POSTHORN_MAIL_CHARSET_H
#define POSTHORN_MAIL_CHARSET_H

#include "buf.h"

/* One text in pieces: what a piece leaves unfinished is kept for the next. */
struct charset {
	enum charset_kind { CHARSET_UTF8, CHARSET_WINDOWS_1252, CHARSET_ICONV, CHARSET_UNKNOWN } kind;
	void *descriptor;
	char kept[16];
	size_t kept_length;
};

/* An empty name is us-ascii (RFC 2045 §5.2), which is read as UTF-8. False when the charset is unknown;
 * c can be used all the same. The caller releases it. */
bool charset_init(struct charset *c, struct str name);
void charset_release(struct charset *c);

void charset_add(struct charset *c, struct str bytes, struct buf *out);

/* The end of the text: a letter that iconv kept back comes, and what is unfinished becomes U+FFFD. */
void charset_finish(struct charset *c, struct buf *out);

/* A whole text. False when the charset is unknown. */
bool charset_to_utf8(struct buf *out, struct str name, struct str bytes);

/* For bytes with no charset given: UTF-8 if they are valid as such, else Windows-1252. */
void charset_guess_to_utf8(struct buf *out, struct str bytes);

/* Opens the modules of the charsets that mail has. They stay open as long as the process lives. */
void charset_preload(void);

/* i;unicode-casemap of RFC 5051 §2: titlecase, then decomposition, so that texts that differ in case or in
 * form only become equal. Bytes that are no UTF-8 stay. */
void charset_fold(struct buf *out, struct str utf8);

/* The same with each run of white space made one blank. *blank says whether the last byte added was one; a
 * text may come in pieces that end between characters. */
void charset_fold_text(struct buf *out, struct str utf8, bool *blank);

#endif
