/*
 * posthornctl dkim: keys are made, listed and moved from state to state in the thread that signs, so that making one
 * (tenths of a second) delays nothing but signing. Then the loop's thread signs with what is there now.
 */
#include "sign.h"
#include "forward.h"
#include "key_archive.h"

#include "clock.h"
#include "file.h"
#include "log.h"
#include "mem.h"
#include "dkim_key.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { ROW_MAX = 16000, ROWS_MAX = 32 << 20, WORDS_MAX = 4, REQUEST_ARENA_MAX = 1 << 20 };
enum { RSA_BITS = 2048, TXT_STRING_MAX = 255, TTL = 3600 };

struct key_request {
	struct job job;
	struct queue *queue;
	struct control *control; /* NULL: it went away */
	struct arena *arena;
	const struct key_verb *verb;
	struct str words[WORDS_MAX]; /* behind the verb */
	size_t count;
	struct str domain;       /* words[0] as file names have it */
	struct waiter waiter;    /* is the domain ours? */
	struct keys *keys;       /* as they were when the job began */
	struct keys *fresh;      /* as they became, or NULL */
	int file;                /* of a backup, -1 without */
	struct buf forward;      /* the keys of forward.h, for a backup or out of one */
	struct buf rows;         /* each a length in four octets, and its fields */
	struct fail *fail;
};

struct key_verb {
	const char *word;
	size_t words_min, words_max;
	bool asks;    /* whether the domain is ours */
	bool changes;
	bool (*run)(struct key_request *r);
};

/* ---- rows ---- */

static void add_field(struct buf *row, const char *name, struct str value)
{
	buf_append(row, name, strlen(name) + 1);
	buf_add_str(row, value);
	buf_add_char(row, '\0');
}

static void add_row(struct key_request *r, const struct buf *row)
{
	uint32_t length = (uint32_t)row->length;
	buf_append(&r->rows, &length, sizeof length);
	buf_add_str(&r->rows, buf_str(row));
}

static struct str algorithm_of(const struct key *key)
{
	return EVP_PKEY_get_base_id(key->key) == EVP_PKEY_ED25519 ? STR("ed25519") : STR("rsa");
}

static void add_key(struct key_request *r, const struct key *key)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	add_field(&row, "domain", key->domain);
	add_field(&row, "selector", key->selector);
	add_field(&row, "algorithm", algorithm_of(key));
	add_field(&row, "bits", arena_printf(r->arena, "%d", EVP_PKEY_get_bits(key->key)));
	add_field(&row, "state", str_of(key_state_name(key->state)));
	add_row(r, &row);
}

/* The line of a zone file: strings of TXT hold 255 octets (RFC 1035 §3.3.14). */
static void write_zone_line(struct buf *line, struct str name, struct str record)
{
	buf_printf(line, "%.*s. %d IN TXT", STR_ARG(name), TTL);
	for (; record.length; record = str_from_index(record, TXT_STRING_MAX)) {
		struct str piece = str_first(record, TXT_STRING_MAX);
		buf_printf(line, " \"%.*s\"", STR_ARG(piece));
	}
}

static void add_record(struct key_request *r, const struct key *key)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(ROW_MAX);
	CLEANUP(buf_release) struct buf record = BUF_WITH_LIMIT(ROW_MAX);
	CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(ROW_MAX);
	struct str name = arena_printf(r->arena, "%.*s._domainkey.%.*s", STR_ARG(key->selector), STR_ARG(key->domain));
	dkim_key_record(&record, key->key);
	write_zone_line(&line, name, buf_str(&record));
	add_field(&row, "name", name);
	add_field(&row, "state", str_of(key_state_name(key->state)));
	add_field(&row, "algorithm", algorithm_of(key));
	add_field(&row, "selector", key->selector);
	add_field(&row, "record", buf_str(&record));
	add_field(&row, "zone", buf_str(&line));
	add_row(r, &row);
}

/* ---- verbs, in the thread ---- */

