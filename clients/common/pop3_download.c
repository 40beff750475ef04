#include "pop3_download.h"

#include "hash.h"
#include "mem.h"

#include <stdlib.h>

struct run {
	struct pop3_download *download;
	unsigned *copies; /* of each mail of the listing: the how-manieth with its unique id */
	uint64_t octets;  /* of the mail on its way */
};

static unsigned copy_of(const struct run *r, const struct pop3_mail *mail)
{
	return r->copies[(size_t)(mail - pop3_client_mail(r->download->client, 0))];
}

static bool begin(void *context, const struct pop3_mail *mail, struct fail **fail)
{
	struct run *r = context;
	(void)mail;
	r->octets = 0;
	return mail_folder_begin(r->download->folder, fail);
}

static bool take(void *context, const struct pop3_mail *mail, struct str piece, struct fail **fail)
{
	struct run *r = context;
	r->octets += piece.length;
	if (r->download->progress)
		r->download->progress(r->download->context, mail, r->octets);
	return mail_folder_write(r->download->folder, piece, fail);
}

static bool end(void *context, const struct pop3_mail *mail, const char *refusal, struct fail **fail)
{
	struct run *r = context;
	struct pop3_download *d = r->download;
	const char *path = NULL;
	if (!refusal && !mail_folder_commit(d->folder, str_of(mail->uid), copy_of(r, mail), &path, fail))
		return false;
	d->refused += refusal != NULL;
	d->saved += refusal == NULL;
	d->done(d->context, mail, path, refusal);
	return true;
}

static void release_map(struct map **m)
{
	map_free(*m);
}

/* Equal ids are told apart by their order. */
static unsigned *count_copies(const struct pop3_client *client)
{
	CLEANUP(release_map) struct map *last = map_new();
	size_t count = pop3_client_count(client);
	unsigned *copies = mem_resize(NULL, count + 1, sizeof *copies);
	for (size_t i = 0; i < count; i++) {
		const struct pop3_mail *mail = pop3_client_mail(client, i);
		unsigned *before = mail->is_repeated ? map_set(last, str_of(mail->uid), &copies[i]) : NULL;
		copies[i] = before ? *before + 1 : 1;
	}
	return copies;
}

static size_t drop_saved(const struct run *r, size_t *indexes, size_t count)
{
	size_t kept = 0;
	for (size_t i = 0; i < count; i++) {
		const struct pop3_mail *mail = pop3_client_mail(r->download->client, indexes[i]);
		if (!mail_folder_has(r->download->folder, str_of(mail->uid), copy_of(r, mail)))
			indexes[kept++] = indexes[i];
	}
	return kept;
}

bool pop3_download_run(struct pop3_download *d, size_t *indexes, size_t count, struct fail **fail)
{
	struct run r = { .download = d, .copies = count_copies(d->client) };
	const struct pop3_sink sink = { begin, take, end, &r };
	size_t wanted = d->again ? count : drop_saved(&r, indexes, count);
	d->there = count - wanted;
	bool good = pop3_client_fetch(d->client, indexes, wanted, &sink, fail);
	free(r.copies);
	return good;
}
