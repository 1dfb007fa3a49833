/* fact: a fact at its place in the log, as it is folded. */
#pragma once

#include <stdint.h>

struct any_record; /* schemas/stream.h */

struct placed_fact {
    const struct any_record *fact; /* the stream's fact union, sealed fields opened */
    int32_t partition;
    int64_t offset;
};
