/*
 * struct config: posthorn.conf as plain typed values.
 *
 * Every key stands once in config.def. A struct config holds a valid value for every key from
 * config_init on; a value is changed as a whole or, on failure, not at all. master loads the
 * file, applies --set, checks it, and hands the text of config_print to its children, which
 * all config_parse that one snapshot: no process reads the file for itself, and nothing in it
 * depends on the environment of the reader. Texts are UTF-8 without control characters.
 *
 * The file: `key = value`, `key = { value, value }`, `certificate "name" { key = value … }`;
 * a value is a bare word or in double quotes, where \" and \\ stand for " and \; # begins a
 * comment. A failure reads "file:line: …" and names the nearest key where one is unknown.
 */
#ifndef POSTHORN_CONFIG_CONFIG_H
#define POSTHORN_CONFIG_CONFIG_H

#include "buf.h"
#include "fail.h"
#include "limits.h"
#include "network.h"

enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };
enum config_plaintext_login { CONFIG_PLAINTEXT_NO, CONFIG_PLAINTEXT_LOOPBACK, CONFIG_PLAINTEXT_YES };
enum config_language { CONFIG_LANGUAGE_EN, CONFIG_LANGUAGE_IT, CONFIG_LANGUAGE_SK };
enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARNING, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };

enum config_dmarc_policy { CONFIG_DMARC_FOLLOW, CONFIG_DMARC_MARK };
enum config_spf_fail { CONFIG_SPF_MARK, CONFIG_SPF_REJECT };

enum config_dnsbl_action { CONFIG_DNSBL_REJECT, CONFIG_DNSBL_JUNK, CONFIG_DNSBL_MARK };

/* relay_tls; smarthost_tls has one more. */
enum config_relay_tls { CONFIG_RELAY_TLS_NO, CONFIG_RELAY_TLS_MAY, CONFIG_RELAY_TLS_MUST, CONFIG_RELAY_TLS_VERIFY,
	CONFIG_RELAY_TLS_FIRST };

/* Bits of sender_checks. */
enum { CONFIG_CHECK_SPF = 1, CONFIG_CHECK_DKIM = 2, CONFIG_CHECK_DMARC = 4, CONFIG_CHECK_IPREV = 8 };

/* Bits of normalise_line_ends. */
enum { CONFIG_NORMALISE_SUBMISSION = 1, CONFIG_NORMALISE_LMTP = 2 };

/* pop3_expire: the site removes nothing. */
#define CONFIG_NEVER UINT32_MAX

/* Places to listen on, as written; see config_listener_address. */
struct config_listeners {
	char **items;
	size_t count, capacity;
};

/* Where to connect to; without a port it is the service's own. */
struct config_servers {
	struct endpoint *items;
	size_t count, capacity;
};

/* For network_any_contains. */
struct config_networks {
	struct network *items;
	size_t count, capacity;
};

/* A certificate chain (own certificate first) and its key, PEM files; title is the name in the file. */
struct config_certificate {
	char *title;
	char *chain;
	char *key;
};

struct config_certificates {
	struct config_certificate *items;
	size_t count, capacity;
};

/* Accounts whose IMAP log-ins are referred to another host (RFC 2221). */
struct config_referral {
	char *account;
	char *host; /* with ":port" or without */
};

struct config_referrals {
	struct config_referral *items;
	size_t count, capacity;
};

/* A list of hosts in the DNS (RFC 5782); addresses in host order. */
struct config_dns_list {
	char *zone;
	uint32_t first, last; /* answers that count */
	unsigned weight;      /* 0: not said */
};

struct config_dns_lists {
	struct config_dns_list *items;
	size_t count, capacity;
};

/* What is done with mail that fails DMARC, by the domain of its From. */
enum config_domain_action { CONFIG_DOMAIN_REJECT, CONFIG_DOMAIN_JUNK, CONFIG_DOMAIN_MARK, CONFIG_DOMAIN_ACTION_COUNT };

struct config_domain_policy {
	char *domain; /* lower case */
	enum config_domain_action action;
};

struct config_domain_policies {
	struct config_domain_policy *items;
	size_t count, capacity;
};

enum config_milter_default { CONFIG_MILTER_TEMPFAIL, CONFIG_MILTER_ACCEPT, CONFIG_MILTER_REJECT,
	CONFIG_MILTER_DEFAULT_COUNT };

