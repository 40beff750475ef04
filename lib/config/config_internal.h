/*
 * Inside lib/config: the syntax of the file (syntax.c), the table of keys (key.c); the types of
 * their values are config_type.h's. Nothing here knows another module.
 */
#ifndef POSTHORN_CONFIG_CONFIG_INTERNAL_H
#define POSTHORN_CONFIG_CONFIG_INTERNAL_H

#include "arena.h"
#include "config.h"

/* What stands behind the = of one assignment; views of the text or of the arena. */
struct config_values {
	struct str *items;
	size_t count, capacity;
	bool braced;
};

/* One `key = value` in the file, in a section or (section empty) outside. */
struct config_assignment {
	struct str section; /* "certificate" */
	struct str title;   /* "name" */
	struct str key;
	struct config_values values;
	unsigned line;
};

/* Called for each assignment in order, and with an empty key where a section ends. */
typedef bool config_handler(void *context, const struct config_assignment *assignment, struct fail **fail);

/* Reads the whole text; failures begin with "line: ", also those of the handler. */
bool config_syntax_read(struct str text, config_handler *handler, void *context, struct fail **fail);

/* A word as it is, anything else in double quotes, so that config_syntax_read gives it back. */
void config_syntax_print(struct buf *out, struct str value, bool quoted);

struct config_type;

struct config_key {
	const char *name;
	const struct config_type *type;
	size_t offset, size;
	const char *standard;
	uint64_t min, max;
	const char *unit;
	const char *words; /* of a choice or set, separated by spaces */
	const char *sentence;
	const char *heading; /* set for a heading, which has nothing else */
};

/* All rows of config.def in order, headings too. */
extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* NULL and a text with the nearest key when there is none of that name. */
const struct config_key *config_key_find(struct str name, struct fail **fail);

/* Replaces the value in *config, or leaves it alone and fails. */
bool config_key_set(const struct config_key *key, struct config *config, const struct config_values *values,
                    struct fail **fail);

/* Splits "a, b" as defaults and config_set write lists. */
void config_values_split(struct config_values *values, const struct config_key *key, struct str text);
void config_values_release(struct config_values *values);

/* A path in the file: absolute, at most LIMIT_CONFIG_VALUE_MAX octets. */
bool config_path_check(const char *name, struct str text, struct fail **fail);

#endif