static bool reload(struct key_request *r)
{
	keys_unref(r->fresh);
	r->fresh = keys_load(r->queue->key_folder, &r->fail);
	return r->fresh != NULL;
}

static bool has_state(const struct key_request *r, enum key_state state)
{
	const struct key *list;
	size_t count = keys_list(r->keys, r->domain, &list);
	for (size_t i = 0; i < count; i++)
		if (list[i].state == state)
			return true;
	return false;
}

static bool verb_list(struct key_request *r)
{
	const struct key *list;
	size_t count = keys_list(r->keys, r->domain, &list);
	for (size_t i = 0; i < count; i++)
		add_key(r, &list[i]);
	return true;
}

/* Of those that sign or will sign, or of the one that is named. */
static bool verb_record(struct key_request *r)
{
	const struct key *list;
	size_t count = keys_list(r->keys, r->domain, &list);
	for (size_t i = 0; i < count; i++)
		if (r->count > 1 ? str_equal(list[i].selector, r->words[1]) : list[i].state != KEY_RETIRED)
			add_record(r, &list[i]);
	return r->count == 1 || r->rows.length ||
	       fail_set(&r->fail, FAIL_NOT_FOUND, "there is no key %.*s", STR_ARG(r->words[1]));
}

static const struct {
	const char *name;
	unsigned bits;
} algorithms[] = { { "rsa", RSA_BITS }, { "ed25519", 0 } };

static struct str selector_of(struct key_request *r, struct str base, size_t algorithm)
{
	return arena_printf(r->arena, "%.*s-%s", STR_ARG(base), algorithms[algorithm].name);
}

/* The day, and a letter behind it when that is taken. */
static struct str free_base(struct key_request *r)
{
	time_t now = (time_t)clock_wall_seconds();
	struct tm day;
	must(gmtime_r(&now, &day));
	struct str base = arena_printf(r->arena, "%04d%02d%02d", day.tm_year + 1900, day.tm_mon + 1, day.tm_mday);
	struct str tried = base;
	for (char letter = 'b'; letter <= 'z'; letter++) {
		if (!keys_find(r->keys, r->domain, selector_of(r, tried, 0)) &&
		    !keys_find(r->keys, r->domain, selector_of(r, tried, 1)))
			break;
		tried = arena_printf(r->arena, "%.*s%c", STR_ARG(base), letter);
	}
	return tried;
}

static bool add_one(struct key_request *r, struct str selector, size_t algorithm, enum key_state state)
{
	const struct key *list;
	if (!keys_name_is_good(selector))
		return fail_set(&r->fail, FAIL_INVALID, "a selector has lower-case letters, digits, hyphens and dots");
	if (keys_list(r->keys, r->domain, &list) + 2 > KEYS_PER_DOMAIN_MAX)
		return fail_set(&r->fail, FAIL_LIMIT, "%.*s has many keys already: delete old ones", STR_ARG(r->domain));
	return keys_add(r->queue->key_folder, r->domain, selector, algorithms[algorithm].bits, state, &r->fail);
}

/* RFC 8463 §3: who cannot verify Ed25519 passes it over; so both are made. */
static bool make_both(struct key_request *r, struct str base, enum key_state state)
{
	for (size_t i = 0; i < COUNT_OF(algorithms); i++)
		if (!add_one(r, selector_of(r, base, i), i, state))
			return false;
	return reload(r);
}

static void add_made(struct key_request *r)
{
	const struct key *list;
	size_t count = keys_list(r->fresh, r->domain, &list);
	for (size_t i = 0; i < count; i++)
		if (!keys_find(r->keys, r->domain, list[i].selector))
			add_record(r, &list[i]);
}

/* The first ones of a domain sign at once: until their record is published, others see mail without a signature, as
 * before. */
static bool verb_make(struct key_request *r)
{
	enum key_state state = has_state(r, KEY_ACTIVE) ? KEY_NEW : KEY_ACTIVE;
	bool good = false;
	if (r->count < 3)
		good = make_both(r, r->count > 1 ? r->words[1] : free_base(r), state);
	for (size_t i = 0; r->count == 3 && i < COUNT_OF(algorithms); i++)
		if (str_equal(r->words[2], str_of(algorithms[i].name)))
			good = add_one(r, r->words[1], i, state) && reload(r);
	if (!good && !r->fail)
		fail_set(&r->fail, FAIL_INVALID, "the algorithm is rsa or ed25519");
	if (good)
		add_made(r);
	return good;
}

