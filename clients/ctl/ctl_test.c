#include "ctl_link.h"
#include "ctl_local.h"
#include "ctl_secret.h"
#include "ctl_table.h"
#include "mem.h"
#include "socket.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

enum { WORDS_MAX = 30 };

/* ---- command lines ------------------------------------------------------------------------------ */

struct typed {
	char *text;
	char *words[WORDS_MAX];
	int count;
};

/* Splits at single blanks. */
static void type(struct typed *typed, const char *line)
{
	*typed = (struct typed){ .text = mem_printf("posthornctl %s", line) };
	for (char *word = typed->text; word; typed->count++) {
		char *blank = strchr(word, ' ');
		typed->words[typed->count] = word;
		if (blank)
			*blank = '\0';
		word = blank ? blank + 1 : NULL;
	}
}

static void forget(struct typed *typed)
{
	free(typed->text);
}

static void show_words(const struct buf *words, struct buf *shown)
{
	buf_clear(shown);
	for (size_t i = 0; i < words->length; i++)
		buf_add_char(shown, words->data[i] ? words->data[i] : '|');
}

static void command_lines(void **state)
{
	(void)state;
	static const struct {
		const char *line, *words; /* NULL: refused */
	} cases[] = {
		{ "status", "status|" },
		{ "--json account list", "account|list|" },
		{ "account list example.test", "account|list|example.test|" },
		{ "account --json show a@b.test -d /x", "account|show|a@b.test|" },
		{ "account add a@b.test", "account|add|a@b.test|password|" },
		{ "account add -n a@b.test", "account|add|a@b.test|" },
		{ "account add-range user%d@b.test 10", "account|add-range|user%d@b.test|10|password|" },
		{ "account set a@b.test -- quota-bytes -1", "account|set|a@b.test|quota-bytes|-1|" },
		{ "alias add a@b.test c@d.test e@f.test", "alias|add|a@b.test|c@d.test|e@f.test|" },
		{ "alias import b.test /etc/aliases skip", "alias|import|b.test|skip|" },
		{ "password change a@b.test", "password|a@b.test|" },
		{ "password hash-import a@b.test", "password|hash-import|a@b.test|" },
		{ "mailboxes a@b.test", "mailboxes|" },
		{ "queue list", "list|" },
		{ "queue retry --domain b.test", "retry|domain:b.test|" },
		{ "queue hold --sender a@b.test", "hold|sender:a@b.test|" },
		{ "queue delete 0123456789abcdef --domain b.test", NULL },
		{ "queue release --domain b.test --sender a@b.test", NULL },
		{ "queue list --domain b.test", NULL },
		{ "", NULL },
		{ "account", NULL },
		{ "account show", NULL },
		{ "account show a@b.test c@d.test", NULL },
		{ "accounts list", NULL },
		{ "status now", NULL },
		{ "--nonsense status", NULL },
		{ "status --config", NULL },
		{ "status --password-file x", NULL },
		{ "status --set a=b", NULL },
		{ "password set a@b.test --no-password", NULL },
		{ "log --since 10m account=a@b.test --follow", "log|account=a@b.test|" },
		{ "fsck --all", "fsck|" },
		{ "usage --all", "usage|" },
		{ "backup a@b.test /file", "backup|a@b.test|/file|" },
		{ "restore --all /folder --replace", "restore|/folder|" },
		{ "import a@b.test /folder --format=mbox -F Old", "import|a@b.test|/folder|" },
		{ "status --follow", NULL },
		{ "queue list --since 10m", NULL },
		{ "fsck", NULL },
		{ "fsck --all a@b.test", NULL },
		{ "backup a@b.test", NULL },
		{ "backup --all", NULL },
		{ "backup a@b.test /file --replace", NULL },
		{ "export a@b.test /folder --folder Old", NULL },
		{ "mailboxes --all", NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf words = BUF_WITH_LIMIT(1000), shown = BUF_WITH_LIMIT(1000);
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(forget) struct typed typed;
		CLEANUP(ctl_call_release) struct ctl_call call;
		type(&typed, cases[i].line);
		bool good = ctl_call_parse(typed.count - (*cases[i].line == '\0'), typed.words, &call, &fail);
		assert_int_equal(good, cases[i].words != NULL);
		if (!good) {
			assert_int_equal(fail->kind, FAIL_INVALID);
			continue;
		}
		ctl_call_words(&call, &words);
		show_words(&words, &shown);
		assert_string_equal(buf_text(&shown), cases[i].words);
	}
}

static void options(void **state)
{
	(void)state;
	CLEANUP(forget) struct typed typed;
	CLEANUP(ctl_call_release) struct ctl_call call;
	type(&typed, "check-config -j --directory=/d --config /c --set a=b -s c=d /file");
	assert_true(ctl_call_parse(typed.count, typed.words, &call, NULL));
	assert_true(call.json);
	assert_string_equal(call.directory, "/d");
	assert_string_equal(call.config, "/c");
	assert_int_equal(call.setting_count, 2);
	assert_string_equal(call.settings[1], "c=d");
	assert_int_equal(call.argument_count, 1);
	assert_string_equal(call.arguments[0], "/file");
}

/* What somebody types who does not know his way. */
static void asking_for_help(void **state)
{
	(void)state;
	static const struct {
		const char *line;
		const char *command, *subject; /* or NULL */
	} cases[] = {
		{ "--help", NULL, NULL },
		{ "help", NULL, NULL },
		{ "help account", NULL, "account" },
		{ "account --help", NULL, "account" },
		{ "--help dkim", NULL, "dkim" },
		{ "help account add", "account add", NULL },
		{ "account add -h", "account add", NULL },
		{ "help status", "status", NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf help = BUF_WITH_LIMIT(20000);
		CLEANUP(forget) struct typed typed;
		CLEANUP(ctl_call_release) struct ctl_call call;
		type(&typed, cases[i].line);
		assert_true(ctl_call_parse(typed.count, typed.words, &call, NULL));
		assert_true(call.help);
		assert_int_equal(call.command != NULL, cases[i].command != NULL);
		if (call.command)
			assert_string_equal(call.command->words, cases[i].command);
		assert_int_equal(call.subject != NULL, cases[i].subject != NULL);
		if (call.subject)
			assert_string_equal(call.subject, cases[i].subject);
		ctl_help_all(call.subject, &help);
		bool has_queue = str_find(buf_str(&help), STR("queue list")) < help.length;
		assert_int_equal(has_queue, !call.subject);
	}
}

/* Each command can be reached by its words, and its help says what it is. */
static void table_of_commands(void **state)
{
	(void)state;
	size_t count = 0;
	for (const struct ctl_command *command; (command = ctl_command_at(count)); count++) {
		CLEANUP(buf_release) struct buf line = BUF_WITH_LIMIT(1000), help = BUF_WITH_LIMIT(10000);
		CLEANUP(forget) struct typed typed;
		CLEANUP(ctl_call_release) struct ctl_call call;
		buf_printf(&line, "%s", command->words);
		for (size_t i = 0; i < command->arguments_min; i++)
			buf_printf(&line, " x");
		type(&typed, buf_text(&line));
		assert_true(ctl_call_parse(typed.count, typed.words, &call, NULL));
		assert_ptr_equal(call.command, command);
		assert_true(command->arguments_min <= command->arguments_max);
		assert_int_equal(command->arguments_max == 0, *command->arguments == '\0');
		ctl_help_all(NULL, &help);
		assert_true(str_find(buf_str(&help), str_of(command->help)) < help.length);
	}
	assert_true(count > 30);
}

/* ---- what is printed ---------------------------------------------------------------------------- */

static const struct str rows[] = {
	STR("address\0a@b.test\0state\0enabled\0created\0000\0"),
	STR("address\0J\xc3\xa1n@b.test\0name\0\xe4\xbd\xa0\0state\0off\0"),
	STR("address\0evil\033[2J\xff\xc2\x85\xe2\x80\xae\0state\0\0"),
};

static char *printed(enum ctl_form form, size_t count)
{
	char *text = NULL;
	size_t size;
	struct ctl_table table;
	FILE *out = open_memstream(&text, &size);
	ctl_table_begin(&table, form, out);
	for (size_t i = 0; i < count; i++)
		ctl_table_take(&table, rows[i]);
	ctl_table_end(&table);
	fclose(out);
	return text;
}

static void printing(void **state)
{
	(void)state;
	static const struct {
		enum ctl_form form;
		size_t count;
		const char *text;
	} cases[] = {
		{ CTL_FORM_TABLE, 0, "" },
		{ CTL_FORM_LIST, 0, "" },
		{ CTL_FORM_JSON, 0, "[]\n" },
		{ CTL_FORM_TABLE, 1, "ADDRESS   STATE    CREATED\na@b.test  enabled  -\n" },
		{ CTL_FORM_LIST, 1, "address  a@b.test\nstate    enabled\ncreated  -\n" },
		{ CTL_FORM_JSON, 1, "[\n{\"address\":\"a@b.test\",\"state\":\"enabled\",\"created\":\"0\"}\n]\n" },
		{ CTL_FORM_TABLE, 3,
		  "ADDRESS                              STATE    CREATED  NAME\n"
		  "a@b.test                             enabled  -        -\n"
		  "J\xc3\xa1n@b.test                           off      -        \xe4\xbd\xa0\n"
		  "evil\\x1b[2J\\xff\\xc2\\x85\\xe2\\x80\\xae  -        -        -\n" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(mem_free) char *text = printed(cases[i].form, cases[i].count);
		assert_string_equal(text, cases[i].text);
	}
	CLEANUP(mem_free) char *json = printed(CTL_FORM_JSON, 3);
	assert_non_null(strstr(json, "evil\\u001B[2J\\\\xff"));
}

static void times(void **state)
{
	(void)state;
	char *text = NULL;
	size_t size;
	struct ctl_table table;
	FILE *out = open_memstream(&text, &size);
	setenv("TZ", "UTC", 1);
	tzset();
	ctl_table_begin(&table, CTL_FORM_LIST, out);
	ctl_table_take(&table, STR("created\0001700000000\0number\0001700000000\0since\0soon\0"));
	ctl_table_end(&table);
	fclose(out);
	assert_string_equal(text, "created  2023-11-14 22:13:20\nnumber   1700000000\nsince    soon\n");
	free(text);
}

/* What queue tells of a mail with several recipients. */
static void keys_that_come_again(void **state)
{
	(void)state;
	char *text = NULL;
	size_t size;
	struct ctl_table table;
	FILE *out = open_memstream(&text, &size);
	ctl_table_begin(&table, CTL_FORM_JSON, out);
	ctl_table_take(&table, STR("id\0001\0to\0a\0why\0x\0to\0b\0to\0c\0why\0y\0"));
	ctl_table_take(&table, STR("id\0002\0to\0d\0"));
	ctl_table_end(&table);
	fclose(out);
	assert_string_equal(text, "[\n{\"id\":\"1\",\"to\":\"a\",\"why\":\"x\"},\n{\"id\":\"1\",\"to\":\"b\"},\n"
	                          "{\"id\":\"1\",\"to\":\"c\",\"why\":\"y\"},\n{\"id\":\"2\",\"to\":\"d\"}\n]\n");
	free(text);
}

static void malformed_rows(void **state)
{
	(void)state;
	static const struct {
		struct str row;
		size_t pairs;
		bool all;
	} cases[] = {
		{ STR(""), 0, true },          { STR("a\0b\0"), 1, true },        { STR("a\0\0"), 1, true },
		{ STR("a\0b\0c\0d\0"), 2, true }, { STR("a"), 0, false },            { STR("a\0"), 0, false },
		{ STR("a\0b"), 0, false },     { STR("a\0b\0c\0"), 1, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct str rest = cases[i].row, key, value;
		size_t pairs = 0;
		while (ctl_row_next(&rest, &key, &value))
			pairs++;
		assert_int_equal(pairs, cases[i].pairs);
		assert_int_equal(rest.length == 0, cases[i].all);
	}
}

/* ---- a folder for files and sockets ------------------------------------------------------------- */

static char *make_folder(void)
{
	const char *base = getenv("TMPDIR");
	char *folder = mem_printf("%s/posthorn-ctl-XXXXXX", base ? base : "/tmp");
	assert_non_null(mkdtemp(folder));
	return folder;
}

static void remove_folder(char **folder)
{
	static const char *const names[] = { "run/auth.socket", "run/master.socket", "run", "file", "posthorn.conf", "" };
	for (size_t i = 0; i < COUNT_OF(names); i++) {
		CLEANUP(mem_free) char *path = mem_printf("%s/%s", *folder, names[i]);
		remove(path);
	}
	free(*folder);
}

static char *write_file(const char *folder, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", folder, name);
	FILE *file = fopen(path, "we");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	return path;
}

static void secrets(void **state)
{
	(void)state;
	static const struct {
		const char *line, *file, *words; /* NULL: refused */
	} cases[] = {
		{ "password set a", "secret\nmore\n", "secret|" },
		{ "password set a", "secret", "secret|" },
		{ "password set a", " with blanks \r\n", " with blanks |" },
		{ "password change a", "old\nnew\n", "old|new|" },
		{ "account add a -n", "secret\n", "" },
		{ "account list", "secret\n", "" },
		{ "password set a", "", NULL },
		{ "password set a", "\nsecret\n", NULL },
		{ "password change a", "old\n", NULL },
	};
	CLEANUP(remove_folder) char *folder = make_folder();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(mem_free) char *path = write_file(folder, "file", cases[i].file);
		CLEANUP(buf_release) struct buf words = BUF_WITH_LIMIT(3000), shown = BUF_WITH_LIMIT(3000);
		CLEANUP(forget) struct typed typed;
		CLEANUP(ctl_call_release) struct ctl_call call;
		type(&typed, cases[i].line);
		assert_true(ctl_call_parse(typed.count, typed.words, &call, NULL));
		call.password_file = path;
		assert_int_equal(ctl_secret_add(&call, &words, NULL), cases[i].words != NULL);
		show_words(&words, &shown);
		if (cases[i].words)
			assert_string_equal(buf_text(&shown), cases[i].words);
	}
}

/* ---- a post office that answers ------------------------------------------------------------------- */

struct office {
	char *folder;
	int auth, master;
	const char *asked; /* the words that auth expects */
	struct str row;
	struct msg_ctl_done done;
	bool silent;       /* ends the connection instead of answering */
	bool right;        /* it was asked what it expected */
	uint64_t joined;   /* account that master was asked for */
};

static int listen_at(const char *folder, const char *name)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/run/%s", folder, name);
	struct endpoint where;
	assert_true(endpoint_parse(str_of(path), &where, NULL));
	int listener = socket_listen_frames(&where, 5, NULL);
	assert_true(listener >= 0);
	return listener;
}

static void accept_one(int listener, struct ipc_channel *channel)
{
	struct pollfd wait = { listener, POLLIN, 0 };
	must(poll(&wait, 1, 10000) == 1);
	ipc_channel_init(channel, accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	must(channel->descriptor >= 0);
}

static void *serve_auth(void *of)
{
	struct office *office = of;
	struct ipc_channel channel;
	struct ipc_frame frame;
	struct msg_ctl_request request;
	CLEANUP(buf_release) struct buf words = BUF_WITH_LIMIT(1000), shown = BUF_WITH_LIMIT(1000);
	accept_one(office->auth, &channel);
	must(ipc_receive_wait(&channel, &frame, 10000) == IPC_FRAME && msg_ctl_request_read(&frame, &request));
	buf_add_str(&words, request.words);
	show_words(&words, &shown);
	office->right = str_equal(buf_str(&shown), str_of(office->asked));
	if (!office->silent) {
		msg_ctl_row_send(&channel, 0, &(struct msg_ctl_row){ .fields = office->row }, -1);
		msg_ctl_done_send(&channel, 0, &office->done, -1);
	}
	ipc_channel_release(&channel);
	return NULL;
}

static void *serve_account(void *of)
{
	struct office *office = of;
	struct ipc_channel channel;
	struct ipc_frame frame;
	struct msg_ctl_account wanted;
	serve_auth(of);
	accept_one(office->master, &channel);
	must(ipc_receive_wait(&channel, &frame, 10000) == IPC_FRAME && msg_ctl_account_read(&frame, &wanted));
	office->joined = wanted.account;
	ipc_channel_release(&channel);
	return NULL;
}

static void open_office(struct office *office)
{
	CLEANUP(mem_free) char *run = NULL;
	office->folder = make_folder();
	run = mem_printf("%s/run", office->folder);
	assert_int_equal(mkdir(run, 0700), 0);
	office->auth = listen_at(office->folder, "auth.socket");
	office->master = listen_at(office->folder, "master.socket");
}

static void close_office(struct office *office)
{
	close(office->auth);
	close(office->master);
	remove_folder(&office->folder);
}

static void keep_row(void *owner, struct str row)
{
	buf_add_str(owner, row);
}

static void end_row(void *owner, struct str row)
{
	keep_row(owner, row);
	buf_add_char(owner, ';');
}

static void several_rows_in_a_frame(void **state)
{
	static const struct {
		struct str frame, rows;
	} cases[] = {
		{ STR("a\0b\0"), STR("a\0b\0;") },
		{ STR(""), STR(";") },
		{ STR("a\0b\0\0a\0c\0"), STR("a\0b\0;a\0c\0;") },
		{ STR("a\0b\0c\0\0\0a\0\0\0d\0e\0"), STR("a\0b\0c\0\0;a\0\0;d\0e\0;") },
		{ STR("a\0b\0\0"), STR("a\0b\0;") },
		{ STR("a\0b\0\0no end"), STR("a\0b\0;no end;") },
	};
	(void)state;
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(buf_release) struct buf got = BUF_WITH_LIMIT(100);
		int pair[2];
		struct ipc_channel here, there;
		assert_true(ipc_pair(pair, NULL));
		ipc_channel_init(&here, pair[0]);
		ipc_channel_init(&there, pair[1]);
		msg_ctl_row_send(&there, 0, &(struct msg_ctl_row){ .fields = cases[i].frame }, -1);
		msg_ctl_done_send(&there, 0, &(struct msg_ctl_done){}, -1);
		assert_true(ctl_answer(&here, false, end_row, &got, NULL));
		assert_true(str_equal(buf_str(&got), cases[i].rows));
		ipc_channel_release(&here);
		ipc_channel_release(&there);
	}
}

static void asking(void **state)
{
	(void)state;
	static const struct {
		struct msg_ctl_done done;
		bool silent, good;
		enum fail_kind kind;
		const char *text;
	} cases[] = {
		{ {}, false, true, 0, NULL },
		{ { 1 + FAIL_EXISTS, STR("there already") }, false, false, FAIL_EXISTS, "there already" },
		{ { 1 + FAIL_KIND_COUNT, STR("") }, false, false, FAIL_CORRUPT, NULL },
		{ {}, true, false, FAIL_UNAVAILABLE, NULL },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(close_office) struct office office = { .asked = "status|", .row = STR("a\0b\0") };
		const struct ctl_request request = { .words = STR("status\0"), .descriptor = -1 };
		CLEANUP(mem_free) char *run = NULL;
		CLEANUP(buf_release) struct buf got = BUF_WITH_LIMIT(100);
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct ipc_channel channel;
		pthread_t thread;
		office.done = cases[i].done;
		office.silent = cases[i].silent;
		open_office(&office);
		run = ctl_runtime_directory(office.folder, NULL, NULL);
		pthread_create(&thread, NULL, serve_auth, &office);
		assert_true(ctl_connect(run, CTL_AUTH, &channel, NULL));
		assert_int_equal(ctl_ask(&channel, &request, keep_row, &got, &fail), cases[i].good);
		pthread_join(thread, NULL);
		assert_true(office.right);
		assert_int_equal(got.length, cases[i].silent ? 0 : 4);
		if (!cases[i].good)
			assert_int_equal(fail->kind, cases[i].kind);
		if (cases[i].text)
			assert_string_equal(fail_text(fail), cases[i].text);
		ipc_channel_release(&channel);
	}
}

static void opening_an_account(void **state)
{
	(void)state;
	static const struct {
		struct str row;
		struct msg_ctl_done done;
		uint64_t account; /* 0: it fails */
		enum fail_kind kind;
	} cases[] = {
		{ STR("address\0a@b.test\0number\00017\0"), {}, 17, 0 },
		{ STR("address\0a@b.test\0number\0seventeen\0"), {}, 0, FAIL_CORRUPT },
		{ STR("address\0a@b.test\0"), { 1 + FAIL_NOT_FOUND, STR("none") }, 0, FAIL_NOT_FOUND },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(close_office) struct office office = { .asked = "account|show|a@b.test|" };
		CLEANUP(mem_free) char *run = NULL;
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
		pthread_t thread;
		office.row = cases[i].row;
		office.done = cases[i].done;
		open_office(&office);
		run = mem_printf("%s/run", office.folder);
		pthread_create(&thread, NULL, cases[i].account ? serve_account : serve_auth, &office);
		assert_int_equal(ctl_open_account(run, "a@b.test", &channel, &fail), cases[i].account > 0);
		pthread_join(thread, NULL);
		assert_true(office.right);
		assert_int_equal(office.joined, cases[i].account);
		if (!cases[i].account)
			assert_int_equal(fail->kind, cases[i].kind);
	}
}

static void nobody_there(void **state)
{
	(void)state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(remove_folder) char *folder = make_folder();
	struct ipc_channel channel;
	assert_false(ctl_connect(folder, CTL_AUTH, &channel, &fail));
	assert_int_equal(fail->kind, FAIL_UNAVAILABLE);
	assert_non_null(strstr(fail_text(fail), folder));
	assert_non_null(strstr(fail_text(fail), "is posthorn running?"));
}

static void finding_the_office(void **state)
{
	(void)state;
	CLEANUP(remove_folder) char *folder = make_folder();
	CLEANUP(mem_free) char *config = write_file(folder, "posthorn.conf", "runtime_directory = \"/somewhere/else\"\n");
	CLEANUP(mem_free) char *by_directory = ctl_runtime_directory("/dir", config, NULL);
	CLEANUP(mem_free) char *by_config = ctl_runtime_directory(NULL, config, NULL);
	CLEANUP(mem_free) char *missing = mem_printf("%s/missing", folder);
	assert_string_equal(by_directory, "/dir/run");
	assert_string_equal(by_config, "/somewhere/else");
	assert_null(ctl_runtime_directory(NULL, missing, NULL));
}

/* ---- local commands ------------------------------------------------------------------------------- */

/* Nothing that another program of this host may have. */
#define SILENT "-s listen_smtp= -s listen_submission= -s listen_submissions= -s listen_lmtp= -s listen_pop3= -s listen_pop3s= " \
               "-s listen_imap= -s listen_imaps="

static void configuration(void **state)
{
	(void)state;
	static const struct {
		const char *line, *file;
		bool good;
		const char *says; /* found in what is printed, or in why it failed */
	} cases[] = {
		{ "check-config " SILENT, "hostname = mail.test\n", true, "is right" },
		{ "check-config " SILENT " -s listen_pop3=127.0.0.1:0", "hostname = mail.test\n", true, "is right" },
		{ "check-config " SILENT " -s listen_pop3=192.0.2.1:0", "hostname = mail.test\n", false,
		  "listen_pop3: bind to 192.0.2.1" },
		{ "check-config", "hostname = mail.test\n", false, "certificate" },
		{ "check-config", "hostnmae = mail.test\n", false, "hostname" },
		{ "print-config", "hostname = mail.test\n", true, "mail.test" },
		{ "print-config -s hostname=other.test", "hostname = mail.test\n", true, "other.test" },
		{ "print-config -s hostnam=other.test", "hostname = mail.test\n", false, "--set hostnam" },
		{ "print-config --json", "hostname = mail.test\n", true, "\"hostname\": \"mail.test\"" },
	};
	CLEANUP(remove_folder) char *folder = make_folder();
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(mem_free) char *path = write_file(folder, "posthorn.conf", cases[i].file);
		CLEANUP(mem_free) char *text = NULL;
		CLEANUP(fail_free) struct fail *fail = NULL;
		CLEANUP(forget) struct typed typed;
		CLEANUP(ctl_call_release) struct ctl_call call;
		size_t size;
		FILE *out = open_memstream(&text, &size);
		assert_non_null(path);
		type(&typed, cases[i].line);
		assert_true(ctl_call_parse(typed.count, typed.words, &call, NULL));
		call.directory = folder;
		assert_int_equal(ctl_local_run(&call, out, &fail), cases[i].good);
		fclose(out);
		assert_non_null(strstr(cases[i].good ? text : fail_text(fail), cases[i].says));
	}
}

/* As check-config says it with these places to listen on; the caller frees. */
static char *complaint_about(const char *folder, const char *line)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(forget) struct typed typed;
	CLEANUP(ctl_call_release) struct ctl_call call;
	CLEANUP(mem_free) char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	type(&typed, line);
	assert_true(ctl_call_parse(typed.count, typed.words, &call, NULL));
	call.directory = folder;
	bool good = ctl_local_run(&call, out, &fail);
	fclose(out);
	return str_copy(str_of(good ? "" : fail_text(fail)));
}

