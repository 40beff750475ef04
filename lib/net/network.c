#include "network.h"

/* The bytes of the address, and how many bits they are. */
static unsigned address_bytes(const struct endpoint *a, unsigned char bytes[16])
{
	if (a->any.sa_family == AF_INET) {
		memcpy(bytes, &a->v4.sin_addr, 4);
		return 32;
	}
	memcpy(bytes, &a->v6.sin6_addr, 16);
	return 128;
}

static void clear_behind(unsigned char bytes[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
		bytes[i] = (unsigned char)(bytes[i] & (0xff00u >> kept));
	}
}

struct network network_around(const struct endpoint *a, unsigned v4_bits, unsigned v6_bits)
{
	must(endpoint_is_ip(a) && v4_bits <= 32 && v6_bits <= 128);
	struct network n = { .v6 = a->any.sa_family == AF_INET6 };
	address_bytes(a, n.prefix);
	n.bits = n.v6 ? v6_bits : v4_bits;
	clear_behind(n.prefix, n.bits);
	return n;
}

bool network_parse(struct str text, struct network *n, struct fail **fail)
{
	struct endpoint a;
	size_t slash = str_find_char(text, '/');
	struct str ip = str_first(text, slash);
	if (!endpoint_parse_ip(ip, 0, &a, fail))
		return false;
	bool mapped = a.any.sa_family == AF_INET && str_find_char(ip, ':') < ip.length;
	unsigned char bytes[16] = {};
	unsigned bits_max = address_bytes(&a, bytes);
	uint64_t bits = bits_max;
	if (slash < text.length && !str_to_u64(str_from_index(text, slash + 1), mapped ? 128 : bits_max, &bits))
		return fail_set(fail, FAIL_INVALID, "no prefix length (0 to %u) behind the slash", bits_max);
	if (mapped && slash < text.length && bits < 96)
		return fail_set(fail, FAIL_INVALID, "a mapped IPv4 network needs a prefix of 96 bits or more");
	if (mapped && slash < text.length)
		bits -= 96;
	*n = network_around(&a, a.any.sa_family == AF_INET ? (unsigned)bits : 0,
		a.any.sa_family == AF_INET6 ? (unsigned)bits : 0);
	if (memcmp(n->prefix, bytes, sizeof bytes) != 0)
		return fail_set(fail, FAIL_INVALID, "bits are set behind the prefix of %u bits", n->bits);
	return true;
}

void network_print(struct buf *out, const struct network *n)
{
	struct endpoint a = {};
	if (n->v6) {
		struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
		memcpy(&v6.sin6_addr, n->prefix, 16);
		endpoint_from_socket(&a, (const struct sockaddr *)&v6, sizeof v6);
	} else {
		struct sockaddr_in v4 = { .sin_family = AF_INET };
		memcpy(&v4.sin_addr, n->prefix, 4);
		endpoint_from_socket(&a, (const struct sockaddr *)&v4, sizeof v4);
	}
	endpoint_print_ip(out, &a);
	buf_add_char(out, '/');
	buf_add_u64(out, n->bits);
}

bool network_contains(const struct network *n, const struct endpoint *a)
{
	if (!endpoint_is_ip(a) || n->v6 != (a->any.sa_family == AF_INET6))
		return false;
	struct network around = network_around(a, n->v6 ? 0 : n->bits, n->v6 ? n->bits : 0);
	return memcmp(around.prefix, n->prefix, sizeof n->prefix) == 0;
}

bool network_any_contains(const struct network *networks, size_t count, const struct endpoint *a)
{
	for (size_t i = 0; i < count; i++)
		if (network_contains(&networks[i], a))
			return true;
	return false;
}
