#include "endpoint.h"
#include "network.h"
#include "socket.h"

#include "mem.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static const char *printed(struct buf *out, const struct endpoint *a)
{
	buf_clear(out);
	endpoint_print(out, a);
	return buf_text(out);
}

static void parsing(void **state)
{
	(void)state;
	static const struct {
		const char *text, *canonical; /* NULL: refused */
	} cases[] = {
		{ "127.0.0.1:25", "127.0.0.1:25" },
		{ "[::1]:25", "[::1]:25" },
		{ "[0:0:0:0:0:0:0:1]:65535", "[::1]:65535" },
		{ "[::ffff:10.1.2.3]:110", "10.1.2.3:110" },
		{ "*:25", "*:25" },
		{ "[::]:0", "[::]:0" },
		{ "/run/posthorn/lmtp.sock", "/run/posthorn/lmtp.sock" },
		{ "127.0.0.1", NULL },
		{ "127.0.0.1:", NULL },
		{ "127.0.0.1:65536", NULL },
		{ "127.0.0.1:-1", NULL },
		{ "127.0.0.1:25x", NULL },
		{ "127.0.0.256:25", NULL },
		{ "127.1:25", NULL },
		{ "::1:25", NULL },
		{ "[::1:25", NULL },
		{ "[127.0.0.1]:25", NULL },
		{ "[::1]25", NULL },
		{ "localhost:25", NULL },
		{ ":25", NULL },
		{ "", NULL },
		{ "[]:25", NULL },
		{ "**:25", NULL },
		{ "[fe80::1%eth0]:25", NULL },
	};
	struct buf out = BUF_WITH_LIMIT(200);
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct endpoint a, again;
		assert_int_equal(endpoint_parse(str_of(cases[i].text), &a, &fail), cases[i].canonical != NULL);
		assert_int_equal(fail != NULL, cases[i].canonical == NULL);
		if (!cases[i].canonical)
			continue;
		assert_string_equal(printed(&out, &a), cases[i].canonical);
		assert_true(endpoint_parse(buf_str(&out), &again, NULL));
		assert_true(endpoint_equal(&a, &again));
	}
	buf_release(&out);
}

static void long_paths(void **state)
{
	(void)state;
	char path[200];
	struct endpoint a;
	memset(path, 'x', sizeof path);
	path[0] = '/';
	assert_true(endpoint_parse(str_from(path, 107), &a, NULL));
	assert_false(endpoint_parse(str_from(path, 108), &a, NULL));
	assert_false(endpoint_parse(STR("/a\0b"), &a, NULL));
}

static void networks(void **state)
{
	(void)state;
	static const struct {
		const char *network, *address;
		bool valid, contained;
	} cases[] = {
		{ "10.0.0.0/8", "10.255.255.255", true, true },
		{ "10.0.0.0/8", "11.0.0.0", true, false },
		{ "10.0.0.0/8", "::ffff:10.1.1.1", true, true },
		{ "::ffff:10.0.0.0/104", "10.1.1.1", true, true },
		{ "::ffff:10.0.0.0/64", "10.1.1.1", false, false },
		{ "::ffff:10.0.0.1", "10.0.0.1", true, true },
		{ "192.168.1.128/25", "192.168.1.127", true, false },
		{ "192.168.1.128/25", "192.168.1.128", true, true },
		{ "192.168.1.5", "192.168.1.5", true, true },
		{ "192.168.1.5", "192.168.1.4", true, false },
		{ "0.0.0.0/0", "255.255.255.255", true, true },
		{ "0.0.0.0/0", "::1", true, false },
		{ "::/0", "127.0.0.1", true, false },
		{ "::/0", "2001:db8::1", true, true },
		{ "2001:db8::/33", "2001:db8:8000::", true, false },
		{ "2001:db8::/33", "2001:db8:7fff:ffff::", true, true },
		{ "10.0.0.1/8", "10.0.0.1", false, false },
		{ "10.0.0.0/33", "10.0.0.1", false, false },
		{ "10.0.0.0/", "10.0.0.1", false, false },
		{ "10.0.0.0/-1", "10.0.0.1", false, false },
		{ "10.0.0/8", "10.0.0.1", false, false },
		{ "::/129", "::1", false, false },
		{ "", "::1", false, false },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		CLEANUP(fail_free) struct fail *fail = NULL;
		struct network n;
		struct endpoint a;
		assert_true(endpoint_parse_ip(str_of(cases[i].address), 25, &a, NULL));
		bool valid = network_parse(str_of(cases[i].network), &n, &fail);
		assert_int_equal(valid, cases[i].valid);
		assert_int_equal(fail == NULL, cases[i].valid);
		if (valid)
			assert_int_equal(network_contains(&n, &a), cases[i].contained);
	}
}

