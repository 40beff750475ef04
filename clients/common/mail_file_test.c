#include "mail_file.h"

#include "file.h"
#include "mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct place {
	char path[64];
};

static int make_place(void **state)
{
	struct place *p = mem_alloc(sizeof *p);
	snprintf(p->path, sizeof p->path, "/tmp/mail_file_test.XXXXXX");
	assert_non_null(mkdtemp(p->path));
	*state = p;
	return 0;
}

static int remove_one(const char *path, const struct stat *facts, int type, struct FTW *place)
{
	(void)facts;
	(void)type;
	(void)place;
	return remove(path);
}

static int remove_place(void **state)
{
	struct place *p = *state;
	nftw(p->path, remove_one, 10, FTW_DEPTH | FTW_PHYS);
	free(p);
	return 0;
}

static void check_file(const char *path, const char *content)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_true(file_load(path, &text, &fail));
	assert_string_equal(buf_text(&text), content);
}

static size_t count_files(const char *path)
{
	size_t count = 0;
	DIR *directory = opendir(path);
	assert_non_null(directory);
	for (struct dirent *entry; (entry = readdir(directory));)
		count += entry->d_name[0] != '.';
	closedir(directory);
	return count;
}

static struct mail_folder *open_folder(const struct place *p, enum mail_format format, const char *mailbox)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(mem_free) char *path = mem_printf("%s/mail", p->path);
	struct mail_folder *f = mail_folder_open(path, format, str_of(mailbox), &fail);
	assert_non_null(f);
	return f;
}

static const char *save(struct mail_folder *f, const char *uid, unsigned copy, const char *text)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	const char *path = NULL;
	assert_true(mail_folder_begin(f, &fail));
	/* In pieces of one octet: borders must not matter. */
	for (size_t i = 0; text[i]; i++)
		assert_true(mail_folder_write(f, str_from(text + i, 1), &fail));
	assert_true(mail_folder_commit(f, str_of(uid), copy, &path, &fail));
	return path;
}

static void test_eml(void **state)
{
	const struct place *p = *state;
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(p, MAIL_EML, "a@h:1");
	assert_false(mail_folder_has(f, STR("x1"), 1));
	const char *path = save(f, "x1", 1, "A: b\r\n\r\nFrom me\r\n");
	assert_true(str_ends_nocase(str_of(path), STR("/mail/x1.eml")));
	check_file(path, "A: b\r\n\r\nFrom me\r\n");
	assert_true(mail_folder_has(f, STR("x1"), 1));
	assert_false(mail_folder_has(f, STR("x1"), 2));
	path = save(f, "x1", 2, "other\r\n");
	assert_true(str_ends_nocase(str_of(path), STR("/mail/x1.2.eml")));
	check_file(path, "other\r\n");
	CLEANUP(mem_free) char *folder = mem_printf("%s/mail", p->path);
	assert_int_equal(count_files(folder), 2);
}

static void test_remembers(void **state)
{
	const struct place *p = *state;
	struct mail_folder *f = open_folder(p, MAIL_EML, "a@h:1");
	save(f, "x1", 1, "one\r\n");
	mail_folder_close(f);
	f = open_folder(p, MAIL_EML, "a@h:1");
	assert_true(mail_folder_has(f, STR("x1"), 1));
	mail_folder_close(f);
	/* Another account's ids are other mails: nothing is passed over and nothing overwritten. */
	f = open_folder(p, MAIL_EML, "b@h:1");
	assert_false(mail_folder_has(f, STR("x1"), 1));
	save(f, "x1", 1, "two\r\n");
	mail_folder_close(f);
	CLEANUP(mem_free) char *first = mem_printf("%s/mail/x1.eml", p->path);
	CLEANUP(mem_free) char *second = mem_printf("%s/mail/x1.2.eml", p->path);
	check_file(first, "one\r\n");
	check_file(second, "two\r\n");
	f = open_folder(p, MAIL_MBOX, "a@h:1");
	assert_false(mail_folder_has(f, STR("x1"), 1));
	mail_folder_close(f);
}

/* The last line was cut off by a crash. */
static void test_torn_memory(void **state)
{
	const struct place *p = *state;
	CLEANUP(mem_free) char *memory = mem_printf("%s/mail/.posthorn-eml", p->path);
	mail_folder_close(open_folder(p, MAIL_EML, "a@h:1"));
	FILE *file = fopen(memory, "we");
	fputs("a@h:1 x1 1\na@h:1 x2", file);
	fclose(file);
	struct mail_folder *f = open_folder(p, MAIL_EML, "a@h:1");
	assert_true(mail_folder_has(f, STR("x1"), 1));
	assert_false(mail_folder_has(f, STR("x2"), 1));
	save(f, "x3", 1, "three\r\n");
	mail_folder_close(f);
	check_file(memory, "a@h:1 x1 1\na@h:1 x3 1\n");
}

