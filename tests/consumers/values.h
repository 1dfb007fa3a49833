/* Values of facts in tests: times, ids, opened fields. */
#pragma once

#include "schemas/codec.h"

#define NOON INT64_C(1767268800123) /* 2026-01-01T12:00:00.123Z */
#define DAY  INT64_C(86400000)

/* The nth thing of a kind: 'u' a user, 'r' a room, 's' a session … */
static inline struct uuid id(char kind, int n)
{
    return (struct uuid){ { 0x01, [8] = (uint8_t)kind, [14] = (uint8_t)(n >> 8), [15] = (uint8_t)n } };
}

/* A field that was opened; NULL: of an erased person. */
static inline struct sealed text(const char *clear)
{
    return clear ? (struct sealed){ .state = OPEN, .clear = str_of(clear) } : (struct sealed){ .state = ERASED };
}
