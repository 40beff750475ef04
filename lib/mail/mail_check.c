#include "mail_check.h"

#include "limits.h"
#include "mem.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

static bool is_line(struct str s)
{
	for (size_t i = 0; i < s.length; i++)
		if (s.data[i] == '\r' || s.data[i] == '\n' || s.data[i] == '\0')
			return false;
	return true;
}

static void check_parameters(const struct parameter_list *list)
{
	size_t count = 0;
	for (const struct parameter *p = list->first; p; p = p->next, count++)
		must(p->name.length > 0 && is_line(p->name) && is_line(p->value));
	must(count == list->count && count <= LIMIT_MIME_PARAMETERS_MAX);
}

static void check_addresses(const struct address_list *list)
{
	size_t count = 0;
	bool in_group = false;
	for (const struct address *a = list->first; a; a = a->next, count++) {
		must(is_line(a->name) && is_line(a->route) && is_line(a->mailbox) && is_line(a->host));
		must(!address_is_mailbox(a) || a->mailbox.data);
		must(!address_is_group_begin(a) || !in_group);
		must(!address_is_group_end(a) || in_group);
		in_group = address_is_group_begin(a) || (in_group && !address_is_group_end(a));
	}
	must(!in_group && count == list->count && count <= LIMIT_ADDRESSES_MAX);
}

static void check_envelope(const struct mail_envelope *e)
{
	must(is_line(e->date) && is_line(e->subject) && is_line(e->in_reply_to) && is_line(e->message_id));
	check_addresses(&e->from);
	check_addresses(&e->sender);
	check_addresses(&e->reply_to);
	check_addresses(&e->to);
	check_addresses(&e->cc);
	check_addresses(&e->bcc);
}

static void check_place(const struct mime_part *part, const struct mime_part *before)
{
	size_t start = part->header_offset, end = part->body_offset + part->body_size;
	const struct mime_part *parent = part->parent;
	must(part->header_offset <= part->body_offset && part->body_lines <= part->body_size);
	if (parent)
		must(start >= parent->body_offset && end <= parent->body_offset + parent->body_size);
	if (before)
		must(start >= before->body_offset + before->body_size);
}

static void check_part(const struct mime_part *part)
{
	const struct mime_part *before = NULL;
	size_t children = 0;
	must(part->type.length && part->subtype.length && is_line(part->type) && is_line(part->subtype));
	must(is_line(part->id) && is_line(part->description) && is_line(part->md5) && is_line(part->disposition));
	must(is_line(part->language) && is_line(part->location) && is_line(part->encoding_name));
	must((part->kind == MIME_MESSAGE) == (part->envelope != NULL));
	check_parameters(&part->parameters);
	check_parameters(&part->disposition_parameters);
	if (part->envelope)
		check_envelope(part->envelope);
	for (const struct mime_part *child = part->first; child; child = child->next, children++) {
		must(child->parent == part);
		check_place(child, before);
		before = child;
	}
	must(before == part->last && children == part->children);
	must(part->kind == MIME_LEAF ? children == 0 : part->kind == MIME_MESSAGE ? children == 1 : children > 0);
}

void check_message(const struct message *message, struct str text)
{
	const struct mime_part *root = message->root;
	size_t parts = 0;
	check_envelope(&message->envelope);
	must(is_line(message->base_subject) && is_line(message->id));
	must(message->reference_count <= LIMIT_MESSAGE_IDS_MAX && message->subset.length <= LIMIT_HEADER_SUBSET_MAX);
	for (size_t i = 0; i < message->reference_count; i++)
		must(is_line(message->references[i]) && message->references[i].length > 0);
	must(root->header_offset == 0 && root->body_offset + root->body_size == text.length);
	for (const struct mime_part *part = root; part; part = mime_next(part), parts++)
		check_part(part);
	must(parts <= LIMIT_MIME_PARTS_MAX + LIMIT_MIME_DEPTH_MAX);
}

void check_pack(const struct message *message)
{
	CLEANUP(buf_release) struct buf first = BUF_WITH_LIMIT(64 << 20);
	CLEANUP(buf_release) struct buf second = BUF_WITH_LIMIT(64 << 20);
	CLEANUP(arena_cleanup) struct arena *a = arena_new(MESSAGE_ARENA_SIZE);
	struct message again;
	struct mail_envelope envelope;
	must(message_pack(message, &first));
	must(message_unpack(a, buf_str(&first), &again, NULL));
	must(message_pack(&again, &second));
	must(str_equal(buf_str(&first), buf_str(&second)));
	must(message_unpack_envelope(a, buf_str(&first), &envelope, NULL));
	must(envelope.from.count == message->envelope.from.count && envelope.cc.count == message->envelope.cc.count);
	must(str_equal(envelope.subject, message->envelope.subject));
	struct mime_part *part = message_unpack_structure(a, buf_str(&first), NULL);
	must(part);
	for (const struct mime_part *same = again.root; same; same = mime_next(same), part = mime_next(part))
		must(part && part->body_offset == same->body_offset && str_equal(part->subtype, same->subtype));
	must(!part);
}

static char *samples_folder(void)
{
	const char *shared = getenv("POSTHORN_SHARED");
	return mem_printf("%s/mail-samples", shared ? shared : POSTHORN_SOURCE "/../shared");
}

/* nftw has no argument of its own for its callback. */
static void (*visit_sample)(const char *path, struct str text);

static int read_sample(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)place;
	if (kind != FTW_F)
		return 0;
	CLEANUP(mem_free) char *bytes = mem_alloc((size_t)status->st_size);
	FILE *file = fopen(path, "rb");
	must(file && fread(bytes, 1, (size_t)status->st_size, file) == (size_t)status->st_size);
	fclose(file);
	visit_sample(path, str_from(bytes, (size_t)status->st_size));
	return 0;
}

bool check_samples(void (*visit)(const char *path, struct str text))
{
	CLEANUP(mem_free) char *folder = samples_folder();
	visit_sample = visit;
	return nftw(folder, read_sample, 16, FTW_PHYS) == 0;
}
