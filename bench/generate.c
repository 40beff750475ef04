#include "generate.h"

#include "options.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

/* splitmix64 (Steele, Lea, Flood 2014). */
uint64_t generate_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

uint64_t generate_hash(uint64_t index, uint64_t salt)
{
	return generate_mix(generate_mix(opt.seed * 1000003u + index) ^ salt);
}

static double unit(uint64_t h)
{
	return (double)(h >> 11) / 9007199254740992.0;
}

enum { NWORDS = 6000, NLINES = 8192, INVOICE = 700, ZANZIBAR = 3000 /* words that the searches look for */ };
static char words[NWORDS][14];
static char *text_line[NLINES], *base64_line[NLINES];

static void make_words(void)
{
	static const char *syllables[] = { "ba", "re", "to", "in", "ma",  "ne",  "su",  "lo",
		                               "ti", "ca", "de", "ve", "ro",  "st",  "al",  "en",
		                               "or", "pi", "qu", "sh", "the", "con", "ing", "er" };
	for (unsigned i = 0; i < NWORDS; i++) {
		uint64_t h = generate_mix(i + 77);
		int parts = 1 + (int)(h % 4);
		size_t length = 0;
		for (int k = 0; k < parts; k++)
			length += (size_t)snprintf(words[i] + length, sizeof words[i] - length, "%s",
			                           syllables[(h >> (8 + 8 * k)) % COUNT_OF(syllables)]);
	}
	snprintf(words[INVOICE], sizeof words[0], "invoice");
	snprintf(words[ZANZIBAR], sizeof words[0], "zanzibar");
}

/* Zipf-like: common words have low numbers. */
static const char *word_of(uint64_t h)
{
	return words[(size_t)(pow(NWORDS, unit(h)) - 1)];
}

static void make_lines(void)
{
	static const char b64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char line[160];
	for (uint64_t i = 0; i < NLINES; i++) {
		size_t n = 0, limit = 50 + generate_mix(i) % 28;
		if (generate_mix(i + 5) % 97 == 0)
			line[n++] = '.'; /* exercises dot-stuffing */
		for (uint64_t k = 0; n < limit; k++)
			n += (size_t)snprintf(line + n, sizeof line - n, "%s ", word_of(generate_mix(i * 64 + k)));
		line[n - 1] = 0;
		text_line[i] = str_copy(str_of(generate_mix(i + 9) % 9 == 0 ? "" : line));
		for (n = 0; n < 76; n++)
			line[n] = b64[generate_mix(i * 128 + n + 1234567) & 63];
		line[76] = 0;
		base64_line[i] = str_copy(str_of(line));
	}
}

static void add_lines(struct buf *b, char **lines, uint64_t from, size_t bytes, const char *before,
                      const char *after)
{
	size_t end = b->length + bytes;
	for (uint64_t i = from; b->length < end; i++) {
		const char *line = lines[i % NLINES];
		buf_append(b, before, strlen(before));
		buf_append(b, line, strlen(line));
		buf_append(b, after, strlen(after));
		buf_append(b, "\r\n", 2);
	}
}

static size_t message_size(uint64_t index)
{
	if (opt.bytes)
		return (size_t)opt.bytes;
	double u1 = unit(generate_hash(index, 11)) + 1e-12, u2 = unit(generate_hash(index, 12));
	double gauss = sqrt(-2 * log(u1)) * cos(2 * M_PI * u2);
	double size = opt.median * exp(opt.sigma * gauss);
	return size < 900 ? 900 : size > 4e6 ? 4000000 : (size_t)size;
}

/* 45 % of the messages answer one of the 40 messages before them. */
static bool parent_of(uint64_t index, uint64_t *parent)
{
	uint64_t h = generate_hash(index, 21), back = 1 + (h >> 20) % 40;
	if (h % 100 >= 45 || back > index)
		return false;
	*parent = index - back;
	return true;
}

static void message_date(uint64_t index, char *out, size_t size)
{
	time_t t = 1767225600 + (time_t)(index * 251 % 27000000); /* from 2026-01-01 on */
	struct tm tm;
	gmtime_r(&t, &tm);
	strftime(out, size, "%a, %d %b %Y %H:%M:%S +0000", &tm);
}

static void add_message_id(struct buf *b, uint64_t index)
{
	buf_printf(b, "<%016llx.%llu@gen%llu.example.test>", (unsigned long long)generate_hash(index, 31),
	           (unsigned long long)index, (unsigned long long)(index % 7));
}

static void add_references(struct buf *b, uint64_t index)
{
	uint64_t chain[10], parent;
	int n = 0;
	for (uint64_t i = index; n < 10 && parent_of(i, &parent); i = parent)
		chain[n++] = parent;
	if (!n)
		return;
	buf_printf(b, "In-Reply-To: ");
	add_message_id(b, chain[0]);
	buf_printf(b, "\r\nReferences: ");
	while (n--) {
		add_message_id(b, chain[n]);
		buf_printf(b, n ? "\r\n " : "\r\n");
	}
}

