#include "ctl_command.h"

#include "mem.h"

#include <getopt.h>
#include <stdlib.h>

enum { ARGUMENTS_ANY = 100 };

#define NEW_PASSWORD (CTL_SECRET | CTL_NEW_SECRET | CTL_NAMED_SECRET)

static const struct ctl_command commands[] = {
	{ "status", "", 0, 0, CTL_MASTER, 0, NULL, "Lists the processes." },
	{ "reload", "", 0, 0, CTL_MASTER, 0, NULL, "Reads configuration and certificates again; sessions go on." },
	{ "check-config", "[FILE]", 0, 1, CTL_LOCAL, CTL_SETTINGS, NULL, "Says whether a configuration file is right." },
	{ "log", "[KEY=VALUE]...", 0, ARGUMENTS_ANY, CTL_LOG, CTL_TIMES, NULL,
	  "Shows the log: of a session, program, account, queue-id or any other key." },
	{ "trace", "MESSAGE-ID | QUEUE-ID", 1, 1, CTL_TRACE, 0, NULL,
	  "Shows the whole way of a mail, from the connection to the delivery." },
	{ "doctor", "[DOMAIN]", 0, 1, CTL_DOCTOR, CTL_ZONE, NULL,
	  "Says what is wrong with DNS, certificates, ports, clock and disk, and what to publish." },
	{ "print-config", "[FILE]", 0, 1, CTL_LOCAL, CTL_SETTINGS, NULL, "Prints every key with the value it has." },

	{ "domain add", "DOMAIN", 1, 1, CTL_AUTH, 0, NULL, "Adds a domain whose mail is ours." },
	{ "domain list", "", 0, 0, CTL_AUTH, 0, NULL, "Lists the domains." },
	{ "domain remove", "DOMAIN", 1, 1, CTL_AUTH, 0, NULL, "Removes a domain that has no accounts." },
	{ "domain set", "DOMAIN KEY VALUE...", 3, ARGUMENTS_ANY, CTL_AUTH, 0, NULL,
	  "Sets catch-all, postmaster, quota-bytes, quota-messages, or default to yes." },

	{ "account add", "ADDRESS [KEY VALUE]...", 1, ARGUMENTS_ANY, CTL_AUTH, NEW_PASSWORD, NULL,
	  "Adds an account; KEY as for account set, or optin." },
	{ "account add-range", "PATTERN COUNT [KEY VALUE]...", 2, ARGUMENTS_ANY, CTL_AUTH, NEW_PASSWORD, NULL,
	  "Adds many with one password; %d in the pattern becomes 0, 1, 2 and so on." },
	{ "account list", "[DOMAIN]", 0, 1, CTL_AUTH, 0, NULL, "Lists the accounts." },
	{ "account show", "ADDRESS", 1, 1, CTL_AUTH, CTL_ONE_THING, NULL, "Shows all about an account." },
	{ "account set", "ADDRESS KEY VALUE...", 3, ARGUMENTS_ANY, CTL_AUTH, 0, NULL,
	  "Sets name, language, quota-bytes or quota-messages." },
	{ "account disable", "ADDRESS", 1, 1, CTL_AUTH, 0, NULL, "Refuses log-ins and mail, and ends the sessions." },
	{ "account enable", "ADDRESS", 1, 1, CTL_AUTH, 0, NULL, "Takes disable back." },
	{ "account delete", "ADDRESS [SECONDS]", 1, 2, CTL_AUTH, 0, NULL,
	  "Deletes an account; its mail stays for two weeks, or so long, until purge." },
	{ "account undelete", "ADDRESS", 1, 1, CTL_AUTH, 0, NULL,
	  "Takes a deletion back; a number may stand for the address." },
	{ "account purge", "[NUMBER]", 0, 1, CTL_PURGE, 0, NULL,
	  "Removes for good what a deleted account kept, or all whose time is over." },

	{ "alias add", "ADDRESS TARGET...", 2, ARGUMENTS_ANY, CTL_AUTH, 0, NULL,
	  "Sends mail for an address to these; replaces older ones." },
	{ "alias list", "[ADDRESS]", 0, 1, CTL_AUTH, 0, NULL, "Lists the aliases." },
	{ "alias remove", "ADDRESS", 1, 1, CTL_AUTH, 0, NULL, "Removes an alias." },
	{ "alias import", "DOMAIN FILE [skip]", 2, 3, CTL_AUTH, CTL_FILE, NULL,
	  "Reads a file like /etc/aliases; skip leaves out what cannot be taken over." },

	{ "sender add", "ACCOUNT ADDRESS", 2, 2, CTL_AUTH, 0, NULL, "Lets an account send as an address, or as @DOMAIN." },
	{ "sender list", "ACCOUNT", 1, 1, CTL_AUTH, 0, NULL, "Lists these addresses." },
	{ "sender remove", "ACCOUNT ADDRESS", 2, 2, CTL_AUTH, 0, NULL, "Takes that back." },

	{ "password set", "ADDRESS", 1, 1, CTL_AUTH, CTL_SECRET | CTL_NEW_SECRET, NULL,
	  "Gives an account a new password." },
	{ "password verify", "ADDRESS", 1, 1, CTL_AUTH, CTL_SECRET, NULL, "Says whether a password is right." },
	{ "password hash-import", "ADDRESS", 1, 1, CTL_AUTH, CTL_SECRET | CTL_HASH, NULL,
	  "Takes over a hash that another server made; asks for it." },
	{ "password change", "ADDRESS", 1, 1, CTL_PASSWORD, CTL_OLD_SECRET | CTL_SECRET | CTL_NEW_SECRET, "password",
	  "Changes the own password; for every user of this host." },

	{ "app-password add", "ADDRESS NAME", 2, 2, CTL_AUTH, CTL_ONE_THING, NULL,
	  "Makes a password for one program or device." },
	{ "app-password list", "ADDRESS", 1, 1, CTL_AUTH, 0, NULL, "Lists them, without the passwords." },
	{ "app-password remove", "ADDRESS NAME", 2, 2, CTL_AUTH, 0, NULL, "Makes one worthless and ends the sessions." },

	{ "optin add", "ADDRESS MECHANISM", 2, 2, CTL_AUTH, CTL_SECRET, NULL,
	  "Lets an account log in by apop, cram-md5 or scram-sha-1; needs its password." },
	{ "optin remove", "ADDRESS MECHANISM", 2, 2, CTL_AUTH, 0, NULL,
	  "Takes that back and removes what was stored for it." },

	{ "sessions", "", 0, 0, CTL_AUTH, 0, NULL, "Lists who is logged in." },
	{ "session drop", "ID", 1, 1, CTL_AUTH, 0, NULL, "Ends one of them." },
	{ "failures list", "", 0, 0, CTL_AUTH, 0, NULL, "Lists addresses and accounts with failed log-ins." },
	{ "failures clear", "[ADDRESS]", 0, 1, CTL_AUTH, 0, NULL, "Forgets these, or those of a peer or an account." },

	{ "mailboxes", "ADDRESS", 1, 1, CTL_MAILBOX, 0, NULL, "Lists the mailboxes of an account." },
	{ "usage", "ADDRESS | --all", 1, 1, CTL_ARCHIVE, CTL_ALL, NULL,
		"Tells how much an account keeps, and the room it takes." },
	{ "fsck", "ADDRESS | --all", 1, 1, CTL_ARCHIVE, CTL_ALL, NULL,
	  "Checks all that an account has kept, while it goes on." },
	{ "rebuild", "ADDRESS", 1, 1, CTL_ARCHIVE, 0, NULL,
	  "Makes an account's index anew from its mails; ends its sessions." },
	{ "backup", "ADDRESS FILE | --all DIR", 2, 2, CTL_ARCHIVE, CTL_ALL, NULL,
	  "Writes all that an account has kept into a file, while it goes on." },
	{ "restore", "ADDRESS FILE | --all DIR", 2, 2, CTL_ARCHIVE, CTL_ALL | CTL_REPLACE, NULL,
	  "Puts mails of a backup back; those that are there stay, but for --replace. All: accounts too, if there are none." },
	{ "export", "ADDRESS DIR", 2, 2, CTL_ARCHIVE, CTL_FORMAT, NULL,
	  "Writes the mails as a Maildir, or as mbox files." },
	{ "import", "ADDRESS SOURCE", 2, 2, CTL_ARCHIVE, CTL_FORMAT | CTL_FOLDER, NULL,
	  "Brings in the mails of a Maildir, an mbox file or a folder of them." },

	{ "queue list", "", 0, 0, CTL_QUEUE, 0, "list", "Lists the mails that wait, once for each recipient." },
	{ "queue show", "ID", 1, 1, CTL_QUEUE, CTL_ONE_THING, "show", "Shows one with all its recipients and attempts." },
	{ "queue retry", "ID", 1, 1, CTL_QUEUE, CTL_SELECT, "retry", "Tries one, or \"all\", now." },
	{ "queue hold", "[ID]", 0, 1, CTL_QUEUE, CTL_SELECT, "hold",
		"Sends one mail to nobody until release; without ID none, though mail is still taken in." },
	{ "queue release", "[ID]", 0, 1, CTL_QUEUE, CTL_SELECT, "release", "Takes hold back, of one or of all." },
	{ "queue delete", "ID", 1, 1, CTL_QUEUE, CTL_SELECT, "delete", "Deletes one; nobody is told." },

	{ "dkim list", "[DOMAIN]", 0, 1, CTL_QUEUE, 0, NULL, "Lists the keys that mail is signed with." },
	{ "dkim make", "DOMAIN [SELECTOR [ALGORITHM]]", 1, 3, CTL_QUEUE, CTL_ONE_THING, NULL,
	  "Makes an RSA and an Ed25519 key and shows their records; the first ones sign at once." },
	{ "dkim record", "DOMAIN [SELECTOR]", 1, 2, CTL_QUEUE, CTL_ONE_THING, NULL,
	  "Shows what to publish in the DNS for the keys that sign or will sign." },
	{ "dkim rotate", "DOMAIN", 1, 1, CTL_QUEUE, CTL_ONE_THING, NULL,
	  "Makes new keys to be published; called again, these sign and the old ones are retired." },
	{ "dkim activate", "DOMAIN SELECTOR", 2, 2, CTL_QUEUE, 0, NULL, "Lets a key sign." },
	{ "dkim retire", "DOMAIN SELECTOR", 2, 2, CTL_QUEUE, 0, NULL,
		"Lets a key sign no more; leave its record for some days." },
	{ "dkim delete", "DOMAIN SELECTOR", 2, 2, CTL_QUEUE, 0, NULL, "Deletes a key that does not sign." },

	{ "dmarc show", "FILE", 1, 1, CTL_REPORT, 0, NULL,
		"Shows a DMARC report that came by mail: the mail, or its attachment; - is standard input." },
	{ "dmarc list", "[DOMAIN]", 0, 1, CTL_QUEUE, 0, NULL,
		"Lists what was counted for the reports to others that are not sent yet." },
	{ "dmarc send", "[DOMAIN]", 0, 1, CTL_QUEUE, 0, NULL, "Sends these reports now, not at the end of the day." },
	{ "tlsrpt list", "[DOMAIN]", 0, 1, CTL_QUEUE, 0, NULL,
		"Lists what was counted for TLS reports to others that are not sent yet." },
	{ "tlsrpt send", "[DOMAIN]", 0, 1, CTL_QUEUE, 0, NULL, "Sends these reports now, not at the end of the day." },
};

