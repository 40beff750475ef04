/*
 * Inside lib/config: how the values of one type are read, kept and shown, one struct config_type each; config.def
 * names them.
 *
 * What a field holds belongs to it: add makes it, clear frees it. A value that is not of its type fails with
 * FAIL_INVALID and a sentence that begins with the key and says what would be.
 */
#ifndef POSTHORN_CONFIG_CONFIG_TYPE_H
#define POSTHORN_CONFIG_CONFIG_TYPE_H

#include "config_internal.h"

struct config_type {
	bool list;
	enum { CONFIG_SHOW_QUOTED, CONFIG_SHOW_NUMBER, CONFIG_SHOW_FLAG } show;
	/* Sets the field, or adds one value to a list; *field is zeroed or holds what was added so far. */
	bool (*add)(const struct config_key *key, struct str text, void *field, struct fail **fail);
	void (*clear)(void *field);
	/* The value, or the i-th one of a list; false past the end. */
	bool (*text)(const struct config_key *key, const void *field, size_t i, struct buf *out);
};

/* config_type.c: one plain value, and sets of words. */
extern const struct config_type config_type_host;
extern const struct config_type config_type_address;
extern const struct config_type config_type_path;
extern const struct config_type config_type_file;
extern const struct config_type config_type_folder;
extern const struct config_type config_type_text;
extern const struct config_type config_type_number;
extern const struct config_type config_type_size;
extern const struct config_type config_type_days;
extern const struct config_type config_type_flag;
extern const struct config_type config_type_separator;
extern const struct config_type config_type_choice;
extern const struct config_type config_type_set;

/* config_type_network.c */
extern const struct config_type config_type_listen;
extern const struct config_type config_type_networks;
extern const struct config_type config_type_servers;
extern const struct config_type config_type_source;
extern const struct config_type config_type_milter;

/* config_type_domain.c */
extern const struct config_type config_type_dns_list;
extern const struct config_type config_type_domain_policy;
extern const struct config_type config_type_relay_host;
extern const struct config_type config_type_transport;
extern const struct config_type config_type_referral;

/* Fails: "key: "text" is why". */
bool config_type_refuse(const struct config_key *key, struct str text, const char *why, struct fail **fail);

/* Letters and digits, and those of inside between them; at most LIMIT_DOMAIN_MAX, and not empty. */
bool config_type_is_host(struct str text, const char *inside);

/* The caller frees it. */
char *config_type_lower_copy(struct str text);

/* A field of one text, char *. */
bool config_type_set_text(struct str text, void *field);

#endif
