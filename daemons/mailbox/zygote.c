/* The zygote forks a process per account: what is loaded here is shared by all of them. */
#include "mailbox.h"

#include "log.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REAP_EVERY_MS = 200 };

struct zygote {
	uint64_t child_account; /* in a child: whose process this becomes */
	int child_control;
	bool draining;
	unsigned children;
	struct timer reap_timer;
};

static struct zygote zygote;

static bool on_fork(struct ipc_peer *peer, struct ipc_frame *frame)
{
	struct daemon *daemon = daemon_of(peer);
	struct msg_fork wanted;
	int control = ipc_take_descriptor(frame);
	if (!msg_fork_read(frame, &wanted) || control < 0 || wanted.account == 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		zygote.child_account = wanted.account;
		zygote.child_control = control;
		/* Now, so that not one more frame meant for the zygote is read here. */
		ipc_peer_forget(peer);
		loop_stop_timer(daemon->loop, &zygote.reap_timer);
		loop_stop(daemon->loop);
		return true;
	}
	close(control);
	if (pid < 0) {
		log_event(LOG_ERROR, 0, "fork-failed", LOG_NUMBER("account", wanted.account),
		          LOG_TEXT("why", str_of(strerror(errno))));
		return true;
	}
	zygote.children++;
	msg_forked_send(&peer->channel, frame->request,
		&(struct msg_forked){ .account = wanted.account, .pid = (uint32_t)pid }, -1);
	return true;
}

static void reap(void *owner)
{
	struct daemon *daemon = owner;
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		zygote.children--;
		msg_child_ended_send(&daemon->master.channel, 0,
			&(struct msg_child_ended){ .pid = (uint32_t)pid, .status = (uint32_t)status }, -1);
	}
	if (zygote.draining && zygote.children == 0)
		_exit(0);
	loop_start_timer(daemon->loop, &zygote.reap_timer, REAP_EVERY_MS, reap, daemon);
}

/* A retired zygote stays as the parent of its children: they die with their parent (PR_SET_PDEATHSIG). */
static bool on_drain(struct ipc_peer *peer, struct ipc_frame *frame)
{
	(void)peer;
	(void)frame;
	zygote.draining = true;
	return true;
}

const struct ipc_permit zygote_permits[] = {
	{ MSG_FORK, (unsigned)IPC_ANY_STATE, 0, on_fork },
	{ MSG_DRAIN, (unsigned)IPC_ANY_STATE, 0, on_drain },
};
const size_t zygote_permit_count = COUNT_OF(zygote_permits);

uint64_t zygote_serve(struct daemon *daemon, int *control)
{
	daemon_ready(daemon);
	reap(daemon);
	loop_run(daemon->loop);
	/* Only a child comes here: what was the zygote's is not its. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	loop_free(daemon->loop);
	*control = zygote.child_control;
	return zygote.child_account;
}
