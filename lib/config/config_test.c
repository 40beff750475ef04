#include "config.h"
#include "mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>

#include <unistd.h>

static bool parse(const char *text, struct config *config, struct fail **fail)
{
	return config_parse(text, strlen(text), config, fail);
}

static void print(const struct config *config, struct buf *out)
{
	buf_clear(out);
	config_print(config, out);
	assert_false(out->overflowed);
}

/* Every key, each with a value that is not its default. */
static const char *const other_values[][2] = {
	{ "hostname", "mail.example.org" },
	{ "postmaster", "admin@example.org" },
	{ "data_directory", "/srv/mail \"quoted\" \\ and é" },
	{ "runtime_directory", "/tmp/run" },
	{ "listen_smtp", "127.0.0.1:2525,[::1]:2525" },
	{ "listen_submission", "" },
	{ "listen_submissions", "*:4650" },
	{ "listen_lmtp", "/tmp/l.socket,127.0.0.1:24" },
	{ "listen_pop3", "10.0.0.1:1100" },
	{ "listen_pop3s", "" },
	{ "listen_imap", "10.0.0.1:1143" },
	{ "listen_imaps", "" },
	{ "tls_minimum", "1.3" },
	{ "allow_plaintext_login", "loopback" },
	{ "failure_delay_ms", "0" },
	{ "failure_delay_max_ms", "600000" },
	{ "block_after_failures", "0" },
	{ "block_seconds", "1" },
	{ "answer_time_ms", "1" },
	{ "password_minimum_length", "1024" },
	{ "argon2_operations", "1" },
	{ "argon2_memory_kb", "8" },
	{ "login_cache_seconds", "0" },
	{ "trusted_networks", "10.0.0.0/8,2001:db8::/32" },
	{ "lmtp_networks", "127.0.0.1/32" },
	{ "exempt_networks", "127.0.0.0/8,::1/128" },
	{ "pregreet_wait_ms", "0" },
	{ "dns_forward", "127.0.0.1:5353,[::1]:53" },
	{ "dns_trust_anchor", "" },
	{ "sender_checks", "dkim" },
	{ "dmarc_policy", "mark" },
	{ "spf_fail", "reject" },
	{ "domain_policies", "example.org=reject,example.net=junk,sub.example.net=mark" },
	{ "dnsbl", "bl.example.org,bl.example.net=127.0.0.2-11,x.example.net=127.0.1.4,y.example.net*3,z.example.net=127.0.0.2-11*1000" },
	{ "dnsbl_threshold", "5" },
	{ "dnsbl_action", "junk" },
	{ "dnswl", "wl.example.org" },
	{ "greylisting", "yes" },
	{ "greylist_seconds", "60" },
	{ "greylist_days", "7" },
	{ "greylist_trust_after", "0" },
	{ "milters", "inet:127.0.0.1:11332 default=accept,unix:/run/m.sock default=reject for=submission,inet:[::1]:8891 for=smtp" },
	{ "milter_timeout_seconds", "5" },
	{ "connections_max", "1000000" },
	{ "connections_per_address_max", "1" },
	{ "porter_workers", "64" },
	{ "porter_retire_connections", "1" },
	{ "smtp_processes_max", "1" },
	{ "submission_processes_max", "10000" },
	{ "smtp_sessions_per_process", "1" },
	{ "account_sessions_max", "1" },
	{ "mailbox_linger_seconds", "0" },
	{ "retry_first_seconds", "1" },
	{ "retry_max_seconds", "86400" },
	{ "queue_lifetime_seconds", "1" },
	{ "delay_warning_seconds", "0" },
	{ "destination_mails_max", "10000" },
	{ "message_size_max", "2147483647" },
	{ "recipients_max", "100" },
	{ "received_max", "10" },
	{ "command_timeout_seconds", "1" },
	{ "data_rate_minimum", "0" },
	{ "normalise_line_ends", "submission,lmtp" },
	{ "subaddress_separator", "" },
	{ "relay_port", "2525" },
	{ "relay_ipv4", "no" },
	{ "relay_ipv6", "no" },
	{ "relay_source_address", "127.0.0.2,::1" },
	{ "own_addresses", "192.0.2.25/32,2001:db8::/64" },
	{ "relay_tls", "verify" },
	{ "relay_ca_file", "/etc/ssl/own.pem" },
	{ "relay_https_port", "8443" },
	{ "relay_connections_max", "10000" },
	{ "relay_connections_per_host_max", "1" },
	{ "relay_connect_seconds", "600" },
	{ "relay_idle_seconds", "0" },
	{ "relay_timeout_percent", "1" },
	{ "smarthost", "[2001:db8::1]:587" },
	{ "smarthost_user", "alice" },
	{ "smarthost_password_file", "/etc/posthorn/password" },
	{ "smarthost_tls", "first" },
	{ "transport", "example.org=smtp:127.0.0.1:25,.example.net=lmtp:mail.example.net:24,example.com=smtp:[::1]:2525,example.edu=lmtp:unix:/run/lmtp.sock" },
	{ "future_release_max_seconds", "0" },
	{ "deliver_by_minimum_seconds", "3600" },
	{ "priority_max", "0" },
	{ "account_messages_per_hour", "100" },
	{ "account_messages_per_day", "1000" },
	{ "account_recipients_per_hour", "200" },
	{ "account_recipients_per_day", "2000" },
	{ "sender_messages_per_hour", "10" },
	{ "sender_messages_per_day", "20" },
	{ "sender_recipients_per_hour", "30" },
	{ "sender_recipients_per_day", "40" },
	{ "dmarc_reports", "no" },
	{ "tls_reports", "no" },
	{ "double_bounces", "yes" },
	{ "srs", "no" },
	{ "pop3_expire", "0" },
	{ "pop3_login_delay_seconds", "86400" },
	{ "pop3_autologout_seconds", "1" },
	{ "default_language", "sk" },
	{ "imap_autologout_seconds", "1" },
	{ "imap_append_max", "65536" },
	{ "imap_message_limit", "1000" },
	{ "imap_save_limit", "1000" },
	{ "imap_referrals", "a@example.org=imap.example.net,b@example.org=10.0.0.1:1143" },
	{ "folder_drafts", "" },
	{ "folder_sent", "Posta/Inviata" },
	{ "folder_trash", "Kôš" },
	{ "folder_junk", "INBOX/Junk" },
	{ "folder_archive", "a & b" },
	{ "quota_default_bytes", "9223372036854775807" },
	{ "quota_default_messages", "1" },
	{ "journal_size", "16777216" },
	{ "spool_headroom", "0" },
	{ "recompress_after_days", "0" },
	{ "log_level", "debug" },
	{ "sandbox", "no" },
	{ "landlock_abi_max", "2" },
};

