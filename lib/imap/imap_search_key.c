#include "imap_search_key.h"

#include "limits.h"

enum frame_kind {
	FRAME_TOP,    /* up to the end of the text */
	FRAME_LIST,   /* up to the closing parenthesis */
	FRAME_OR,     /* so many operands */
	FRAME_FILTER, /* up to the end of the filter's text */
};

struct frame {
	enum frame_kind kind;
	uint32_t group;      /* node that gets the children */
	size_t wanted;       /* operands of FRAME_OR that are still to come */
	struct str text;     /* of FRAME_FILTER: where parsing goes on behind it */
	size_t at;
};

struct builder {
	struct imap_parser *p;
	const struct imap_search_filters *filters;
	struct imap_search_program *program;
	size_t room;
	uint32_t *last;      /* by node: its last child */
	struct frame frames[LIMIT_IMAP_SEARCH_DEPTH_MAX];
	size_t depth;
	size_t keys;         /* and filters */
	size_t filter_depth;
};

static bool too_many(struct builder *b, const char *expected)
{
	if (!b->p->failed)
		b->p->too_much = true;
	return imap_parse_fail(b->p, expected);
}

/* ---- nodes ---- */

static void grow(struct builder *b)
{
	size_t room = b->room ? b->room * 2 : 16;
	struct imap_search_node *nodes = arena_alloc_array(b->p->arena, room, sizeof *nodes);
	uint32_t *last = arena_alloc_array(b->p->arena, room, sizeof *last);
	for (size_t i = 0; i < b->program->count; i++) {
		nodes[i] = b->program->nodes[i];
		last[i] = b->last[i];
	}
	b->program->nodes = nodes;
	b->last = last;
	b->room = room;
}

/* A new child of the frame on top; 0 when there are too many. */
static uint32_t add_node(struct builder *b, enum imap_search_op op, bool negated)
{
	if (b->program->count == LIMIT_IMAP_SEARCH_KEYS_MAX) {
		too_many(b, "fewer search keys");
		return 0;
	}
	if (b->program->count == b->room)
		grow(b);
	uint32_t number = (uint32_t)b->program->count++;
	b->program->nodes[number] = (struct imap_search_node){ .op = op, .negated = negated };
	b->last[number] = 0;
	if (number == 0)
		return 0;
	uint32_t group = b->frames[b->depth - 1].group;
	if (b->last[group])
		b->program->nodes[b->last[group]].next = number;
	else
		b->program->nodes[group].first = number;
	b->last[group] = number;
	return number;
}

static struct imap_search_node *node_at(struct builder *b, uint32_t number)
{
	return &b->program->nodes[number];
}

static void push(struct builder *b, enum frame_kind kind, uint32_t group, size_t wanted)
{
	if (b->depth == COUNT_OF(b->frames)) {
		too_many(b, "search keys that are less deep");
		return;
	}
	b->frames[b->depth++] = (struct frame){ .kind = kind, .group = group, .wanted = wanted };
}

/* ---- keys ---- */

enum argument { NOTHING, A_STRING, A_DATE, A_SIZE, A_NUMBER, A_KEYWORD, AN_ATOM, A_SET };

struct key {
	const char *word;
	enum imap_search_op op;
	enum argument argument;
	bool negated;
	int64_t number;     /* of FLAG */
	const char *name;   /* of HEADER */
};

#define FLAG(word_, flag) { #word_, IMAP_KEY_FLAG, NOTHING, false, IMAP_SEARCH_##flag, NULL }
#define NO_FLAG(word_, flag) { #word_, IMAP_KEY_FLAG, NOTHING, true, IMAP_SEARCH_##flag, NULL }
#define FIELD(word_, name_) { #word_, IMAP_KEY_HEADER, A_STRING, false, 0, name_ }