static const char options_text[] =
	"  -j, --json                print a JSON list of objects (values are strings)\n"
	"  -d, --directory DIR       the post office that tools/instance made in DIR; default $POSTHORN_DIR\n"
	"  -c, --config FILE         find the post office by this file; default /etc/posthorn/posthorn.conf\n"
	"  -p, --password-file FILE  read the password from a file's first line; - is standard input\n"
	"  -n, --no-password         for account add: the account gets none for now\n"
	"  -s, --set KEY=VALUE       for check-config and print-config: one more setting\n"
	"  -a, --all                 for usage, fsck, backup and restore: every account\n"
	"  -r, --replace             for restore: the account then has what the backup has\n"
	"  -f, --format FORMAT       for export and import: maildir or mbox\n"
	"  -F, --folder NAME         for import: the mailbox that takes the place of INBOX\n"
	"      --since TIME          for log: what came since 2026-11-22, \"2026-11-22 06:30\", or 90s, 10m, 2h, 3d ago\n"
	"      --follow              for log: what comes from now on, or since that time\n"
	"      --domain NAME         for queue retry, hold, release and delete: all that waits for this domain\n"
	"      --sender ADDRESS      for the same: all that waits and is from this sender\n"
	"      --zone                for doctor: print nothing but the records that should stand in the zones\n"
	"      --dns ADDRESS:PORT    for doctor: ask this name server for everything, without DNSSEC\n"
	"      --commands            list all commands with their arguments, one per line\n"
	"  -h, --help                show this, or what a command takes\n"
	"  -V, --version\n";

