/* posthornctl sessions, session, failures. */
#include "control.h"

#include "clock.h"
#include "log.h"
#include "mem.h"
#include "text.h"

static void describe_session(struct connection *c, void *control)
{
	CLEANUP(row_release) struct row row = ROW;
	CLEANUP(mem_free) char *id = mem_printf("%016llx", (unsigned long long)c->id);
	if (!c->account)
		return;
	row_text(&row, "session", str_of(id));
	row_text(&row, "account", str_of(c->address));
	row_text(&row, "service", str_of(service_name(c->service)));
	row_text(&row, "peer", str_of(c->source.text));
	row_number(&row, "since", c->since);
	row_send(&row, control);
}

bool sessions(struct call *call, struct fail **fail)
{
	(void)fail;
	connection_each(call->auth, describe_session, call->control);
	return true;
}

struct wanted_session {
	uint64_t id;
	struct connection *found;
};

static void find_session(struct connection *c, void *context)
{
	struct wanted_session *wanted = context;
	if (c->account && c->id == wanted->id)
		wanted->found = c;
}

/* As sessions and the log show it, with or without its zeros. */
static bool session_id_parse(struct str text, uint64_t *id)
{
	char padded[16], bytes[8];
	if (text.length == 0 || text.length > sizeof padded)
		return false;
	memset(padded, '0', sizeof padded);
	memcpy(padded + sizeof padded - text.length, text.data, text.length);
	if (!text_hex_decode(str_from(padded, sizeof padded), bytes, sizeof bytes))
		return false;
	*id = 0;
	for (size_t i = 0; i < sizeof bytes; i++)
		*id = *id << 8 | (unsigned char)bytes[i];
	return true;
}

bool session_drop(struct call *call, struct fail **fail)
{
	struct wanted_session wanted = {};
	if (session_id_parse(call->words[0], &wanted.id))
		connection_each(call->auth, find_session, &wanted);
	if (!wanted.found)
		return fail_set(fail, FAIL_NOT_FOUND, "there is no session %.*s", STR_ARG(call->words[0]));
	log_event(LOG_INFO, wanted.id, "session-dropped", LOG_TEXT("account", str_of(wanted.found->address)));
	connection_drop(call->auth, wanted.found->porter->peer.id, wanted.id);
	return true;
}

/* Names that are nobody's are counted too, but kept only as a hash. */
bool failures_list(struct call *call, struct fail **fail)
{
	struct auth *auth = call->auth;
	CLEANUP(row_release) struct row row = ROW;
	int64_t now = clock_monotonic_ms();
	unsigned most = auth->daemon.config.block_after_failures;
	(void)fail;
	for (struct recent_entry *e = recent_next(auth->failures, NULL); e; e = recent_next(auth->failures, e)) {
		if (e->until_ms <= now)
			continue;
		bool is_name = e->account || !e->label[0];
		row_text(&row, "kind", is_name ? STR("account") : STR("peer"));
		row_text(&row, "name", e->label[0] ? str_of(e->label) : STR("(unknown)"));
		row_number(&row, "failures", e->count);
		row_text(&row, "blocked", !is_name && most && e->count >= most ? STR("yes") : STR("no"));
		row_number(&row, "forgotten-in", (e->until_ms - now + 999) / 1000);
		row_send(&row, call->control);
	}
	return true;
}

bool failures_clear(struct call *call, struct fail **fail)
{
	struct recent *failures = call->auth->failures;
	struct recent_entry *older;
	(void)fail;
	if (call->count == 0)
		recent_forget_all(failures);
	for (struct recent_entry *e = recent_next(failures, NULL); call->count && e; e = older) {
		older = recent_next(failures, e);
		struct recent_key key = e->key;
		if (str_equal_nocase(str_of(e->label), call->words[0]))
			recent_forget(failures, &key);
	}
	return true;
}
