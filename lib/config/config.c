#include "config_type.h"

#include "array.h"
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void *field_of(struct config *config, const struct config_key *key)
{
	return (char *)config + key->offset;
}

void config_init(struct config *config)
{
	*config = (struct config){};
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++) {
		if (!key->name)
			continue;
		struct config_values values;
		config_values_split(&values, key, str_of(key->standard));
		must(config_key_set(key, config, &values, NULL));
		config_values_release(&values);
	}
}

static void certificate_release(struct config_certificate *certificate)
{
	free(certificate->title);
	free(certificate->chain);
	free(certificate->key);
}

void config_release(struct config *config)
{
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++)
		if (key->name)
			key->type->clear(field_of(config, key));
	for (size_t i = 0; i < config->certificates.count; i++)
		certificate_release(&config->certificates.items[i]);
	array_release(&config->certificates);
	*config = (struct config){};
}

/* What config_parse carries from one assignment to the next. */
struct parse {
	struct config *config;
	struct config_certificate certificate; /* of the section being read */
	unsigned *lines;                       /* per key: where it was set, 0 for not yet */
};

static bool set_path(char **path, const struct config_assignment *a, struct fail **fail)
{
	if (a->values.braced)
		return fail_set(fail, FAIL_INVALID, "%.*s takes one value, not a list", STR_ARG(a->key));
	if (*path)
		return fail_set(fail, FAIL_INVALID, "%.*s stands twice in this section", STR_ARG(a->key));
	if (!config_path_check(str_equal(a->key, STR("key")) ? "key" : "chain", a->values.items[0], fail))
		return false;
	*path = str_copy(a->values.items[0]);
	return true;
}

static bool end_certificate(struct parse *p, const struct config_assignment *a, struct fail **fail)
{
	struct config_certificates *certificates = &p->config->certificates;
	if (!p->certificate.chain || !p->certificate.key)
		return fail_set(fail, FAIL_INVALID, "certificate \"%.*s\" needs both chain and key", STR_ARG(a->title));
	if (certificates->count == LIMIT_CONFIG_LIST_MAX)
		return fail_set(fail, FAIL_LIMIT, "more than %d certificates", LIMIT_CONFIG_LIST_MAX);
	for (size_t i = 0; i < certificates->count; i++)
		if (str_equal(str_of(certificates->items[i].title), a->title))
			return fail_set(fail, FAIL_INVALID, "there are two certificates \"%.*s\"", STR_ARG(a->title));
	p->certificate.title = str_copy(a->title);
	*array_add(certificates) = p->certificate;
	p->certificate = (struct config_certificate){};
	return true;
}

static bool in_section(struct parse *p, const struct config_assignment *a, struct fail **fail)
{
	if (!str_equal(a->section, STR("certificate")))
		return fail_set(fail, FAIL_INVALID, "there is no section \"%.*s\", only certificate \"name\" { … }; "
		                "a key has = behind it", STR_ARG(str_first(a->section, 100)));
	if (a->title.length > 100)
		return fail_set(fail, FAIL_INVALID, "the title of the certificate is longer than 100 octets");
	if (str_is_empty(a->key))
		return end_certificate(p, a, fail);
	if (str_equal(a->key, STR("chain")))
		return set_path(&p->certificate.chain, a, fail);
	if (str_equal(a->key, STR("key")))
		return set_path(&p->certificate.key, a, fail);
	return fail_set(fail, FAIL_INVALID, "a certificate has chain and key, but no \"%.*s\"",
	                STR_ARG(str_first(a->key, 100)));
}

static bool on_assignment(void *context, const struct config_assignment *a, struct fail **fail)
{
	struct parse *p = context;
	if (a->section.length)
		return in_section(p, a, fail);
	const struct config_key *key = config_key_find(a->key, fail);
	if (!key)
		return false;
	unsigned *line = &p->lines[key - config_keys];
	if (*line)
		return fail_set(fail, FAIL_INVALID, "%s was set on line %u already", key->name, *line);
	*line = a->line;
	return config_key_set(key, p->config, &a->values, fail);
}

