/*
 * The first byte chooses. Even: the rest is results, logged and now and then garbled; each
 * recipient's last whole one must count. Odd: the rest is the file, with a right header
 * checksum; whatever opens must load or fail, take a result and give it back.
 */
#include "array.h"
#include "disk.h"
#include "spoolfile_format.h"
#include "wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID = 0xabc, RECIPIENTS = 3 };
static const char name[] = "0000000000000abc";

static int directory(void)
{
	static int file = -1;
	if (file >= 0)
		return file;
	char path[] = "/dev/shm/posthorn-spool-fuzz-XXXXXX";
	must(mkdtemp(path));
	file = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(file >= 0);
	return file;
}

static void put(struct str bytes)
{
	int file = openat(directory(), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must(file >= 0 && disk_write(file, bytes.data, bytes.length, 0));
	close(file);
}

/* A message without results, made once. */
static struct str fresh(void)
{
	static char bytes[8192];
	static size_t length;
	if (length > 0)
		return str_from(bytes, length);
	struct envelope_recipient recipients[RECIPIENTS];
	for (size_t i = 0; i < RECIPIENTS; i++)
		recipients[i] = (struct envelope_recipient){ .address = STR("a@b.test") };
	struct envelope e = { .id = ID, .body_size = 5, .recipients = recipients, .recipient_count = RECIPIENTS };
	must(spoolfile_create(directory(), &e, STR("hello"), NULL));
	int file = openat(directory(), name, O_RDONLY | O_CLOEXEC);
	must(file >= 0 && disk_read(file, bytes, sizeof bytes, 0, &length));
	close(file);
	return str_from(bytes, length);
}

static void check_attempts(const uint32_t expected[RECIPIENTS])
{
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(1 << 20);
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = spoolfile_open(directory(), ID, NULL);
	struct envelope e;
	struct spoolfile_result *results;
	must(f && spoolfile_load(f, arena, &e, &results, NULL));
	for (size_t i = 0; i < RECIPIENTS; i++)
		must(results[i].attempts == expected[i]);
	uint64_t offset;
	int body = spoolfile_body(f, &offset, NULL);
	must(body >= 0);
	close(body);
}

static void try_results(struct wire_reader *r)
{
	uint32_t expected[RECIPIENTS] = { 0 }, attempts = 0;
	CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 20);
	buf_add_str(&image, fresh());
	while (r->rest.length > 0 && image.length < 1 << 17) {
		uint8_t what = wire_take_u8(r);
		size_t garble = wire_take_u8(r), start = image.length;
		struct spoolfile_result result = { .recipient = what % (RECIPIENTS + 1), .state = what / 16 % ENVELOPE_STATE_COUNT,
			                               .attempts = ++attempts, .reply = wire_take(r, wire_take_u8(r)) };
		spoolfile_entry_encode(&image, ID, start, &result);
		if (what & 8)
			image.data[start + garble % (SPOOLFILE_ENTRY_HEAD + result.reply.length)] ^= 0x55;
		else if (result.recipient < RECIPIENTS)
			expected[result.recipient] = attempts;
		if (garble == 255) /* a torn piece between entries */
			for (int i = 0; i < SPOOLFILE_ALIGN; i++)
				buf_add_char(&image, 'P');
	}
	put(buf_str(&image));
	check_attempts(expected);
}

static void try_file(struct str bytes)
{
	CLEANUP(buf_release) struct buf image = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(arena_cleanup) struct arena *arena = arena_new(16 << 20);
	if (!buf_add_str(&image, bytes))
		return;
	if (image.length >= SPOOLFILE_HEADER_SIZE) {
		size_t at = SPOOLFILE_HEADER_SIZE - 8;
		memcpy(image.data, fresh().data, 16);
		wire_put_u64(image.data + at, spoolfile_check(ID, str_from(image.data, at)));
	}
	put(buf_str(&image));
	CLEANUP(spoolfile_cleanup) struct spoolfile *f = spoolfile_open(directory(), ID, NULL);
	struct envelope e;
	struct spoolfile_result *results, last = { .recipient = 0, .state = ENVELOPE_FAILED, .attempts = 3 };
	if (!f)
		return;
	must(spoolfile_summary(f)->pending <= spoolfile_summary(f)->recipient_count);
	spoolfile_load(f, arena, &e, &results, NULL);
	must(spoolfile_log(f, &last, 1, NULL));
	uint32_t pending = spoolfile_summary(f)->pending;
	spoolfile_cleanup(&f);
	f = spoolfile_open(directory(), ID, NULL);
	must(f && spoolfile_summary(f)->pending == pending);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fresh();
	struct wire_reader r = { .rest = str_from((const char *)data, size) };
	if (wire_take_u8(&r) % 2)
		try_file(r.rest);
	else
		try_results(&r);
	return 0;
}
