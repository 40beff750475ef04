/*
 * Inside lib/directory only: the database handle, its statements, and how they are run.
 *
 * Every statement stands in DIRECTORY_SQL, is prepared when first used and kept. A query
 * is sticky: after the first failure (told in *fail) it gives no more rows. CLEANUP(query_end)
 * makes the statement free again, so a statement must not be begun while it is in use:
 * collect rows before recursing. Bound bytes must live until query_end.
 *
 *	CLEANUP(query_end) struct query q = query_begin(d, SQL_ACCOUNT_BY_ID, fail);
 *	query_number(&q, 1, id);
 *	if (query_row(&q)) …
 *
 * A change is a savepoint: committed by change_commit, undone when it leaves its scope before. One
 * that cannot begin makes every query in its scope fail, so that callers need not look.
 */
#ifndef POSTHORN_DIRECTORY_SQL_H
#define POSTHORN_DIRECTORY_SQL_H

#include "directory.h"

#include <sqlite3.h>

#define ACCOUNT_COLUMNS                                                                                              \
	"SELECT c.id,c.local,d.name,c.directory,c.display_name,c.language,c.enabled,c.mechanisms,c.quota_bytes,"         \
	"c.quota_messages,d.quota_bytes,d.quota_messages,c.created,c.purge_at,d.id FROM account c "                      \
	"JOIN domain d ON d.id=c.domain_id "

