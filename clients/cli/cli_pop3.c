/* posthorn pop3: what is on a server, without a mail program. */
#include "cli.h"

#include "array.h"
#include "display.h"
#include "hash.h"
#include "header.h"
#include "mail_body.h"
#include "pop3_download.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
	TIMEOUT_MS = 60000,
	FROM_COLUMNS = 28,
	DATE_COLUMNS = 16,
	SIZE_COLUMNS = 10,
	WIDTH_DEFAULT = 100,
	SHOWN_MAX = MAIL_BODY_MAX
};

struct session {
	struct server server;
	struct buf password;
	struct pop3_client *client;
	size_t *indexes;   /* of the mails that are meant, in the order of the listing */
	size_t count;
};

static void end(struct session *s)
{
	pop3_client_free(s->client);
	buf_wipe(&s->password);
	free(s->indexes);
}

static bool open_session(struct cli_call *call, struct session *s, struct fail **fail)
{
	struct account account;
	if (!cli_find_server(call, call->operands[0], SERVER_POP3, &s->server, &account, fail))
		return false;
	if (!s->server.user[0])
		return fail_set(fail, FAIL_INVALID, _("the URL lacks the user: pop3s://user@host"));
	if (!cli_password(call, &s->server, &s->password, fail))
		return false;
	const struct pop3_client_options options = {
		.server = s->server, .ca_file = call->ca, .password = buf_str(&s->password), .method = call->method,
		.timeout_ms = call->timeout_ms ? call->timeout_ms : TIMEOUT_MS, .warn = cli_warn,
	};
	s->client = pop3_client_open(&options, fail);
	return s->client != NULL;
}

/* ---- which mails ---- */

static void release_map(struct map **m)
{
	map_free(*m);
}

/* All that are named; a mail that several names mean is taken once. */
static bool take_named(struct cli_call *call, struct session *s, struct fail **fail)
{
	CLEANUP(release_map) struct map *missing = map_new();
	CLEANUP(release_map) struct map *wanted = map_new();
	for (int i = 1; i < call->operand_count; i++) {
		map_set(wanted, str_of(call->operands[i]), call->operands[i]);
		map_set(missing, str_of(call->operands[i]), call->operands[i]);
	}
	for (size_t i = 0; i < pop3_client_count(s->client); i++) {
		struct str uid = str_of(pop3_client_mail(s->client, i)->uid);
		if (uid.length == 0 || !map_get(wanted, uid))
			continue;
		map_remove(missing, uid);
		s->indexes[s->count++] = i;
	}
	struct str name;
	void *value;
	size_t position = 0;
	if (map_next(missing, &position, &name, &value))
		return fail_set(fail, FAIL_NOT_FOUND, _("there is no mail with the unique id %s"), (const char *)value);
	return true;
}

static bool select_mails(struct cli_call *call, struct session *s, struct fail **fail)
{
	s->indexes = mem_resize(NULL, pop3_client_count(s->client) + 1, sizeof *s->indexes);
	if (call->operand_count > 1 && !pop3_client_has_uids(s->client))
		return fail_set(fail, FAIL_NOT_FOUND, _("the server gives its mails no unique ids, so none can be named"));
	if (call->operand_count > 1)
		return take_named(call, s, fail);
	for (s->count = 0; s->count < pop3_client_count(s->client); s->count++)
		s->indexes[s->count] = s->count;
	return true;
}

/* What was wanted is done: a server that spoils the farewell spoils nothing else. */
static void say_goodbye(struct session *s)
{
	CLEANUP(fail_free) struct fail *why = NULL;
	if (!pop3_client_quit(s->client, &why))
		cli_say(_("warning: %s"), fail_text(why));
}

/* ---- list ---- */

struct listing {
	bool json;
	bool terminal;
	size_t width;      /* of the terminal */
	size_t uid_width;
	size_t printed;
	size_t refused;
	struct buf header;
	struct display_summary summary;
};

static void release_listing(struct listing *l)
{
	buf_release(&l->header);
	display_summary_release(&l->summary);
}

/* JSON's numbers end before the servers' do. */
static json_int_t json_number(uint64_t number)
{
	return number > INT64_MAX ? INT64_MAX : (json_int_t)number;
}

static void print_object(struct listing *l, const struct pop3_mail *mail)
{
	struct display_summary *s = &l->summary;
	json_t *uid = mail->uid[0] ? json_string(mail->uid) : json_null();
	json_t *date = s->date.length ? json_stringn(s->date.data, s->date.length) : json_null();
	json_t *object = json_pack("{so sI sI ss% ss% so}", "uidl", uid, "number", json_number(mail->number), "size",
	                           json_number(mail->size), "from", s->from.data ? s->from.data : "", s->from.length,
	                           "subject", s->subject.data ? s->subject.data : "", s->subject.length, "date", date);
	must(object != NULL);
	fputs(l->printed ? ",\n " : "[", stdout);
	must(json_dumpf(object, stdout, JSON_PRESERVE_ORDER) == 0 || ferror(stdout));
	json_decref(object);
}