/* RFC 9051 §6.4.4, RFC 3501 §6.4.4, and the extensions of the header. */
static const struct key keys[] = {
	{ "ALL", IMAP_KEY_AND, NOTHING, false, 0, NULL },
	FLAG(ANSWERED, ANSWERED),
	FIELD(BCC, "Bcc"),
	{ "BEFORE", IMAP_KEY_BEFORE, A_DATE, false, 0, NULL },
	{ "BODY", IMAP_KEY_BODY, A_STRING, false, 0, NULL },
	FIELD(CC, "Cc"),
	FLAG(DELETED, DELETED),
	FLAG(DRAFT, DRAFT),
	{ "EMAILID", IMAP_KEY_EMAILID, AN_ATOM, false, 0, NULL },
	FLAG(FLAGGED, FLAGGED),
	FIELD(FROM, "From"),
	{ "KEYWORD", IMAP_KEY_KEYWORD, A_KEYWORD, false, 0, NULL },
	{ "LARGER", IMAP_KEY_LARGER, A_SIZE, false, 0, NULL },
	NO_FLAG(OLD, RECENT),
	{ "OLDER", IMAP_KEY_OLDER, A_NUMBER, false, 0, NULL },
	{ "ON", IMAP_KEY_ON, A_DATE, false, 0, NULL },
	FLAG(RECENT, RECENT),
	{ "SAVEDATESUPPORTED", IMAP_KEY_AND, NOTHING, false, 0, NULL }, /* RFC 8514 §4.3: it is, in every mailbox */
	{ "SAVEDBEFORE", IMAP_KEY_SAVED_BEFORE, A_DATE, false, 0, NULL },
	{ "SAVEDON", IMAP_KEY_SAVED_ON, A_DATE, false, 0, NULL },
	{ "SAVEDSINCE", IMAP_KEY_SAVED_SINCE, A_DATE, false, 0, NULL },
	FLAG(SEEN, SEEN),
	{ "SENTBEFORE", IMAP_KEY_SENT_BEFORE, A_DATE, false, 0, NULL },
	{ "SENTON", IMAP_KEY_SENT_ON, A_DATE, false, 0, NULL },
	{ "SENTSINCE", IMAP_KEY_SENT_SINCE, A_DATE, false, 0, NULL },
	{ "SINCE", IMAP_KEY_SINCE, A_DATE, false, 0, NULL },
	{ "SMALLER", IMAP_KEY_SMALLER, A_SIZE, false, 0, NULL },
	FIELD(SUBJECT, "Subject"),
	{ "TEXT", IMAP_KEY_TEXT, A_STRING, false, 0, NULL },
	{ "THREADID", IMAP_KEY_THREADID, AN_ATOM, false, 0, NULL },
	FIELD(TO, "To"),
	{ "UID", IMAP_KEY_UIDS, A_SET, false, 0, NULL },
	{ "UIDAFTER", IMAP_KEY_UID_AFTER, A_NUMBER, false, 0, NULL },
	{ "UIDBEFORE", IMAP_KEY_UID_BEFORE, A_NUMBER, false, 0, NULL },
	NO_FLAG(UNANSWERED, ANSWERED),
	NO_FLAG(UNDELETED, DELETED),
	NO_FLAG(UNDRAFT, DRAFT),
	NO_FLAG(UNFLAGGED, FLAGGED),
	{ "UNKEYWORD", IMAP_KEY_KEYWORD, A_KEYWORD, true, 0, NULL },
	NO_FLAG(UNSEEN, SEEN),
	{ "YOUNGER", IMAP_KEY_YOUNGER, A_NUMBER, false, 0, NULL },
};

static void parse_argument(struct imap_parser *p, enum argument argument, struct imap_search_node *node)
{
	if (argument != NOTHING)
		imap_parse_space(p);
	switch (argument) {
	case NOTHING:
		break;
	case A_STRING:
		node->text = imap_parse_astring(p);
		break;
	case A_DATE:
		node->number = imap_parse_date(p);
		break;
	case A_SIZE:
		node->number = (int64_t)imap_parse_number(p, INT64_MAX);
		break;
	case A_NUMBER:
		node->number = (int64_t)imap_parse_nz_number(p, UINT32_MAX);
		break;
	case A_KEYWORD:
	case AN_ATOM:
		node->text = imap_parse_atom(p);
		break;
	case A_SET:
		imap_parse_sequence(p, &node->sequence);
		break;
	}
}

static void add_key(struct builder *b, const struct key *key, bool negated)
{
	uint32_t number = add_node(b, key->op, negated != key->negated);
	if (!number)
		return;
	struct imap_search_node *node = node_at(b, number);
	node->number = key->number;
	node->name = str_of(key->name);
	parse_argument(b->p, key->argument, node);
}

