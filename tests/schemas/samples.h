/* samples: one record of each type with fixed contents, for round trips, golden bytes and the fuzzer's first corpus. */
#pragma once

#include "schemas/accounts.gen.h"
#include "schemas/receipts.gen.h"
#include "schemas/replies.gen.h"
#include "schemas/rooms.gen.h"
#include "schemas/sessions.gen.h"
#include "schemas/typing.gen.h"

struct sample {
    const char *name; /* "aether.rooms.PostMessage" */
    const struct record_union *of;
    union {
        struct any_record any;
        struct accounts_command accounts_command;
        struct accounts_fact accounts_fact;
        struct sessions_command sessions_command;
        struct sessions_fact sessions_fact;
        struct rooms_command rooms_command;
        struct rooms_fact rooms_fact;
    };
};

extern const struct sample samples[];
extern const size_t samples_count;
extern const struct outcome sample_outcome;
extern const struct read_up_to sample_read_up_to;
extern const struct typing sample_typing;

/* Every union of every stream. */
extern const struct record_union *const all_unions[];
extern const size_t all_unions_count;