static void print_row(struct listing *l, const char *uid, struct str size, struct str date, struct str from,
                      struct str subject)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(65536);
	size_t used = l->uid_width + SIZE_COLUMNS + DATE_COLUMNS + FROM_COLUMNS + 8;
	if (!l->terminal) {
		buf_printf(&row, "%s\t%.*s\t%.*s\t%.*s\t%.*s", uid, STR_ARG(size), STR_ARG(date), STR_ARG(from),
		           STR_ARG(subject));
	} else {
		buf_printf(&row, "%-*s  %*.*s  %-*.*s  ", (int)l->uid_width, uid, SIZE_COLUMNS, STR_ARG(size), DATE_COLUMNS,
		           DATE_COLUMNS, date.data ? date.data : "");
		display_column(&row, from, FROM_COLUMNS);
		buf_add_str(&row, STR("  "));
		display_column(&row, subject, l->width > used + 10 ? l->width - used : 10);
	}
	printf("%s\n", buf_text(&row));
}

static void print_mail(struct listing *l, const struct pop3_mail *mail)
{
	CLEANUP(buf_release) struct buf size = BUF_WITH_LIMIT(32), date = BUF_WITH_LIMIT(100);
	buf_add_u64(&size, mail->size);
	buf_add_str(&date, buf_str(&l->summary.date));
	buf_text(&date);
	if (l->terminal && date.length > 10)
		date.data[10] = ' ';
	print_row(l, mail->uid, buf_str(&size), buf_str(&date), buf_str(&l->summary.from), buf_str(&l->summary.subject));
}

static bool begin_header(void *context, const struct pop3_mail *mail, struct fail **fail)
{
	struct listing *l = context;
	(void)mail;
	(void)fail;
	buf_clear(&l->header);
	return true;
}

/* What is beyond the limit is read and not kept. */
static bool take_header(void *context, const struct pop3_mail *mail, struct str piece, struct fail **fail)
{
	struct listing *l = context;
	(void)mail;
	(void)fail;
	buf_add_str(&l->header, str_first(piece, l->header.limit - l->header.length));
	return true;
}

static bool end_header(void *context, const struct pop3_mail *mail, const char *refusal, struct fail **fail)
{
	struct listing *l = context;
	(void)fail;
	if (refusal)
		buf_clear(&l->header);
	l->refused += refusal != NULL;
	display_summary_take(&l->summary, buf_str(&l->header));
	if (l->json)
		print_object(l, mail);
	else
		print_mail(l, mail);
	l->printed++;
	return true;
}

static void begin_listing(struct listing *l, const struct session *s)
{
	struct winsize size;
	l->terminal = isatty(STDOUT_FILENO) == 1;
	l->width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : WIDTH_DEFAULT;
	l->uid_width = strlen("UIDL");
	for (size_t i = 0; i < s->count; i++) {
		size_t length = strlen(pop3_client_mail(s->client, s->indexes[i])->uid);
		l->uid_width = length > l->uid_width ? length : l->uid_width;
	}
	if (!l->json && l->terminal && s->count)
		print_row(l, "UIDL", STR("SIZE"), STR("DATE"), STR("FROM"), STR("SUBJECT"));
}

bool cli_pop3_list(struct cli_call *call, struct fail **fail)
{
	CLEANUP(end) struct session s = {};
	CLEANUP(release_listing) struct listing l = { .json = call->given & CLI_JSON };
	const struct pop3_sink sink = { begin_header, take_header, end_header, &l };
	buf_init(&l.header, LIMIT_CLIENT_HEADER_MAX);
	display_summary_init(&l.summary);
	if (!open_session(call, &s, fail) || !select_mails(call, &s, fail))
		return false;
	begin_listing(&l, &s);
	bool good = pop3_client_top(s.client, s.indexes, s.count, 0, &sink, fail);
	/* Also a list that broke off is well-formed. */
	if (l.json)
		puts(l.printed ? "]" : "[]");
	if (l.refused)
		cli_say(_("warning: the server did not show the headers of %zu mails"), l.refused);
	if (good)
		say_goodbye(&s);
	return good;
}

/* ---- show ---- */

struct showing {
	struct listing listing; /* its header takes the answer to TOP */
	bool raw;
	size_t shown;
};

static void print_field(const char *name, const struct buf *value)
{
	if (value->length)
		printf("%s: %.*s\n", name, STR_ARG(buf_str(value)));
}

static void print_all(const struct buf *text)
{
	if (text->length)
		fwrite(text->data, 1, text->length, stdout);
}

static void print_body(struct str text)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(4 * SHOWN_MAX);
	mail_body_add(&shown, text);
	print_all(&shown);
	if (shown.length && shown.data[shown.length - 1] != '\n')
		putchar('\n');
}