static bool move_all(struct key_request *r, enum key_state from, enum key_state to)
{
	const struct key *list;
	size_t count = keys_list(r->keys, r->domain, &list);
	for (size_t i = 0; i < count; i++)
		if (list[i].state == from && !keys_move(r->queue->key_folder, &list[i], to, &r->fail))
			return false;
	return true;
}

/* First new keys, whose record can be published; then, with those, the change. */
static bool verb_rotate(struct key_request *r)
{
	const struct key *list;
	if (!has_state(r, KEY_ACTIVE) && !has_state(r, KEY_NEW))
		return fail_set(&r->fail, FAIL_NOT_FOUND, "%.*s has no key yet: see dkim make", STR_ARG(r->domain));
	if (!has_state(r, KEY_NEW)) {
		if (!make_both(r, free_base(r), KEY_NEW))
			return false;
		add_made(r);
		return true;
	}
	if (!move_all(r, KEY_ACTIVE, KEY_RETIRED) || !move_all(r, KEY_NEW, KEY_ACTIVE) || !reload(r))
		return false;
	size_t count = keys_list(r->fresh, r->domain, &list);
	for (size_t i = 0; i < count; i++)
		add_record(r, &list[i]);
	return true;
}

static const struct key *find(struct key_request *r)
{
	const struct key *key = keys_find(r->keys, r->domain, r->words[1]);
	if (!key)
		fail_set(&r->fail, FAIL_NOT_FOUND, "%.*s has no key %.*s", STR_ARG(r->domain), STR_ARG(r->words[1]));
	return key;
}

static bool change(struct key_request *r, enum key_state state)
{
	const struct key *key = find(r);
	return key && (key->state == state || keys_move(r->queue->key_folder, key, state, &r->fail)) && reload(r);
}

static bool verb_activate(struct key_request *r)
{
	return change(r, KEY_ACTIVE);
}

static bool verb_retire(struct key_request *r)
{
	return change(r, KEY_RETIRED);
}

static bool verb_delete(struct key_request *r)
{
	const struct key *key = find(r);
	if (key && key->state == KEY_ACTIVE)
		return fail_set(&r->fail, FAIL_INVALID, "it signs: retire it first");
	return key && keys_remove(r->queue->key_folder, key, &r->fail) && reload(r);
}

static bool verb_backup(struct key_request *r)
{
	return key_archive_write(r->queue->key_folder, r->keys, buf_str(&r->forward), r->file, &r->fail);
}

static bool verb_restore(struct key_request *r)
{
	return key_archive_read(r->queue->key_folder, r->keys, r->file, &r->forward, &r->fail) && reload(r);
}

static const struct key_verb verbs[] = {
	{ "list", 0, 1, false, false, verb_list },         { "make", 1, 3, true, true, verb_make },
	{ "record", 1, 2, false, false, verb_record },     { "rotate", 1, 1, false, true, verb_rotate },
	{ "activate", 2, 2, false, true, verb_activate },  { "retire", 2, 2, false, true, verb_retire },
	{ "delete", 2, 2, false, true, verb_delete },      { "backup", 0, 0, false, false, verb_backup },
	{ "restore", 0, 0, false, true, verb_restore },
};

/* ---- the request ---- */

static void answer(struct key_request *r)
{
	struct str rest = buf_str(&r->rows);
	uint32_t length;
	if (!r->control)
		return;
	while (!r->fail && rest.length) {
		memcpy(&length, rest.data, sizeof length);
		rest = str_from_index(rest, sizeof length);
		control_row(r->control, str_first(rest, length));
		rest = str_from_index(rest, length);
	}
	control_done(r->control, r->fail);
}

