/* posthorn-master: see master.h and docs/processes.md. */
#include "master.h"

#include "file.h"
#include "log.h"
#include "mem.h"

#include <errno.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 15000, STOP_PATIENCE_MS = 5000 };

static const char usage[] =
	"Usage: posthorn-master [OPTION]...\n"
	"Runs the mail system in the foreground. SIGHUP reloads the configuration, SIGTERM stops.\n\n"
	"  -c, --config FILE    instead of /etc/posthorn/posthorn.conf\n"
	"  -s, --set KEY=VALUE  one more setting, also after a reload\n"
	"  -h, --help           show this\n"
	"  -V, --version\n";

static bool load_config(struct master *m, struct config *config, struct fail **fail)
{
	if (!config_load(m->config_path, config, fail))
		return false;
	for (size_t i = 0; i < m->override_count; i++)
		if (!config_set(config, m->overrides[i], fail))
			return false;
	return config_check(config, fail);
}

static int config_to_memory(const struct config *config, struct fail **fail)
{
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(1 << 20);
	config_print(config, &text);
	return file_sealed_memory("posthorn.conf", buf_str(&text), fail);
}

static bool make_accounts_folder(const struct config *config, struct fail **fail)
{
	CLEANUP(mem_free) char *path = mem_printf("%s/accounts", config->data_directory);
	const struct passwd *user = geteuid() == 0 ? getpwnam("posthorn-mail") : NULL;
	if (!file_make_directory(config->data_directory, 0755, fail) || !file_make_directory(path, 0700, fail))
		return false;
	if (user && chown(path, user->pw_uid, user->pw_gid) != 0)
		return fail_set_errno(fail, FAIL_DENIED, "cannot give %s to posthorn-mail", path);
	return true;
}

static void send_config(struct master *m, enum ipc_role role)
{
	for (struct process *p = m->processes[role]; p; p = p->next)
		if (p->has_said_hello)
			msg_reconfigure_send(&p->peer.channel, 0, &(struct msg_reconfigure){}, dup(m->config_memory));
}

bool master_reload(struct master *m, struct fail **fail)
{
	struct config fresh;
	if (!load_config(m, &fresh, fail))
		return false;
	struct certificates certificates = {};
	CLEANUP(file_close) int memory = config_to_memory(&fresh, fail);
	if (memory < 0 || !certificates_load(&fresh, &certificates, fail) || !listener_open_all(m, &fresh, fail)) {
		certificates_release(&certificates);
		config_release(&fresh);
		return false;
	}
	certificates_release(&m->certificates);
	m->certificates = certificates;
	config_release(&m->config);
	m->config = fresh;
	close(m->config_memory);
	m->config_memory = memory;
	memory = -1;
	/* Sessions go on in the old ones; whoever connects from now on meets the new ones. */
	process_drain_all(m, ROLE_PORTER);
	process_drain_all(m, ROLE_SMTPD);
	process_drain_all(m, ROLE_ZYGOTE);
	process_drain_all(m, ROLE_RESOLVER);
	process_drain_all(m, ROLE_RELAY);
	send_config(m, ROLE_AUTH);
	send_config(m, ROLE_QUEUE);
	send_config(m, ROLE_MAILBOX);
	process_start_missing(m);
	log_event(LOG_INFO, 0, "reloaded");
	return true;
}

static void reload_by_signal(struct master *m)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!master_reload(m, &fail))
		log_event(LOG_ERROR, 0, "reload-failed", LOG_TEXT("why", str_of(fail_text(fail))));
}

static void stop_now(void *owner)
{
	struct master *m = owner;
	loop_stop(m->loop);
}

