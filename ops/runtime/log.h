/* log: one JSON line an event on standard error, written by one write(2). Any thread.
 *     LOG(WARN, "record parked", F_STR("topic", topic), F_INT("offset", offset));
 * gives {"time":"…Z","level":"warn","program":"messages","event":"record parked","topic":"…","offset":12}
 * Libraries return errors, programs log them. Never log personal data or a secret. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "ops/runtime/mem.h"
#include "ops/runtime/uuid.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

struct log_field {
    const char *name;
    enum { LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_UUID, LOG_FIELD_NUMBER } type;
    struct str str;
    int64_t integer;
    double number;
    struct uuid uuid;
};

/* clang-format off */
#define F_STR(n, c_string) { .name = (n), .type = LOG_FIELD_STR, .str = str_of(c_string) }
#define F_STRN(n, s)       { .name = (n), .type = LOG_FIELD_STR, .str = (s) }
#define F_INT(n, i)        { .name = (n), .type = LOG_FIELD_INT, .integer = (int64_t)(i) }
#define F_NUMBER(n, d)     { .name = (n), .type = LOG_FIELD_NUMBER, .number = (d) }
#define F_UUID(n, id)      { .name = (n), .type = LOG_FIELD_UUID, .uuid = (id) }
#define F_ERR              { .name = "error", .type = LOG_FIELD_STR, .str = str_of(err_message()) }
/* clang-format on */

#define LOG(level, event, ...)                                                                                         \
    do {                                                                                                               \
        const struct log_field log_fields_[] = { { .name = NULL }, ##__VA_ARGS__ };                                    \
        log_write(LOG_LEVEL_##level, (event), log_fields_ + 1, sizeof log_fields_ / sizeof *log_fields_ - 1);          \
    } while (0)

/* Call once, before the first thread starts. `program` is kept, not copied. Lines below `level` are dropped. */
void log_init(const char *program, enum log_level level);
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t count);

/* Values that hold for a while on this thread and are added to each of its lines (request id, trace id); NULL or empty
 * clears. The text is copied (at most 63 bytes each). */
void log_context(const char *request_id, const char *command_id, const char *trace_id);
