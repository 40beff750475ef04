#include "services.h"

static const struct {
	const char *name;
	bool tls;
	enum kind kind;
} services[SERVICE_COUNT] = {
	[SERVICE_SMTP] = { "smtp", false, KIND_WORLD },
	[SERVICE_LMTP] = { "lmtp", false, KIND_WORLD },
	[SERVICE_SUBMISSION] = { "submission", false, KIND_USERS },
	[SERVICE_SUBMISSIONS] = { "submissions", true, KIND_USERS },
	[SERVICE_POP3] = { "pop3", false, KIND_USERS },
	[SERVICE_POP3S] = { "pop3s", true, KIND_USERS },
	[SERVICE_IMAP] = { "imap", false, KIND_USERS },
	[SERVICE_CONTROL] = { "control", false, KIND_COUNT },
	[SERVICE_PASSWORD] = { "password", false, KIND_COUNT },
	[SERVICE_IMAPS] = { "imaps", true, KIND_USERS },
};

const char *service_name(enum service service)
{
	return (unsigned)service < SERVICE_COUNT ? services[service].name : "unknown";
}

bool service_is_tls(enum service service)
{
	must((unsigned)service < SERVICE_COUNT);
	return services[service].tls;
}

enum kind service_kind(enum service service)
{
	must((unsigned)service < SERVICE_COUNT);
	return services[service].kind;
}

static void add_counted(struct buf *targets, struct str s)
{
	uint16_t length = (uint16_t)s.length;
	must(s.length <= UINT16_MAX);
	buf_append(targets, &length, sizeof length);
	buf_add_str(targets, s);
}

void target_add(struct buf *targets, const struct target *target)
{
	buf_append(targets, &target->account, sizeof target->account);
	add_counted(targets, target->address);
	add_counted(targets, target->detail);
}

static bool take_counted(struct str *rest, struct str *s)
{
	uint16_t length;
	if (rest->length < sizeof length)
		return false;
	memcpy(&length, rest->data, sizeof length);
	if (rest->length - sizeof length < length)
		return false;
	*s = str_first(str_from_index(*rest, sizeof length), length);
	*rest = str_from_index(*rest, sizeof length + length);
	return true;
}

bool target_next(struct str *rest, struct target *target)
{
	struct str at = *rest;
	if (at.length < sizeof target->account)
		return false;
	memcpy(&target->account, at.data, sizeof target->account);
	at = str_from_index(at, sizeof target->account);
	if (!take_counted(&at, &target->address) || !take_counted(&at, &target->detail))
		return false;
	*rest = at;
	return true;
}

void delivery_place_add(struct buf *places, const struct delivery_place *place)
{
	buf_append(places, &place->sequence, sizeof place->sequence);
	buf_append(places, &place->recipient, sizeof place->recipient);
}

bool delivery_place_next(struct str *rest, struct delivery_place *place)
{
	size_t size = sizeof place->sequence + sizeof place->recipient;
	if (rest->length < size)
		return false;
	memcpy(&place->sequence, rest->data, sizeof place->sequence);
	memcpy(&place->recipient, rest->data + sizeof place->sequence, sizeof place->recipient);
	*rest = str_from_index(*rest, size);
	return true;
}

static void add_number(struct buf *out, uint32_t number)
{
	buf_append(out, &number, sizeof number);
}

static bool take_number(struct str *rest, uint32_t *number)
{
	if (rest->length < sizeof *number)
		return false;
	memcpy(number, rest->data, sizeof *number);
	*rest = str_from_index(*rest, sizeof *number);
	return true;
}

void relay_recipient_add(struct buf *recipients, const struct relay_recipient *recipient)
{
	add_number(recipients, recipient->place);
	add_number(recipients, recipient->notify);
	add_counted(recipients, recipient->address);
	add_counted(recipients, recipient->orcpt);
}

bool relay_recipient_next(struct str *rest, struct relay_recipient *recipient)
{
	struct str at = *rest;
	if (!take_number(&at, &recipient->place) || !take_number(&at, &recipient->notify) ||
	    !take_counted(&at, &recipient->address) || !take_counted(&at, &recipient->orcpt))
		return false;
	*rest = at;
	return true;
}

void relay_place_add(struct buf *places, uint32_t place)
{
	add_number(places, place);
}

bool relay_place_next(struct str *rest, uint32_t *place)
{
	return take_number(rest, place);
}

void relay_number_add(struct buf *numbers, uint64_t number)
{
	buf_append(numbers, &number, sizeof number);
}

bool relay_number_next(struct str *rest, uint64_t *number)
{
	if (rest->length < sizeof *number)
		return false;
	memcpy(number, rest->data, sizeof *number);
	*rest = str_from_index(*rest, sizeof *number);
	return true;
}

static const struct {
	unsigned bit;
	struct str name;
	bool needs_tls;
	bool sends_password;
} mechanisms[] = {
	{ MECHANISM_SCRAM_SHA_256_PLUS, { "SCRAM-SHA-256-PLUS", 18 }, true, false },
	{ MECHANISM_SCRAM_SHA_256, { "SCRAM-SHA-256", 13 }, false, false },
	{ MECHANISM_SCRAM_SHA_1_PLUS, { "SCRAM-SHA-1-PLUS", 16 }, true, false },
	{ MECHANISM_SCRAM_SHA_1, { "SCRAM-SHA-1", 11 }, false, false },
	{ MECHANISM_CRAM_MD5, { "CRAM-MD5", 8 }, false, false },
	{ MECHANISM_PLAIN, { "PLAIN", 5 }, false, true },
	{ MECHANISM_LOGIN, { "LOGIN", 5 }, false, true },
};

void mechanism_list(struct buf *out, unsigned offered, bool tls, bool password_allowed)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++) {
		if (!(offered & mechanisms[i].bit) || (mechanisms[i].needs_tls && !tls) ||
		    (mechanisms[i].sends_password && !password_allowed))
			continue;
		if (out->length)
			buf_add_char(out, ' ');
		buf_add_str(out, mechanisms[i].name);
	}
}

unsigned mechanism_find(struct str name)
{
	for (size_t i = 0; i < COUNT_OF(mechanisms); i++)
		if (str_equal_nocase(mechanisms[i].name, name))
			return mechanisms[i].bit;
	return 0;
}

bool mechanism_sends_password(unsigned mechanism)
{
	return mechanism & (MECHANISM_PLAIN | MECHANISM_LOGIN);
}