struct config_milter {
	struct endpoint address;
	enum config_milter_default otherwise; /* what holds when it does not answer as it should */
	bool for_smtp, for_submission;
};

struct config_milters {
	struct config_milter *items;
	size_t count, capacity;
};

/* A host to bring mail to: its name (lower case), IP address, or, of a transport, the path of a Unix socket, which
 * begins with "/". */
struct config_relay_host {
	char *host;    /* empty: none */
	unsigned port; /* 0: not said */
};

struct config_transport {
	char *domain; /* lower case; with a dot before it all that is below it */
	bool lmtp;
	struct config_relay_host to;
};

struct config_transports {
	struct config_transport *items;
	size_t count, capacity;
};

/* The C type of each type in config.def. */
#define CONFIG_FIELD_host char *
#define CONFIG_FIELD_address char *
#define CONFIG_FIELD_path char *
#define CONFIG_FIELD_folder char * /* UTF-8, levels separated by /; may be empty */
#define CONFIG_FIELD_number unsigned
#define CONFIG_FIELD_size uint64_t
#define CONFIG_FIELD_days unsigned
#define CONFIG_FIELD_flag bool
#define CONFIG_FIELD_separator char /* 0 for none */
#define CONFIG_FIELD_listen struct config_listeners
#define CONFIG_FIELD_networks struct config_networks
#define CONFIG_FIELD_referral struct config_referrals
#define CONFIG_FIELD_servers struct config_servers
#define CONFIG_FIELD_dns_list struct config_dns_lists
#define CONFIG_FIELD_domain_policy struct config_domain_policies
#define CONFIG_FIELD_milter struct config_milters
#define CONFIG_FIELD_source struct config_servers /* without ports */
#define CONFIG_FIELD_text char *
#define CONFIG_FIELD_relay_host struct config_relay_host
#define CONFIG_FIELD_transport struct config_transports
#define CONFIG_FIELD_file char * /* absolute path, or empty */

struct config {
#define CONFIG_GROUP(heading)
#define CONFIG_KEY(type, name, standard, min, max, unit, sentence) CONFIG_FIELD_##type name;
#define CONFIG_CHOICE(type, name, standard, words, sentence) enum type name;
#define CONFIG_SET(name, standard, words, sentence) unsigned name;
#include "config.def"
#undef CONFIG_GROUP
#undef CONFIG_KEY
#undef CONFIG_CHOICE
#undef CONFIG_SET
	struct config_certificates certificates; /* the first one answers clients that name no host */
};

/* All defaults; no certificate. */
void config_init(struct config *config);

/* For CLEANUP; a zeroed config is fine. */
void config_release(struct config *config);

/* Fills *config (whatever it held is not looked at) from the text of a file, defaults for the
 * rest. On failure *config is zeroed. Values are checked one by one; see config_check. */
bool config_parse(const char *text, size_t length, struct config *config, struct fail **fail);

/* The same from a file; an empty hostname becomes the name of the system. */
bool config_load(const char *path, struct config *config, struct fail **fail);

/* "key=value"; a list is separated by commas, nothing behind = is the empty list. */
bool config_set(struct config *config, const char *assignment, struct fail **fail);

/* What no single value shows: ports used twice, TLS ports without certificate, files that are
 * missing, an open relay. Looks at the file system, so only master and posthornctl call it. */
bool config_check(const struct config *config, struct fail **fail);

/* The text of the commented default file. */
void config_print_default(struct buf *out);

/* All values as a file that config_parse reads back to the same. */
void config_print(const struct config *config, struct buf *out);

/* All values as one JSON object, one key per line. */
void config_print_json(const struct config *config, struct buf *out);

/* The address of a listener; a relative path lies below runtime_directory and may be too long there. */
bool config_listener_address(const struct config *config, const char *listener, struct endpoint *address,
                             struct fail **fail);

/* The i-th key as config.def has it, for manual and tests; false past the end. */
struct config_key_info {
	const char *heading;
	const char *name;
	const char *standard; /* the default, as config_set reads it */
	uint64_t min, max;    /* both 0 for what is no number */
	const char *unit;     /* NULL for none */
	const char *words;    /* the choices, separated by spaces, or NULL */
	const char *sentence;
};
bool config_key_info(size_t i, struct config_key_info *info);

#endif
