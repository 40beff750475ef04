/* The table of keys: finding one, and setting its value. */
#include "config_type.h"

#include "array.h"
#include "text.h"

#define FIELD(name) offsetof(struct config, name), sizeof(((struct config *)0)->name)
#define CONFIG_GROUP(heading_) { .heading = heading_ },
#define CONFIG_KEY(type, name, standard, min, max, unit, sentence) \
	{ #name, &config_type_##type, FIELD(name), standard, min, max, unit, NULL, sentence, NULL },
#define CONFIG_CHOICE(type, name, standard, words, sentence) \
	{ #name, &config_type_choice, FIELD(name), standard, 0, 0, NULL, words, sentence, NULL },
#define CONFIG_SET(name, standard, words, sentence) \
	{ #name, &config_type_set, FIELD(name), standard, 0, 0, NULL, words, sentence, NULL },
const struct config_key config_keys[] = {
#include "config.def"
};
const size_t config_key_count = COUNT_OF(config_keys);

/* Levenshtein distance; both at most as long as the row. */
enum { NAME_MAX_COMPARED = 48 };

static size_t distance(struct str a, struct str b)
{
	size_t row[NAME_MAX_COMPARED + 1];
	for (size_t j = 0; j <= b.length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.length; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.length; j++) {
			size_t changed = diagonal + (char_lower(a.data[i - 1]) != char_lower(b.data[j - 1]));
			size_t shorter = row[j - 1] < row[j] ? row[j - 1] : row[j];
			diagonal = row[j];
			row[j] = changed < shorter + 1 ? changed : shorter + 1;
		}
	}
	return row[b.length];
}

/* What distance sees in two words in another order, as smtp_listen for listen_smtp: nothing. */
static bool same_words(struct str a, struct str b)
{
	struct str word;
	if (a.length != b.length)
		return false;
	while (str_take_until(&a, '_', &word))
		if (str_find(b, word) == b.length)
			return false;
	return true;
}

static const char *nearest(struct str name)
{
	const char *best = NULL;
	size_t best_distance = SIZE_MAX;
	name = str_first(name, NAME_MAX_COMPARED);
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++) {
		if (!key->name)
			continue;
		size_t d = same_words(name, str_of(key->name)) ? 0 : distance(name, str_of(key->name));
		if (d < best_distance) {
			best_distance = d;
			best = key->name;
		}
	}
	return best;
}

const struct config_key *config_key_find(struct str name, struct fail **fail)
{
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++)
		if (key->name && str_equal(name, str_of(key->name)))
			return key;
	fail_set(fail, FAIL_INVALID, "there is no key \"%.*s\"; the nearest is %s", STR_ARG(str_first(name, 100)),
	         nearest(name));
	return NULL;
}

/* What the file can hold, so that config_print can be read back. */
static bool is_text(struct str value)
{
	for (size_t i = 0; i < value.length; i++)
		if ((unsigned char)value.data[i] < ' ' || value.data[i] == 0x7f)
			return false;
	return value.length <= LIMIT_CONFIG_VALUE_MAX && text_is_utf8(value);
}

/* A value of any type, while it is not known to be good. */
union field {
	char *text;
	unsigned number;
	uint64_t size;
	bool flag;
	char separator;
	struct config_listeners listeners;
	struct config_networks networks;
};

bool config_key_set(const struct config_key *key, struct config *config, const struct config_values *values,
                    struct fail **fail)
{
	if (!key->type->list && (values->braced || values->count != 1))
		return fail_set(fail, FAIL_INVALID, "%s takes one value, not a list", key->name);
	union field fresh = {};
	must(key->size <= sizeof fresh);
	for (size_t i = 0; i < values->count; i++) {
		if (!is_text(values->items[i])) {
			key->type->clear(&fresh);
			return fail_set(fail, FAIL_INVALID, "%s: a value is too long or no UTF-8 text", key->name);
		}
		if (!key->type->add(key, values->items[i], &fresh, fail)) {
			key->type->clear(&fresh);
			return false;
		}
	}
	void *field = (char *)config + key->offset;
	key->type->clear(field);
	memcpy(field, &fresh, key->size);
	return true;
}

void config_values_split(struct config_values *values, const struct config_key *key, struct str text)
{
	struct str part;
	*values = (struct config_values){};
	if (!key->type->list) {
		*array_add(values) = text;
		return;
	}
	while (values->count <= LIMIT_CONFIG_LIST_MAX && str_take_until(&text, ',', &part))
		*array_add(values) = str_trim(part);
}

void config_values_release(struct config_values *values)
{
	array_release(values);
}
