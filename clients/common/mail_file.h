/*
 * struct mail_folder: a folder on disk that fetched mails are saved to, as .eml files, Maildir or mbox.
 *
 * A mail is first gathered in a temporary file, so that nothing half-made is ever seen and no lock is held while the
 * network is slow. Committing makes it durable (fsync) and only then gives it its name:
 *	eml      DIR/UID.eml, as it came; a file that is there is never overwritten
 *	Maildir  DIR/new/…, lines end with LF
 *	mbox     appended to DIR/mbox, lines end with LF, "From " quoted as mboxrd does, under a lock file and an fcntl
 *	         lock; what was appended of a mail that failed half-way is cut off again
 * Beside them lies DIR/.posthorn-FORMAT, a line per mail that is saved, so that fetching can go on where it ended.
 * Unique ids are from strangers: in a file name every octet but letters, digits and "-_+=@" becomes %XX.
 */
#ifndef POSTHORN_COMMON_MAIL_FILE_H
#define POSTHORN_COMMON_MAIL_FILE_H

#include "buf.h"
#include "fail.h"

enum mail_format { MAIL_EML, MAIL_MAILDIR, MAIL_MBOX, MAIL_FORMAT_COUNT };

/* "eml", "maildir", "mbox". */
bool mail_format_find(struct str name, enum mail_format *format);

struct mail_folder;

/* Makes the folder where it is missing. mailbox names the account, "user@host:port", whose unique ids these are. */
struct mail_folder *mail_folder_open(const char *directory, enum mail_format format, struct str mailbox,
                                     struct fail **fail);

/* Drops what was begun. */
void mail_folder_close(struct mail_folder *f);
void mail_folder_cleanup(struct mail_folder **f);

/* Was this mail saved before? copy tells mails with the same unique id apart, from 1 on. */
bool mail_folder_has(const struct mail_folder *f, struct str uid, unsigned copy);

/* One mail at a time: begin, any number of pieces, commit. Beginning again drops what was not committed. */
bool mail_folder_begin(struct mail_folder *f, struct fail **fail);
bool mail_folder_write(struct mail_folder *f, struct str piece, struct fail **fail);

/* An empty uid is one that the server does not give: then nothing is remembered. *path, if not NULL, gets the name of
 * the file, which lives until the next commit. FAIL_BUSY: another program has locked the mbox. */
bool mail_folder_commit(struct mail_folder *f, struct str uid, unsigned copy, const char **path, struct fail **fail);

/* How a mail is written where lines end with LF: CRLF becomes LF and, if it quotes, a line that begins with any number
 * of ">" and "From " gets one more ">" (mboxrd). Incremental; zero-initialise but for quotes. */
struct mail_writer {
	bool quotes;
	bool after_cr;
	enum { MAIL_LINE_START, MAIL_IN_QUOTES, MAIL_IN_FROM, MAIL_IN_LINE } at;
	size_t matched; /* of "From " */
};

void mail_writer_add(struct mail_writer *w, struct str bytes, struct buf *out);

/* What is held back, and the end of an unfinished line. */
void mail_writer_end(struct mail_writer *w, struct buf *out);

#endif
