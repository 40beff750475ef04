#include "imap_thread_tree.h"

#include "array.h"
#include "hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { MESSAGES_MAX = 20 };

struct fixture {
	struct imap_thread_message list[MESSAGES_MAX];
	uint64_t references[200];
	struct imap_thread_messages messages;
};

static const uint64_t key[2] = { 1, 2 };

static uint64_t hash_of(struct str text)
{
	return text.length ? hash_sip(key, text.data, text.length) : 0;
}

/* Messages as "id:ref,ref:date:subject", a "+" before the subject for a reply; they are received in their order. */
static void read_messages(struct fixture *f, const char *text)
{
	struct str rest = str_of(text), one, id, references, reference, date;
	uint64_t sent;
	*f = (struct fixture){};
	while (str_take_until(&rest, ' ', &one)) {
		struct imap_thread_message *m = &f->list[f->messages.count++];
		assert_true(str_take_until(&one, ':', &id) && str_take_until(&one, ':', &references));
		assert_true(str_take_until(&one, ':', &date));
		assert_true(str_to_u64(date, 1000, &sent));
		m->number = (uint32_t)f->messages.count;
		m->sent = (int64_t)sent;
		m->received = m->number;
		m->id = hash_of(id);
		m->is_reply = str_starts(one, STR("+"));
		m->subject = hash_of(str_from_index(one, m->is_reply));
		m->first_reference = (uint32_t)f->messages.reference_count;
		for (; str_take_until(&references, ',', &reference); m->reference_count++)
			f->references[f->messages.reference_count++] = hash_of(reference);
	}
	f->messages.list = f->list;
	f->messages.references = f->references;
}