static void set(struct config *config, const char *key, const char *value)
{
	CLEANUP(mem_free) char *assignment = mem_printf("%s=%s", key, value);
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!config_set(config, assignment, &fail))
		fail_msg("%s: %s", assignment, fail_text(fail));
}

static void every_key_makes_the_round_trip(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf standard = BUF_WITH_LIMIT(1 << 20), changed = BUF_WITH_LIMIT(1 << 20),
	                                again = BUF_WITH_LIMIT(1 << 20);
	struct config_key_info info;
	for (size_t i = 0; config_key_info(i, &info); i++) {
		assert_true(i < COUNT_OF(other_values));
		assert_string_equal(info.name, other_values[i][0]);
		CLEANUP(config_release) struct config config, copy;
		config_init(&config);
		copy = (struct config){};
		print(&config, &standard);
		set(&config, info.name, other_values[i][1]);
		print(&config, &changed);
		assert_false(str_equal(buf_str(&standard), buf_str(&changed)));
		assert_true(config_parse(changed.data, changed.length, &copy, NULL));
		print(&copy, &again);
		assert_string_equal(buf_text(&changed), buf_text(&again));
		set(&copy, info.name, info.standard);
		print(&copy, &again);
		assert_string_equal(buf_text(&standard), buf_text(&again));
	}
	assert_false(config_key_info(COUNT_OF(other_values), &info));
}