/* Porters first, so that nothing new comes; the rest ends as their channels close when master ends. */
static void begin_stop(struct master *m)
{
	if (m->stopping)
		return;
	m->stopping = true;
	log_event(LOG_INFO, 0, "stopping");
	for (enum ipc_role role = 1; role < ROLE_COUNT; role++)
		process_drain_all(m, role);
	loop_start_timer(m->loop, &m->stop_timer, map_count(m->by_id) ? STOP_PATIENCE_MS : 0, stop_now, m);
}

static void reap(struct master *m)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		process_reaped(m, ROLE_MASTER, pid, status);
}

static void on_signal(void *owner, uint32_t events)
{
	struct master *m = owner;
	struct signalfd_siginfo info;
	(void)events;
	while (read(m->signal_descriptor, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap(m);
		else if (info.ssi_signo == SIGHUP)
			reload_by_signal(m);
		else
			begin_stop(m);
	}
}

static void watch_signals(struct master *m)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	m->signal_descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	must(m->signal_descriptor >= 0);
	loop_watch(m->loop, &m->signals, m->signal_descriptor, EPOLLIN, on_signal, m);
}

static void on_heartbeat(void *owner)
{
	struct master *m = owner;
	mailbox_heartbeat(m);
	session_forget_old(m);
	loop_start_timer(m->loop, &m->heartbeat_timer, HEARTBEAT_MS, on_heartbeat, m);
}

static bool make_pools(struct master *m, struct fail **fail)
{
	for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
		int pair[2];
		if (!ipc_pair(pair, fail))
			return false;
		m->pool_read[kind] = pair[0];
		m->pool_write[kind] = pair[1];
	}
	return true;
}

/* Thousands of sessions: as many descriptors as the hard limit allows. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static char *folder_of_this_program(void)
{
	char path[4096];
	ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
	must(length > 0);
	return mem_copy_text(path, str_find_last_char(str_from(path, (size_t)length), '/'));
}

static void parse_arguments(struct master *m, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' }, { "set", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },         { "version", no_argument, NULL, 'V' }, {},
	};
	int option;
	m->config_path = "/etc/posthorn/posthorn.conf";
	m->overrides = mem_alloc((size_t)argc * sizeof *m->overrides);
	while ((option = getopt_long(argc, argv, "c:s:hV", options, NULL)) != -1) {
		switch (option) {
		case 'c': m->config_path = optarg; break;
		case 's': m->overrides[m->override_count++] = optarg; break;
		case 'h': fputs(usage, stdout); exit(0);
		case 'V': puts("posthorn " POSTHORN_VERSION); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
}

static bool start(struct master *m, struct fail **fail)
{
	if (!load_config(m, &m->config, fail))
		return false;
	m->config_memory = config_to_memory(&m->config, fail);
	return m->config_memory >= 0 && certificates_load(&m->config, &m->certificates, fail) &&
	       make_accounts_folder(&m->config, fail) && control_open(m, fail) && listener_open_all(m, &m->config, fail) &&
	       make_pools(m, fail);
}

int main(int argc, char **argv)
{
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct master m = { .mailboxes = map_new(), .joining = map_new(), .by_id = map_new(), .by_pid = map_new() };
	log_init("master", LOG_INFO);
	parse_arguments(&m, argc, argv);
	raise_descriptor_limit();
	umask(0022); /* others reach the control sockets and the accounts' directory; what children write is theirs alone */
	m.program_folder = folder_of_this_program();
	m.loop = loop_new();
	watch_signals(&m);
	if (!start(&m, &fail)) {
		log_event(LOG_ERROR, 0, "cannot-start", LOG_TEXT("why", str_of(fail_text(fail))));
		return 1;
	}
	loop_watch(m.loop, &m.control_watch, m.control_listener, EPOLLIN, control_accept, &m);
	umask(0077);
	on_heartbeat(&m);
	ballast_keep(&m);
	process_start_missing(&m);
	log_event(LOG_INFO, 0, "running", LOG_NUMBER("pid", getpid()));
	loop_run(m.loop);
	log_event(LOG_INFO, 0, "stopped");
	return 0;
}