/* Another program's port is a mistake in the configuration; a post office that runs has the ports itself. */
static void ports_in_use(void **state)
{
	(void)state;
	struct office office = {};
	struct endpoint place;
	open_office(&office);
	CLEANUP(mem_free) char *settings = mem_printf("hostname = mail.test\nruntime_directory = \"%s/run\"\n", office.folder);
	CLEANUP(mem_free) char *path = write_file(office.folder, "posthorn.conf", settings);
	assert_non_null(path);
	assert_true(endpoint_parse_ip(STR("127.0.0.1"), 0, &place, NULL));
	int other = socket_listen(&place, 1, NULL);
	assert_true(other >= 0 && endpoint_of_local(other, &place, NULL));
	CLEANUP(mem_free) char *line = mem_printf("check-config " SILENT " -s listen_imap=127.0.0.1:%u", (unsigned)endpoint_port(&place));
	CLEANUP(mem_free) char *while_it_runs = complaint_about(office.folder, line);
	assert_string_equal(while_it_runs, "");
	close(office.master);
	office.master = -1;
	CLEANUP(mem_free) char *afterwards = complaint_about(office.folder, line);
	assert_non_null(strstr(afterwards, "listen_imap: bind to 127.0.0.1"));
	assert_non_null(strstr(afterwards, "in use"));
	close(other);
	close_office(&office);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(command_lines),      cmocka_unit_test(options),        cmocka_unit_test(table_of_commands), cmocka_unit_test(asking_for_help),
		cmocka_unit_test(printing),           cmocka_unit_test(times),          cmocka_unit_test(malformed_rows),
		cmocka_unit_test(keys_that_come_again),
		cmocka_unit_test(secrets),            cmocka_unit_test(several_rows_in_a_frame), cmocka_unit_test(asking),         cmocka_unit_test(opening_an_account),
		cmocka_unit_test(nobody_there),       cmocka_unit_test(finding_the_office), cmocka_unit_test(configuration),
		cmocka_unit_test(ports_in_use),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