static void test_hostile_uids(void **state)
{
	static const struct {
		const char *uid, *name;
	} cases[] = {
		{ "../../etc/passwd", "%2E.%2F..%2Fetc%2Fpasswd" },
		{ ".", "%2E" },
		{ "..", "%2E." },
		{ "/", "%2F" },
		{ "a\\b", "a%5Cb" },
		{ "-rf", "-rf" },
		{ "a%2Fb", "a%252Fb" },
		{ "$(x)", "%24%28x%29" },
		{ "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~", "%7E%7E%7E%7E%7E%7E%7E%7E%7E%7E%"
		                                                                            "7E%7E%7E%7E%7E%7E%7E%7E%7E%7E%"
		                                                                            "7E%7E%7E%7E%7E%7E%7E%7E%7E%7E%"
		                                                                            "7E%7E%7E%7E%7E"
		                                                                            "%7E%7E%7E%7E%7E%7E%7E%7E%7E%7E%"
		                                                                            "7E%7E%7E%7E%7E%7E%7E%7E%7E%7E%"
		                                                                            "7E%7E%7E%7E%7E%7E%7E%7E%7E%7E%"
		                                                                            "7E%7E%7E%7E%7E" },
	};
	const struct place *p = *state;
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(p, MAIL_EML, "a@h:1");
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(mem_free) char *wanted = mem_printf("%s/mail/%s.eml", p->path, cases[i].name);
		assert_string_equal(save(f, cases[i].uid, 1, "x\r\n"), wanted);
		check_file(wanted, "x\r\n");
	}
}

static void test_no_uid(void **state)
{
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(*state, MAIL_EML, "a@h:1");
	CLEANUP(mem_free) char *first = mem_printf("%s", save(f, "", 1, "x\r\n"));
	assert_string_not_equal(save(f, "", 1, "y\r\n"), first);
	check_file(first, "x\r\n");
	assert_false(mail_folder_has(f, STR(""), 1));
}

static void test_dropped(void **state)
{
	const struct place *p = *state;
	CLEANUP(mem_free) char *path = mem_printf("%s/mail", p->path);
	struct mail_folder *f = open_folder(p, MAIL_EML, "a@h:1");
	assert_true(mail_folder_begin(f, NULL) && mail_folder_write(f, STR("half"), NULL));
	assert_true(mail_folder_begin(f, NULL) && mail_folder_write(f, STR("half again"), NULL));
	mail_folder_close(f);
	DIR *directory = opendir(path);
	for (struct dirent *entry; (entry = readdir(directory));)
		assert_true(entry->d_name[0] == '.' && !str_starts(str_of(entry->d_name), STR(".posthorn-X")) &&
		            strlen(entry->d_name) <= 13);
	closedir(directory);
	assert_int_equal(count_files(path), 0);
}

static void test_maildir(void **state)
{
	const struct place *p = *state;
	CLEANUP(mem_free) char *new = mem_printf("%s/mail/new", p->path), *tmp = mem_printf("%s/mail/tmp", p->path);
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(p, MAIL_MAILDIR, "a@h:1");
	const char *path = save(f, "x1", 1, "A: b\r\n\r\nFrom me\rhere\r\r\nend");
	assert_true(str_starts(str_of(path), str_of(new)));
	check_file(path, "A: b\n\nFrom me\rhere\r\nend\n");
	save(f, "x2", 1, "\r\n");
	assert_int_equal(count_files(new), 2);
	assert_int_equal(count_files(tmp), 0);
}

static void test_mbox(void **state)
{
	const struct place *p = *state;
	CLEANUP(mem_free) char *path = mem_printf("%s/mail/mbox", p->path);
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(10000);
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(p, MAIL_MBOX, "a@h:1");
	assert_string_equal(save(f, "x1", 1, "Return-Path: <joe@example.org>\r\n\r\nFrom me\r\n>From you\r\n"), path);
	save(f, "x2", 1, "Return-Path: <\"a b\"@example.org>\r\n\r\nno end");
	assert_true(file_load(path, &text, NULL));
	struct str rest = buf_str(&text), line;
	assert_true(str_take_until(&rest, '\n', &line) && str_starts(line, STR("From joe@example.org ")));
	assert_int_equal(line.length, strlen("From joe@example.org Thu Jan  1 00:00:00 1970"));
	static const char first[] = "Return-Path: <joe@example.org>\n\n>From me\n>>From you\n\n";
	assert_true(str_starts(rest, str_of(first)));
	rest = str_from_index(rest, sizeof first - 1);
	assert_true(str_take_until(&rest, '\n', &line) && str_starts(line, STR("From MAILER-DAEMON ")));
	assert_true(str_equal(rest, STR("Return-Path: <\"a b\"@example.org>\n\nno end\n\n")));
	CLEANUP(mem_free) char *lock = mem_printf("%s.lock", path);
	assert_int_equal(access(lock, F_OK), -1);
}

