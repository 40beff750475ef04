/* What filters hear of a session besides the commands: macros of Sendmail, by name. */
#include "host.h"
#include "milter_protocol.h"

#include <inttypes.h>
#include <stdio.h>

struct macro_context {
	struct session *s;
	const struct milter_request *request;
	char id[17];
	char host[300];
};

static struct str own_name(struct macro_context *c)
{
	return str_of(session_config(c->s)->hostname);
}

static struct str program(struct macro_context *c UNUSED)
{
	return STR("Posthorn");
}

static struct str client_address(struct macro_context *c)
{
	return str_of(c->s->peer);
}

static struct str client_name(struct macro_context *c)
{
	struct str name;
	host_name(c->s, &name);
	return name.length ? name : STR("unknown");
}

static struct str client(struct macro_context *c)
{
	snprintf(c->host, sizeof c->host, "%.*s [%s]", STR_ARG(client_name(c)), c->s->peer);
	return str_of(c->host);
}

static struct str tls_version(struct macro_context *c)
{
	return str_of(c->s->tls_version);
}

static struct str tls_cipher(struct macro_context *c)
{
	return str_of(c->s->tls_cipher);
}

static struct str mail_id(struct macro_context *c)
{
	snprintf(c->id, sizeof c->id, "%016" PRIx64, c->s->connection);
	return str_of(c->id);
}

static struct str sender(struct macro_context *c)
{
	return c->s->txn ? c->s->txn->mail.from.mailbox : (struct str){};
}

static struct str recipient(struct macro_context *c)
{
	struct str path = c->request->arguments[0];
	return c->request->command == MILTER_RCPT && path.length >= 2 ? str_from(path.data + 1, path.length - 2) : (struct str){};
}

static struct str account(struct macro_context *c)
{
	return str_of(c->s->account);
}

/* The mechanism is not known here; filters that sign look whether there was one. */
static struct str mechanism(struct macro_context *c)
{
	return c->s->account[0] ? STR("SASL") : (struct str){};
}

static const struct {
	const char *name;
	struct str (*value)(struct macro_context *c);
} macros[] = {
	{ "j", own_name },       { "_", client },           { "v", program },
	{ "i", mail_id },        { "{daemon_name}", own_name }, { "{client_addr}", client_address },
	{ "{client_name}", client_name }, { "{tls_version}", tls_version }, { "{cipher}", tls_cipher },
	{ "{mail_addr}", sender }, { "{rcpt_addr}", recipient }, { "{auth_authen}", account },
	{ "{auth_type}", mechanism },
};

/* What Sendmail's documentation lists for each, as far as it is known here. */
static struct str usual_names(enum milter_command command)
{
	switch (command) {
	case MILTER_CONNECT: return STR("j _ v {daemon_name} {client_addr} {client_name}");
	case MILTER_HELO: return STR("{tls_version} {cipher}");
	case MILTER_MAIL: return STR("i {mail_addr} {auth_authen} {auth_type}");
	case MILTER_RCPT: return STR("{rcpt_addr}");
	default: return STR("i");
	}
}

static void add_macro(struct milter_request *out, struct macro_context *c, struct str name)
{
	for (size_t i = 0; i < COUNT_OF(macros) && out->argument_count + 2 <= MILTER_ARGUMENTS_MAX; i++) {
		struct str value = str_equal(name, str_of(macros[i].name)) ? macros[i].value(c) : (struct str){};
		if (value.length == 0)
			continue;
		out->arguments[out->argument_count++] = str_of(macros[i].name);
		out->arguments[out->argument_count++] = value;
	}
}

void milter_tell_macros(struct session *s, struct milter_link *link, const struct milter_request *request)
{
	struct milter_request out = { .command = MILTER_MACROS, .macros_for = request->command };
	struct macro_context context = { .s = s, .request = request };
	struct str names, name;
	if (!milter_client_macros(&link->client, request->command, &names))
		names = usual_names(request->command);
	while (str_take_until(&names, ' ', &name))
		add_macro(&out, &context, name);
	milter_client_ask(&link->client, &out);
}
