#include "store_internal.h"

#include "text.h"

#include <stdlib.h>

enum { MAILBOXES_KEPT = 32 };

/* ---- rows in memory ---- */

static void forget(struct mailbox_state *mailbox)
{
	uid_pages_release(&mailbox->pages);
	free(mailbox->name);
	free(mailbox);
}

void mailbox_forget_all(struct store *store)
{
	for (size_t i = 0; i < store->mailboxes.count; i++)
		forget(store->mailboxes.items[i]);
	store->mailboxes.count = 0;
}

void mailbox_settle(struct store *store)
{
	if (store->mailboxes.count > MAILBOXES_KEPT) {
		mailbox_forget_all(store);
		return;
	}
	for (size_t i = 0; i < store->mailboxes.count; i++)
		store->mailboxes.items[i]->changed = false;
}

struct mailbox_state *mailbox_state(struct store_txn *txn, uint64_t id)
{
	struct store *store = txn->store;
	for (size_t i = 0; i < store->mailboxes.count; i++)
		if (store->mailboxes.items[i]->id == id)
			return txn_ok(txn) ? store->mailboxes.items[i] : NULL;
	sqlite3_stmt *query = txn_query(txn, "SELECT highestmodseq, messages, unseen, deleted, bytes, uidvalidity, uidnext,"
	                                     " name, paged FROM mailbox WHERE id = ? AND name NOT NULL");
	bind_u64(query, 1, id);
	enum database_step step = txn_step(txn, query);
	if (step == DATABASE_DONE)
		txn_set_fail(txn, FAIL_NOT_FOUND, "there is no mailbox %llu", (unsigned long long)id);
	if (step != DATABASE_ROW)
		return NULL;
	struct mailbox_state *mailbox = mem_alloc(sizeof *mailbox);
	*mailbox = (struct mailbox_state){ .id = id,
		                               .highestmodseq = column_u64(query, 0),
		                               .messages = column_u64(query, 1),
		                               .unseen = column_u64(query, 2),
		                               .deleted = column_u64(query, 3),
		                               .bytes = column_u64(query, 4),
		                               .uidvalidity = (uint32_t)column_u64(query, 5),
		                               .uidnext = (uint32_t)column_u64(query, 6),
		                               .paged = (uint32_t)column_u64(query, 8),
		                               .name = str_copy(column_bytes(query, 7)) };
	database_done(query);
	*array_add(&store->mailboxes) = mailbox;
	return mailbox;
}

const struct mailbox_state *mailbox_in_memory(const struct store *store, uint64_t id)
{
	for (size_t i = 0; i < store->mailboxes.count; i++)
		if (store->mailboxes.items[i]->id == id)
			return store->mailboxes.items[i];
	return NULL;
}

bool mailbox_write_back(struct store_txn *txn)
{
	struct store *store = txn->store;
	for (size_t i = 0; txn_ok(txn) && i < store->mailboxes.count; i++) {
		struct mailbox_state *mailbox = store->mailboxes.items[i];
		if (!mailbox->changed || !uid_pages_write_back(txn, mailbox, UID_PAGES_UNCOVERED_MAX))
			continue;
		sqlite3_stmt *query = txn_query(txn, "UPDATE mailbox SET highestmodseq = ?, messages = ?, unseen = ?,"
		                                     " deleted = ?, bytes = ?, uidnext = ?, paged = ? WHERE id = ?");
		bind_u64(query, 1, mailbox->highestmodseq);
		bind_u64(query, 2, mailbox->messages);
		bind_u64(query, 3, mailbox->unseen);
		bind_u64(query, 4, mailbox->deleted);
		bind_u64(query, 5, mailbox->bytes);
		bind_u64(query, 6, mailbox->uidnext);
		bind_u64(query, 7, mailbox->paged);
		bind_u64(query, 8, mailbox->id);
		txn_run(txn, query);
	}
	return txn_ok(txn);
}

uint64_t store_mailbox_modseq(struct store_txn *txn, uint64_t mailbox)
{
	const struct mailbox_state *state = mailbox_state(txn, mailbox);
	return state ? state->highestmodseq : 0;
}

void mailbox_count(struct store_txn *txn, struct mailbox_state *mailbox, uint32_t flags, uint64_t size, int by)
{
	uint64_t one = (uint64_t)(int64_t)by;
	mailbox->messages += one;
	mailbox->bytes += by > 0 ? size : -size;
	if (!(flags & STORE_SEEN))
		mailbox->unseen += one;
	if (flags & STORE_DELETED)
		mailbox->deleted += one;
	mailbox->highestmodseq = txn_modseq(txn);
	mailbox->changed = true;
	txn->messages_change += by;
	txn->bytes_change += by > 0 ? (int64_t)size : -(int64_t)size;
}