static void test_locked_mbox(void **state)
{
	const struct place *p = *state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(mem_free) char *path = mem_printf("%s/mail/mbox", p->path), *lock = mem_printf("%s.lock", path);
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(p, MAIL_MBOX, "a@h:1");
	int held = open(lock, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(held >= 0 && close(held) == 0);
	assert_true(mail_folder_begin(f, NULL) && mail_folder_write(f, STR("A: b\r\n"), NULL));
	assert_false(mail_folder_commit(f, STR("x1"), 1, NULL, &fail));
	assert_int_equal(fail->kind, FAIL_BUSY);
	assert_int_equal(access(lock, F_OK), 0);
	assert_false(mail_folder_has(f, STR("x1"), 1));
	check_file(path, "");
	unlink(lock);
	save(f, "x1", 1, "A: b\r\n");
	assert_true(mail_folder_has(f, STR("x1"), 1));
}

/* The other kind of lock, which belongs to a process. */
static void test_fcntl_lock(void **state)
{
	const struct place *p = *state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(mem_free) char *path = mem_printf("%s/mail/mbox", p->path), *lock = mem_printf("%s.lock", path);
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(p, MAIL_MBOX, "a@h:1");
	CLEANUP(file_close) int held = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	assert_int_equal(fcntl(held, F_OFD_SETLK, &whole), 0);
	assert_true(mail_folder_begin(f, NULL) && mail_folder_write(f, STR("A: b\r\n"), NULL));
	assert_false(mail_folder_commit(f, STR("x1"), 1, NULL, &fail));
	assert_int_equal(fail->kind, FAIL_BUSY);
	assert_int_equal(access(lock, F_OK), -1);
	check_file(path, "");
}

static void test_symlink(void **state)
{
	const struct place *p = *state;
	CLEANUP(mem_free) char *path = mem_printf("%s/mail/mbox", p->path), *victim = mem_printf("%s/victim", p->path);
	CLEANUP(mail_folder_cleanup) struct mail_folder *f = open_folder(p, MAIL_MBOX, "a@h:1");
	assert_int_equal(symlink(victim, path), 0);
	assert_true(mail_folder_begin(f, NULL) && mail_folder_write(f, STR("A: b\r\n"), NULL));
	assert_false(mail_folder_commit(f, STR("x1"), 1, NULL, NULL));
	assert_int_equal(access(victim, F_OK), -1);
}

static void test_formats(void **state)
{
	enum mail_format format;
	(void)state;
	assert_true(mail_format_find(STR("eml"), &format) && format == MAIL_EML);
	assert_true(mail_format_find(STR("Maildir"), &format) && format == MAIL_MAILDIR);
	assert_true(mail_format_find(STR("mbox"), &format) && format == MAIL_MBOX);
	assert_false(mail_format_find(STR("mh"), &format));
}

static const struct {
	const char *from, *plain, *quoted;
} lines[] = {
	{ "", "", "" },
	{ "a\r\n", "a\n", "a\n" },
	{ "From ", "From \n", ">From \n" },
	{ "From", "From\n", "From\n" },
	{ "From\r\n", "From\n", "From\n" },
	{ "From x\r\nFrom y", "From x\nFrom y\n", ">From x\n>From y\n" },
	{ ">>From x\n", ">>From x\n", ">>>From x\n" },
	{ ">>Fro\n", ">>Fro\n", ">>Fro\n" },
	{ ">", ">\n", ">\n" },
	{ "> From x", "> From x\n", "> From x\n" },
	{ "a From x\n", "a From x\n", "a From x\n" },
	{ "FFrom x\n", "FFrom x\n", "FFrom x\n" },
	{ "F\r\nFrom x\n", "F\nFrom x\n", "F\n>From x\n" },
	{ "\rFrom x\n", "\rFrom x\n", "\rFrom x\n" },
	{ "a\rFrom x\n", "a\rFrom x\n", "a\rFrom x\n" },
	{ "a\r\r\n", "a\r\n", "a\r\n" },
	{ "a\r", "a\r\n", "a\r\n" },
};

static void check_writer(bool quotes, size_t chunk, const char *from, const char *to)
{
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
	struct mail_writer w = { .quotes = quotes };
	for (struct str rest = str_of(from); rest.length; rest = str_from_index(rest, chunk))
		mail_writer_add(&w, str_first(rest, chunk), &out);
	mail_writer_end(&w, &out);
	assert_string_equal(buf_text(&out), to);
}

static void test_writer(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT_OF(lines); i++)
		for (size_t chunk = 1; chunk < 20; chunk++) {
			check_writer(false, chunk, lines[i].from, lines[i].plain);
			check_writer(true, chunk, lines[i].from, lines[i].quoted);
		}
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_PLACE(test_eml),
		IN_PLACE(test_remembers),
		IN_PLACE(test_torn_memory),
		IN_PLACE(test_hostile_uids),
		IN_PLACE(test_no_uid),
		IN_PLACE(test_dropped),
		IN_PLACE(test_maildir),
		IN_PLACE(test_mbox),
		IN_PLACE(test_locked_mbox),
		IN_PLACE(test_fcntl_lock),
		IN_PLACE(test_symlink),
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_writer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
