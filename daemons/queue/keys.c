#include "keys.h"

#include "array.h"
#include "file.h"
#include "hash.h"
#include "mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEYS_ARENA_MAX = 64 << 20, NAME_MAX_OCTETS = 63 };

/* What one domain has: a stretch of keys->items, and those of it that sign. */
struct key_domain {
	size_t first, count;
	struct dkim_signing_key signing[KEYS_SIGNING_MAX];
	size_t signing_count;
};

struct keys {
	unsigned references;
	struct arena *arena;
	ARRAY(struct key) items; /* by domain and selector */
	struct map *domains;     /* → struct key_domain */
	size_t damaged;
};

static const char *const state_names[KEY_STATE_COUNT] = { [KEY_NEW] = "new", [KEY_ACTIVE] = "active",
	[KEY_RETIRED] = "retired" };

const char *key_state_name(enum key_state state)
{
	must((unsigned)state < KEY_STATE_COUNT);
	return state_names[state];
}

bool key_state_of(struct str name, enum key_state *state)
{
	for (unsigned i = 0; i < KEY_STATE_COUNT; i++)
		if (str_equal(name, str_of(state_names[i]))) {
			*state = (enum key_state)i;
			return true;
		}
	return false;
}

bool keys_name_is_good(struct str name)
{
	bool label_begins = true;
	if (name.length == 0 || name.length > LIMIT_DOMAIN_MAX - 20)
		return false;
	for (size_t i = 0, start = 0; i < name.length; i++) {
		char c = name.data[i];
		if (c == '.') {
			if (label_begins || name.data[i - 1] == '-')
				return false;
			start = i + 1;
		} else if (!(c >= 'a' && c <= 'z') && !char_is_digit(c) && c != '_' && (c != '-' || label_begins)) {
			return false;
		}
		label_begins = c == '.';
		if (i - start >= NAME_MAX_OCTETS && !label_begins)
			return false;
	}
	return !label_begins && name.data[name.length - 1] != '-';
}

/* ---- the life of a snapshot ---- */

static struct keys *keys_new(void)
{
	struct keys *keys = mem_alloc(sizeof *keys);
	keys->references = 1;
	keys->arena = arena_new(KEYS_ARENA_MAX);
	keys->domains = map_new();
	return keys;
}

struct keys *keys_ref(struct keys *keys)
{
	keys->references++;
	return keys;
}

void keys_unref(struct keys *keys)
{
	if (!keys || --keys->references > 0)
		return;
	for (size_t i = 0; i < keys->items.count; i++)
		EVP_PKEY_free(keys->items.items[i].key);
	array_release(&keys->items);
	map_free(keys->domains);
	arena_free(keys->arena);
	free(keys);
}

/* ---- reading the folder ---- */

static bool read_state(struct str name, struct str *selector, enum key_state *state)
{
	size_t dot = str_find_last_char(name, '.');
	*selector = str_first(name, dot);
	return key_state_of(str_from_index(name, dot + 1), state) && keys_name_is_good(*selector);
}

static EVP_PKEY *read_key(int folder, const char *name)
{
	CLEANUP(file_close) int file = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct buf pem = BUF_WITH_LIMIT(KEYS_PEM_MAX);
	EVP_PKEY *key = file >= 0 && file_read_all(file, &pem, NULL) ? dkim_key_from_pem(buf_str(&pem), NULL) : NULL;
	buf_wipe(&pem);
	return key;
}

static void read_file(struct keys *keys, int folder, struct str domain, const char *name)
{
	struct str selector;
	enum key_state state;
	if (!read_state(str_of(name), &selector, &state) || keys->items.count >= KEYS_MAX)
		return;
	EVP_PKEY *key = read_key(folder, name);
	if (key)
		*array_add(&keys->items) = (struct key){ domain, arena_copy(keys->arena, selector), state, key };
	else
		keys->damaged++;
}

static DIR *open_listing(int folder, const char *name)
{
	int opened = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *listing = opened >= 0 ? fdopendir(opened) : NULL;
	if (!listing)
		file_close(&opened);
	return listing;
}

