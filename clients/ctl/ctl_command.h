/*
 * The command line of posthornctl: one table of commands, and how words become one of them.
 *
 * The table is the only place that knows a command: the parser, --help, bash completion and the test of
 * posthornctl(8) all read it. Nothing here talks to anybody; what was parsed points into argv.
 */
#ifndef POSTHORN_CTL_COMMAND_H
#define POSTHORN_CTL_COMMAND_H

#include "buf.h"
#include "fail.h"

/* Who answers. */
enum ctl_peer {
	CTL_LOCAL,    /* posthornctl itself, without a running post office */
	CTL_MASTER,
	CTL_AUTH,
	CTL_QUEUE,
	CTL_PASSWORD, /* auth, at the door that is open to every local user */
	CTL_MAILBOX,  /* the mailbox process of the account that the first argument names */
	CTL_LOG,      /* nobody: posthornctl reads the log, ctl_log.h */
	CTL_TRACE,    /* the same, and queue: ctl_trace.h */
	CTL_DOCTOR,   /* several, and the network: doctor.h */
	CTL_REPORT,   /* nobody: posthornctl reads a report, ctl_report.h */
	CTL_PURGE,    /* auth, and posthornctl removes files: ctl_purge.h */
	CTL_ARCHIVE,  /* as CTL_MAILBOX, but posthornctl reads or writes files for it: ctl_archive.h */
	CTL_PEER_COUNT
};

enum ctl_traits {
	CTL_SECRET = 1 << 0,     /* a password is sent behind the arguments: asked for, or from --password-file */
	CTL_NEW_SECRET = 1 << 1, /* it is a new one: asked for twice */
	CTL_OLD_SECRET = 1 << 2, /* the present one is sent before it */
	CTL_NAMED_SECRET = 1 << 3, /* the word "password" is sent before it; --no-password leaves both out */
	CTL_HASH = 1 << 4,       /* it is no password but the hash of one */
	CTL_FILE = 1 << 5,       /* the second argument is a file to be read; its descriptor is sent instead of its name */
	CTL_ONE_THING = 1 << 6,  /* the answer is shown as lists of names and values, not as a table */
	CTL_SETTINGS = 1 << 7,   /* takes --set */
	CTL_ALL = 1 << 8,        /* takes --all instead of the first argument */
	CTL_REPLACE = 1 << 9,    /* takes --replace */
	CTL_FORMAT = 1 << 10,    /* takes --format */
	CTL_FOLDER = 1 << 11,    /* takes --folder */
	CTL_TIMES = 1 << 12,     /* takes --since and --follow */
	CTL_ZONE = 1 << 13,      /* takes --zone and --dns */
	CTL_SELECT = 1 << 14,    /* takes --domain or --sender instead of its argument */
};

struct ctl_command {
	const char *words;     /* as typed: "account add" */
	const char *arguments; /* for people: "ADDRESS [NAME]" */
	size_t arguments_min, arguments_max;
	enum ctl_peer peer;
	unsigned traits;
	const char *verb; /* as sent: NULL for the same words */
	const char *help; /* one line */
};

/* The i-th command, NULL past the end. Those of one subject stand together. */
const struct ctl_command *ctl_command_at(size_t i);

struct ctl_call {
	const struct ctl_command *command; /* NULL for --help of more than one, --version and --commands */
	char **arguments;
	size_t argument_count;
	bool json;
	bool help, version, commands;
	const char *subject;       /* of the commands that help is wanted for, or NULL */
	const char *directory;     /* --directory, or NULL */
	const char *config;        /* --config, or NULL */
	const char *password_file; /* "-": standard input; NULL: ask */
	bool no_password;
	bool all, replace;
	bool follow;
	bool zone;
	const char *format, *folder, *since, *dns, *domain, *sender; /* or NULL */
	char **settings;           /* --set; free the array */
	size_t setting_count;
};

/* For CLEANUP. */
void ctl_call_release(struct ctl_call *call);

/* FAIL_INVALID with a text that says what is wrong and where to read on. */
bool ctl_call_parse(int argc, char **argv, struct ctl_call *call, struct fail **fail);

/* Whether a password has to be asked for. */
bool ctl_call_wants_secret(const struct ctl_call *call);

/* The words that the command is sent as, each with a NUL behind it, but for file, secrets and, to a mailbox
 * process, the address that leads there. */
void ctl_call_words(const struct ctl_call *call, struct buf *out);

/* Usage and all commands, or those of one subject if it is not NULL. */
void ctl_help_all(const char *subject, struct buf *out);
void ctl_help_command(const struct ctl_command *command, struct buf *out);

#endif
