/*
 * The addresses at which this host itself takes mail: an MX that has one of them is this host, whatever its name (RFC
 * 5321 §5.1).
 *
 * Those are the addresses of listen_smtp, with their ports (where that is all of the host's, those that its
 * interfaces have when relay starts), and own_addresses of the configuration with any port.
 */
#ifndef POSTHORN_RELAY_OWN_H
#define POSTHORN_RELAY_OWN_H

#include "config.h"

struct own;

/* Before the sandbox; config must outlive it. */
struct own *own_new(const struct config *config);

bool own_has(const struct own *own, const struct endpoint *address);

#endif