static void read_domain(struct keys *keys, int folder, const char *name)
{
	struct dirent *entry;
	struct str domain = arena_copy(keys->arena, str_of(name));
	DIR *listing = keys_name_is_good(domain) ? open_listing(folder, name) : NULL;
	while (listing && (entry = readdir(listing)) != NULL)
		read_file(keys, dirfd(listing), domain, entry->d_name);
	if (listing)
		closedir(listing);
}

static int compare_keys(const void *a, const void *b)
{
	const struct key *one = a, *other = b;
	int order = str_compare(one->domain, other->domain);
	return order ? order : str_compare(one->selector, other->selector);
}

static void index_domains(struct keys *keys)
{
	struct key_domain *domain = NULL;
	for (size_t i = 0; i < keys->items.count; i++) {
		const struct key *key = &keys->items.items[i];
		if (i == 0 || !str_equal(key->domain, key[-1].domain)) {
			domain = arena_alloc(keys->arena, sizeof *domain);
			domain->first = i;
			map_set(keys->domains, key->domain, domain);
		}
		domain->count++;
		if (key->state == KEY_ACTIVE && domain->signing_count < KEYS_SIGNING_MAX)
			domain->signing[domain->signing_count++] = (struct dkim_signing_key){ key->domain, key->selector,
				key->key };
	}
}

struct keys *keys_load(int folder, struct fail **fail)
{
	struct dirent *entry;
	DIR *listing = open_listing(folder, ".");
	if (!listing) {
		fail_set_errno(fail, FAIL_IO, "cannot list the folder of DKIM keys");
		return NULL;
	}
	struct keys *keys = keys_new();
	while ((entry = readdir(listing)) != NULL)
		read_domain(keys, folder, entry->d_name);
	closedir(listing);
	if (keys->items.count)
		qsort(keys->items.items, keys->items.count, sizeof *keys->items.items, compare_keys);
	index_domains(keys);
	return keys;
}

