#include "key_archive.h"

#include "archive.h"
#include "array.h"
#include "dkim.h"

#include <sys/stat.h>
#include <unistd.h>

enum { FIELDS_MAX = 2000 };

/* Who waits for a pipe would stop all that is signed. */
static bool is_file(int file, struct fail **fail)
{
	struct stat facts;
	return (file >= 0 && fstat(file, &facts) == 0 && S_ISREG(facts.st_mode)) ||
	       fail_set(fail, FAIL_INVALID, "keys go into a file, or come from one");
}

/* ---- writing ---- */

static bool write_key(struct archive_writer *w, int folder, const struct key *key, struct fail **fail)
{
	CLEANUP(buf_release) struct buf fields = BUF_WITH_LIMIT(FIELDS_MAX);
	CLEANUP(buf_wipe) struct buf pem = BUF_WITH_LIMIT(KEYS_PEM_MAX);
	if (!keys_read(folder, key, &pem, fail))
		return false;
	archive_field_add(&fields, "kind", STR("dkim"));
	archive_field_add(&fields, "domain", key->domain);
	archive_field_add(&fields, "selector", key->selector);
	archive_field_add(&fields, "state", str_of(key_state_name(key->state)));
	archive_write_entry(w, buf_str(&fields), pem.length);
	archive_write_body(w, pem.data, pem.length);
	return true;
}

static void write_plain(struct archive_writer *w, const char *kind, struct str body)
{
	CLEANUP(buf_release) struct buf fields = BUF_WITH_LIMIT(FIELDS_MAX);
	archive_field_add(&fields, "kind", str_of(kind));
	archive_write_entry(w, buf_str(&fields), body.length);
	archive_write_body(w, body.data, body.length);
}

bool key_archive_write(int folder, const struct keys *keys, struct str forward, int file, struct fail **fail)
{
	CLEANUP(archive_write_release) struct archive_writer w;
	const struct key *list;
	size_t count = keys_list(keys, (struct str){}, &list);
	archive_write_begin(&w, file);
	if (!is_file(file, fail))
		return false;
	write_plain(&w, "queue-keys", (struct str){});
	for (size_t i = 0; i < count; i++)
		if (!write_key(&w, folder, &list[i], fail))
			return false;
	write_plain(&w, "forward", forward);
	return archive_write_end(&w, fail);
}

/* ---- reading ---- */

struct saved_key {
	struct str domain, selector;
	enum key_state state;
	struct buf pem;
};

struct reading {
	struct archive_reader archive;
	struct arena *arena;
	ARRAY(struct saved_key) keys;
	struct buf *forward;
};

static void reading_release(struct reading *r)
{
	archive_read_release(&r->archive);
	for (size_t i = 0; i < r->keys.count; i++)
		buf_wipe(&r->keys.items[i].pem);
	array_release(&r->keys);
	arena_free(r->arena);
}

static bool take_key(struct reading *r, struct str fields, struct fail **fail)
{
	if (r->keys.count >= KEYS_MAX)
		return fail_set(fail, FAIL_LIMIT, "there are too many keys");
	struct saved_key *key = array_add(&r->keys);
	*key = (struct saved_key){ arena_copy(r->arena, archive_field(fields, "domain")),
		                       arena_copy(r->arena, archive_field(fields, "selector")), 0,
		                       BUF_WITH_LIMIT(KEYS_PEM_MAX) };
	bool named = keys_name_is_good(key->domain) && keys_name_is_good(key->selector) &&
	             key_state_of(archive_field(fields, "state"), &key->state);
	if (!archive_read_all(&r->archive, &key->pem, fail))
		return false;
	EVP_PKEY *pkey = named ? dkim_key_from_pem(buf_str(&key->pem), NULL) : NULL;
	EVP_PKEY_free(pkey);
	return pkey != NULL || fail_set(fail, FAIL_CORRUPT, "key %zu is none", r->keys.count);
}

static bool take_all(struct reading *r, struct fail **fail)
{
	struct str fields;
	uint64_t size;
	enum archive_got got = archive_read_entry(&r->archive, &fields, &size, fail);
	if (got == ARCHIVE_FAILED)
		return false;
	if (got == ARCHIVE_END || !str_equal(archive_field(fields, "kind"), STR("queue-keys")))
		return fail_set(fail, FAIL_INVALID, "this archive has no keys of queue");
	while ((got = archive_read_entry(&r->archive, &fields, &size, fail)) == ARCHIVE_ENTRY) {
		struct str kind = archive_field(fields, "kind");
		bool good = str_equal(kind, STR("dkim"))      ? take_key(r, fields, fail)
		            : str_equal(kind, STR("forward")) ? archive_read_all(&r->archive, r->forward, fail)
		                                              : fail_set(fail, FAIL_CORRUPT, "an entry of an unknown kind");
		if (!good)
			return false;
	}
	return got == ARCHIVE_END;
}

static bool has_keys(const struct keys *keys, struct str domain)
{
	const struct key *list;
	return keys_list(keys, domain, &list) > 0;
}

bool key_archive_read(int folder, const struct keys *keys, int file, struct buf *forward, struct fail **fail)
{
	CLEANUP(reading_release) struct reading r = { .arena = arena_new(KEYS_MAX * FIELDS_MAX), .forward = forward };
	archive_read_begin(&r.archive, file);
	if (!is_file(file, fail) || !take_all(&r, fail))
		return false;
	for (size_t i = 0; i < r.keys.count; i++) {
		const struct saved_key *key = &r.keys.items[i];
		if (!has_keys(keys, key->domain) &&
		    !keys_put(folder, key->domain, key->selector, key->state, buf_str(&key->pem), fail))
			return false;
	}
	return true;
}
