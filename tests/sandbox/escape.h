/*
 * Attempts to break out of a sandbox, each a function that does one forbidden thing and says how that went. The same
 * function must succeed without the sandbox, so that none fails for a wrong path or a missing file.
 */
#ifndef POSTHORN_TESTS_ESCAPE_H
#define POSTHORN_TESTS_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What an attempt finds. Descriptors were opened before the sandbox, as a program may have them. */
struct scene {
	char own[256];        /* the folder that the role may use, with the files mail and code */
	char neighbour[256];  /* one it may not, with a file mail */
	char link_in_own[300]; /* a symbolic link to the neighbour's mail */
	int own_directory;
	int own_file;
	int neighbour_directory; /* opened before: what lies below must be out of reach all the same */
	int program;          /* /bin/true, O_PATH */
	int terminal;
	int name_space;       /* of the network */
	pid_t victim;         /* another process of the same user */
	int victim_handle;    /* pidfd */
	void *victim_memory;  /* has a 1 */
	uint16_t port;        /* listened on at 127.0.0.1 */
	char socket_path[256]; /* listened on */
	char datagram_path[256];
	char abstract_name[64]; /* without its NUL */
	int tcp, unix_stream, unix_datagram, udp; /* not connected */
	int listener;         /* TCP, of our own */
	int pair[2];          /* connected, SOCK_SEQPACKET */
};

enum {
	BY_PORTER = 1, BY_SMTPD = 2, BY_AUTH = 4, BY_QUEUE = 8, BY_ZYGOTE = 16, BY_MAILBOX = 32, BY_RESOLVER = 64, BY_RELAY = 128,
	BY_FILES = BY_AUTH | BY_QUEUE | BY_ZYGOTE | BY_MAILBOX,
	BY_INTERNET = BY_RESOLVER | BY_RELAY,
	BY_NOBODY = 0,
};

struct attempt {
	const char *name;
	int (*act)(const struct scene *s); /* 0 when it worked, else errno */
	unsigned allowed;                  /* by these: part of their work */
	bool mounts;                       /* wants mounts of its own, which would be the host's otherwise */
};

/* Tables that end with a NULL name. */
extern const struct attempt file_attempts[], network_attempts[], process_attempts[], kernel_attempts[];

/* 0 or errno. */
int outcome(long result);

/* folder/name in a static buffer, of which there are two. */
const char *below(const char *folder, const char *name);

#endif