static void print_raw(struct str text)
{
	CLEANUP(buf_release) struct buf shown = BUF_WITH_LIMIT(4 * SHOWN_MAX);
	/* A terminal obeys what it is shown; a file does not. */
	if (isatty(STDOUT_FILENO) == 1)
		display_lines(&shown, text);
	else
		buf_add_str(&shown, text);
	print_all(&shown);
}

static bool end_show(void *context, const struct pop3_mail *mail, const char *refusal, struct fail **fail)
{
	struct showing *s = context;
	struct str text = buf_str(&s->listing.header);
	struct display_summary *summary = &s->listing.summary;
	if (refusal)
		return fail_set(fail, FAIL_DENIED, _("the server does not show mail %s: %s"), mail->uid, refusal);
	if (s->shown++)
		fputs("\n", stdout);
	if (s->raw) {
		print_raw(text);
		return true;
	}
	display_summary_take(summary, str_first(text, header_size(text)));
	print_field("From", &summary->from);
	print_field("To", &summary->to);
	print_field("Cc", &summary->cc);
	print_field("Date", &summary->date);
	print_field("Subject", &summary->subject);
	putchar('\n');
	print_body(text);
	return true;
}

bool cli_pop3_show(struct cli_call *call, struct fail **fail)
{
	CLEANUP(end) struct session s = {};
	struct showing showing = { .raw = call->given & CLI_RAW };
	buf_init(&showing.listing.header, SHOWN_MAX);
	display_summary_init(&showing.listing.summary);
	const struct pop3_sink sink = { begin_header, take_header, end_show, &showing.listing };
	bool good = open_session(call, &s, fail) && select_mails(call, &s, fail) &&
	            pop3_client_top(s.client, s.indexes, s.count, call->lines, &sink, fail);
	if (good)
		say_goodbye(&s);
	release_listing(&showing.listing);
	return good;
}

/* ---- fetch ---- */

static void tell_saved(void *context, const struct pop3_mail *mail, const char *path, const char *refusal)
{
	(void)context;
	if (refusal)
		cli_say(_("warning: the server does not give mail %s: %s"), mail->uid, refusal);
	else
		printf("%s\t%s\n", mail->uid, path);
}

static struct mail_folder *open_folder(struct cli_call *call, const struct server *server, struct fail **fail)
{
	CLEANUP(buf_release) struct buf mailbox = BUF_WITH_LIMIT(2000);
	server_print_mailbox(&mailbox, server);
	return mail_folder_open(call->directory, call->format, buf_str(&mailbox), fail);
}

bool cli_pop3_fetch(struct cli_call *call, struct fail **fail)
{
	CLEANUP(end) struct session s = {};
	if (!open_session(call, &s, fail) || !select_mails(call, &s, fail))
		return false;
	CLEANUP(mail_folder_cleanup) struct mail_folder *folder = open_folder(call, &s.server, fail);
	if (!folder)
		return false;
	struct pop3_download d = { s.client, folder, .again = call->given & CLI_AGAIN, .done = tell_saved };
	bool good = pop3_download_run(&d, s.indexes, s.count, fail);
	cli_say(_("saved: %zu, there already: %zu; nothing was deleted on the server"), d.saved, d.there);
	if (!good)
		return false;
	say_goodbye(&s);
	return d.refused == 0 || fail_set(fail, FAIL_IO, _("the server did not give %zu mails"), d.refused);
}

/* ---- delete ---- */

static bool check_unique(const struct session *s, struct fail **fail)
{
	for (size_t i = 0; i < s->count; i++) {
		const struct pop3_mail *mail = pop3_client_mail(s->client, s->indexes[i]);
		if (mail->is_repeated)
			return fail_set(fail, FAIL_NOT_FOUND,
			                _("the unique id %s stands for several mails, so it does not say which to delete"),
			                mail->uid);
	}
	return true;
}

/* Every failure says what became of the mails. */
static bool tell_fate(const struct session *s, struct fail **fail)
{
	CLEANUP(mem_free) char *text = mem_printf("%s", fail_text(*fail));
	bool unknown = s->client && pop3_client_deletion(s->client) == POP3_DELETION_UNKNOWN;
	return fail_set(fail, (*fail)->kind,
	                unknown ? _("%s; some, all or none of the mails may be deleted: list them again")
	                        : _("%s; nothing was deleted"),
	                text);
}

bool cli_pop3_delete(struct cli_call *call, struct fail **fail)
{
	CLEANUP(end) struct session s = {};
	if (!open_session(call, &s, fail) || !select_mails(call, &s, fail) || !check_unique(&s, fail) ||
	    !pop3_client_mark(s.client, s.indexes, s.count, fail) || !pop3_client_quit(s.client, fail))
		return call->usage_wrong ? false : tell_fate(&s, fail);
	cli_say(_("deleted: %zu"), s.count);
	return true;
}