/* ---- names ---- */

bool mailbox_name_is_valid(struct str name)
{
	if (str_is_empty(name) || name.length > LIMIT_MAILBOX_NAME_MAX || !text_is_utf8(name))
		return false;
	size_t depth = 0;
	for (struct str rest = name; !str_is_empty(rest); depth++) {
		size_t length = str_find_char(rest, '/');
		bool last = length == rest.length;
		if (length == 0 || (!last && length + 1 == rest.length))
			return false;
		rest = str_from_index(rest, length + 1);
	}
	for (size_t i = 0; i < name.length; i++)
		if ((unsigned char)name.data[i] < 0x20 || name.data[i] == 0x7f)
			return false;
	return depth <= LIMIT_MAILBOX_DEPTH_MAX;
}

struct str mailbox_path(struct str name, struct buf *memory)
{
	if (!str_starts_nocase(name, STR("INBOX/")))
		return str_equal_nocase(name, STR("INBOX")) ? STR("INBOX") : name;
	buf_clear(memory);
	buf_add_str(memory, STR("INBOX"));
	buf_add_str(memory, str_from_index(name, 5));
	return buf_str(memory);
}

/* The id, or 0 when there is none. Rows in memory are forgotten when a name changes, so theirs are true; a delivery
 * finds its mailbox here. */
static uint64_t find(struct store_txn *txn, struct str name)
{
	const struct store *store = txn->store;
	for (size_t i = 0; txn_ok(txn) && i < store->mailboxes.count; i++)
		if (str_equal(str_of(store->mailboxes.items[i]->name), name))
			return store->mailboxes.items[i]->id;
	sqlite3_stmt *query = txn_query(txn, "SELECT id FROM mailbox WHERE name = ?");
	bind_text(query, 1, name);
	return txn_number(txn, query);
}

bool store_mailbox_find(struct store_txn *txn, struct str name, uint64_t *id)
{
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
	*id = find(txn, mailbox_path(str_first(name, LIMIT_MAILBOX_NAME_MAX + 1), &memory));
	if (!*id)
		txn_set_fail(txn, FAIL_NOT_FOUND, "there is no mailbox %.*s", STR_ARG(name));
	return txn_ok(txn);
}

bool store_mailbox_of_use(struct store_txn *txn, enum store_special_use use, uint64_t *id)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT id FROM mailbox WHERE special_use = ? AND name NOT NULL ORDER BY id LIMIT 1");
	bind_u64(query, 1, use);
	*id = txn_number(txn, query);
	return txn_ok(txn);
}

/* ---- create, rename, delete ---- */

static uint32_t next_uidvalidity(struct store_txn *txn)
{
	sqlite3_stmt *query = txn_query(txn, "UPDATE account SET uidvalidity = uidvalidity + 1 RETURNING uidvalidity");
	return (uint32_t)txn_number(txn, query);
}

static uint64_t insert(struct store_txn *txn, struct str name, enum store_special_use use)
{
	uint32_t uidvalidity = next_uidvalidity(txn);
	sqlite3_stmt *query = txn_query(txn, "INSERT INTO mailbox(name, uidvalidity, uidnext, highestmodseq, special_use,"
	                                     " messages, unseen, deleted, bytes) VALUES(?, ?, 1, ?, ?, 0, 0, 0, 0)");
	bind_text(query, 1, name);
	bind_u64(query, 2, uidvalidity);
	bind_u64(query, 3, txn_modseq(txn));
	bind_u64(query, 4, use);
	txn_run(txn, query);
	txn->mailboxes_changed = true;
	return (uint64_t)sqlite3_last_insert_rowid(txn->store->writer.handle);
}

/* With the new ones, their parents among them. Numbers rise: only an account that made so many in all has them
 * counted, which is a look at each. */
static bool check_room(struct store_txn *txn)
{
	bool fits = txn_number(txn, txn_query(txn, "SELECT max(id) FROM mailbox")) <= LIMIT_MAILBOXES_MAX ||
	            txn_number(txn, txn_query(txn, "SELECT count(*) FROM mailbox")) <= LIMIT_MAILBOXES_MAX;
	return fits ? txn_ok(txn) : txn_set_fail(txn, FAIL_LIMIT, "there are too many mailboxes");
}

/* Makes the parents that are not there, RFC 9051 §6.3.4. */
static void insert_parents(struct store_txn *txn, struct str name)
{
	for (size_t i = 1; txn_ok(txn) && i < name.length; i++)
		if (name.data[i] == '/' && !find(txn, str_first(name, i)))
			insert(txn, str_first(name, i), STORE_USE_NONE);
}