const struct ctl_command *ctl_command_at(size_t i)
{
	return i < COUNT_OF(commands) ? &commands[i] : NULL;
}

void ctl_call_release(struct ctl_call *call)
{
	free(call->settings);
	*call = (struct ctl_call){};
}

/* How many of the given words make up the command, 0 if they are others. */
static size_t words_that_fit(const struct ctl_command *command, char **words, size_t count)
{
	struct str rest = str_of(command->words), word;
	size_t used = 0;
	while (str_take_until(&rest, ' ', &word))
		if (used == count || !str_equal(word, str_of(words[used++])))
			return 0;
	return used;
}

/* "account add" is of the subject "account". */
static bool is_about(const struct ctl_command *command, const char *subject)
{
	struct str words = str_of(command->words);
	size_t length = strlen(subject);
	return str_starts(words, str_of(subject)) && words.length > length && words.data[length] == ' ';
}

/* The commands of the subject that was typed, for somebody who stopped behind it. */
static bool fail_unknown(char **words, size_t count, struct fail **fail)
{
	CLEANUP(buf_release) struct buf list = BUF_WITH_LIMIT(1000);
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		if (is_about(&commands[i], words[0]))
			buf_printf(&list, "%s%s", list.length ? ", " : "", commands[i].words);
	if (list.length)
		return fail_set(fail, FAIL_INVALID, "there are these commands: %s", buf_text(&list));
	return fail_set(fail, FAIL_INVALID, "there is no command \"%s%s%s\"; see posthornctl --help", words[0],
	                count > 1 ? " " : "", count > 1 ? words[1] : "");
}