static void add_header(struct builder *b, bool negated)
{
	imap_parse_space(b->p);
	struct str name = imap_parse_astring(b->p);
	imap_parse_space(b->p);
	struct str text = imap_parse_astring(b->p);
	uint32_t number = add_node(b, IMAP_KEY_HEADER, negated);
	node_at(b, number)->name = name;
	node_at(b, number)->text = text;
}

/* [SP entry-name SP entry-type-req] SP mod-sequence-valzer: all flags of a message share one. RFC 7162 §3.1.5 */
static void add_modseq(struct builder *b, bool negated)
{
	struct imap_parser *p = b->p;
	imap_parse_space(p);
	if (imap_parse_peek(p) == '"') {
		struct str entry = imap_parse_string(p);
		if (!str_starts_nocase(entry, STR("/flags/")))
			imap_parse_fail(p, "the name of a flag's entry");
		imap_parse_space(p);
		if (!imap_parse_word(p, "ALL") && !imap_parse_word(p, "PRIV") && !imap_parse_word(p, "SHARED"))
			imap_parse_fail(p, "priv, shared or all");
		imap_parse_space(p);
	}
	int64_t modseq = (int64_t)imap_parse_number(p, INT64_MAX);
	uint32_t number = add_node(b, IMAP_KEY_MODSEQ, negated);
	node_at(b, number)->number = modseq;
	b->program->uses_modseq = true;
}

/* NEW = RECENT UNSEEN. RFC 3501 §6.4.4 */
static void add_new(struct builder *b, bool negated)
{
	static const struct key parts[] = { FLAG(RECENT, RECENT), NO_FLAG(UNSEEN, SEEN) };
	uint32_t group = add_node(b, IMAP_KEY_AND, negated);
	push(b, FRAME_LIST, group, 0);
	if (b->p->failed)
		return;
	add_key(b, &parts[0], false);
	add_key(b, &parts[1], false);
	b->depth--;
}

/* ---- filters, RFC 5466 §3.1 ---- */

static void bad_filter(struct builder *b, struct str name)
{
	if (!b->program->unknown_filter.data)
		b->program->unknown_filter = name;
	imap_parse_fail(b->p, "the name of a filter that there is");
}

/* ATOM-CHAR without "/". */
static struct str parse_filter_name(struct imap_parser *p)
{
	struct str name = imap_parse_atom(p);
	if (str_find_char(name, '/') < name.length)
		imap_parse_fail(p, "the name of a filter");
	return p->failed ? (struct str){} : name;
}

/* Its criteria stand in its place as a list in parentheses would. A filter that names itself is found too deep. */
static void begin_filter(struct builder *b, bool negated)
{
	struct imap_parser *p = b->p;
	struct str criteria;
	imap_parse_space(p);
	struct str name = parse_filter_name(p);
	if (p->failed)
		return;
	b->program->uses_filters = true;
	if (b->filter_depth == LIMIT_IMAP_FILTER_DEPTH_MAX || !b->filters || !b->filters->find(b->filters->context, name,
	                                                                                       &criteria)) {
		bad_filter(b, name);
		return;
	}
	uint32_t group = add_node(b, IMAP_KEY_AND, negated);
	push(b, FRAME_FILTER, group, 0);
	if (p->failed)
		return;
	struct frame *frame = &b->frames[b->depth - 1];
	frame->text = p->text;
	frame->at = p->at;
	node_at(b, group)->name = name; /* until the end of the filter: for what is wrong in it */
	p->text = criteria;
	p->at = 0;
	b->filter_depth++;
}

static void end_filter(struct builder *b)
{
	struct frame *frame = &b->frames[--b->depth];
	node_at(b, frame->group)->name = (struct str){};
	b->p->text = frame->text;
	b->p->at = frame->at;
	b->filter_depth--;
}

/* What is wrong in a filter is not wrong in the command. */
static void blame_filter(struct builder *b)
{
	for (size_t i = 0; i < b->depth; i++)
		if (b->frames[i].kind == FRAME_FILTER) {
			b->p->too_much = false;
			if (!b->program->unknown_filter.data)
				b->program->unknown_filter = node_at(b, b->frames[i].group)->name;
			return;
		}
}

/* ---- structure ---- */

static void begin_or(struct builder *b, bool negated)
{
	struct frame *top = &b->frames[b->depth - 1];
	imap_parse_space(b->p);
	if (top->kind == FRAME_OR && !negated) { /* OR OR a b c: two operands instead of one */
		top->wanted++;
		return;
	}
	push(b, FRAME_OR, add_node(b, IMAP_KEY_OR, negated), 2);
}