static bool check_new_name(struct store_txn *txn, struct str name)
{
	if (!mailbox_name_is_valid(name))
		return txn_set_fail(txn, FAIL_INVALID, "not a mailbox name");
	if (find(txn, name))
		return txn_set_fail(txn, FAIL_EXISTS, "mailbox %.*s exists", STR_ARG(name));
	return true;
}

bool store_mailbox_create(struct store_txn *txn, struct str name, enum store_special_use use, uint64_t *id)
{
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
	name = mailbox_path(str_first(name, LIMIT_MAILBOX_NAME_MAX + 1), &memory);
	*id = 0;
	if (!check_new_name(txn, name))
		return false;
	insert_parents(txn, name);
	*id = insert(txn, name, use);
	return check_room(txn);
}

static bool has_children(struct store_txn *txn, struct str name)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT 1 FROM mailbox WHERE name > ?1 || '/' AND name < ?1 || '0' LIMIT 1");
	bind_text(query, 1, name);
	return txn_number(txn, query);
}

static void rename_tree(struct store_txn *txn, struct str from, struct str to)
{
	/* '0' follows '/': the range is exactly what lies below */
	sqlite3_stmt *query = txn_query(txn, "UPDATE mailbox SET name = ?2 || substr(name, length(?1) + 1)"
	                                     " WHERE name = ?1 OR (name > ?1 || '/' AND name < ?1 || '0')");
	bind_text(query, 1, from);
	bind_text(query, 2, to);
	txn_run(txn, query);
}

static bool longest_fits(struct store_txn *txn, struct str from, struct str to)
{
	sqlite3_stmt *query = txn_query(txn, "SELECT coalesce(max(length(CAST(name AS BLOB))), 0) FROM mailbox"
	                                     " WHERE name > ?1 || '/' AND name < ?1 || '0'");
	bind_text(query, 1, from);
	uint64_t longest = txn_number(txn, query);
	return longest <= from.length || longest - from.length + to.length <= LIMIT_MAILBOX_NAME_MAX ||
	       txn_set_fail(txn, FAIL_INVALID, "a child's name would become too long");
}

/* RFC 9051 §6.3.6: the mails move to the new name, INBOX stays, empty; its UIDs go on counting. */
static bool rename_inbox(struct store_txn *txn, struct str to)
{
	uint64_t id = 0;
	uint64_t inbox = find(txn, STR("INBOX"));
	struct store_uids moved = {};
	struct store_selection all = { inbox, &(struct store_range){ 1, UINT32_MAX }, 1 };
	if (store_mailbox_create(txn, to, STORE_USE_NONE, &id))
		store_move(txn, &all, id, &moved);
	annotation_copy(txn, inbox, id); /* RFC 5464 §4.1 */
	store_uids_release(&moved);
	return txn_ok(txn);
}

bool store_mailbox_rename(struct store_txn *txn, struct str from, struct str to)
{
	CLEANUP(buf_release) struct buf from_memory = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
	CLEANUP(buf_release) struct buf to_memory = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
	from = mailbox_path(str_first(from, LIMIT_MAILBOX_NAME_MAX + 1), &from_memory);
	to = mailbox_path(str_first(to, LIMIT_MAILBOX_NAME_MAX + 1), &to_memory);
	if (!find(txn, from) && !has_children(txn, from))
		return txn_set_fail(txn, FAIL_NOT_FOUND, "there is no mailbox %.*s", STR_ARG(from));
	if (!check_new_name(txn, to) || !longest_fits(txn, from, to))
		return false;
	if (has_children(txn, to))
		return txn_set_fail(txn, FAIL_EXISTS, "there are mailboxes below %.*s", STR_ARG(to));
	if (str_equal(from, STR("INBOX")))
		return rename_inbox(txn, to);
	if (str_starts(to, from) && to.data[from.length] == '/')
		return txn_set_fail(txn, FAIL_INVALID, "a mailbox can't move below itself");
	insert_parents(txn, to);
	if (!check_room(txn))
		return false;
	rename_tree(txn, from, to);
	/* names in memory are those that record headers get */
	mailbox_write_back(txn);
	mailbox_forget_all(txn->store);
	txn->mailboxes_changed = true;
	return txn_ok(txn);
}

