/* posthorn account: the accounts of this user. */
#include "cli.h"

#include <jansson.h>
#include <stdio.h>

/* ---- list ---- */

struct listing {
	json_t *objects; /* or NULL */
};

static json_t *server_object(const struct server *server)
{
	if (!server->host[0])
		return json_null();
	return json_pack("{ss si ss ss}", "host", server->host, "port", (int)server_port(server), "tls",
	                 server_tls_name(server->tls), "user", server->user);
}

static void add_server(struct buf *out, const struct server *server)
{
	buf_add_char(out, '\t');
	if (!server->host[0])
		return;
	server_print_url(out, server);
	if (server->tls == SERVER_TLS_NONE)
		buf_printf(out, " (%s)", _("not encrypted"));
}

static void print_row(const struct account *account)
{
	CLEANUP(buf_release) struct buf row = BUF_WITH_LIMIT(8192);
	buf_add_str(&row, str_of(account->name));
	add_server(&row, &account->mailbox);
	add_server(&row, &account->submission);
	buf_printf(&row, "\t%s\t%s\n", login_method_name(account->method), account->address);
	fputs(buf_text(&row), stdout);
}

static void visit(void *context, const struct account *account)
{
	struct listing *l = context;
	if (!l->objects) {
		print_row(account);
		return;
	}
	json_t *object = json_pack("{ss so so ss ss}", "name", account->name, "pop3", server_object(&account->mailbox),
	                           "send", server_object(&account->submission), "login",
	                           login_method_name(account->method), "from", account->address);
	must(json_array_append_new(l->objects, object) == 0);
}

bool cli_account_list(struct cli_call *call, struct fail **fail)
{
	CLEANUP(account_book_cleanup) struct account_book *book = cli_open_accounts(fail);
	struct listing l = { .objects = call->given & CLI_JSON ? json_array() : NULL };
	bool good = book && account_each(book, visit, &l, fail);
	if (l.objects && good) {
		json_dumpf(l.objects, stdout, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
		putchar('\n');
	}
	json_decref(l.objects);
	return good;
}

/* ---- add, change, remove ---- */

static bool copy_text(char *to, size_t size, const char *text, const char *what, struct fail **fail)
{
	size_t length = strlen(text);
	if (length >= size)
		return fail_set(fail, FAIL_INVALID, _("%s is too long"), _(what));
	memcpy(to, text, length + 1);
	return true;
}

static bool take_servers(const struct cli_call *call, const char *url, struct account *account, struct fail **fail)
{
	if (url && !server_parse_url(str_of(url), &account->mailbox, fail))
		return false;
	if (call->send && !*call->send)
		account->submission = (struct server){};
	else if (call->send && !server_parse_url(str_of(call->send), &account->submission, fail))
		return false;
	if (call->given & CLI_TLS)
		account->mailbox.tls = call->tls;
	if (call->given & CLI_SEND_TLS && !account->submission.host[0])
		return fail_set(fail, FAIL_INVALID, _("--send-tls needs a server to send by"));
	if (call->given & CLI_SEND_TLS)
		account->submission.tls = call->send_tls;
	return true;
}

static bool take(const struct cli_call *call, const char *name, const char *url, struct account *account,
                 struct fail **fail)
{
	if (call->given & CLI_LOGIN)
		account->method = call->method;
	return copy_text(account->name, sizeof account->name, name, N_("the name"), fail) &&
	       take_servers(call, url, account, fail) &&
	       (!call->from || copy_text(account->address, sizeof account->address, call->from, N_("the address"), fail));
}

bool cli_account_add(struct cli_call *call, struct fail **fail)
{
	struct account account = {};
	if (!take(call, call->operands[0], call->operands[1], &account, fail))
		return false;
	CLEANUP(account_book_cleanup) struct account_book *book = cli_open_accounts(fail);
	return book && account_add(book, &account, fail);
}

bool cli_account_change(struct cli_call *call, struct fail **fail)
{
	struct account account;
	const char *name = call->operands[0];
	CLEANUP(account_book_cleanup) struct account_book *book = cli_open_accounts(fail);
	return book && account_find(book, name, &account, fail) &&
	       take(call, call->rename ? call->rename : account.name, call->url, &account, fail) &&
	       account_change(book, name, &account, fail);
}

bool cli_account_remove(struct cli_call *call, struct fail **fail)
{
	CLEANUP(account_book_cleanup) struct account_book *book = cli_open_accounts(fail);
	return book && account_remove(book, call->operands[0], fail);
}