static bool find_command(struct ctl_call *call, char **words, size_t count, struct fail **fail)
{
	size_t used = 0;
	for (size_t i = 0; i < COUNT_OF(commands) && !used; i++) {
		used = words_that_fit(&commands[i], words, count);
		call->command = used ? &commands[i] : NULL;
	}
	for (size_t i = 0; i < COUNT_OF(commands) && !used && call->help && count == 1; i++)
		if (is_about(&commands[i], words[0]))
			call->subject = words[0];
	if (!used)
		return call->subject || fail_unknown(words, count, fail);
	call->arguments = words + used;
	call->argument_count = count - used;
	return true;
}

static bool check_arguments(const struct ctl_call *call, struct fail **fail)
{
	const struct ctl_command *command = call->command;
	size_t given = call->argument_count + (call->all && command->traits & CTL_ALL) + (call->domain != NULL) +
	               (call->sender != NULL);
	bool too_few = given < command->arguments_min;
	if (too_few || given > command->arguments_max)
		return fail_set(fail, FAIL_INVALID, "too %s arguments; usage: posthornctl %s%s%s", too_few ? "few" : "many",
		                command->words, *command->arguments ? " " : "", command->arguments);
	if (call->setting_count && !(command->traits & CTL_SETTINGS))
		return fail_set(fail, FAIL_INVALID, "--set is for check-config and print-config only");
	if (call->password_file && !(command->traits & CTL_SECRET))
		return fail_set(fail, FAIL_INVALID, "%s takes no password", command->words);
	if (call->no_password && !(command->traits & CTL_NAMED_SECRET))
		return fail_set(fail, FAIL_INVALID, "--no-password is for account add and account add-range only");
	return true;
}

static bool check_options(const struct ctl_call *call, struct fail **fail)
{
	const struct {
		bool given;
		unsigned trait;
		const char *name;
	} options[] = {
		{ call->all, CTL_ALL, "all" },        { call->replace, CTL_REPLACE, "replace" },
		{ call->format, CTL_FORMAT, "format" }, { call->folder, CTL_FOLDER, "folder" },
		{ call->since, CTL_TIMES, "since" },  { call->follow, CTL_TIMES, "follow" },
		{ call->zone, CTL_ZONE, "zone" },     { call->dns, CTL_ZONE, "dns" },
		{ call->domain, CTL_SELECT, "domain" }, { call->sender, CTL_SELECT, "sender" },
	};
	for (size_t i = 0; i < COUNT_OF(options); i++)
		if (options[i].given && !(call->command->traits & options[i].trait))
			return fail_set(fail, FAIL_INVALID, "%s takes no --%s", call->command->words, options[i].name);
	return true;
}

bool ctl_call_wants_secret(const struct ctl_call *call)
{
	return call->command->traits & CTL_SECRET && !call->no_password;
}