/* The name goes at once, the placements later in steps (store_maintain): there may be a million. */
bool store_mailbox_delete(struct store_txn *txn, struct str name, uint64_t *id)
{
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
	name = mailbox_path(str_first(name, LIMIT_MAILBOX_NAME_MAX + 1), &memory);
	*id = find(txn, name);
	if (str_equal(name, STR("INBOX")) || (!*id && has_children(txn, name)))
		return txn_set_fail(txn, FAIL_DENIED, "mailbox %.*s can't be deleted", STR_ARG(name));
	if (!*id)
		return txn_set_fail(txn, FAIL_NOT_FOUND, "there is no mailbox %.*s", STR_ARG(name));
	struct mailbox_state *mailbox = mailbox_state(txn, *id);
	if (!mailbox)
		return false;
	txn->messages_change -= (int64_t)mailbox->messages;
	txn->bytes_change -= (int64_t)mailbox->bytes;
	mailbox->highestmodseq = txn_modseq(txn);
	mailbox->changed = true;
	mailbox_write_back(txn);
	sqlite3_stmt *query = txn_query(txn, "UPDATE mailbox SET name = NULL WHERE id = ?");
	bind_u64(query, 1, *id);
	txn_run(txn, query);
	index_note_unknown(txn, *id);
	annotation_drop(txn, *id);
	mailbox_forget_all(txn->store);
	txn->mailboxes_changed = true;
	return txn_ok(txn);
}

bool store_mailbox_use(struct store_txn *txn, uint64_t id, enum store_special_use use)
{
	sqlite3_stmt *query = txn_query(txn, "UPDATE mailbox SET special_use = ? WHERE id = ? AND name NOT NULL");
	bind_u64(query, 1, use);
	bind_u64(query, 2, id);
	if (txn_run(txn, query) && !sqlite3_changes(txn->store->writer.handle))
		txn_set_fail(txn, FAIL_NOT_FOUND, "there is no mailbox %llu", (unsigned long long)id);
	txn->mailboxes_changed = true;
	return txn_ok(txn);
}

bool store_subscribe(struct store_txn *txn, struct str name, bool subscribed)
{
	CLEANUP(buf_release) struct buf memory = BUF_WITH_LIMIT(LIMIT_MAILBOX_NAME_MAX);
	name = mailbox_path(str_first(name, LIMIT_MAILBOX_NAME_MAX + 1), &memory);
	if (!mailbox_name_is_valid(name))
		return txn_set_fail(txn, FAIL_INVALID, "not a mailbox name");
	sqlite3_stmt *query = subscribed ? txn_query(txn, "INSERT OR IGNORE INTO subscription(name) VALUES(?)")
	                                 : txn_query(txn, "DELETE FROM subscription WHERE name = ?");
	bind_text(query, 1, name);
	txn->mailboxes_changed = true;
	txn_run(txn, query);
	if (subscribed && txn_number(txn, txn_query(txn, "SELECT count(*) FROM subscription")) > LIMIT_SUBSCRIPTIONS_MAX)
		return txn_set_fail(txn, FAIL_LIMIT, "there are too many subscriptions");
	return txn_ok(txn);
}

/* ---- keywords ---- */

static bool keyword_is_valid(struct str name)
{
	if (str_is_empty(name) || name.length > LIMIT_KEYWORD_MAX || !str_is_printable(name))
		return false;
	/* RFC 9051 §9: an atom */
	for (size_t i = 0; i < name.length; i++)
		if (strchr("(){%*\"\\] ", name.data[i]))
			return false;
	return true;
}

static bool insert_keyword(struct store_txn *txn, struct str name, uint16_t *number)
{
	/* the account has as many as one mailbox may have: COPY must not fail for them */
	sqlite3_stmt *query =
		txn_query(txn, "INSERT INTO keyword(number, name) SELECT coalesce(max(number) + 1, 0), ?1 FROM keyword"
	                   " HAVING coalesce(max(number) + 1, 0) < ?2 RETURNING number");
	bind_text(query, 1, name);
	bind_u64(query, 2, LIMIT_KEYWORDS_PER_MAILBOX);
	enum database_step step = txn_step(txn, query);
	if (step == DATABASE_DONE)
		return txn_set_fail(txn, FAIL_LIMIT, "there are too many keywords");
	if (step != DATABASE_ROW)
		return false;
	*number = (uint16_t)column_u64(query, 0);
	database_done(query);
	return true;
}

bool store_keyword(struct store_txn *txn, struct str name, uint16_t *number)
{
	*number = 0;
	if (!keyword_is_valid(name))
		return txn_set_fail(txn, FAIL_INVALID, "not a keyword");
	sqlite3_stmt *query = txn_query(txn, "SELECT number FROM keyword WHERE name = ?");
	bind_text(query, 1, name);
	enum database_step step = txn_step(txn, query);
	if (step == DATABASE_ROW) {
		*number = (uint16_t)column_u64(query, 0);
		database_done(query);
		return true;
	}
	return step == DATABASE_DONE && insert_keyword(txn, name, number);
}
