#include "imap_objectid.h"

void imap_objectid_write(struct buf *out, enum imap_objectid kind, uint64_t number)
{
	buf_add_char(out, (char)kind);
	buf_add_u64(out, number);
}

bool imap_objectid_read(struct str text, enum imap_objectid kind, uint64_t *number)
{
	bool padded = text.length > 2 && text.data[1] == '0';
	return text.length > 1 && text.data[0] == (char)kind && !padded &&
	       str_to_u64(str_from_index(text, 1), UINT64_MAX, number);
}