static void tables(void **state)
{
	(void)state;
	static const struct {
		enum imap_thread_algorithm algorithm;
		const char *messages, *threads;
	} cases[] = {
		{ IMAP_THREAD_REFERENCES, "", "" },
		{ IMAP_THREAD_REFERENCES, "a::1:x", "(1)" },
		{ IMAP_THREAD_REFERENCES, "a::1:x b:a:2:+x c:a,b:3:+x", "(1 2 3)" },
		{ IMAP_THREAD_REFERENCES, "a::1:x b:a:2:+x c:a:3:+x", "(1 (2)(3))" },
		{ IMAP_THREAD_REFERENCES, "a::1:x c:a:3:+x b:a:2:+x", "(1 (3)(2))" },
		{ IMAP_THREAD_REFERENCES, "a::5:x b::1:y", "(2)(1)" },
		/* messages that are only spoken of: one child is promoted, two stay together */
		{ IMAP_THREAD_REFERENCES, "b:a:1:+x", "(1)" },
		{ IMAP_THREAD_REFERENCES, "b:a:1:+x c:a:2:+y", "((1)(2))" },
		{ IMAP_THREAD_REFERENCES, "b:z,a:1:+x c:z,y:2:+y", "((1)(2))" },
		{ IMAP_THREAD_REFERENCES, "a::1:x c:a,gone:2:+y d:a,gone:3:+y", "(1 (2)(3))" },
		{ IMAP_THREAD_REFERENCES, "c:p,q,r,s:1:x", "(1)" },
		/* the example of the response: 2; 3 6 (4 23)(44 7 96) */
		{ IMAP_THREAD_REFERENCES,
		 "two::1:a three::2:b six:three:3:+b four:six:4:+b x:four:5:+b y:six:6:+b seven:y:7:+b z:seven:8:+b",
		  "(1)(2 3 (4 5)(6 7 8))" },
		/* duplicates of an id and messages without one are on their own, but for their subjects */
		{ IMAP_THREAD_REFERENCES, "a::1:x a::2:y b:a:3:+z", "(1 3)(2)" },
		{ IMAP_THREAD_REFERENCES, ":a:1:x :b:2:y", "(1)(2)" },
		/* loops are not closed, whoever speaks of whom */
		{ IMAP_THREAD_REFERENCES, "a:a:1:x", "(1)" },
		{ IMAP_THREAD_REFERENCES, "a:b:1:x b:a:2:y", "(2 1)" },
		{ IMAP_THREAD_REFERENCES, "a:c:1:x b:a:2:y c:b:3:z", "(3 1 2)" },
		{ IMAP_THREAD_REFERENCES, "a::1:x b:a,b,a:2:y", "(1 2)" },
		/* a parent that is told by the message itself wins */
		{ IMAP_THREAD_REFERENCES, "a::1:x b::2:y c:a,b:3:+x d::4:q", "(1 2 3)(4)" },
		{ IMAP_THREAD_REFERENCES, "a::1:x c:a,b:3:+x b::2:y", "(1)(3 2)" },
		{ IMAP_THREAD_REFERENCES, "c:a,b:1:+x b:z:2:+x a::3:x z::4:y", "(3)(4 2 1)" },
		/* step 5: by subject */
		{ IMAP_THREAD_REFERENCES, "a::1:x b::2:+x", "(1 2)" },
		{ IMAP_THREAD_REFERENCES, "a::2:x b::1:+x", "(1 2)" },
		{ IMAP_THREAD_REFERENCES, "a::1:x b::2:x", "((1)(2))" },
		{ IMAP_THREAD_REFERENCES, "a::1:+x b::2:+x", "((1)(2))" },
		{ IMAP_THREAD_REFERENCES, "a::1:x b::2:x c::3:+x", "((1)(2)(3))" },
		{ IMAP_THREAD_REFERENCES, "a::1:x b::2:+x c::3:x", "((1 2)(3))" },
		{ IMAP_THREAD_REFERENCES, "a::1: b::2:", "(1)(2)" },
		{ IMAP_THREAD_REFERENCES, "b:a:1:+x c:a:2:+y d::3:x", "((1)(2)(3))" },
		{ IMAP_THREAD_REFERENCES, "d::1:x b:a:2:+x c:a:3:+y", "((1)(2)(3))" },
		{ IMAP_THREAD_REFERENCES, "b:a:1:+x c:a:2:+y d:q:3:+x e:q:4:+z", "((1)(2)(3)(4))" },
		/* REFS: no subjects, and the latest arrival decides */
		{ IMAP_THREAD_REFS, "a::1:x b::2:x", "(1)(2)" },
		{ IMAP_THREAD_REFS, "a::1:x b::2:y c:a:3:+x", "(2)(1 3)" },
		{ IMAP_THREAD_REFS, "a::9:x b::1:y", "(1)(2)" },
		{ IMAP_THREAD_REFS, "b:a:2:x c:a:1:y", "((2)(1))" },
		/* ORDEREDSUBJECT: no grandchildren */
		{ IMAP_THREAD_ORDEREDSUBJECT, "a::3:x b::2:y c::1:x d::4:x", "(3 (1)(4))(2)" },
		{ IMAP_THREAD_ORDEREDSUBJECT, "a::1:x b::2:x", "(1 2)" },
		{ IMAP_THREAD_ORDEREDSUBJECT, "a::1: b::2: c::3:z", "(1 2)(3)" },
	};
	for (size_t i = 0; i < COUNT_OF(cases); i++) {
		struct fixture f;
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1000);
		read_messages(&f, cases[i].messages);
		imap_thread_write(&out, cases[i].algorithm, &f.messages);
		assert_string_equal(buf_text(&out), cases[i].threads);
	}
}

/* ---- many ---- */

struct many {
	ARRAY(struct imap_thread_message) list;
	ARRAY(uint64_t) references;
};

static void add_message(struct many *many, uint64_t id, const uint64_t *references, size_t count)
{
	struct imap_thread_message *m = array_add(&many->list);
	m->number = (uint32_t)many->list.count;
	m->sent = m->received = m->number;
	m->id = id;
	m->subject = id;
	m->first_reference = (uint32_t)many->references.count;
	m->reference_count = (uint16_t)count;
	for (size_t i = 0; i < count; i++)
		*array_add(&many->references) = references[i];
}

