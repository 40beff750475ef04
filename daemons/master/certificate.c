/* Certificates and keys: read and checked as a whole, then kept in sealed memory, so that every porter gets those that
 * were right at the last reload, whatever becomes of the files. */
#include "master.h"

#include "file.h"
#include "tls_files.h"

#include <unistd.h>

void certificates_release(struct certificates *certificates)
{
	for (size_t i = 0; i < certificates->count; i++) {
		file_close(&certificates->items[i].chain);
		file_close(&certificates->items[i].key);
	}
	array_release(certificates);
}

static bool load_one(struct tls_server *server, const struct config_certificate *from, struct certificate *loaded,
                     struct fail **fail)
{
	CLEANUP(tls_files_release) struct tls_files files;
	if (!tls_files_load(server, from->chain, from->key, &files, fail))
		return fail_prefix(fail, "certificate \"%s\"", from->title);
	loaded->chain = file_sealed_memory("chain", buf_str(&files.chain), fail);
	loaded->key = loaded->chain < 0 ? -1 : file_sealed_memory("key", buf_str(&files.key), fail);
	return loaded->key >= 0;
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