static void finish(struct key_request *r)
{
	struct queue *q = r->queue;
	if (r->fresh) {
		keys_unref(q->keys);
		q->keys = keys_ref(r->fresh);
		if (r->verb->run == verb_restore && !r->fail)
			forward_restore(q, buf_str(&r->forward));
		log_event(LOG_INFO, 0, "dkim-keys-changed", LOG_TEXT("verb", str_of(r->verb->word)),
		          LOG_TEXT("domain", r->domain));
	}
	answer(r);
	resolve_withdraw(&r->waiter);
	keys_unref(r->keys);
	keys_unref(r->fresh);
	buf_release(&r->rows);
	buf_wipe(&r->forward);
	file_close(&r->file);
	fail_free(&r->fail);
	arena_free(r->arena);
	free(r);
}

static void run(struct job *job)
{
	struct key_request *r = (struct key_request *)job;
	r->keys = keys_load(r->queue->key_folder, &r->fail);
	bool good = r->keys && r->verb->run(r);
	if (r->keys && !good && r->verb->changes) { /* perhaps a part of it was done */
		keys_unref(r->fresh);
		r->fresh = keys_load(r->queue->key_folder, NULL);
	}
}

static void ran(struct job *job)
{
	finish((struct key_request *)job);
}

static void give(struct key_request *r)
{
	r->job = (struct job){ .run = run, .done = ran };
	worker_give(&r->queue->signer, &r->job);
}

static void domain_answered(struct waiter *waiter, const struct answer *answer)
{
	struct key_request *r = waiter->owner;
	bool is_ours = answer->verdict != RESOLVE_NOT_OURS;
	if (answer->verdict == RESOLVE_TEMPORARY)
		fail_set(&r->fail, FAIL_UNAVAILABLE, "auth does not answer");
	else if (!is_ours)
		fail_set(&r->fail, FAIL_NOT_FOUND, "domain %.*s is not ours; add it with: posthornctl domain add",
		         STR_ARG(r->domain));
	if (r->fail)
		finish(r);
	else
		give(r);
}

/* The control goes away: what it asked for is done nevertheless. */
static void withdraw(void *work)
{
	struct key_request *r = work;
	r->control = NULL;
}

static bool parse(struct key_request *r, struct str words)
{
	struct str verb, word;
	str_take_until(&words, '\0', &verb);
	while (r->count < WORDS_MAX && str_take_until(&words, '\0', &word))
		r->words[r->count++] = arena_copy(r->arena, word);
	for (size_t i = 0; i < COUNT_OF(verbs); i++)
		if (str_equal(verb, str_of(verbs[i].word)) && r->count >= verbs[i].words_min && r->count <= verbs[i].words_max)
			r->verb = &verbs[i];
	if (!r->verb)
		return fail_set(&r->fail, FAIL_INVALID, "dkim list, make, record, rotate, activate, retire or delete");
	if (r->count && (!dns_name_normalise(r->arena, r->words[0], &r->domain) || !keys_name_is_good(r->domain)))
		return fail_set(&r->fail, FAIL_INVALID, "%.*s is no domain", STR_ARG(r->words[0]));
	return true;
}

void key_control(struct queue *q, struct control *c, struct str words, int file)
{
	struct key_request *r = mem_alloc(sizeof *r);
	r->queue = q;
	r->control = c;
	r->file = file;
	r->arena = arena_new(REQUEST_ARENA_MAX);
	r->waiter = (struct waiter){ .answered = domain_answered, .owner = r };
	buf_init(&r->rows, ROWS_MAX);
	buf_init(&r->forward, FORWARD_SAVED_MAX);
	control_waits(c, withdraw, r);
	if (!parse(r, words)) {
		finish(r);
		return;
	}
	if (r->verb->run == verb_backup)
		forward_save(q, &r->forward);
	if (r->verb->asks && !str_equal_nocase(r->domain, str_of(q->daemon.config.hostname)))
		resolve_address(q, arena_printf(r->arena, "postmaster@%.*s", STR_ARG(r->domain)), &r->waiter);
	else
		give(r);
}
