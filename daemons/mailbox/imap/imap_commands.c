/* Which function carries out which command. */
#include "imap.h"

#include "imap_append.h"
#include "imap_client_id.h"
#include "imap_compress.h"
#include "imap_context.h"
#include "imap_copy.h"
#include "imap_expunge.h"
#include "imap_fetch.h"
#include "imap_idle.h"
#include "imap_language_command.h"
#include "imap_list.h"
#include "imap_mailboxes.h"
#include "imap_metadata.h"
#include "imap_namespace.h"
#include "imap_notify.h"
#include "imap_quota.h"
#include "imap_search.h"
#include "imap_select.h"
#include "imap_session.h"
#include "imap_sort.h"
#include "imap_status.h"
#include "imap_store.h"
#include "imap_thread.h"

static void (*const handlers[IMAP_VERB_COUNT])(struct imap_session *s) = {
	[IMAP_APPEND] = imap_append,
	[IMAP_CANCELUPDATE] = imap_cancelupdate,
	[IMAP_CAPABILITY] = imap_capability,
	[IMAP_CHECK] = imap_noop,
	[IMAP_CLOSE] = imap_close,
	[IMAP_COMPARATOR] = imap_comparator,
	[IMAP_COMPRESS] = imap_compress,
	[IMAP_COPY] = imap_copy,
	[IMAP_CREATE] = imap_create,
	[IMAP_DELETE] = imap_delete,
	[IMAP_ENABLE] = imap_enable,
	[IMAP_EXAMINE] = imap_examine,
	[IMAP_EXPUNGE] = imap_expunge,
	[IMAP_FETCH] = imap_fetch,
	[IMAP_GETMETADATA] = imap_getmetadata,
	[IMAP_GETQUOTAROOT] = imap_getquotaroot,
	[IMAP_GETQUOTA] = imap_getquota,
	[IMAP_IDLE] = imap_idle,
	[IMAP_ID] = imap_client_id,
	[IMAP_LANGUAGE] = imap_language,
	[IMAP_LIST] = imap_list,
	[IMAP_LOGOUT] = imap_logout,
	[IMAP_LSUB] = imap_lsub,
	[IMAP_MOVE] = imap_move,
	[IMAP_NAMESPACE] = imap_namespace,
	[IMAP_NOOP] = imap_noop,
	[IMAP_NOTIFY] = imap_notify,
	[IMAP_RENAME] = imap_rename,
	[IMAP_REPLACE] = imap_replace,
	[IMAP_SEARCH] = imap_search,
	[IMAP_SELECT] = imap_select,
	[IMAP_SETMETADATA] = imap_setmetadata,
	[IMAP_SETQUOTA] = imap_setquota,
	[IMAP_SORT] = imap_sort,
	[IMAP_STATUS] = imap_status,
	[IMAP_STORE] = imap_store,
	[IMAP_SUBSCRIBE] = imap_subscribe,
	[IMAP_THREAD] = imap_thread,
	[IMAP_UNAUTHENTICATE] = imap_unauthenticate,
	[IMAP_UNSELECT] = imap_unselect,
	[IMAP_UNSUBSCRIBE] = imap_subscribe,
};

void imap_carry_out(struct imap_session *s)
{
	if (handlers[s->command.verb])
		handlers[s->command.verb](s);
	else
		imap_bad(s, "", IMAP_SAY_UNKNOWN_COMMAND, &(struct imap_values){ .text = str_of(s->command.info->name) });
}