/* A number just outside of each end is refused, one at each end is taken. */
static void ranges_have_edges(void **state)
{
	(void)state;
	struct config_key_info info;
	for (size_t i = 0; config_key_info(i, &info); i++) {
		if (info.max == 0)
			continue;
		CLEANUP(config_release) struct config config;
		config_init(&config);
		CLEANUP(mem_free) char *low = mem_printf("%ju", (uintmax_t)info.min);
		CLEANUP(mem_free) char *high = mem_printf("%ju", (uintmax_t)info.max);
		set(&config, info.name, low);
		set(&config, info.name, high);
		CLEANUP(mem_free) char *above = mem_printf("%s=%ju", info.name, (uintmax_t)info.max + 1);
		CLEANUP(mem_free) char *below = mem_printf("%s=%jd", info.name, (intmax_t)info.min - 1);
		CLEANUP(fail_free) struct fail *fail = NULL;
		assert_false(config_set(&config, above, &fail));
		assert_non_null(strstr(fail_text(fail), info.name));
		assert_non_null(strstr(fail_text(fail), high));
		assert_false(config_set(&config, below, NULL));
	}
}

static void values_are_typed(void **state)
{
	(void)state;
	static const char text[] =
		"# comment with ${HOME}, \" and {\n"
		"#\n"
		"hostname = mail.example.org # behind a value\n"
		"listen_smtp = { \"127.0.0.1:2525\", # in a list\n"
		"                [::1]:2525, }\n"
		"listen_pop3={}\n"
		"pop3_expire = 30   tls_minimum = \"1.3\"\n"
		"trusted_networks = { 10.0.0.0/8 }\n"
		"normalise_line_ends = { lmtp }\n"
		"subaddress_separator = -\n"
		"certificate \"a\" { chain = /a.pem key = /a.key }\n"
		"certificate \"b\" {\n\tchain = \"/b \\\"1\\\".pem\"\n\tkey = \"/b.key\"\n}\n"
		"log_level = debug";
	CLEANUP(config_release) struct config config = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	if (!parse(text, &config, &fail))
		fail_msg("%s", fail_text(fail));
	assert_string_equal(config.hostname, "mail.example.org");
	assert_int_equal(config.listen_smtp.count, 2);
	assert_string_equal(config.listen_smtp.items[1], "[::1]:2525");
	assert_int_equal(config.listen_pop3.count, 0);
	assert_int_equal(config.pop3_expire, 30);
	assert_int_equal(config.tls_minimum, CONFIG_TLS_1_3);
	assert_int_equal(config.trusted_networks.items[0].bits, 8);
	assert_int_equal(config.normalise_line_ends, CONFIG_NORMALISE_LMTP);
	assert_int_equal(config.subaddress_separator, '-');
	assert_int_equal(config.certificates.count, 2);
	assert_string_equal(config.certificates.items[1].chain, "/b \"1\".pem");
	assert_int_equal(config.log_level, CONFIG_LOG_DEBUG);
	assert_int_equal(config.message_size_max, LIMIT_MESSAGE_SIZE);
	assert_int_equal(config.pop3_autologout_seconds, 600);
}

