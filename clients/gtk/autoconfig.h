/*
 * Finding the POP3 server of a mail address: SRV records of its domain (RFC 6186), else the document that providers put
 * at https://autoconfig.DOMAIN/mail/config-v1.1.xml or https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml.
 *
 * What is found only fills a form that a person looks at. Only servers with TLS are taken. The document is fetched with
 * a verified certificate, has at most AUTOCONFIG_MAX octets, and no redirection is followed.
 */
#ifndef POSTHORN_GTK_AUTOCONFIG_H
#define POSTHORN_GTK_AUTOCONFIG_H

#include "server.h"

#include <gio/gio.h>

enum { AUTOCONFIG_MAX = 65536 };

/* found is called in the caller's thread unless cancelled: with a server and its user, or NULL and a reason. */
void autoconfig_find(const char *address, GCancellable *cancellable,
                     void (*found)(void *context, const struct server *server, const char *why), void *context);

/* The first POP3 server with TLS of a document; false when there is none, or the text is no such document. */
bool autoconfig_read(struct str document, const char *address, struct server *server);

#endif