#define DIRECTORY_SQL(X)                                                                                             \
	X(SETTING_ALL, "SELECT name,value FROM setting")                                                                 \
	X(SETTING_SET, "INSERT OR REPLACE INTO setting(name,value) VALUES(?1,?2)")                                       \
	X(GENERATION_ADD, "UPDATE setting SET value=value+1 WHERE name='generation'")                                    \
	X(DOMAIN_ADD, "INSERT INTO domain(name,created) VALUES(?1,?2)")                                                  \
	X(DOMAIN_BY_NAME,                                                                                                \
	  "SELECT id,name,catch_all,postmaster,quota_bytes,quota_messages,created FROM domain WHERE name=?1")            \
	X(DOMAIN_NEXT,                                                                                                   \
	  "SELECT id,name,catch_all,postmaster,quota_bytes,quota_messages,created FROM domain WHERE id>?1 "              \
	  "ORDER BY id LIMIT 1")                                                                                         \
	X(DOMAIN_IN_USE,                                                                                                 \
	  "SELECT EXISTS(SELECT 1 FROM account WHERE domain_id=?1) OR EXISTS(SELECT 1 FROM address WHERE domain_id=?1)") \
	X(DOMAIN_REMOVE, "DELETE FROM domain WHERE id=?1")                                                               \
	X(DOMAIN_CATCH_ALL, "UPDATE domain SET catch_all=?2 WHERE id=?1")                                                \
	X(DOMAIN_POSTMASTER, "UPDATE domain SET postmaster=?2 WHERE id=?1")                                              \
	X(DOMAIN_QUOTA, "UPDATE domain SET quota_bytes=?2,quota_messages=?3 WHERE id=?1")                                \
	X(ACCOUNT_ADD,                                                                                                   \
	  "INSERT INTO account(domain_id,local,directory,display_name,language,created) VALUES(?1,?2,'',?3,?4,?5)")      \
	X(ACCOUNT_DIRECTORY, "UPDATE account SET directory=?2 WHERE id=?1")                                              \
	X(ACCOUNT_BY_ID, ACCOUNT_COLUMNS "WHERE c.id=?1")                                                                \
	X(ACCOUNT_BY_ADDRESS,                                                                                            \
	  ACCOUNT_COLUMNS "JOIN address a ON a.account_id=c.id WHERE d.name=?1 AND a.domain_id=d.id AND a.local=?2")     \
	X(ACCOUNT_NEXT, ACCOUNT_COLUMNS "WHERE c.id>?1 ORDER BY c.id LIMIT 1")                                           \
	X(ACCOUNT_NEXT_OF_DOMAIN, ACCOUNT_COLUMNS "WHERE c.domain_id=?2 AND c.id>?1 ORDER BY c.id LIMIT 1")              \
	X(ACCOUNT_FIRST_OF_DOMAIN,                                                                                       \
	  "SELECT id FROM account WHERE domain_id=?1 AND enabled AND purge_at=0 ORDER BY id LIMIT 1")                    \
	X(ACCOUNT_ENABLED, "UPDATE account SET enabled=?2 WHERE id=?1")                                                  \
	X(ACCOUNT_MECHANISMS, "UPDATE account SET mechanisms=?2 WHERE id=?1")                                            \
	X(ACCOUNT_QUOTA, "UPDATE account SET quota_bytes=?2,quota_messages=?3 WHERE id=?1")                              \
	X(ACCOUNT_DISPLAY_NAME, "UPDATE account SET display_name=?2 WHERE id=?1")                                        \
	X(ACCOUNT_LANGUAGE, "UPDATE account SET language=?2 WHERE id=?1")                                                \
	X(ACCOUNT_PURGE_AT, "UPDATE account SET purge_at=?2 WHERE id=?1")                                                \
	X(ACCOUNT_REMOVE, "DELETE FROM account WHERE id=?1")                                                             \
	X(ADDRESS_FIND,                                                                                                  \
	  "SELECT d.id,a.alias_id,c.id,c.directory,c.enabled FROM domain d "                                     \
	  "LEFT JOIN address a ON a.domain_id=d.id AND a.local=?2 LEFT JOIN account c ON c.id=a.account_id "             \
	  "WHERE d.name=?1")                                                                                             \
	X(ADDRESS_OF_ACCOUNT,                                                                                            \
	  "SELECT c.directory,c.enabled,c.local,d.name FROM account c JOIN domain d ON d.id=c.domain_id WHERE c.id=?1")  \
	X(ADDRESS_SET_ACCOUNT,                                                                                           \
	  "INSERT INTO address(domain_id,local,account_id) VALUES(?1,?2,?3) "                                            \
	  "ON CONFLICT DO UPDATE SET account_id=excluded.account_id")                                                    \
	X(ADDRESS_SET_ALIAS,                                                                                             \
	  "INSERT INTO address(domain_id,local,alias_id) VALUES(?1,?2,?3) "                                              \
	  "ON CONFLICT DO UPDATE SET alias_id=excluded.alias_id")                                                        \
	X(ADDRESS_DROP_ACCOUNT, "UPDATE address SET account_id=NULL WHERE account_id=?1 AND alias_id IS NOT NULL")       \
	X(ADDRESS_REMOVE_ACCOUNT, "DELETE FROM address WHERE account_id=?1")                                             \
	X(ADDRESS_DROP_ALIAS, "UPDATE address SET alias_id=NULL WHERE alias_id=?1 AND account_id IS NOT NULL")           \
	X(ADDRESS_REMOVE_ALIAS, "DELETE FROM address WHERE alias_id=?1")                                                 \
	X(ALIAS_ADD, "INSERT INTO alias(created) VALUES(?1)")                                                            \
	X(ALIAS_NEWEST, "SELECT max(id) FROM alias")                                                                     \
	X(ALIAS_REMOVE, "DELETE FROM alias WHERE id=?1")                                                                 \
	X(ALIAS_NEXT,                                                                                                    \
	  "SELECT a.alias_id,a.local,d.name FROM address a JOIN domain d ON d.id=a.domain_id "                           \
	  "WHERE a.alias_id>?1 ORDER BY a.alias_id LIMIT 1")                                                             \
	X(ALIAS_TARGETS, "SELECT target FROM alias_target WHERE alias_id=?1 ORDER BY position")                          \
	X(ALIAS_TARGET_ADD, "INSERT INTO alias_target(alias_id,position,target) VALUES(?1,?2,?3)")                       \
	X(ALIAS_TARGETS_REMOVE, "DELETE FROM alias_target WHERE alias_id=?1")                                            \
	X(SENDER_ADD, "INSERT OR IGNORE INTO sender(account_id,address) VALUES(?1,?2)")                                  \
	X(SENDER_REMOVE, "DELETE FROM sender WHERE account_id=?1 AND address=?2")                                        \
	X(SENDER_NEXT, "SELECT address FROM sender WHERE account_id=?1 AND address>?2 ORDER BY address LIMIT 1")         \
	X(SENDER_HAS, "SELECT 1 FROM sender WHERE account_id=?1 AND address IN(?2,?3)")                                  \
	X(SENDERS_REMOVE, "DELETE FROM sender WHERE account_id=?1")                                                      \
	X(CREDENTIAL_SET,                                                                                                \
	  "INSERT OR REPLACE INTO credential(account_id,hash,scram_sha256,scram_sha1,secret,changed) "                   \
	  "VALUES(?1,?2,?3,?4,?5,?6)")                                                                                   \
	X(CREDENTIAL_GET, "SELECT hash,scram_sha256,scram_sha1,secret,changed FROM credential WHERE account_id=?1")      \
	X(CREDENTIAL_DROP_SHA1, "UPDATE credential SET scram_sha1='' WHERE account_id=?1")                               \
	X(CREDENTIAL_DROP_SECRET, "UPDATE credential SET secret=x'' WHERE account_id=?1")                                \
	X(CREDENTIAL_REMOVE, "DELETE FROM credential WHERE account_id=?1")                                               \
	X(CREDENTIAL_PARTS,                                                                                              \
	  "SELECT EXISTS(SELECT 1 FROM credential WHERE scram_sha1!=''),"                                                \
	  "EXISTS(SELECT 1 FROM credential WHERE secret!=x'')")                                                          \
	X(APP_PASSWORD_ADD, "INSERT INTO app_password(account_id,name,hash,created,last_used) VALUES(?1,?2,?3,?4,0)")    \
	X(APP_PASSWORD_FIND, "SELECT id,last_used FROM app_password WHERE account_id=?1 AND hash=?2")                    \
	X(APP_PASSWORD_NEXT,                                                                                             \
	  "SELECT id,name,created,last_used FROM app_password WHERE account_id=?1 AND id>?2 ORDER BY id LIMIT 1")        \
	X(APP_PASSWORD_USED, "UPDATE app_password SET last_used=?2 WHERE id=?1")                                         \
	X(APP_PASSWORD_REMOVE, "DELETE FROM app_password WHERE account_id=?1 AND name=?2")                               \
	X(APP_PASSWORDS_REMOVE, "DELETE FROM app_password WHERE account_id=?1")

