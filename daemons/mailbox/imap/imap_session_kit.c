#include "imap_session_kit.h"

#include "clock.h"
#include "columns.h"
#include "mem.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RESPONSE_MAX = 64 << 20, READ_SIZE = 65536 };

void session_kit_open(struct session_kit *kit)
{
	struct account *a = &kit->account;
	struct fail *fail = NULL;
	*kit = (struct session_kit){ .path = "/tmp/posthorn-session-XXXXXX" };
	must(mkdtemp(kit->path));
	config_init(&a->daemon.config);
	pthread_mutex_init(&a->sessions_lock, NULL);
	a->directory = open(kit->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	a->store = store_open(a->directory, &(struct store_options){ .path = kit->path, .create = true }, &fail);
	must(a->store && !fail);
	for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
		a->texts[kind] = text_store_new(a->store, kind);
}

static int remove_one(const char *path, const struct stat *facts, int kind, struct FTW *where)
{
	(void)facts;
	(void)kind;
	(void)where;
	return remove(path);
}

void session_kit_close(struct session_kit *kit)
{
	struct account *a = &kit->account;
	for (enum text_kind kind = 0; kind < TEXT_KINDS; kind++)
		text_store_free(&a->texts[kind]);
	must(store_close(&a->store, NULL));
	close(a->directory);
	pthread_mutex_destroy(&a->sessions_lock);
	config_release(&a->daemon.config);
	must(nftw(kit->path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

void session_kit_deliver(struct session_kit *kit, const char *mail)
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(MESSAGE_ARENA_SIZE);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	struct store_message_columns columns;
	struct store_placed placed;
	buf_add_str(&text, str_of(mail));
	must(columns_fill(arena, &text, &columns));
	struct store_txn *txn = store_begin_deferred(kit->account.store);
	struct store_delivery delivery = { .body.bytes = buf_str(&text), .columns = &columns,
		.received = clock_wall_seconds() };
	must(store_mailbox_find(txn, STR("INBOX"), &delivery.mailbox));
	must(store_deliver(txn, &delivery, &placed));
	must(store_commit(&txn, NULL));
}

static void *serve(void *argument)
{
	struct session *s = argument;
	imap_serve(s);
	pthread_mutex_lock(&s->account->sessions_lock);
	s->account->session_count--;
	pthread_mutex_unlock(&s->account->sessions_lock);
	stream_cleanup(&s->stream);
	if (s->returned >= 0)
		close(s->returned); /* nobody goes on with it, and the client waits for its end */
	return NULL;
}

void session_kit_connect(struct session_kit *kit, struct session_kit_client *client)
{
	int ends[2];
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
	struct session *s = mem_alloc(sizeof *s);
	*s = (struct session){ .account = &kit->account, .service = SERVICE_IMAP, .descriptor = ends[1], .returned = -1, .tag = "t0" };
	snprintf(s->address, sizeof s->address, "user@example.test");
	buf_init(&s->leftover, LIMIT_LEFTOVER_MAX);
	*client = (struct session_kit_client){
		.descriptor = ends[0],
		.session = s,
		.input = BUF_WITH_LIMIT(RESPONSE_MAX),
		.line = BUF_WITH_LIMIT(RESPONSE_MAX),
	};
	pthread_mutex_lock(&kit->account.sessions_lock);
	kit->account.session_count++;
	pthread_mutex_unlock(&kit->account.sessions_lock);
	must(pthread_create(&client->thread, NULL, serve, s) == 0);
}

void session_kit_hang_up(struct session_kit_client *client)
{
	close(client->descriptor);
	must(pthread_join(client->thread, NULL) == 0);
	buf_release(&client->session->leftover);
	free(client->session);
	buf_release(&client->input);
	buf_release(&client->line);
}

static bool read_more(struct session_kit_client *client)
{
	char *room = buf_reserve(&client->input, READ_SIZE);
	must(room);
	ssize_t got = read(client->descriptor, room, READ_SIZE);
	if (got > 0)
		buf_claim(&client->input, (size_t)got);
	return got > 0;
}

/* Moves so many octets from the input to the line. */
static bool take(struct session_kit_client *client, size_t length)
{
	while (client->input.length < length)
		if (!read_more(client))
			return false;
	buf_add_str(&client->line, str_first(buf_str(&client->input), length));
	buf_consume(&client->input, length);
	return true;
}

/* "{5}" at the end of the line. */
static bool ends_with_literal(struct str line, uint64_t *size)
{
	size_t open = str_find_last_char(line, '{');
	struct str digits = str_from_index(line, open + 1);
	if (open == line.length || digits.length < 2 || digits.data[digits.length - 1] != '}')
		return false;
	return str_to_u64(str_first(digits, digits.length - 1), RESPONSE_MAX, size);
}

struct str session_kit_response(struct session_kit_client *client)
{
	uint64_t literal = 0;
	buf_clear(&client->line);
	for (;;) {
		size_t end;
		while ((end = str_find(buf_str(&client->input), STR("\r\n"))) == client->input.length)
			if (!read_more(client))
				return (struct str){};
		must(take(client, end));
		buf_consume(&client->input, 2);
		if (!ends_with_literal(buf_str(&client->line), &literal))
			return buf_str(&client->line);
		buf_add_str(&client->line, STR("\r\n"));
		if (!take(client, literal))
			return (struct str){};
	}
}

struct str session_kit_command(struct session_kit_client *client, struct buf *out, const char *format, ...)
{
	CLEANUP(buf_release) struct buf command = BUF_WITH_LIMIT(1 << 20);
	char tag[32];
	va_list arguments;
	snprintf(tag, sizeof tag, "t%u ", ++client->tags);
	buf_add_str(&command, str_of(tag));
	va_start(arguments, format);
	buf_vprintf(&command, format, arguments);
	va_end(arguments);
	buf_add_str(&command, STR("\r\n"));
	must(write(client->descriptor, command.data, command.length) == (ssize_t)command.length);
	buf_clear(out);
	for (;;) {
		struct str response = session_kit_response(client);
		bool last = str_is_empty(response) || str_starts(response, str_of(tag));
		buf_add_str(out, last ? str_from_index(response, strlen(tag)) : response);
		if (last)
			return buf_str(out);
		buf_add_char(out, '\n');
	}
}