int keys_open_folder(int spool, struct fail **fail)
{
	if (mkdirat(spool, "dkim", 0700) != 0 && errno != EEXIST)
		return fail_set_errno(fail, FAIL_IO, "cannot make the folder of DKIM keys"), -1;
	int folder = openat(spool, "dkim", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (folder < 0)
		fail_set_errno(fail, FAIL_IO, "cannot open the folder of DKIM keys");
	return folder;
}

/* ---- what there is ---- */

size_t keys_list(const struct keys *keys, struct str domain, const struct key **list)
{
	*list = keys->items.items;
	if (domain.length == 0)
		return keys->items.count;
	const struct key_domain *found = map_get(keys->domains, domain);
	*list = found ? &keys->items.items[found->first] : NULL;
	return found ? found->count : 0;
}

const struct key *keys_find(const struct keys *keys, struct str domain, struct str selector)
{
	const struct key *list;
	size_t count = domain.length ? keys_list(keys, domain, &list) : 0;
	for (size_t i = 0; i < count; i++)
		if (str_equal(list[i].selector, selector))
			return &list[i];
	return NULL;
}

size_t keys_signing(const struct keys *keys, struct str domain, const struct dkim_signing_key **list)
{
	const struct key_domain *found = domain.length ? map_get(keys->domains, domain) : NULL;
	*list = found ? found->signing : NULL;
	return found ? found->signing_count : 0;
}

bool keys_are_none(const struct keys *keys)
{
	return keys->items.count == 0;
}

size_t keys_damaged(const struct keys *keys)
{
	return keys->damaged;
}

/* ---- changes ---- */

static void name_of(char *name, size_t size, struct str selector, const char *ending)
{
	snprintf(name, size, "%.*s.%s", STR_ARG(selector), ending);
}

static int open_domain(int folder, struct str domain, struct fail **fail)
{
	char name[LIMIT_DOMAIN_MAX + 1];
	str_copy_to_array(domain, name, sizeof name);
	if (mkdirat(folder, name, 0700) == 0)
		fsync(folder); /* a failure shows when the key's own folder is flushed */
	int opened = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (opened < 0)
		fail_set_errno(fail, FAIL_IO, "cannot open the folder of keys of %s", name);
	return opened;
}

static bool flush_folder(int folder, struct fail **fail)
{
	return fsync(folder) == 0 || fail_set_errno(fail, FAIL_IO, "cannot flush the folder of keys");
}

static bool write_file(int folder, const char *name, struct str content, struct fail **fail)
{
	unlinkat(folder, name, 0);
	CLEANUP(file_close) int file = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot write a key");
	if (!file_write_at(file, content.data, content.length, 0, fail))
		return false;
	return fsync(file) == 0 || fail_set_errno(fail, FAIL_IO, "cannot flush a key");
}

static bool selector_is_free(int folder, struct str selector, struct fail **fail)
{
	char name[LIMIT_DOMAIN_MAX + 16];
	for (unsigned i = 0; i < KEY_STATE_COUNT; i++) {
		name_of(name, sizeof name, selector, state_names[i]);
		if (faccessat(folder, name, F_OK, 0) == 0)
			return fail_set(fail, FAIL_EXISTS, "there is a key %.*s already", STR_ARG(selector));
	}
	return true;
}

bool keys_put(int folder, struct str domain, struct str selector, enum key_state state, struct str pem,
              struct fail **fail)
{
	char part[LIMIT_DOMAIN_MAX + 16], name[LIMIT_DOMAIN_MAX + 16];
	must(keys_name_is_good(domain) && keys_name_is_good(selector));
	CLEANUP(file_close) int opened = open_domain(folder, domain, fail);
	name_of(part, sizeof part, selector, "part");
	name_of(name, sizeof name, selector, key_state_name(state));
	if (opened < 0 || !selector_is_free(opened, selector, fail) || !write_file(opened, part, pem, fail))
		return false;
	if (renameat(opened, part, opened, name) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot name a key");
	return flush_folder(opened, fail);
}

bool keys_add(int folder, struct str domain, struct str selector, unsigned bits, enum key_state state,
              struct fail **fail)
{
	struct buf pem = BUF_WITH_LIMIT(KEYS_PEM_MAX);
	bool good = dkim_key_generate(bits, &pem, fail) && keys_put(folder, domain, selector, state, buf_str(&pem), fail);
	buf_wipe(&pem);
	return good;
}

bool keys_read(int folder, const struct key *key, struct buf *pem, struct fail **fail)
{
	char name[LIMIT_DOMAIN_MAX + 16];
	name_of(name, sizeof name, key->selector, key_state_name(key->state));
	CLEANUP(file_close) int opened = open_domain(folder, key->domain, fail);
	CLEANUP(file_close) int file = opened < 0 ? -1 : openat(opened, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot read key %.*s", STR_ARG(key->selector));
	return file_read_all(file, pem, fail);
}

bool keys_move(int folder, const struct key *key, enum key_state state, struct fail **fail)
{
	char before[LIMIT_DOMAIN_MAX + 16], after[LIMIT_DOMAIN_MAX + 16];
	CLEANUP(file_close) int opened = open_domain(folder, key->domain, fail);
	if (opened < 0)
		return false;
	name_of(before, sizeof before, key->selector, key_state_name(key->state));
	name_of(after, sizeof after, key->selector, key_state_name(state));
	if (renameat(opened, before, opened, after) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot change key %.*s", STR_ARG(key->selector));
	return flush_folder(opened, fail);
}

bool keys_remove(int folder, const struct key *key, struct fail **fail)
{
	char name[LIMIT_DOMAIN_MAX + 16];
	CLEANUP(file_close) int opened = open_domain(folder, key->domain, fail);
	if (opened < 0)
		return false;
	name_of(name, sizeof name, key->selector, key_state_name(key->state));
	if (unlinkat(opened, name, 0) != 0)
		return fail_set_errno(fail, FAIL_IO, "cannot remove key %.*s", STR_ARG(key->selector));
	return flush_folder(opened, fail);
}
