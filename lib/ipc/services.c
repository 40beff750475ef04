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