static void mistakes_name_their_line(void **state)
{
	(void)state;
	static const struct {
		const char *text, *complaint;
	} cases[] = {
		{ "\n\nhostnmae = a", "posthorn.conf:3: there is no key \"hostnmae\"; the nearest is hostname" },
		{ "smtp_listen = a", "1: there is no key \"smtp_listen\"; the nearest is listen_smtp" },
		{ "message_size = 1", "the nearest is message_size_max" },
		{ "# x\n# y\nporter_workers = many\n", ":3: porter_workers: \"many\" is no whole number" },
		{ "porter_workers = 65", "65 is out of range, 1 to 64 processes are possible" },
		{ "porter_workers = -1", "\"-1\" is no whole number" },
		{ "porter_workers = 18446744073709551616", "is no whole number" },
		{ "porter_workers = { 1 }", "porter_workers takes one value, not a list" },
		{ "sandbox = maybe", "neither yes nor no" },
		{ "tls_minimum = 1.1", "\"1.1\" is none of: 1.2 1.3" },
		{ "pop3_expire = sometimes", "neither never nor a number" },
		{ "listen_smtp = { 25 }", "no place to listen on" },
		{ "listen_smtp = { \"localhost:25\" }", "no place to listen on" },
		{ "listen_smtp = { ../up.socket }", "no place to listen on" },
		{ "trusted_networks = { 10.0.0.1/8 }", "bits are set behind the prefix" },
		{ "data_directory = lib", "no absolute path" },
		{ "dns_trust_anchor = root.key", "no absolute path" },
		{ "dns_forward = { ns.example.org }", "no address of a server" },
		{ "dns_forward = { \"*:53\" }", "no address of a server" },
		{ "dns_forward = { 127.0.0.1:0 }", "no address of a server" },
		{ "dns_forward = { /dns.socket }", "no address of a server" },
		{ "smarthost = \"mail.example.net:0\"", "no host" },
		{ "smarthost = \"mail example\"", "no host" },
		{ "relay_source_address = { 192.0.2.1, 192.0.2.2 }", "second address" },
		{ "relay_source_address = { localhost }", "no IP address" },
		{ "transport = { \"example.org\" }", "no domain and transport" },
		{ "transport = { \"example.org=uucp:host\" }", "no domain and transport" },
		{ "transport = { \"example.org=lmtp:unix:relative\" }", "no domain and transport" },
		{ "dnsbl = \"bl.example.org*0\"", "no list in the DNS" },
		{ "dnsbl = \"bl.example.org*\"", "no list in the DNS" },
		{ "folder_sent = inbox", "no name of a mailbox" },
		{ "imap_referrals = { \"a@b\" }", "no account and place" },
		{ "imap_referrals = { \"a=b\" }", "no account and place" },
		{ "imap_referrals = { \"a@b=\" }", "no account and place" },
		{ "imap_referrals = { \"a@b=c/d\" }", "no account and place" },
		{ "imap_referrals = { \"a@b=c:70000\" }", "no account and place" },
		{ "folder_sent = \"/a\"", "no name of a mailbox" },
		{ "folder_sent = \"a/\"", "no name of a mailbox" },
		{ "folder_sent = \"a//b\"", "no name of a mailbox" },
		{ "postmaster = root", "no mail address" },
		{ "hostname = a_b", "no host name" },
		{ "subaddress_separator = \"++\"", "give one of" },
		{ "subaddress_separator = @", "give one of" },
		{ "log_level = info\nlog_level = info", ":2: log_level was set on line 1 already" },
		{ "log_level", ":1: expected = behind" },
		{ "log_level =", "expected a value behind =" },
		{ "log_level = info = debug", "expected the name of a key" },
		{ "= info", "expected the name of a key" },
		{ "log_level = 'info'", "quote with \"" },
		{ "hostname = \"a\nb\"", ":1: the closing quotation mark is missing" },
		{ "hostname = \"a\\n\"", "after a backslash" },
		{ "listen_smtp = { *:25 *:26 }", "expected , or }" },
		{ "listen_smtp = { *:25", "expected , or }" },
		{ "hostname = \"\x01\"", "closing quotation mark is missing" },
		{ "hostname = \xff", "not UTF-8" },
		{ "key \"a\" { }", "there is no section \"key\"" },
		{ "certificate \"a\" { chain = /a }", ":1: certificate \"a\" needs both chain and key" },
		{ "certificate \"a\" { chain = /a\nchain = /a key = /b }", ":2: chain stands twice" },
		{ "certificate \"a\" { chain = a key = /b }", "no absolute path" },
		{ "certificate \"a\" { chain = {} key = /b }", "not a list" },
		{ "certificate \"a\" { path = /a }", "no \"path\"" },
		{ "certificate \"a\" { chain = /a key = /b", "expected a key or }" },
		{ "certificate a { chain = /a key = /b }\ncertificate a { chain = /a key = /b }",
		  ":2: there are two certificates" },
		{ "certificate = a", "there is no key \"certificate\"" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct config config;
		CLEANUP(fail_free) struct fail *fail = NULL;
		if (parse(cases[i].text, &config, &fail))
			fail_msg("taken: %s", cases[i].text);
		if (!strstr(fail_text(fail), cases[i].complaint) || strncmp(fail_text(fail), "posthorn.conf:", 14) != 0)
			fail_msg("%s: %s", cases[i].text, fail_text(fail));
		assert_null(config.hostname);
	}
}

static void limits_hold(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf text = BUF_WITH_LIMIT(LIMIT_CONFIG_SIZE_MAX + 1);
	struct config config;
	while (text.length < LIMIT_CONFIG_SIZE_MAX)
		buf_add_char(&text, '\n');
	assert_true(config_parse(text.data, text.length, &config, NULL));
	config_release(&config);
	buf_add_char(&text, '\n');
	assert_false(config_parse(text.data, text.length, &config, NULL));

	for (int extra = 0; extra <= 1; extra++) {
		buf_clear(&text);
		buf_add_str(&text, STR("lmtp_networks = {"));
		for (int i = 0; i < LIMIT_CONFIG_LIST_MAX + extra; i++)
			buf_add_str(&text, STR("::1,"));
		buf_add_char(&text, '}');
		assert_int_equal(config_parse(text.data, text.length, &config, NULL), !extra);
		config_release(&config);
	}
	for (int extra = 0; extra <= 1; extra++) {
		buf_clear(&text);
		buf_add_str(&text, STR("data_directory = /"));
		for (int i = 1; i < LIMIT_CONFIG_VALUE_MAX + extra; i++)
			buf_add_char(&text, 'x');
		assert_int_equal(config_parse(text.data, text.length, &config, NULL), !extra);
		config_release(&config);
	}
}

static void a_failed_set_changes_nothing(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config;
	config_init(&config);
	CLEANUP(buf_release) struct buf before = BUF_WITH_LIMIT(1 << 20), after = BUF_WITH_LIMIT(1 << 20);
	set(&config, "trusted_networks", "10.0.0.0/8");
	print(&config, &before);
	static const char *const bad[] = { "trusted_networks=192.0.2.0/24,x", "listen_smtp=*:25,*:x", "hostname=-a", "hostname",
		                               "nothing=1", "data_directory=/a\nb", "log_level=info,debug", "=", "" };
	for (size_t i = 0; i < COUNT_OF(bad); i++) {
		assert_false(config_set(&config, bad[i], NULL));
		print(&config, &after);
		assert_string_equal(buf_text(&before), buf_text(&after));
	}
}

static void check_sees_what_does_not_fit(void **state)
{
	(void)state;
	static const struct {
		const char *sets[3], *complaint;
	} cases[] = {
		{ { NULL }, NULL },
		{ { "hostname=" }, "hostname is not set" },
		{ { "listen_pop3=*:25" }, "listen_smtp \"*:25\" and listen_pop3 \"*:25\" are the same place" },
		{ { "listen_pop3=127.0.0.1:25" }, "the same place" },
		{ { "listen_smtp=127.0.0.1:25", "listen_pop3=127.0.0.1:25" }, "the same place" },
		{ { "listen_smtp=127.0.0.1:25", "listen_pop3=127.0.0.2:25" }, NULL },
		{ { "listen_smtp=127.0.0.1:25,127.0.0.1:25" }, "the same place" },
		{ { "listen_lmtp=a.socket,/run/posthorn/a.socket" }, "the same place" },
		{ { "listen_pop3s=*:995" }, "listen_pop3s needs a certificate" },
		{ { "runtime_directory=/a23456789/b23456789/c23456789/d23456789/e23456789/f23456789/g23456789/h23456789/i23456789/"
		    "j23456789/k" }, "listen_lmtp: " },
		{ { "failure_delay_ms=1000", "failure_delay_max_ms=999" }, "failure_delay_max_ms" },
		{ { "connections_max=10", "connections_per_address_max=11" }, "connections_per_address_max" },
		{ { "trusted_networks=0.0.0.0/0" }, "trusted_networks contains everybody" },
		{ { "lmtp_networks=::/0" }, "lmtp_networks contains everybody" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(config_release) struct config config;
		CLEANUP(fail_free) struct fail *fail = NULL;
		config_init(&config);
		set(&config, "hostname", "mail.example.org");
		set(&config, "listen_submissions", "");
		set(&config, "listen_pop3s", "");
		set(&config, "listen_imaps", "");
		for (size_t j = 0; j < 3 && cases[i].sets[j]; j++)
			assert_true(config_set(&config, cases[i].sets[j], NULL));
		bool good = config_check(&config, &fail);
		if (good != !cases[i].complaint || (!good && !strstr(fail_text(fail), cases[i].complaint)))
			fail_msg("case %zu: %s", i, fail_text(fail));
	}
}

static void missing_certificate_files_are_named(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_true(parse("hostname = a\ncertificate \"x\" { chain = /dev/null key = /dev/null/none.pem }", &config, NULL));
	assert_false(config_check(&config, &fail));
	assert_non_null(strstr(fail_text(fail), "certificate \"x\": key /dev/null/none.pem"));
}

static void sockets_lie_in_the_runtime_directory(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config;
	config_init(&config);
	struct endpoint address;
	assert_true(config_listener_address(&config, config.listen_lmtp.items[0], &address, NULL));
	assert_string_equal(address.path.sun_path, "/run/posthorn/lmtp.socket");
	set(&config, "runtime_directory", "/r");
	assert_true(config_listener_address(&config, config.listen_lmtp.items[0], &address, NULL));
	assert_string_equal(address.path.sun_path, "/r/lmtp.socket");
	assert_true(config_listener_address(&config, config.listen_smtp.items[0], &address, NULL));
	assert_int_equal(endpoint_port(&address), 25);
}

/* The whole of a file; the test is skipped by name when it is not there. */
static void read_source(const char *path, struct buf *text)
{
	const char *root = getenv("POSTHORN_SOURCE");
	CLEANUP(mem_free) char *whole = mem_printf("%s/%s", root ? root : ".", path);
	int fd = open(whole, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	ssize_t got;
	while ((got = read(fd, buf_reserve(text, 65536), 65536)) > 0)
		buf_claim(text, (size_t)got);
	close(fd);
	assert_int_equal(got, 0);
}

static void the_default_file_is_up_to_date(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf printed = BUF_WITH_LIMIT(1 << 20), checked_in = BUF_WITH_LIMIT(1 << 20);
	read_source("etc/posthorn.conf", &checked_in);
	config_print_default(&printed);
	if (!str_equal(buf_str(&printed), buf_str(&checked_in)))
		fail_msg("etc/posthorn.conf is old: lib/config/config_docs conf > etc/posthorn.conf");
}

/* With the # of each key taken away, the default file says the same as saying nothing. */
static void the_default_file_means_the_defaults(void **state)
{
	(void)state;
	CLEANUP(buf_release) struct buf file = BUF_WITH_LIMIT(1 << 20), active = BUF_WITH_LIMIT(1 << 20),
	                                standard = BUF_WITH_LIMIT(1 << 20), again = BUF_WITH_LIMIT(1 << 20);
	config_print_default(&file);
	struct str rest = buf_str(&file), line;
	while (str_take_until(&rest, '\n', &line)) {
		bool key = line.length > 1 && line.data[0] == '#' && char_is_alpha(line.data[1]) &&
		           str_find(line, STR(" = ")) < line.length;
		assert_true(line.length <= 120);
		buf_add_str(&active, key ? str_from_index(line, 1) : line);
		buf_add_char(&active, '\n');
	}
	CLEANUP(config_release) struct config config = {}, defaults;
	config_init(&defaults);
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_true(config_parse(file.data, file.length, &config, NULL));
	config_release(&config);
	if (!config_parse(active.data, active.length, &config, &fail))
		fail_msg("%s", fail_text(fail));
	print(&config, &again);
	print(&defaults, &standard);
	assert_string_equal(buf_text(&standard), buf_text(&again));
	/* each key was really active: setting it once more is refused */
	struct config_key_info info;
	for (size_t i = 0; config_key_info(i, &info); i++) {
		CLEANUP(mem_free) char *start = mem_printf("\n%s = ", info.name);
		assert_true(str_find(buf_str(&active), str_of(start)) < active.length);
	}
}

static void load_names_the_file(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config = {};
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_false(config_load("/dev/null/posthorn.conf", &config, &fail));
	assert_non_null(strstr(fail_text(fail), "/dev/null/posthorn.conf"));
	assert_true(config_load("/dev/null", &config, NULL));
	assert_int_equal(config.listen_smtp.count, 1);
	config_release(&config);
	char path[] = "/tmp/config_test_XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, "\nx = 1\n", 7), 7);
	close(fd);
	assert_false(config_load(path, &config, &fail));
	CLEANUP(mem_free) char *start = mem_printf("%s:2: there is no key \"x\"", path);
	assert_true(str_starts(str_of(fail_text(fail)), str_of(start)));
	unlink(path);
}

static void json_has_every_key(void **state)
{
	(void)state;
	CLEANUP(config_release) struct config config = {};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	assert_true(parse("data_directory = \"/a\\\"b\" listen_pop3 = {} certificate x { chain = /c key = /k }", &config,
	                  NULL));
	config_print_json(&config, &out);
	const char *text = buf_text(&out);
	static const char *const parts[] = { "\"data_directory\": \"/a\\\"b\",", "\"listen_smtp\": [\"*:25\"],",
		"\"listen_pop3\": [],",
		"\"sandbox\": true,", "\"porter_workers\": 2,", "\"pop3_expire\": \"never\",",
		"\"certificates\": [{\"title\": \"x\", \"chain\": \"/c\", \"key\": \"/k\"}]" };
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		if (!strstr(text, parts[i]))
			fail_msg("%s is not in %s", parts[i], text);
	struct config_key_info info;
	for (size_t i = 0; config_key_info(i, &info); i++) {
		CLEANUP(mem_free) char *name = mem_printf("  \"%s\": ", info.name);
		assert_non_null(strstr(text, name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key_makes_the_round_trip), cmocka_unit_test(ranges_have_edges),
		cmocka_unit_test(values_are_typed), cmocka_unit_test(mistakes_name_their_line), cmocka_unit_test(limits_hold),
		cmocka_unit_test(a_failed_set_changes_nothing), cmocka_unit_test(check_sees_what_does_not_fit),
		cmocka_unit_test(missing_certificate_files_are_named), cmocka_unit_test(sockets_lie_in_the_runtime_directory),
		cmocka_unit_test(the_default_file_is_up_to_date), cmocka_unit_test(the_default_file_means_the_defaults),
		cmocka_unit_test(load_names_the_file), cmocka_unit_test(json_has_every_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
