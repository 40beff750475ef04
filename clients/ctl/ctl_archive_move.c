/* export and import: between an archive in a pipe and files of other programs. */
#include "archive.h"
#include "ctl_archive_files.h"
#include "ctl_archive_work.h"
#include "file.h"
#include "limits.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static bool format_of(const struct ctl_call *call, enum ctl_format *format, struct fail **fail)
{
	*format = 0;
	if (!call->format)
		return true;
	*format = strcmp(call->format, "maildir") == 0 ? CTL_MAILDIR : strcmp(call->format, "mbox") == 0 ? CTL_MBOX : 0;
	return *format || fail_set(fail, FAIL_INVALID, "--format is maildir or mbox");
}

/* The answer's end, once the archive has come to its own. */
static bool take_answer(struct ctl_work *work, struct ipc_channel *channel, struct fail **fail)
{
	return ctl_answer(channel, true, ctl_work_take, work, fail);
}

static void begin_request(struct ipc_channel *channel, struct str words, int descriptor)
{
	msg_ctl_request_send(channel, 0, &(struct msg_ctl_request){ .words = words }, descriptor);
}

static bool open_pipe(int *reads, int *writes, struct fail **fail)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail_set_errno(fail, FAIL_LIMIT, "cannot make a pipe");
	*reads = ends[0];
	*writes = ends[1];
	return true;
}

/* ---- export ---- */

struct exporting {
	struct ctl_work *work;
	struct archive_reader reader;
	struct ctl_sink *sink;
	bool unnamed; /* this mailbox is left out */
	uint64_t mails;
};

static void exporting_release(struct exporting *e)
{
	archive_read_release(&e->reader);
	ctl_sink_close(&e->sink);
}

static bool export_mailbox(struct exporting *e, struct str fields, struct fail **fail)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	struct str name = archive_field(fields, "name");
	e->unnamed = !ctl_sink_mailbox(e->sink, name, &why);
	if (!e->unnamed)
		return true;
	if (why->kind != FAIL_LIMIT)
		return fail_set(fail, why->kind, "%s", why->text);
	ctl_work_left_out(e->work, name, str_of(why->text));
	return true;
}

static bool export_mail(struct exporting *e, struct str fields, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_IMPORT_MAIL_MAX);
	uint64_t received;
	if (!archive_field_number(fields, "received", INT64_MAX, &received))
		return fail_set(fail, FAIL_CORRUPT, "a mail has no date");
	/* the fields die with the next entry, and reading the body does not touch them */
	if (!archive_read_all(&e->reader, &text, fail))
		return false;
	const struct ctl_mail mail = { buf_str(&text), archive_field(fields, "flags"), (int64_t)received };
	if (!e->unnamed && !ctl_sink_mail(e->sink, &mail, fail))
		return false;
	ctl_work_progress(e->work, ++e->mails, false);
	return true;
}

static bool export_entries(struct exporting *e, struct fail **fail)
{
	struct str fields;
	uint64_t size;
	enum archive_got got;
	while ((got = archive_read_entry(&e->reader, &fields, &size, fail)) == ARCHIVE_ENTRY) {
		struct str kind = archive_field(fields, "kind");
		bool good = true;
		if (str_equal(kind, STR("mailbox")))
			good = export_mailbox(e, fields, fail);
		else if (str_equal(kind, STR("mail")))
			good = export_mail(e, fields, fail);
		else
			ctl_work_left_out(e->work, archive_field(fields, "where"), archive_field(fields, "why"));
		if (!good)
			return false;
	}
	return got == ARCHIVE_END;
}

static bool finish_export(struct exporting *e, struct fail **fail)
{
	uint64_t left_out;
	if (!ctl_sink_finish(e->sink, &left_out, fail))
		return false;
	if (left_out)
		fprintf(stderr,
				"%s: keywords that had no letter left, 26 per mailbox is all a Maildir has, were left out %llu times\n",
				e->work->address, (unsigned long long)left_out);
	return true;
}

bool ctl_export(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
	CLEANUP(fail_free) struct fail *why = NULL;
	CLEANUP(file_close) int reads = -1;
	int writes = -1;
	enum ctl_format format;
	if (!format_of(work->call, &format, fail) ||
		!ctl_open_account(work->runtime_directory, work->address, &channel, fail))
		return false;
	CLEANUP(exporting_release) struct exporting e = { .work = work };
	archive_read_begin(&e.reader, -1);
	e.sink = ctl_sink_open(work->call->arguments[1], format ? format : CTL_MAILDIR, fail);
	if (!e.sink || !open_pipe(&reads, &writes, fail))
		return false;
	begin_request(&channel, str_from("export", 7), writes);
	e.reader.descriptor = reads;
	bool whole = export_entries(&e, &why) && finish_export(&e, &why);
	file_close(&reads); /* if it was given up here, the process notices */
	bool answered = take_answer(work, &channel, fail);
	/* what went wrong here is the cause; but an archive that just ends has its cause there */
	if (!whole && (answered || why->kind != FAIL_CORRUPT))
		return fail_set(fail, why->kind, "%s", why->text);
	return answered;
}

