#include "daemon.h"

#include "drop.h"
#include "file.h"
#include "mem.h"
#include "role.h"
#include "spawn.h"

#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CONFIG_TEXT_MAX = 1 << 20 };

void daemon_die(const char *event, const struct fail *fail)
{
	log_event(LOG_ERROR, 0, event, LOG_TEXT("why", str_of(fail_text(fail))));
	_exit(1);
}

struct daemon *daemon_of(struct ipc_peer *peer)
{
	return (struct daemon *)((char *)peer - offsetof(struct daemon, master));
}

static enum log_level level_of(const struct config *config)
{
	static const enum log_level levels[] = {
		[CONFIG_LOG_ERROR] = LOG_ERROR,
		[CONFIG_LOG_WARNING] = LOG_WARNING,
		[CONFIG_LOG_INFO] = LOG_INFO,
		[CONFIG_LOG_DEBUG] = LOG_DEBUG,
	};
	return levels[config->log_level];
}

static bool read_config(int descriptor, struct config *config, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(CONFIG_TEXT_MAX);
	return file_read_all(descriptor, &text, fail) && config_parse(text.data, text.length, config, fail);
}

bool daemon_reconfigure(struct daemon *d, struct ipc_frame *frame)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	CLEANUP(file_close) int descriptor = ipc_take_descriptor(frame);
	struct config fresh;
	if (descriptor < 0)
		return false;
	if (!read_config(descriptor, &fresh, &fail)) {
		log_event(LOG_ERROR, 0, "reconfigure-failed", LOG_TEXT("why", str_of(fail_text(fail))));
		return true;
	}
	config_release(&d->config);
	d->config = fresh;
	log_set_level(level_of(&d->config));
	return true;
}

/* Made before privileges are dropped, so that a fresh installation needs no further step. */
static bool make_folder(struct daemon *d, struct fail **fail)
{
	const struct role_rights *rights = role_rights(d->spec->role);
	if (!rights->folder)
		return true;
	d->folder = mem_printf("%s/%s", d->config.data_directory, rights->folder);
	if (!file_make_directory(d->folder, 0700, fail))
		return false;
	const struct passwd *user = geteuid() == 0 ? getpwnam(rights->user) : NULL;
	if (user && chown(d->folder, user->pw_uid, user->pw_gid) != 0)
		return fail_set_errno(fail, FAIL_DENIED, "cannot give %s to %s", d->folder, rights->user);
	return true;
}

static bool confine(const struct daemon *d, const char *folder, struct fail **fail)
{
	return !d->config.sandbox || role_confine(d->spec->role, folder, (int)d->config.landlock_abi_max, fail);
}

static void master_gone(struct ipc_peer *peer, const char *why)
{
	(void)peer;
	if (why)
		log_event(LOG_ERROR, 0, "master-channel-ended", LOG_TEXT("why", str_of(why)));
	log_flush();
	_exit(why != NULL);
}

static bool answer_ping(struct ipc_peer *peer, struct ipc_frame *frame)
{
	msg_pong_send(&peer->channel, frame->request, &(struct msg_pong){}, -1);
	return true;
}

static void greet_master(struct daemon *d, int control)
{
	size_t count = d->spec->permit_count + 1;
	struct ipc_permit *permits = mem_alloc(count * sizeof *permits);
	permits[0] = (struct ipc_permit){ MSG_PING, (unsigned)IPC_ANY_STATE, 0, answer_ping };
	memcpy(permits + 1, d->spec->permits, d->spec->permit_count * sizeof *permits);
	d->loop = loop_new();
	d->master.role = ROLE_MASTER;
	d->master.owner = d->owner;
	ipc_peer_start(&d->master, d->loop, control, permits, count, master_gone);
	struct msg_hello hello = { .version = ipc_version(), .role = (uint32_t)d->spec->role, .pid = (uint32_t)getpid() };
	msg_hello_send(&d->master.channel, 0, &hello, -1);
}

void daemon_begin(struct daemon *d, const struct daemon_spec *spec, void *owner)
{
	struct fail *fail = NULL;
	*d = (struct daemon){ .spec = spec, .owner = owner };
	log_init(spec->program, LOG_INFO);
	if (!read_config(SPAWN_CONFIG, &d->config, &fail))
		daemon_die("bad-configuration", fail);
	close(SPAWN_CONFIG);
	log_set_level(level_of(&d->config));
	if (spec->preload)
		spec->preload(&d->config);
	tzset();
	if (!make_folder(d, &fail) || !drop_privileges(role_rights(spec->role)->user, &fail) ||
	    !confine(d, d->folder, &fail))
		daemon_die("cannot-start", fail);
	greet_master(d, SPAWN_CONTROL);
}

void daemon_become(struct daemon *d, int control, const char *folder)
{
	struct fail *fail = NULL;
	if (!confine(d, folder, &fail))
		daemon_die("cannot-start", fail);
	greet_master(d, control);
}

void daemon_report(struct daemon *d, enum ipc_role role, uint64_t peer)
{
	msg_offender_send(&d->master.channel, 0, &(struct msg_offender){ .role = (uint32_t)role, .peer = peer }, -1);
}

void daemon_ready(struct daemon *d)
{
	msg_ready_send(&d->master.channel, 0, &(struct msg_ready){}, -1);
}
