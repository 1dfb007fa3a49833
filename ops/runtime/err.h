/* err: what every function that can fail returns. The kind says what the caller does next. */
#pragma once

#include <stdbool.h>

typedef enum err {
    OK = 0,
    RETRY,  /* the same input may work later: a server is away, a queue is full */
    REJECT, /* the input is wrong and stays wrong: answer or park it */
    FATAL,  /* this process cannot go on: log the message and exit */
} err;

#define MUST_CHECK __attribute__((warn_unused_result))

/* Keeps a message for the calling thread (what happened, and what to do next; at most 511 bytes) and returns `kind`:
 * `return err_set(RETRY, "PostgreSQL at %s does not answer; waiting", dsn);` */
err err_set(err kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The message of this thread's last err_set. Never NULL; valid until the next err_set of the thread. */
const char *err_message(void);

/* "ok", "retry", "reject", "fatal". */
const char *err_name(err kind);

/* Returns from the enclosing function when `expression` is not OK. */
#define TRY(expression)                                                                                                \
    do {                                                                                                               \
        err try_err_ = (expression);                                                                                   \
        if (try_err_ != OK)                                                                                            \
            return try_err_;                                                                                           \
    } while (0)
