#include "ctl_local.h"

#include "config.h"
#include "mem.h"
#include "tls_files.h"

/* FILE, --config, the file of --directory, or the one of the system. */
static char *path_of(const struct ctl_call *call)
{
	if (call->argument_count)
		return mem_printf("%s", call->arguments[0]);
	if (call->directory && !call->config)
		return mem_printf("%s/posthorn.conf", call->directory);
	return mem_printf("%s", call->config ? call->config : "/etc/posthorn/posthorn.conf");
}

static bool load(const struct ctl_call *call, const char *path, struct config *config, struct fail **fail)
{
	if (!config_load(path, config, fail))
		return false;
	for (size_t i = 0; i < call->setting_count; i++)
		if (!config_set(config, call->settings[i], fail))
			return fail_prefix(fail, "--set %s", call->settings[i]);
	return true;
}

/* As master does at a start and at reload. */
static bool check_certificates(const struct config *config, struct fail **fail)
{
	CLEANUP(tls_server_cleanup) struct tls_server *server = tls_server_new((enum tls_minimum)config->tls_minimum);
	for (size_t i = 0; i < config->certificates.count; i++) {
		const struct config_certificate *certificate = &config->certificates.items[i];
		CLEANUP(tls_files_release) struct tls_files files;
		if (!tls_files_load(server, certificate->chain, certificate->key, &files, fail))
			return fail_prefix(fail, "certificate \"%s\"", certificate->title);
	}
	return true;
}

bool ctl_local_run(const struct ctl_call *call, FILE *out, struct fail **fail)
{
	CLEANUP(mem_free) char *path = path_of(call);
	CLEANUP(config_release) struct config config = {};
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_CONFIG_SIZE_MAX * 2);
	if (!load(call, path, &config, fail))
		return false;
	if (str_equal(str_of(call->command->words), STR("check-config"))) {
		if (!config_check(&config, fail) || !check_certificates(&config, fail))
			return false;
		buf_printf(&text, call->json ? "[]\n" : "%s is right\n", path);
	} else if (call->json) {
		config_print_json(&config, &text);
	} else {
		config_print(&config, &text);
	}
	fwrite(text.data, 1, text.length, out);
	return true;
}