/* ---- import ---- */

struct importing {
	struct ctl_work *work;
	struct ipc_channel *channel;
	struct archive_writer writer;
	struct buf fields;
	bool answered; /* before the end: it failed there */
	bool good;
	struct fail *why;
};

static void importing_release(struct importing *i)
{
	archive_write_release(&i->writer);
	buf_release(&i->fields);
	fail_free(&i->why);
}

/* Rows that have come meanwhile, so that the process never waits for us while we wait for it. */
static bool take_rows(struct importing *i)
{
	struct ipc_frame frame;
	struct msg_ctl_row row;
	while (!i->answered && ipc_receive(i->channel, &frame) == IPC_FRAME) {
		ipc_close_descriptors(&frame);
		if (msg_ctl_row_read(&frame, &row)) {
			ctl_work_take(i->work, row.fields);
			continue;
		}
		i->answered = true;
		i->good = ctl_end_read(&frame, &i->why);
	}
	return !i->answered && !archive_write_failed(&i->writer);
}

/* --folder NAME takes the place of INBOX; other mailboxes go below it. */
static char *target_of(const struct ctl_call *call, struct str name)
{
	if (!call->folder)
		return str_copy(name);
	if (str_equal(name, STR("INBOX")))
		return str_copy(str_of(call->folder));
	return mem_printf("%s/%.*s", call->folder, STR_ARG(name));
}

static bool import_mailbox(void *owner, struct str name, struct fail **fail)
{
	struct importing *i = owner;
	CLEANUP(mem_free) char *target = target_of(i->work->call, name);
	(void)fail;
	buf_clear(&i->fields);
	archive_field_add(&i->fields, "kind", STR("mailbox"));
	archive_field_add(&i->fields, "name", str_of(target));
	archive_write_entry(&i->writer, buf_str(&i->fields), 0);
	return take_rows(i);
}

static bool import_mail(void *owner, const struct ctl_mail *mail, struct fail **fail)
{
	struct importing *i = owner;
	(void)fail;
	buf_clear(&i->fields);
	archive_field_add(&i->fields, "kind", STR("mail"));
	archive_field_add_number(&i->fields, "received", (uint64_t)mail->received);
	archive_field_add(&i->fields, "flags",
					  str_find_char(mail->flags, '\0') == mail->flags.length ? mail->flags : STR(""));
	archive_write_entry(&i->writer, buf_str(&i->fields), mail->text.length);
	archive_write_body(&i->writer, mail->text.data, mail->text.length);
	return take_rows(i);
}

static void left_out(void *owner, const char *path, const struct fail *fail)
{
	struct importing *i = owner;
	ctl_work_left_out(i->work, str_of(path), str_of(fail_text(fail)));
}

/* Whatever went wrong: what the process says of it comes first, since its end may be why writing failed here. */
static bool end_import(struct importing *i, int *writes, bool whole, struct fail **why, struct fail **fail)
{
	struct fail *there = NULL;
	bool good = whole && archive_write_end(&i->writer, why);
	file_close(writes);
	bool answered = i->answered ? i->good : take_answer(i->work, i->channel, &there);
	if (i->answered && i->why)
		fail_set(&there, i->why->kind, "%s", i->why->text);
	if (!good && *why && (answered || there->kind == FAIL_CORRUPT))
		fail_set(fail, (*why)->kind, "%s", (*why)->text);
	else if (!answered)
		fail_set(fail, there->kind, "%s", there->text);
	fail_free(&there);
	return good && answered;
}

bool ctl_import(struct ctl_work *work, struct fail **fail)
{
	CLEANUP(ipc_channel_release) struct ipc_channel channel = { .descriptor = -1 };
	CLEANUP(fail_free) struct fail *why = NULL;
	CLEANUP(file_close) int writes = -1;
	int reads = -1;
	enum ctl_format format;
	const char *source = work->call->arguments[1];
	if (access(source, R_OK) != 0)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", source);
	if (!format_of(work->call, &format, fail) ||
		!ctl_open_account(work->runtime_directory, work->address, &channel, fail) || !open_pipe(&reads, &writes, fail))
		return false;
	begin_request(&channel, str_from("import", 7), reads);
	CLEANUP(importing_release)
	struct importing i = { .work = work, .channel = &channel, .fields = BUF_WITH_LIMIT(ARCHIVE_FIELDS_MAX) };
	archive_write_begin(&i.writer, writes);
	const struct ctl_taker taker = { import_mailbox, import_mail, left_out, &i };
	bool whole = ctl_source_read(source, format, &taker, &why);
	return end_import(&i, &writes, whole, &why, fail);
}