#define DIRECTORY_SQL_NAME(name, text) SQL_##name,
enum directory_sql { DIRECTORY_SQL(DIRECTORY_SQL_NAME) DIRECTORY_SQL_COUNT };
#undef DIRECTORY_SQL_NAME

struct directory {
	sqlite3 *db;
	sqlite3_stmt *statements[DIRECTORY_SQL_COUNT];
	uint64_t generation;
	unsigned depth;    /* open savepoints */
	unsigned refused;  /* changes that could not begin: until they leave their scope nothing may run */
	bool in_batch;
	unsigned char key[DIRECTORY_KEY_SIZE];
	char settings[DIRECTORY_SETTING_COUNT][DIRECTORY_SETTING_MAX + 1];
};

struct query {
	struct directory *d;
	sqlite3_stmt *statement;
	struct fail **fail;
	bool failed;
};

struct query query_begin(struct directory *d, enum directory_sql which, struct fail **fail);
void query_end(struct query *q);
void query_text(struct query *q, int parameter, struct str value);
void query_blob(struct query *q, int parameter, struct str value);
void query_number(struct query *q, int parameter, int64_t value);

/* False at the end and on failure; then see query.failed. */
bool query_row(struct query *q);

/* For statements that give no rows. */
bool query_run(struct query *q);

/* Columns of the row, valid until the next row. NULL reads as 0 and as the empty text. */
int64_t query_get_number(struct query *q, int column);
struct str query_get(struct query *q, int column);

/* The column as text with a NUL in size octets; what is longer is damage. */
void query_copy(struct query *q, int column, char *text, size_t size);

/* Runs a statement with one or two numbers. */
bool query_numbers(struct directory *d, enum directory_sql which, int64_t one, int64_t two, struct fail **fail);

struct change {
	struct directory *d;
	struct fail **fail;
	bool open;
	bool refused;
};

struct change change_begin(struct directory *d, struct fail **fail);

/* Counts the generation, then releases the savepoint; true when what it held is durable (or part
 * of a batch). */
bool change_commit(struct change *c);
void change_end(struct change *c);

#endif
