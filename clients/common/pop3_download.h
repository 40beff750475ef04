/*
 * Downloading mails of a POP3 session into a folder, where it can go on later: what the folder has is not fetched
 * again, and each mail is there as a whole or not at all. Nothing is deleted on the server.
 */
#ifndef POSTHORN_COMMON_POP3_DOWNLOAD_H
#define POSTHORN_COMMON_POP3_DOWNLOAD_H

#include "mail_file.h"
#include "pop3_client.h"

struct pop3_download {
	struct pop3_client *client;
	struct mail_folder *folder;
	bool again;             /* also what the folder has already */
	/* After each mail: path is where it lies, refusal is NULL; or the server did not give it. Both may be bytes of
	 * strangers. */
	void (*done)(void *context, const struct pop3_mail *mail, const char *path, const char *refusal);
	/* After each piece of a mail: octets of it so far. NULL for none. */
	void (*progress)(void *context, const struct pop3_mail *mail, uint64_t octets);
	void *context;
	size_t saved, refused, there; /* results; there: the folder has had it */
};

/* The mails with these indexes, whose array is used up. The counts are right also after a failure. */
bool pop3_download_run(struct pop3_download *d, size_t *indexes, size_t count, struct fail **fail);

#endif