static void network_lists(void **state)
{
	(void)state;
	struct network list[2];
	struct endpoint a, path;
	struct buf out = BUF_WITH_LIMIT(100);
	assert_true(network_parse(STR("10.0.0.0/8"), &list[0], NULL));
	assert_true(network_parse(STR("2001:db8::/32"), &list[1], NULL));
	assert_true(endpoint_parse(STR("[2001:db8:1:2:3:4:5:6]:25"), &a, NULL));
	assert_true(endpoint_parse(STR("/x"), &path, NULL));
	assert_true(network_any_contains(list, 2, &a));
	assert_false(network_any_contains(list, 1, &a));
	assert_false(network_any_contains(list, 2, &path));
	struct network around = network_around(&a, 32, 64);
	network_print(&out, &around);
	buf_add_char(&out, ' ');
	network_print(&out, &list[0]);
	assert_string_equal(buf_text(&out), "2001:db8:1:2::/64 10.0.0.0/8");
	buf_release(&out);
}

/* Listens on the text, connects, and checks that both sides name the ends alike. */
static void listen_and_connect(const char *listen_text)
{
	struct endpoint wanted, bound, peer, local;
	CLEANUP(fail_free) struct fail *fail = NULL;
	assert_true(endpoint_parse(str_of(listen_text), &wanted, &fail));
	int listener = socket_listen(&wanted, 5, &fail);
	assert_true(listener >= 0);
	assert_true(endpoint_of_local(listener, &bound, NULL));
	assert_true(endpoint_is_ip(&bound) == endpoint_is_ip(&wanted));
	int client = socket_connect(&bound, 10000, &fail);
	assert_true(client >= 0);
	struct pollfd wait = { .fd = listener, .events = POLLIN };
	assert_int_equal(poll(&wait, 1, 10000), 1);
	int server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	assert_true(endpoint_of_local(server, &local, &fail) && endpoint_of_peer(client, &peer, &fail));
	assert_true(endpoint_equal(&local, &peer));
	assert_true(socket_set_nodelay(server) && socket_set_user_timeout(server, 60000));
	if (endpoint_is_ip(&local))
		assert_true(endpoint_is_loopback(&local) || listen_text[0] == '*');
	close(client);
	close(server);
	close(listener);
}

static void sockets(void **state)
{
	(void)state;
	listen_and_connect("127.0.0.1:0");
	listen_and_connect("*:0");
	struct endpoint v6;
	assert_true(endpoint_parse(STR("[::1]:0"), &v6, NULL));
	int probe = socket_listen(&v6, 1, NULL);
	if (probe < 0)
		return; /* a kernel without IPv6 */
	close(probe);
	listen_and_connect("[::1]:0");
}

/* "[::]" leaves IPv4 to another listener on the same port, "*" takes both. */
static void both_families(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool takes_both;
	} cases[] = { { "[::]:0", false }, { "*:0", true } };
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct endpoint a, bound, v4;
		assert_true(endpoint_parse(str_of(cases[i].text), &a, NULL));
		int listener = socket_listen(&a, 1, NULL);
		if (listener < 0 || !endpoint_of_local(listener, &bound, NULL) || bound.any.sa_family != AF_INET6) {
			print_message("a kernel without IPv6\n");
			skip();
		}
		assert_true(endpoint_parse_ip(STR("127.0.0.1"), endpoint_port(&bound), &v4, NULL));
		int client = socket_connect(&v4, 10000, NULL);
		assert_int_equal(client >= 0, cases[i].takes_both);
		if (client >= 0)
			close(client);
		close(listener);
	}
}

static void unix_sockets(void **state)
{
	(void)state;
	char directory[] = "/tmp/posthorn-address-XXXXXX";
	assert_non_null(mkdtemp(directory));
	CLEANUP(mem_free) char *path = mem_printf("%s/socket", directory);
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct endpoint a;
	struct stat file;
	assert_true(endpoint_parse(str_of(path), &a, &fail));
	listen_and_connect(path);
	assert_int_equal(stat(path, &file), 0); /* the stale file is there, and is replaced: */
	int first = socket_listen(&a, 5, &fail);
	assert_true(first >= 0);
	assert_int_equal(socket_listen(&a, 5, &fail), -1);
	assert_int_equal(fail->kind, FAIL_BUSY);
	close(first);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(socket_listen(&a, 5, &fail), -1);
	rmdir(path);
	rmdir(directory);
}

static void refused(void **state)
{
	(void)state;
	CLEANUP(fail_free) struct fail *fail = NULL;
	struct endpoint a, bound;
	assert_true(endpoint_parse(STR("127.0.0.1:0"), &a, NULL));
	int listener = socket_listen(&a, 1, &fail);
	assert_true(endpoint_of_local(listener, &bound, NULL));
	close(listener);
	assert_int_equal(socket_connect(&bound, 10000, &fail), -1);
	assert_int_equal(fail->kind, FAIL_UNAVAILABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parsing),
		cmocka_unit_test(long_paths),
		cmocka_unit_test(networks),
		cmocka_unit_test(network_lists),
		cmocka_unit_test(sockets),
		cmocka_unit_test(both_families),
		cmocka_unit_test(unix_sockets),
		cmocka_unit_test(refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