static void begin_list(struct builder *b, bool negated)
{
	push(b, FRAME_LIST, add_node(b, IMAP_KEY_AND, negated), 0);
}

static void add_set(struct builder *b, bool negated)
{
	uint32_t number = add_node(b, IMAP_KEY_NUMBERS, negated);
	struct imap_search_node *node = node_at(b, number);
	imap_parse_sequence(b->p, &node->sequence);
	b->program->uses_numbers |= !node->sequence.saved;
}

static bool is_set(char c)
{
	return char_is_digit(c) || c == '*' || c == '$';
}

static void add_named(struct builder *b, bool negated)
{
	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (imap_parse_word(b->p, keys[i].word)) {
			add_key(b, &keys[i], negated);
			return;
		}
	if (imap_parse_word(b->p, "HEADER"))
		add_header(b, negated);
	else if (imap_parse_word(b->p, "NEW"))
		add_new(b, negated);
	else if (imap_parse_word(b->p, "MODSEQ"))
		add_modseq(b, negated);
	else
		imap_parse_fail(b->p, "a search key");
}

/* One operand, or the beginning of one that has operands: true when it is whole. */
static bool take_operand(struct builder *b)
{
	bool negated = false;
	for (; imap_parse_word(b->p, "NOT"); imap_parse_space(b->p))
		negated = !negated;
	if (imap_parse_skip(b->p, '('))
		begin_list(b, negated);
	else if (imap_parse_word(b->p, "OR"))
		begin_or(b, negated);
	else if (imap_parse_word(b->p, "FILTER"))
		begin_filter(b, negated);
	else if (is_set(imap_parse_peek(b->p)))
		return add_set(b, negated), true;
	else
		return add_named(b, negated), true;
	return false;
}

/* Behind an operand: ends the frames that it ends. False when the program is at its end. */
static bool end_operand(struct builder *b)
{
	while (!b->p->failed) {
		struct frame *top = &b->frames[b->depth - 1];
		bool at_end = b->p->at == b->p->text.length;
		if (top->kind == FRAME_TOP && at_end)
			return false;
		if (top->kind == FRAME_FILTER && at_end) {
			end_filter(b);
			continue;
		}
		if ((top->kind == FRAME_OR && --top->wanted == 0) || (top->kind == FRAME_LIST && imap_parse_skip(b->p, ')'))) {
			b->depth--;
			continue;
		}
		imap_parse_space(b->p);
		return true;
	}
	return false;
}

static void parse_keys(struct imap_parser *p, const struct imap_search_filters *filters,
                       struct imap_search_program *program)
{
	struct builder *b = arena_alloc(p->arena, sizeof *b);
	b->p = p;
	b->filters = filters;
	b->program = program;
	program->count = 0;
	add_node(b, IMAP_KEY_AND, false);
	push(b, FRAME_TOP, 0, 0);
	while (!p->failed)
		if (take_operand(b) && !end_operand(b))
			break;
	if (p->failed)
		blame_filter(b);
}

void imap_parse_search(struct imap_parser *p, const struct imap_search_filters *filters,
                       struct imap_search_program *program)
{
	*program = (struct imap_search_program){};
	if (imap_parse_word(p, "CHARSET")) {
		imap_parse_space(p);
		program->charset = imap_parse_astring(p);
		imap_parse_space(p);
	}
	parse_keys(p, filters, program);
}

void imap_parse_sort_search(struct imap_parser *p, const struct imap_search_filters *filters,
                            struct imap_search_program *program)
{
	*program = (struct imap_search_program){};
	program->charset = imap_parse_astring(p);
	imap_parse_space(p);
	parse_keys(p, filters, program);
}

/* ---- return options ---- */

/* UPDATE (…): RFC 5465 §7 has it with a space, §8 without. */
static void parse_update(struct imap_parser *p, struct imap_search_return *options)
{
	struct imap_fetch_items items;
	struct str rest = str_from_index(p->text, p->at);
	if (p->failed || !(str_starts_nocase(rest, STR(" (")) || str_starts_nocase(rest, STR("("))))
		return;
	imap_parse_skip(p, ' ');
	size_t begin = p->at;
	imap_parse_fetch_items(p, &items);
	options->update_items = p->failed ? (struct str){} : str_from(p->text.data + begin, p->at - begin);
}

