/* Certificates and keys: read and checked as a whole, then kept in sealed memory, so that every porter gets those that
 * were right at the last reload, whatever becomes of the files. */
#include "master.h"

#include "file.h"
#include "mem.h"
#include "tls.h"

#include <unistd.h>

enum { PEM_MAX = 1 << 18 };

void certificates_release(struct certificates *certificates)
{
	for (size_t i = 0; i < certificates->count; i++) {
		file_close(&certificates->items[i].chain);
		file_close(&certificates->items[i].key);
	}
	array_release(certificates);
}

static bool load_one(struct tls_server *server, const struct config_certificate *files, struct certificate *loaded, struct fail **fail)
{
	CLEANUP(buf_release) struct buf chain = BUF_WITH_LIMIT(PEM_MAX), key = BUF_WITH_LIMIT(PEM_MAX);
	bool done = file_load(files->chain, &chain, fail) && file_load(files->key, &key, fail);
	if (done && !tls_server_add(server, buf_str(&chain), buf_str(&key), fail))
		done = fail_prefix(fail, "certificate \"%s\" of %s and %s", files->title, files->chain, files->key);
	if (done)
		done = (loaded->chain = file_sealed_memory("chain", buf_str(&chain), fail)) >= 0 &&
		       (loaded->key = file_sealed_memory("key", buf_str(&key), fail)) >= 0;
	if (key.data)
		mem_wipe(key.data, key.capacity);
	return done;
}

bool certificates_load(const struct config *config, struct certificates *fresh, struct fail **fail)
{
	CLEANUP(tls_server_cleanup) struct tls_server *server = tls_server_new((enum tls_minimum)config->tls_minimum);
	*fresh = (struct certificates){};
	for (size_t i = 0; i < config->certificates.count; i++) {
		struct certificate *loaded = array_add(fresh);
		*loaded = (struct certificate){ -1, -1 };
		if (!load_one(server, &config->certificates.items[i], loaded, fail)) {
			certificates_release(fresh);
			return false;
		}
	}
	return true;
}

void certificates_send(struct process *porter)
{
	const struct certificates *list = &porter->master->certificates;
	for (size_t i = 0; i < list->count; i++) {
		int descriptors[2] = { dup(list->items[i].chain), dup(list->items[i].key) };
		uint32_t payload[2] = { (uint32_t)i, (uint32_t)list->count };
		ipc_send(&porter->peer.channel, MSG_CERTIFICATE, 0, str_from((char *)payload, sizeof payload), descriptors, 2);
	}
}
