/*
 * The files of a text_store, for text_*.c alone: which groups lie where, appending, unlinking, and reading one group.
 *
 * Fields of struct text_store are under `lock`, which whoever changes something holds; places and the number of their
 * version are changed under places_lock, too, so that a scan can copy them under that alone.
 */
#ifndef POSTHORN_STORE_TEXT_FILES_H
#define POSTHORN_STORE_TEXT_FILES_H

#include "text_store.h"

#include <pthread.h>
#include <stdatomic.h>

/* A group in force. */
struct text_place {
	uint64_t first, last; /* messages */
	uint32_t file;
	uint32_t offset;
	uint32_t size, lead;
	uint32_t raw; /* octets of its sections */
	uint16_t count;
};

struct text_places {
	size_t users;
	size_t count;
	struct text_place items[];
};

struct text_store {
	struct store *store;
	enum text_kind kind;
	pthread_mutex_t lock;
	int directory; /* -1: not opened yet */
	int file;      /* the newest one, which groups are appended to; -1: none */
	uint32_t file_number; /* of the newest file there is or was */
	uint32_t file_end;
	uint64_t taken_up;    /* mail up to here */
	uint32_t looked_at;   /* file, by care */
	uint64_t looked_when; /* store_changes then */
	uint32_t compacting;  /* 0: no file */
	atomic_bool suspect;  /* a scan saw damage, or a file that is gone */
	struct text_make *make;
	struct text_group_maker group;
	struct buf packed;
	ARRAY(uint32_t) files; /* ascending */

	pthread_mutex_t places_lock;
	ARRAY(struct text_place) places; /* by message */
	struct text_places *shared; /* a copy for scans; NULL: places changed since */
};

/* Reads where everything lies, if that was not done yet. When something is damaged or was seen to be, all files go,
 * and mail is taken up anew. */
bool text_files_open(struct text_store *t, struct fail **fail);

/* Back to the state before text_files_open, to read all again. */
void text_files_forget(struct text_store *t);
void text_files_close(struct text_store *t);

/* Appends a group, which then is in force. */
bool text_files_append(struct text_store *t, const struct text_head *head, struct str octets, struct fail **fail);
void text_files_drop_places(struct text_store *t, size_t first, size_t count);

/* The next append begins a new file. */
void text_files_end_tail(struct text_store *t);

/* Unlinks a file once what was appended elsewhere is durable. */
bool text_files_unlink(struct text_store *t, uint32_t file, struct fail **fail);

/* The file with the next higher number; 0: none. */
uint32_t text_files_after(const struct text_store *t, uint32_t file);
bool text_files_size(const struct text_store *t, uint32_t file, uint64_t *size, struct fail **fail);

void text_files_name(uint32_t file, char name[16]);

/* ---- text_scan.c ---- */

/* A scan of one group, whose entries are asked for by their index; false behind the last. */
struct text_scan *text_scan_place(struct text_store *t, const struct text_place *place,
                                  const struct text_wanted *wanted,
                                  struct fail **fail);
bool text_scan_entry(struct text_scan *scan, size_t index, struct text_entry *entry);

#endif
