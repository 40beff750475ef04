#include "ctl_log_source.h"

#include "ctl_log_line.h"
#include "file.h"
#include "mem.h"

#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIECE = 65536, NOT_FOUND_STATUS = 127 };

struct reading {
	const struct ctl_log_source *source;
	int descriptor;
	int changes;   /* of the file that is followed, or -1 */
	pid_t journal; /* journalctl; 0: none */
	struct buf line;
};

/* What is longer than a line may be is cut. */
static void take_octets(struct reading *r, struct str octets)
{
	while (octets.length) {
		size_t end = str_find_char(octets, '\n');
		size_t room = CTL_LOG_LINE_MAX - r->line.length;
		buf_add_str(&r->line, str_first(octets, room < end ? room : end));
		if (end == octets.length)
			return;
		r->source->take(r->source->owner, buf_str(&r->line));
		buf_clear(&r->line);
		octets = str_from_index(octets, end + 1);
	}
}

static bool open_file(struct reading *r, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/log", r->source->directory);
	r->descriptor = open(path, O_RDONLY | O_CLOEXEC);
	if (r->descriptor < 0)
		return fail_set_errno(fail, FAIL_NOT_FOUND, "%s", path);
	if (!r->source->follow)
		return true;
	r->changes = inotify_init1(IN_CLOEXEC);
	if (r->changes < 0 ||
	    inotify_add_watch(r->changes, path, IN_MODIFY | IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB) < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot follow %s", path);
	if (!r->source->all)
		lseek(r->descriptor, 0, SEEK_END);
	return true;
}

static bool open_journal(struct reading *r, struct fail **fail)
{
	CLEANUP(mem_free) char *since = mem_printf("--since=@%lld", (long long)(r->source->since > 0 ? r->source->since : 0));
	char *arguments[] = { "journalctl", "--unit=posthorn", "--output=cat", "--quiet", "--all", "--no-pager", since,
		                  r->source->follow ? "--follow" : NULL, r->source->all ? "--lines=all" : "--lines=0", NULL };
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail_set_errno(fail, FAIL_IO, "pipe");
	r->journal = fork();
	if (r->journal == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execvp(arguments[0], arguments);
		_exit(NOT_FOUND_STATUS);
	}
	close(ends[1]);
	r->descriptor = ends[0];
	return r->journal > 0 || fail_set_errno(fail, FAIL_UNAVAILABLE, "fork");
}

/* At the end of a file that is followed: false when nothing more will come. */
static bool wait_for_change(struct reading *r)
{
	_Alignas(struct inotify_event) char events[4096];
	const struct inotify_event *event = (const void *)events;
	if (r->source->waits)
		r->source->waits(r->source->owner);
	if (r->changes < 0)
		return false;
	ssize_t length = read(r->changes, events, sizeof events);
	bool modified = false;
	for (size_t at = 0; length > 0 && at < (size_t)length; at += sizeof *event + event->len) {
		event = (const void *)(events + at);
		modified |= (event->mask & IN_MODIFY) != 0;
		if (event->mask & (IN_MOVE_SELF | IN_DELETE_SELF | IN_IGNORED))
			return modified;
	}
	return length > 0;
}

static bool read_all(struct reading *r, struct fail **fail)
{
	CLEANUP(mem_free) char *piece = mem_alloc(PIECE);
	ssize_t length;
	while ((length = read(r->descriptor, piece, PIECE)) > 0 || (length == 0 && wait_for_change(r))) {
		take_octets(r, str_from(piece, (size_t)length));
		if (r->journal && r->source->follow)
			r->source->waits(r->source->owner);
	}
	return length == 0 || fail_set_errno(fail, FAIL_IO, "cannot read the log");
}

static bool journal_ended_well(struct reading *r, struct fail **fail)
{
	int status = 0;
	file_close(&r->descriptor); /* it may wait for us to read */
	if (r->journal <= 0 || waitpid(r->journal, &status, 0) != r->journal || status == 0)
		return true;
	if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_FOUND_STATUS)
		return fail_set(fail, FAIL_UNAVAILABLE, "there is no journalctl; where is the log of this post office?");
	return fail_set(fail, FAIL_UNAVAILABLE, "journalctl cannot read the journal of the unit posthorn");
}

static void release(struct reading *r)
{
	file_close(&r->descriptor);
	file_close(&r->changes);
	buf_release(&r->line);
}

bool ctl_log_source_read(const struct ctl_log_source *source, struct fail **fail)
{
	CLEANUP(release) struct reading r = { .source = source, .descriptor = -1, .changes = -1,
		.line = BUF_WITH_LIMIT(CTL_LOG_LINE_MAX) };
	if (!(source->directory ? open_file(&r, fail) : open_journal(&r, fail)))
		return false;
	bool good = read_all(&r, fail);
	return journal_ended_well(&r, fail) && good;
}
