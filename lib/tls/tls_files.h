/*
 * A server's certificate and key as files: read and checked as one, so that who checks a configuration and who uses
 * it say the same.
 */
#ifndef POSTHORN_TLS_TLS_FILES_H
#define POSTHORN_TLS_TLS_FILES_H

#include "buf.h"
#include "tls.h"

/* What was read, PEM text; for CLEANUP, which wipes the key. */
struct tls_files {
	struct buf chain, key;
};

/* Reads the files and gives them to tls_server_add. False when one cannot be read, is no certificate or key, or they
 * do not belong together; *files has to be released either way. */
bool tls_files_load(struct tls_server *server, const char *chain_path, const char *key_path, struct tls_files *files,
                    struct fail **fail);

void tls_files_release(struct tls_files *files);

#endif
