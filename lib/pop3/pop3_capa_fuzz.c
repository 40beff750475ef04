/* CAPA: what was read from a server, announced by ours and read again is the same. */
#include "answer.h"
#include "capa.h"

#include "limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse_lines(struct str text, struct pop3_capabilities *capabilities, struct arena *arena)
{
	struct str line;
	while (str_take_until(&text, '\n', &line))
		pop3_capa_parse(capabilities, line, arena);
}

/* Reads an answer as a client does. */
static void parse_answer(struct str text, struct pop3_capabilities *capabilities, struct arena *arena)
{
	CLEANUP(pop3_answer_release) struct pop3_answer answer;
	struct str line;
	enum pop3_event event;
	pop3_answer_init(&answer, POP3_LISTING, 0);
	while ((event = pop3_answer_next(&answer, &text, &line, NULL)) == POP3_STATUS || event == POP3_LINE) {
		must(line.length + 2 <= LIMIT_POP3_STATUS_LINE_MAX);
		if (event == POP3_LINE)
			pop3_capa_parse(capabilities, line, arena);
	}
	must(event == POP3_ANSWERED && text.length == 0);
}

static void check_same(const struct pop3_capabilities *a, const struct pop3_capabilities *b)
{
	must(a->top == b->top && a->uidl == b->uidl && a->pipelining == b->pipelining && a->resp_codes == b->resp_codes);
	must(a->auth_resp_code == b->auth_resp_code && a->user == b->user && a->stls == b->stls && a->lang == b->lang);
	must(a->utf8 == b->utf8 && a->utf8_user == b->utf8_user && a->sasl == b->sasl);
	must(str_equal(a->mechanisms, b->mechanisms) && str_equal(a->implementation, b->implementation));
	must(a->login_delay == b->login_delay && a->expire == b->expire);
	must(!a->login_delay || (a->login_delay_s == b->login_delay_s && a->login_delay_differs == b->login_delay_differs));
	must(!a->expire || (a->expire_days == b->expire_days && a->expire_differs == b->expire_differs));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* What a server of ours could be configured to say: short and printable. */
	for (size_t i = 0; i < size; i++)
		if (data[i] != '\n' && (data[i] < 0x20 || data[i] > 0x7e))
			return 0;
	if (size > 400)
		return 0;
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 16);
	struct arena *arena = arena_new(1 << 20);
	struct pop3_capabilities read = {}, again = {};
	struct pop3_situation situation = { .state = POP3_AUTHORIZATION, .stls_offered = true, .clear_text_allowed = true };
	parse_lines(str_from((const char *)data, size), &read, arena);
	pop3_capa_answer(&out, &read, &situation);
	parse_answer(buf_str(&out), &again, arena);
	check_same(&read, &again);
	arena_free(arena);
	return 0;
}
