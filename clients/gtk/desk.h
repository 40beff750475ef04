/*
 * struct desk: what the window remembers beside the accounts, in an SQLite database of one file,
 * $XDG_DATA_HOME/posthorn/desktop.db: settings, rules, which mails were seen, and the log of deletions.
 *
 * Readable by its owner only; no password is in it. A mailbox is named "user@host:port". Each thread opens a desk of
 * its own; every function is one transaction. What is in the log goes after DESK_LOG_DAYS days, with the kept copy.
 */
#ifndef POSTHORN_GTK_DESK_H
#define POSTHORN_GTK_DESK_H

#include "array.h"
#include "buf.h"
#include "fail.h"
#include "hash.h"
#include "rule.h"

enum { DESK_LOG_DAYS = 30, DESK_VALUE_MAX = 4096, DESK_RULES_MAX = 1000 };

struct desk;

/* The folder that is there already. */
struct desk *desk_open(const char *path, struct fail **fail);
void desk_close(struct desk *d);
void desk_cleanup(struct desk **d);

/* The text of a setting, or the default where it was never set. The caller frees it. */
char *desk_get(struct desk *d, const char *key, const char *otherwise);
bool desk_set(struct desk *d, const char *key, const char *value, struct fail **fail);

struct desk_rules {
	ARRAY(struct rule) list;
};

bool desk_load_rules(struct desk *d, struct desk_rules *rules, struct fail **fail);
bool desk_save_rules(struct desk *d, const struct desk_rules *rules, struct fail **fail);

/* The unique ids that were there at the last visit: keys of the map, whose values only say that they are there. */
bool desk_load_seen(struct desk *d, const char *mailbox, struct map *seen, struct fail **fail);
bool desk_save_seen(struct desk *d, const char *mailbox, const struct map *seen, struct fail **fail);

/* A mail whose deletion was asked for. The next visit shows whether it is gone. */
enum desk_fate { DESK_PENDING, DESK_DELETED, DESK_UNKNOWN, DESK_GONE, DESK_STILL_THERE };

struct desk_deletion {
	int64_t id;
	int64_t when;       /* seconds since 1970 */
	enum desk_fate fate;
	const char *mailbox, *uid, *from, *subject;
	struct str header;
	const char *copy;   /* path of the full copy, or "" */
};

/* Notes deletions as pending before they are asked for; then what became of those of the mailbox that are pending,
 * where DESK_PENDING says that nothing was deleted: the notes go. */
bool desk_log_begin(struct desk *d, const struct desk_deletion *deletions, size_t count, struct fail **fail);
bool desk_log_end(struct desk *d, const char *mailbox, enum desk_fate fate, struct fail **fail);

/* What a look at the mailbox says about deletions whose outcome nobody has seen yet. */
struct desk_outcome {
	size_t gone;        /* of those whose fate was not known */
	size_t still_there; /* of all */
};

/* there: the unique ids of the mailbox, as keys. Each deletion is looked at once. */
bool desk_log_check(struct desk *d, const char *mailbox, const struct map *there, struct desk_outcome *outcome,
                    struct fail **fail);

/* The newest first. Views live during the call. */
bool desk_log_each(struct desk *d, void (*visit)(void *context, const struct desk_deletion *deletion), void *context,
                   struct fail **fail);

/* Removes what is older than DESK_LOG_DAYS. */
bool desk_log_purge(struct desk *d, int64_t now, struct fail **fail);

#endif
