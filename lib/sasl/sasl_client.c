#include "sasl_internal.h"
#include "translate.h"

/* A server may ask for too few rounds to learn the password, or for so many that we hang:
 * RFC 5802 §5.1 sets the lower bound, patience the upper. */
#define ITERATIONS_MIN 4096
#define ITERATIONS_MAX 1000000

static enum sasl_result sent_all(struct sasl_exchange *x)
{
	x->over = true;
	return SASL_DONE;
}

/* RFC 4616 §2. */
enum sasl_result sasl_client_plain(struct sasl_exchange *x, struct str input, struct buf *output)
{
	if (!str_is_empty(input))
		return sasl_fail(x, N_("the challenge is not empty"));
	buf_add_char(output, 0);
	buf_add_str(output, sasl_identity(x));
	buf_add_char(output, 0);
	buf_add_str(output, sasl_password(x));
	return sent_all(x);
}

/* The prompts differ between servers, so they are not looked at. */
enum sasl_result sasl_client_login(struct sasl_exchange *x, struct str input, struct buf *output)
{
	(void)input;
	buf_add_str(output, x->steps == 1 ? sasl_identity(x) : sasl_password(x));
	return x->steps == 1 ? SASL_MORE : sent_all(x);
}

static bool iterations_are_sane(struct str server_first)
{
	struct str part;
	uint64_t iterations;
	while (str_take_until(&server_first, ',', &part)) {
		if (str_starts(part, STR("i=")))
			return str_to_u64(str_from_index(part, 2), ITERATIONS_MAX, &iterations) && iterations >= ITERATIONS_MIN;
	}
	return false;
}

enum sasl_result sasl_client_scram(struct sasl_exchange *x, struct str input, struct buf *output)
{
	if (input.length > 0 && memchr(input.data, 0, input.length))
		return sasl_fail(x, N_("the server's message is malformed"));
	if (x->steps == 2 && !iterations_are_sane(input))
		return sasl_fail(x, N_("the server asks for too few or too many iterations"));
	int code = sasl_session_step(x, input, output);
	if (code == GSASL_NEEDS_MORE)
		return SASL_MORE;
	return code == GSASL_OK ? sent_all(x) : sasl_fail(x, gsasl_strerror(code));
}

/* RFC 2195 §2. */
enum sasl_result sasl_client_cram(struct sasl_exchange *x, struct str input, struct buf *output)
{
	if (str_is_empty(input) || memchr(input.data, 0, input.length))
		return sasl_fail(x, N_("the challenge is malformed"));
	int code = sasl_session_step(x, input, output);
	return code == GSASL_OK ? sent_all(x) : sasl_fail(x, gsasl_strerror(code));
}

enum sasl_result sasl_client_step(struct sasl_exchange *x, struct str input, struct buf *output)
{
	must(!x->directory);
	if (!sasl_step_begin(x, input, output))
		return SASL_FAILED;
	enum sasl_result result = x->mechanism->client_step(x, input, output);
	if (result == SASL_FAILED)
		buf_clear(output);
	return result;
}
