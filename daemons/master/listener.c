/* Listening sockets: made as root, given to the porters. */
#include "master.h"

#include "endpoint.h"
#include "file.h"
#include "mem.h"
#include "socket.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BACKLOG = 1024 };

/* What is no client's service listens elsewhere. */
static const struct config_listeners *configured(const struct config *config, enum service service)
{
	static const struct config_listeners none;
	switch (service) {
	case SERVICE_SMTP: return &config->listen_smtp;
	case SERVICE_LMTP: return &config->listen_lmtp;
	case SERVICE_SUBMISSION: return &config->listen_submission;
	case SERVICE_SUBMISSIONS: return &config->listen_submissions;
	case SERVICE_POP3: return &config->listen_pop3;
	case SERVICE_POP3S: return &config->listen_pop3s;
	case SERVICE_IMAP: return &config->listen_imap;
	case SERVICE_IMAPS: return &config->listen_imaps;
	default: return &none;
	}
}

static int open_one(const struct config *config, const char *where, struct fail **fail)
{
	struct endpoint address;
	if (!config_listener_address(config, where, &address, fail))
		return -1;
	/* Who may deliver to a local user over TCP may do so over LMTP's Unix socket: any program of this host. */
	mode_t before = umask(0111);
	int descriptor = socket_listen(&address, BACKLOG, fail);
	umask(before);
	return descriptor;
}

static struct listener *find(struct master *m, enum service service, const char *text)
{
	for (size_t i = 0; i < m->listeners.count; i++)
		if (m->listeners.items[i].service == service && str_equal(str_of(m->listeners.items[i].text), str_of(text)))
			return &m->listeners.items[i];
	return NULL;
}

static bool open_service(struct master *m, const struct config *config, enum service service, struct fail **fail)
{
	const struct config_listeners *list = configured(config, service);
	for (size_t i = 0; i < list->count; i++) {
		if (find(m, service, list->items[i]))
			continue;
		int descriptor = open_one(config, list->items[i], fail);
		if (descriptor < 0)
			return fail_prefix(fail, "%s on %s", service_name(service), list->items[i]);
		*array_add(&m->listeners) = (struct listener){ service, str_copy(str_of(list->items[i])), descriptor };
	}
	return true;
}

static bool still_listed(const struct config *config, const struct listener *listener)
{
	const struct config_listeners *list = configured(config, listener->service);
	for (size_t i = 0; i < list->count; i++)
		if (str_equal(str_of(list->items[i]), str_of(listener->text)))
			return true;
	return false;
}

bool listener_open_all(struct master *m, const struct config *config, struct fail **fail)
{
	for (enum service service = 0; service < SERVICE_CONTROL; service++)
		if (!open_service(m, config, service, fail))
			return false;
	for (size_t i = m->listeners.count; i-- > 0;) {
		struct listener *listener = &m->listeners.items[i];
		if (still_listed(config, listener))
			continue;
		close(listener->descriptor);
		free(listener->text);
		array_remove(&m->listeners, i);
	}
	return true;
}

void listener_send_all(struct process *porter)
{
	struct master *m = porter->master;
	certificates_send(porter);
	for (size_t i = 0; i < m->listeners.count; i++) {
		struct listener *listener = &m->listeners.items[i];
		if (service_kind(listener->service) == porter->peer.kind)
			msg_listener_send(&porter->peer.channel, 0,
				&(struct msg_listener){ .service = (uint32_t)listener->service },
			                  dup(listener->descriptor));
	}
}

static int open_control(struct master *m, const char *name, mode_t mode, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/%s", m->config.runtime_directory, name);
	struct endpoint address;
	if (!endpoint_parse(str_of(path), &address, fail))
		return -1;
	/* The mode is right from the first moment on. */
	mode_t before = umask(0777 & ~mode);
	int descriptor = socket_listen_frames(&address, BACKLOG, fail);
	umask(before);
	return descriptor;
}

bool control_open(struct master *m, struct fail **fail)
{
	if (!file_make_directory(m->config.runtime_directory, 0755, fail))
		return false;
	m->control_listener = open_control(m, "master.socket", 0600, fail);
	m->auth_control_listener = open_control(m, "auth.socket", 0600, fail);
	m->queue_control_listener = open_control(m, "queue.socket", 0600, fail);
	m->password_listener = open_control(m, "password.socket", 0666, fail);
	return m->control_listener >= 0 && m->auth_control_listener >= 0 && m->queue_control_listener >= 0 &&
	       m->password_listener >= 0;
}