static void parse_option(struct imap_parser *p, struct imap_search_return *options)
{
	static const struct {
		const char *word;
		enum imap_search_option option;
	} words[] = {
		{ "MIN", IMAP_RETURN_MIN },       { "MAX", IMAP_RETURN_MAX },   { "ALL", IMAP_RETURN_ALL },
		{ "COUNT", IMAP_RETURN_COUNT },   { "SAVE", IMAP_RETURN_SAVE }, { "UPDATE", IMAP_RETURN_UPDATE },
		{ "CONTEXT", IMAP_RETURN_CONTEXT }, { "PARTIAL", IMAP_RETURN_PARTIAL },
	};
	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (!imap_parse_word(p, words[i].word))
			continue;
		if (words[i].option == IMAP_RETURN_PARTIAL && options->options & IMAP_RETURN_PARTIAL)
			imap_parse_fail(p, "one PARTIAL only");
		options->options |= words[i].option;
		if (words[i].option == IMAP_RETURN_PARTIAL) {
			imap_parse_space(p);
			imap_parse_partial(p, &options->partial);
		} else if (words[i].option == IMAP_RETURN_UPDATE) {
			parse_update(p, options);
		}
		return;
	}
	imap_parse_fail(p, "a return option");
}

void imap_parse_search_return(struct imap_parser *p, struct imap_search_return *options)
{
	*options = (struct imap_search_return){};
	if (!imap_parse_word(p, "RETURN"))
		return;
	options->given = true;
	imap_parse_space(p);
	for (imap_parse_list_begin(p); imap_parse_list_next(p);)
		parse_option(p, options);
	/* RFC 9394 §3.1 */
	if (options->options & IMAP_RETURN_PARTIAL && options->options & IMAP_RETURN_ALL)
		imap_parse_fail(p, "either PARTIAL or ALL");
	if (!options->options)
		options->options = IMAP_RETURN_ALL; /* RFC 9051 §6.4.4 */
	imap_parse_space(p);
}

/* ---- SORT and THREAD ---- */

void imap_parse_sort_criteria(struct imap_parser *p, struct imap_sort_criteria *criteria)
{
	static const char *const words[IMAP_SORT_KEYS] = {
		[IMAP_SORT_ARRIVAL] = "ARRIVAL", [IMAP_SORT_CC] = "CC", [IMAP_SORT_DATE] = "DATE",
		[IMAP_SORT_DISPLAYFROM] = "DISPLAYFROM",
		[IMAP_SORT_DISPLAYTO] = "DISPLAYTO", [IMAP_SORT_FROM] = "FROM", [IMAP_SORT_SIZE] = "SIZE",
		[IMAP_SORT_SUBJECT] = "SUBJECT", [IMAP_SORT_TO] = "TO",
	};
	bool seen[IMAP_SORT_KEYS] = {};
	criteria->count = 0;
	size_t given = 0;
	for (imap_parse_list_begin(p); imap_parse_list_next(p); given++) {
		bool reverse = imap_parse_word(p, "REVERSE");
		enum imap_sort_key key = 0;
		if (reverse)
			imap_parse_space(p);
		while (key < IMAP_SORT_KEYS && !imap_parse_word(p, words[key]))
			key++;
		if (key == IMAP_SORT_KEYS)
			imap_parse_fail(p, "a sort key");
		else if (!seen[key]) /* a second time it finds nothing left to decide */
			criteria->list[criteria->count++] = (struct imap_sort_criterion){ key, reverse };
		if (key < IMAP_SORT_KEYS)
			seen[key] = true;
	}
	if (!given)
		imap_parse_fail(p, "a sort key");
}

void imap_parse_thread_algorithm(struct imap_parser *p, enum imap_thread_algorithm *algorithm)
{
	*algorithm = IMAP_THREAD_REFERENCES;
	if (imap_parse_word(p, "ORDEREDSUBJECT"))
		*algorithm = IMAP_THREAD_ORDEREDSUBJECT;
	else if (imap_parse_word(p, "REFS"))
		*algorithm = IMAP_THREAD_REFS;
	else if (!imap_parse_word(p, "REFERENCES"))
		imap_parse_fail(p, "a threading algorithm");
}
