#include "tls_files.h"

#include "file.h"

enum { PEM_MAX = 1 << 18 };

bool tls_files_load(struct tls_server *server, const char *chain_path, const char *key_path, struct tls_files *files,
                    struct fail **fail)
{
	*files = (struct tls_files){ BUF_WITH_LIMIT(PEM_MAX), BUF_WITH_LIMIT(PEM_MAX) };
	if (!file_load(chain_path, &files->chain, fail) || !file_load(key_path, &files->key, fail))
		return false;
	return tls_server_add(server, buf_str(&files->chain), buf_str(&files->key), fail) ||
	       fail_prefix(fail, "%s and %s", chain_path, key_path);
}

void tls_files_release(struct tls_files *files)
{
	buf_wipe(&files->key);
	buf_release(&files->chain);
}
