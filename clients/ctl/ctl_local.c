#include "ctl_local.h"

#include "config.h"
#include "ctl_link.h"
#include "doctor.h"
#include "mem.h"
#include "socket.h"
#include "tls_files.h"

#include <netinet/in.h>
#include <unistd.h>

/* FILE, --config, the file of --directory, or the one of the system. */
static char *path_of(const struct ctl_call *call)
{
	if (call->argument_count)
		return mem_printf("%s", call->arguments[0]);
	return ctl_config_path(call->config ? NULL : call->directory, call->config);
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

/* Each is bound as master will, and let go. Who is not root may not try the ports below 1024. */
static bool check_places(const struct config *config, const char *key, const struct config_listeners *places,
                         struct fail **fail)
{
	for (size_t i = 0; i < places->count; i++) {
		struct endpoint place;
		if (!config_listener_address(config, places->items[i], &place, fail))
			return fail_prefix(fail, "%s", key);
		if (!endpoint_is_ip(&place) || (endpoint_port(&place) < IPPORT_RESERVED && geteuid() != 0))
			continue;
		int descriptor = socket_listen(&place, 1, fail);
		if (descriptor < 0)
			return fail_prefix(fail, "%s", key);
		close(descriptor);
	}
	return true;
}

/* A post office that runs has its ports, so that they say nothing; at reload it tells itself which it does not get. */
static bool check_ports(const struct config *config, struct fail **fail)
{
	const struct {
		const char *key;
		const struct config_listeners *places;
	} services[] = {
		{ "listen_smtp", &config->listen_smtp }, { "listen_submission", &config->listen_submission },
		{ "listen_submissions", &config->listen_submissions }, { "listen_lmtp", &config->listen_lmtp },
		{ "listen_pop3", &config->listen_pop3 }, { "listen_pop3s", &config->listen_pop3s },
		{ "listen_imap", &config->listen_imap }, { "listen_imaps", &config->listen_imaps },
	};
	CLEANUP(ipc_channel_release) struct ipc_channel running = { .descriptor = -1 };
	CLEANUP(fail_free) struct fail *why = NULL;
	if (ctl_connect(config->runtime_directory, CTL_MASTER, &running, &why) || why->kind == FAIL_DENIED)
		return true;
	for (size_t i = 0; i < COUNT_OF(services); i++)
		if (!check_places(config, services[i].key, services[i].places, fail))
			return false;
	return true;
}

/* What is no mistake of the configuration, but will not work either. */
static void warn_of_expiry(const struct config *config)
{
	for (size_t i = 0; i < config->certificates.count; i++) {
		const struct config_certificate *certificate = &config->certificates.items[i];
		int64_t seconds;
		if (doctor_certificate_life(certificate->chain, &seconds, NULL) && seconds <= 0)
			fprintf(stderr, "posthornctl: warning: certificate \"%s\": %s has expired\n", certificate->title,
			        certificate->chain);
	}
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
		if (!config_check(&config, fail) || !check_certificates(&config, fail) || !check_ports(&config, fail))
			return false;
		warn_of_expiry(&config);
		buf_printf(&text, call->json ? "[]\n" : "%s is right\n", path);
	} else if (call->json) {
		config_print_json(&config, &text);
	} else {
		config_print(&config, &text);
	}
	fwrite(text.data, 1, text.length, out);
	return true;
}
