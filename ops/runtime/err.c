#include "ops/runtime/err.h"

#include <stdarg.h>
#include <stdio.h>

#define MESSAGE_MAX 512

static _Thread_local char message[MESSAGE_MAX];

err err_set(err kind, const char *format, ...)
{
    /* An argument may be the message before this one ("…: %s", err_message()). */
    char next[MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(next, sizeof next, format, args);
    va_end(args);
    __builtin_memcpy(message, next, sizeof next);
    return kind;
}

const char *err_message(void)
{
    return message;
}

const char *err_name(err kind)
{
    switch (kind) {
    case OK:
        return "ok";
    case RETRY:
        return "retry";
    case REJECT:
        return "reject";
    case FATAL:
        break;
    }
    return "fatal";
}