static bool take_options(int argc, char **argv, struct ctl_call *call, struct fail **fail)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },        { "directory", required_argument, NULL, 'd' },
		{ "config", required_argument, NULL, 'c' }, { "password-file", required_argument, NULL, 'p' },
		{ "set", required_argument, NULL, 's' },    { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },      { "commands", no_argument, NULL, 'l' },
		{ "no-password", no_argument, NULL, 'n' },  { "all", no_argument, NULL, 'a' },
		{ "replace", no_argument, NULL, 'r' },      { "format", required_argument, NULL, 'f' },
		{ "folder", required_argument, NULL, 'F' }, { "since", required_argument, NULL, 'S' },
		{ "follow", no_argument, NULL, 'o' },       { "zone", no_argument, NULL, 'z' },
		{ "dns", required_argument, NULL, 'D' },    { "domain", required_argument, NULL, 'O' },
		{ "sender", required_argument, NULL, 'E' }, {},
	};
	int option;
	opterr = 0;
	optind = 0; /* begins anew, for a second call */
	while ((option = getopt_long(argc, argv, ":jd:c:p:ns:arf:F:hV", options, NULL)) != -1) {
		switch (option) {
		case 'j': call->json = true; break;
		case 'd': call->directory = optarg; break;
		case 'c': call->config = optarg; break;
		case 'p': call->password_file = optarg; break;
		case 'n': call->no_password = true; break;
		case 's': call->settings[call->setting_count++] = optarg; break;
		case 'a': call->all = true; break;
		case 'r': call->replace = true; break;
		case 'f': call->format = optarg; break;
		case 'F': call->folder = optarg; break;
		case 'S': call->since = optarg; break;
		case 'o': call->follow = true; break;
		case 'z': call->zone = true; break;
		case 'D': call->dns = optarg; break;
		case 'O': call->domain = optarg; break;
		case 'E': call->sender = optarg; break;
		case 'h': call->help = true; break;
		case 'V': call->version = true; break;
		case 'l': call->commands = true; break;
		case ':': return fail_set(fail, FAIL_INVALID, "%s needs a value", argv[optind - 1]);
		default: return fail_set(fail, FAIL_INVALID, "there is no option %s; see posthornctl --help", argv[optind - 1]);
		}
	}
	return true;
}

bool ctl_call_parse(int argc, char **argv, struct ctl_call *call, struct fail **fail)
{
	*call = (struct ctl_call){ .settings = mem_alloc((size_t)argc * sizeof(char *)) };
	if (!take_options(argc, argv, call, fail))
		return false;
	if (optind < argc && str_equal(str_of(argv[optind]), STR("help"))) {
		call->help = true;
		optind++;
	}
	if (call->version || call->commands || (call->help && optind == argc))
		return true;
	if (optind == argc)
		return fail_set(fail, FAIL_INVALID, "which command? See posthornctl --help");
	if (!find_command(call, argv + optind, (size_t)(argc - optind), fail))
		return false;
	return call->help || (check_options(call, fail) && check_arguments(call, fail));
}

static void add_words(struct buf *out, struct str words)
{
	struct str word;
	while (str_take_until(&words, ' ', &word)) {
		buf_add_str(out, word);
		buf_add_char(out, '\0');
	}
}

void ctl_call_words(const struct ctl_call *call, struct buf *out)
{
	const struct ctl_command *command = call->command;
	size_t first = command->peer == CTL_MAILBOX ? 1 : 0;
	add_words(out, str_of(command->verb ? command->verb : command->words));
	for (size_t i = first; i < call->argument_count; i++)
		if (!(command->traits & CTL_FILE && i == 1))
			buf_append(out, call->arguments[i], strlen(call->arguments[i]) + 1);
	if (call->domain || call->sender)
		buf_printf(out, "%s:%s%c", call->domain ? "domain" : "sender", call->domain ? call->domain : call->sender,
		           '\0');
	if (command->traits & CTL_NAMED_SECRET && !call->no_password)
		buf_append(out, "password", 9);
}

void ctl_help_all(const char *subject, struct buf *out)
{
	buf_printf(out, "Usage: posthornctl [OPTION]... COMMAND [ARGUMENT]...\nRuns the post office.\n\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		const struct ctl_command *command = &commands[i];
		if (subject && !is_about(command, subject))
			continue;
		CLEANUP(mem_free) char *usage = mem_printf("%s %s", command->words, command->arguments);
		buf_printf(out, "  %-46s %s\n", usage, command->help);
	}
	buf_printf(out, "\n%s", options_text);
}

void ctl_help_command(const struct ctl_command *command, struct buf *out)
{
	buf_printf(out, "Usage: posthornctl %s%s%s\n%s\n", command->words, *command->arguments ? " " : "",
	           command->arguments, command->help);
	if (command->traits & CTL_OLD_SECRET)
		buf_printf(out, "Asks for the present and the new password, or takes them from the first two lines of "
		                "--password-file.\n");
	else if (command->traits & CTL_SECRET)
		buf_printf(out, "Asks for the %s, or takes it from the first line of --password-file.\n",
		           command->traits & CTL_HASH ? "hash" : "password");
}
