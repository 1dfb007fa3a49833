/* uuid: RFC 9562 identifiers. Any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "ops/runtime/mem.h"

struct uuid {
    uint8_t bytes[16];
};

#define UUID_TEXT_LEN 36

extern const struct uuid uuid_nil;

struct uuid uuid_v7(int64_t unix_ms);                           /* section 5.7; random from libsodium */
struct uuid uuid_v5(struct uuid namespace_id, struct str name); /* section 5.5; SHA-1, deterministic */
bool uuid_parse(struct str text, struct uuid *ret); /* 8-4-4-4-12 hex, either case; ret untouched on false */
void uuid_format(struct uuid id, char ret_text[UUID_TEXT_LEN + 1]); /* lower case, NUL-terminated */
int64_t uuid_v7_time(struct uuid id); /* Unix milliseconds, or -1 when it is no version 7 */

static inline bool uuid_equal(struct uuid a, struct uuid b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static inline bool uuid_is_nil(struct uuid a)
{
    return uuid_equal(a, uuid_nil);
}
