#include "config_type.h"

/* Sentences are wrapped to lines of this many characters. */
enum { WIDTH = 100 };

static void print_heading(struct buf *out, const char *heading)
{
	buf_printf(out, "\n\n## %s\n", heading);
}

/* The i-th value of a key, as a word or quoted. */
static bool print_value(struct buf *out, const struct config_key *key, const void *field, size_t i, bool quoted)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_CONFIG_VALUE_MAX);
	if (!key->type->text(key, field, i, &text))
		return false;
	config_syntax_print(out, buf_str(&text), quoted);
	return true;
}

/* All values of a list, each with a comma before it but the first. */
static void print_values(struct buf *out, const struct config_key *key, const void *field, bool quoted)
{
	size_t i = 0;
	for (bool more = true; more;) {
		CLEANUP(buf_release) struct buf value = BUF_WITH_LIMIT(2 * LIMIT_CONFIG_VALUE_MAX + 2);
		more = print_value(&value, key, field, i, quoted);
		if (more)
			buf_printf(out, i++ ? ", %s" : "%s", buf_text(&value));
	}
}

static void print_key(struct buf *out, const struct config *config, const struct config_key *key)
{
	const void *field = (const char *)config + key->offset;
	bool quoted = key->type->show == CONFIG_SHOW_QUOTED && !key->words;
	buf_printf(out, key->type->list ? "%s = {" : "%s = ", key->name);
	if (key->type->list)
		print_values(out, key, field, quoted);
	else
		print_value(out, key, field, 0, quoted);
	buf_add_str(out, key->type->list ? STR("}\n") : STR("\n"));
}

static void print_certificate(struct buf *out, const struct config_certificate *certificate)
{
	buf_add_str(out, STR("certificate "));
	config_syntax_print(out, str_of(certificate->title), true);
	buf_add_str(out, STR(" {\n\tchain = "));
	config_syntax_print(out, str_of(certificate->chain), true);
	buf_add_str(out, STR("\n\tkey = "));
	config_syntax_print(out, str_of(certificate->key), true);
	buf_add_str(out, STR("\n}\n"));
}

void config_print(const struct config *config, struct buf *out)
{
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++)
		if (key->name)
			print_key(out, config, key);
	for (size_t i = 0; i < config->certificates.count; i++)
		print_certificate(out, &config->certificates.items[i]);
}

static void print_wrapped(struct buf *out, struct str text)
{
	size_t column = 0;
	struct str word;
	while (str_take_until(&text, ' ', &word)) {
		if (column == 0 || column + 1 + word.length > WIDTH) {
			buf_add_str(out, column ? STR("\n#") : STR("#"));
			column = 1;
		}
		buf_add_char(out, ' ');
		buf_add_str(out, word);
		column += word.length + 1;
	}
	buf_add_char(out, '\n');
}

static void print_comment(struct buf *out, const struct config_key *key)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(4096);
	buf_add_str(&text, str_of(key->sentence));
	if (key->words)
		buf_printf(&text, " One of: %s.", key->words);
	if (key->min < key->max && key->max < INT64_MAX)
		buf_printf(&text, " (%ju to %ju%s%s)", (uintmax_t)key->min, (uintmax_t)key->max, key->unit ? " " : "",
		           key->unit ? key->unit : "");
	else if (key->unit)
		buf_printf(&text, " (%s)", key->unit);
	print_wrapped(out, buf_str(&text));
}

static const char introduction[] =
	"# Configuration of Posthorn; see posthorn.conf(5). Every key is shown with its default: take the #\n"
	"# away from its line to change it. `posthornctl check-config` says whether all is well.\n"
	"# Values with other characters than letters, digits and ._:/*-+[] stand in double quotes.\n"
	"\n"
	"# Certificates for TLS: chain begins with the host's own certificate. Clients get the one whose names\n"
	"# fit what they ask for, and the first one when none fits. Several sections are possible.\n"
	"#certificate \"mail.example.org\" {\n"
	"#\tchain = \"/etc/posthorn/mail.example.org.chain.pem\"\n"
	"#\tkey = \"/etc/posthorn/mail.example.org.key.pem\"\n"
	"#}\n";

void config_print_default(struct buf *out)
{
	CLEANUP(config_release) struct config config;
	config_init(&config);
	buf_add_str(out, str_of(introduction));
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++) {
		if (key->heading) {
			print_heading(out, key->heading);
			continue;
		}
		buf_add_char(out, '\n');
		print_comment(out, key);
		buf_add_char(out, '#');
		print_key(out, &config, key);
	}
}

/* Values are UTF-8 without control characters, so JSON escapes " and \\ as the file does. */
static void json_value(struct buf *out, const struct config_key *key, const void *field)
{
	if (key->type->list) {
		buf_add_char(out, '[');
		print_values(out, key, field, true);
		buf_add_char(out, ']');
	} else if (key->type->show == CONFIG_SHOW_FLAG) {
		buf_add_str(out, *(const bool *)field ? STR("true") : STR("false"));
	} else {
		print_value(out, key, field, 0, key->type->show == CONFIG_SHOW_QUOTED);
	}
}

static void json_certificates(struct buf *out, const struct config_certificates *certificates)
{
	buf_add_str(out, STR("  \"certificates\": ["));
	for (size_t i = 0; i < certificates->count; i++) {
		const struct config_certificate *certificate = &certificates->items[i];
		buf_add_str(out, i ? STR(", {\"title\": ") : STR("{\"title\": "));
		config_syntax_print(out, str_of(certificate->title), true);
		buf_add_str(out, STR(", \"chain\": "));
		config_syntax_print(out, str_of(certificate->chain), true);
		buf_add_str(out, STR(", \"key\": "));
		config_syntax_print(out, str_of(certificate->key), true);
		buf_add_char(out, '}');
	}
	buf_add_str(out, STR("]\n"));
}

void config_print_json(const struct config *config, struct buf *out)
{
	buf_add_str(out, STR("{\n"));
	for (const struct config_key *key = config_keys; key < config_keys + config_key_count; key++) {
		if (!key->name)
			continue;
		buf_printf(out, "  \"%s\": ", key->name);
		json_value(out, key, (const char *)config + key->offset);
		buf_add_str(out, STR(",\n"));
	}
	json_certificates(out, &config->certificates);
	buf_add_str(out, STR("}\n"));
}
