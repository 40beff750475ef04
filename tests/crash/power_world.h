/*
 * A post office in one process, for the tests of power loss and of failing disks: a journal, as the queue has it, and
 * three accounts, as the mailbox processes have them.
 *
 *	TREE/spool/journal-…        TREE/accounts/1 … 3
 *
 * A mail is known by its number, from which follow its octets; the record in the journal has number and recipients.
 * A function that returns false without a struct fail has said why on standard error.
 */
#ifndef POSTHORN_TESTS_POWER_WORLD_H
#define POSTHORN_TESTS_POWER_WORLD_H

#include "array.h"
#include "journal.h"
#include "store.h"

enum { ACCOUNTS = 3, RING_SIZE = 256 * 1024, MAIL_MAX = 65536 };

struct account {
	unsigned number;
	int directory;
	char *path;
	struct store *store;
	uint64_t applied; /* of the journal: all up to here is in the store */
	bool broken;      /* stopped writing */
};

struct world {
	const char *tree;
	int spool;
	int accounts_folder;
	struct journal *journal;
	struct account accounts[ACCOUNTS];
};

/* What stands before the octets of a record. */
struct record {
	uint64_t number;
	uint32_t recipients; /* bit i: accounts[i] */
};

void mail_write(uint64_t number, struct buf *out);

/* The number of a mail whose octets are right; 0 else. */
uint64_t mail_number(struct str octets);

int mail_file(struct str octets);

/* Says what failed and why; returns false and frees *fail. */
bool complain(const char *what, struct fail **fail);

/* Opens the directories, which lie there before. */
bool world_enter(struct world *w, const char *tree);
bool world_new_journal(struct world *w);

/* Opens the account, made anew when it is not there, gives it all that the journal has and finishes its recovery. */
bool account_open(struct world *w, struct account *a);
bool account_close(struct account *a);

/* Whether it can be closed well or not. */
void account_drop(struct account *a);

/* Gives the account what the journal has for it behind a->applied, in one deferred transaction. */
bool account_apply(struct world *w, struct account *a, struct fail **fail);

#endif
