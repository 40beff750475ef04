/*
 * The log: one line per event on standard error, where journald or a file takes it:
 *
 *	2026-11-22T06:30:00.123Z smtpd 4f1c09… accepted from=alice@example.test size=1234 queue-id=17
 *
 * Time, program, session id ("-" for none), what happened, then key=value pairs. Values are
 * escaped here (text_escape), so bytes from outside can neither forge a line nor a field.
 * Only programs log; libraries return a struct fail. A line is at most LOG_LINE_MAX octets
 * and goes out in one write, so lines of several processes do not mix.
 *
 * A program that logs several lines in one round of its loop may gather them (log_gather): then one write takes what fits
 * into LOG_WRITE_MAX octets, which a pipe takes whole. A warning or an error goes out at once, with all that waits. A
 * crash loses the lines of the present round.
 */
#ifndef POSTHORN_OS_LOG_H
#define POSTHORN_OS_LOG_H

#include "check.h"
#include "str.h"

#include <stdint.h>

#define LOG_LINE_MAX 2000
#define LOG_WRITE_MAX 4096

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct log_field {
	const char *key;
	struct str text; /* used unless is_number */
	uint64_t number;
	bool is_number;
};

#define LOG_TEXT(key_, str_) ((struct log_field){ .key = (key_), .text = (str_) })
#define LOG_NUMBER(key_, number_) ((struct log_field){ .key = (key_), .number = (uint64_t)(number_), .is_number = true })

/* Called once at start. */
void log_init(const char *program, enum log_level least);
void log_set_level(enum log_level least);

/* From now on lines of the calling thread wait for log_flush, which is to be called before it waits for anything and
 * before it ends. */
void log_gather(void);
void log_flush(void);

void log_fields(enum log_level level, uint64_t session, const char *event, const struct log_field *fields,
                size_t count);

/* log_event(LOG_INFO, session, "accepted", LOG_TEXT("from", sender), LOG_NUMBER("size", size)); session 0 is none. */
#define log_event(level, session, event, ...)                                                   \
	log_fields((level), (session), (event), (const struct log_field[]){ { NULL }, ##__VA_ARGS__ } + 1, \
	           COUNT_OF(((const struct log_field[]){ { NULL }, ##__VA_ARGS__ })) - 1)

#endif