/* Every message stands once, and parentheses agree. */
static void check(struct many *many)
{
	for (enum imap_thread_algorithm algorithm = 0; algorithm <= IMAP_THREAD_REFS; algorithm++) {
		struct imap_thread_messages messages = { many->list.items, many->list.count, many->references.items,
		                                        many->references.count };
		CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 26);
		imap_thread_write(&out, algorithm, &messages);
		uint64_t sum = 0, number = 0;
		size_t depth = 0;
		for (size_t i = 0; i < out.length; i++) {
			number = char_is_digit(out.data[i]) ? number * 10 + (uint64_t)(out.data[i] - '0') : 0;
			if (number && (i + 1 == out.length || !char_is_digit(out.data[i + 1])))
				sum += number;
			depth += out.data[i] == '(';
			depth -= out.data[i] == ')';
		}
		assert_int_equal(depth, 0);
		assert_int_equal(sum, (uint64_t)many->list.count * (many->list.count + 1) / 2);
	}
	array_release(&many->list);
	array_release(&many->references);
}

static void hostile_references(void **state)
{
	enum { COUNT = 100000, PER_MESSAGE = 10 };
	(void)state;
	struct many many = {};
	uint64_t references[PER_MESSAGE];
	/* a million references to few ids, in all directions */
	srand(5);
	for (uint64_t i = 1; i <= COUNT; i++) {
		for (size_t r = 0; r < PER_MESSAGE; r++)
			references[r] = 1 + (uint64_t)rand() % 1000;
		add_message(&many, 1 + (uint64_t)rand() % 2000, references, PER_MESSAGE);
	}
	check(&many);
	/* one chain, the youngest first, the oldest first, and in no order */
	for (uint64_t i = 1; i <= COUNT; i++)
		add_message(&many, COUNT + 2 - i, &(uint64_t){ COUNT + 1 - i }, 1);
	check(&many);
	for (uint64_t i = 1; i <= COUNT; i++)
		add_message(&many, i + 1, &(uint64_t){ i }, 1);
	check(&many);
	for (uint64_t i = 1; i <= COUNT; i++) {
		uint64_t at = i * 33331 % 100003; /* a prime: each comes once */
		add_message(&many, at + 1, &(uint64_t){ at }, 1);
	}
	check(&many);
	/* two long chains that are tied and untied at their roots, over and over */
	for (uint64_t i = 1; i <= COUNT; i++) {
		references[0] = i;
		references[1] = i + 1;
		references[2] = 1 + i % 7;
		references[3] = 1;
		add_message(&many, i % 2 ? COUNT + i : i, references, 4);
	}
	check(&many);
}

static void a_chain_is_one_thread(void **state)
{
	enum { COUNT = 3000 };
	(void)state;
	struct many many = {};
	CLEANUP(buf_release) struct buf out = BUF_WITH_LIMIT(1 << 20);
	CLEANUP(buf_release) struct buf expected = BUF_WITH_LIMIT(1 << 20);
	uint32_t place[COUNT + 2] = {};
	for (uint64_t i = 1; i <= COUNT; i++) {
		uint64_t at = i * 1009 % 3001; /* a prime: each from 1 to 3000 once */
		add_message(&many, at + 1, &(uint64_t){ at }, 1);
		place[at] = (uint32_t)i;
	}
	struct imap_thread_messages messages = { many.list.items, many.list.count, many.references.items,
	                                        many.references.count };
	imap_thread_write(&out, IMAP_THREAD_REFERENCES, &messages);
	for (uint64_t at = 1; at <= COUNT; at++)
		buf_printf(&expected, "%s%u", at == 1 ? "(" : " ", place[at]);
	buf_add_char(&expected, ')');
	assert_string_equal(buf_text(&out), buf_text(&expected));
	array_release(&many.list);
	array_release(&many.references);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(hostile_references),
		cmocka_unit_test(a_chain_is_one_thread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