static bool parse(const char *name, struct str text, struct config *config, struct fail **fail)
{
	CLEANUP(mem_free) unsigned *lines = mem_alloc(config_key_count * sizeof *lines);
	struct parse p = { .config = config, .lines = lines };
	config_init(config);
	bool done = config_syntax_read(text, on_assignment, &p, fail);
	certificate_release(&p.certificate);
	if (done)
		return true;
	config_release(config);
	/* The reader's texts begin with the line. */
	if (fail && *fail) {
		char *whole = mem_printf("%s:%s", name, (*fail)->text);
		free((*fail)->text);
		(*fail)->text = whole;
	}
	return false;
}

bool config_parse(const char *text, size_t length, struct config *config, struct fail **fail)
{
	return parse("posthorn.conf", str_from(text, length), config, fail);
}

static bool read_file(const char *path, struct buf *text, struct fail **fail)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_set_errno(fail, errno == ENOENT ? FAIL_NOT_FOUND : FAIL_IO, "cannot open %s", path);
	ssize_t got = 1;
	while (got > 0 && !text->overflowed) {
		char *room = buf_reserve(text, 65536);
		got = room ? read(fd, room, 65536) : 0;
		if (got > 0)
			buf_claim(text, (size_t)got);
	}
	close(fd);
	if (got < 0)
		return fail_set_errno(fail, FAIL_IO, "cannot read %s", path);
	return true;
}

static void take_system_name(struct config *config)
{
	char name[LIMIT_DOMAIN_MAX + 1] = "";
	if (gethostname(name, sizeof name - 1) != 0)
		return;
	CLEANUP(mem_free) char *assignment = mem_printf("hostname=%s", name);
	/* A system name that is no host name leaves it empty, which config_check reports. */
	config_set(config, assignment, NULL);
}

bool config_load(const char *path, struct config *config, struct fail **fail)
{
	*config = (struct config){};
	/* Room beyond the limit, so that the reader sees an oversized file as such. */
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_CONFIG_SIZE_MAX + 2 * 65536);
	if (!read_file(path, &text, fail) || !parse(path, buf_str(&text), config, fail))
		return false;
	if (!config->hostname[0])
		take_system_name(config);
	return true;
}

bool config_set(struct config *config, const char *assignment, struct fail **fail)
{
	struct str text = str_of(assignment);
	size_t equals = str_find_char(text, '=');
	if (equals == text.length)
		return fail_set(fail, FAIL_INVALID, "\"%.*s\" is not of the form key=value", STR_ARG(str_first(text, 100)));
	const struct config_key *key = config_key_find(str_trim(str_first(text, equals)), fail);
	if (!key)
		return false;
	struct str value = str_trim(str_from_index(text, equals + 1));
	struct config_values values;
	config_values_split(&values, key, value);
	bool done = values.count <= LIMIT_CONFIG_LIST_MAX
	                ? config_key_set(key, config, &values, fail)
	                : fail_set(fail, FAIL_INVALID, "%s: the list is too long", key->name);
	config_values_release(&values);
	return done;
}

bool config_listener_address(const struct config *config, const char *listener, struct endpoint *address,
                             struct fail **fail)
{
	if (strchr(listener, ':') || listener[0] == '/')
		return endpoint_parse(str_of(listener), address, fail);
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", config->runtime_directory, listener);
	return endpoint_parse(str_of(path), address, fail) || fail_prefix(fail, "%s", path);
}

bool config_key_info(size_t i, struct config_key_info *info)
{
	const char *heading = NULL;
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++) {
		if (key->heading) {
			heading = key->heading;
		} else if (i-- == 0) {
			*info = (struct config_key_info){ heading,  key->name, key->standard, key->min,
				                              key->max, key->unit, key->words,    key->sentence };
			return true;
		}
	}
	return false;
}