static void add_subject(struct buf *b, uint64_t index)
{
	uint64_t root = index, parent;
	while (parent_of(root, &parent))
		root = parent;
	uint64_t h = generate_hash(root, 41);
	buf_printf(b, "Subject: %s", root != index ? "Re: " : "");
	if (h % 10 == 0)
		buf_printf(b, "=?UTF-8?Q?Gr=C3=BC=C3=9Fe_%s?= ", word_of(generate_mix(h)));
	for (uint64_t k = 0; k < 3 + h % 5; k++)
		buf_printf(b, "%s%s", k ? " " : "", word_of(generate_mix(h + k)));
	buf_printf(b, "\r\n");
}

static void add_person(struct buf *b, const char *field, uint64_t h)
{
	const char *first = words[h % 400 + 20], *last = words[(h >> 12) % 900 + 20];
	buf_printf(b, "%s: \"%c%s %c%s\" <%s.%s@%s.example>\r\n", field, toupper((unsigned char)first[0]),
	           first + 1, toupper((unsigned char)last[0]), last + 1, first, last, words[(h >> 24) % 60 + 100]);
}

static void add_headers(struct buf *b, uint64_t index)
{
	char date[64];
	uint64_t h = generate_hash(index, 51);
	message_date(index, date, sizeof date);
	for (unsigned hop = 0; hop < 1 + h % 4; hop++)
		buf_printf(b,
		           "Received: from mx%u.%s.example (mx%u.%s.example [192.0.2.%u])\r\n"
		           "\tby relay%u.example.test with ESMTPS id %016llx\r\n\tfor <inbox@example.test>; %s\r\n",
		           hop, words[h % 60 + 100], hop, words[h % 60 + 100], (unsigned)(h >> 8) & 255, hop,
		           (unsigned long long)generate_mix(h + hop), date);
	if (h % 3)
		buf_printf(b,
		           "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=%s.example; s=k%u;\r\n"
		           "\th=from:to:subject:date:message-id; bh=%.44s;\r\n\tb=%s\r\n\t %s\r\n\t %s\r\n",
		           words[h % 60 + 100], (unsigned)h % 5, base64_line[h % NLINES], base64_line[(h + 1) % NLINES],
		           base64_line[(h + 2) % NLINES], base64_line[(h + 3) % NLINES]);
	add_person(b, "From", generate_mix(h % 3000));
	add_person(b, "To", generate_mix(h % 17));
	if (h % 4 == 0)
		add_person(b, "Cc", generate_mix(h % 500));
	add_subject(b, index);
	buf_printf(b, "Date: %s\r\nMessage-ID: ", date);
	add_message_id(b, index);
	buf_printf(b, "\r\n");
	add_references(b, index);
	if (h % 5 == 0)
		buf_printf(b,
		           "List-Id: <%s.lists.example>\r\nList-Unsubscribe: <https://lists.example/u/%llx>\r\n"
		           "Precedence: list\r\n",
		           words[h % 40 + 50], (unsigned long long)h);
	buf_printf(b, "MIME-Version: 1.0\r\n");
}

static void add_text_part(struct buf *b, uint64_t h, size_t bytes)
{
	buf_printf(b, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n");
	add_lines(b, text_line, h, bytes, "", "");
}

static void add_alternative(struct buf *b, uint64_t h, size_t bytes)
{
	unsigned long long tag = h;
	buf_printf(b, "Content-Type: multipart/alternative; boundary=\"alt_%llx\"\r\n\r\n--alt_%llx\r\n", tag, tag);
	add_text_part(b, h, bytes / 3);
	buf_printf(b,
	           "--alt_%llx\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
	           "<html><body>\r\n",
	           tag);
	add_lines(b, text_line, h, bytes - bytes / 3, "<p>", "</p>");
	buf_printf(b, "</body></html>\r\n--alt_%llx--\r\n", tag);
}

static void add_with_attachment(struct buf *b, uint64_t h, size_t bytes)
{
	unsigned long long tag = generate_mix(h);
	size_t text = bytes < 6000 ? bytes / 2 : 2500;
	buf_printf(b, "Content-Type: multipart/mixed; boundary=\"mix_%llx\"\r\n\r\n--mix_%llx\r\n", tag, tag);
	add_alternative(b, h, text);
	buf_printf(
		b,
		"--mix_%llx\r\nContent-Type: application/pdf; name=\"%s.pdf\"\r\n"
		"Content-Disposition: attachment; filename=\"%s.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		tag, words[h % 900], words[h % 900]);
	add_lines(b, base64_line, h, bytes - text, "", "");
	buf_printf(b, "--mix_%llx--\r\n", tag);
}

/* Message number `index` of this seed: always the same bytes. */
void generate_message(struct buf *b, uint64_t index)
{
	uint64_t h = generate_hash(index, 61);
	size_t size = message_size(index);
	buf_clear(b);
	add_headers(b, index);
	size_t body = size > b->length + 600 ? size - b->length - 400 : 200;
	switch (h % 20) {
	case 0:
	case 1:
	case 2: add_with_attachment(b, h >> 8, body); break;
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
	case 10: add_alternative(b, h >> 8, body); break;
	default: add_text_part(b, h >> 8, body);
	}
}

void generate_prepare(void)
{
	make_words();
	make_lines();
}
